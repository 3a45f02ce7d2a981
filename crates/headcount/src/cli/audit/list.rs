//! `audit list`: as lines for people, as JSON or as CSV.

use crate::cli::Usage;
use crate::cli::terminal::tell;
use crate::cli::zone::Zone;
use clap::Args;
use headcount_format::csv::Csv;
use headcount_model::moment::Clock;
use headcount_model::plan::{Profile, hashed};
use headcount_model::timestamp::Timestamp;
use headcount_model::value::Value;
use headcount_store::Store;
use headcount_store::audit::{AddressKey, Ending, Outcome, Record, Request, Selection, Sought};
use std::io::{self, BufWriter, Write};

/// What lines are kept within, in characters.
const WIDTH: usize = 100;
/// What stands before the second and further lines of a record.
const INDENT: &str = "    ";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// As a JSON array, with all that is recorded; times are UTC
    #[arg(long)]
    json: bool,
    /// As CSV, with all that is recorded; times are UTC, or in the zone of --time-zone
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// At most so many records [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// Only what began at this time or later: a date, a month, a time, or as in 7d so long ago, in the zone of this machine
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only what began before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only what was made with this key
    #[arg(long, value_name = "ID|NAME")]
    key: Option<String>,
    /// Only this export, also one that is declared no more
    #[arg(long, value_name = "minimal|full|NAME")]
    profile: Option<String>,
    /// Only what ended like this: completed, failed, disconnected, interrupted, over_budget, denied, or is running
    #[arg(long, value_name = "OUTCOME", value_parser = Ending::parse)]
    outcome: Option<Ending>,
    /// Only the requests for this address, of which the audit holds no more than a hash
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    #[command(flatten)]
    zone: Zone,
}

pub(super) async fn run(store: &Store, arguments: Arguments) -> anyhow::Result<()> {
    let clock = arguments.zone.local()?;
    let sought = match &arguments.email {
        Some(email) => Some(sought(store, email).await?),
        None => None,
    };
    let selection = selection(&arguments, &clock, sought.is_some())?;
    let mut left = arguments.limit.unwrap_or(i64::MAX);
    let mut list = List::new(&arguments, clock)?;
    // One record at a time: an audit of years must not have to fit into memory.
    let read = store.for_each_record(&selection, |record| -> anyhow::Result<()> {
        if left > 0 && sought.as_ref().is_none_or(|sought| sought.is_in(&record)) {
            left -= 1;
            list.add(&record)?;
        }
        Ok(())
    });
    match read.await.and_then(|()| list.end()) {
        Err(error) if error.is::<ReaderLeft>() => Ok(()),
        listed => listed,
    }
}

/// Whoever closed the pipe has what they wanted.
#[derive(Debug, thiserror::Error)]
#[error("the reader of stdout went away")]
struct ReaderLeft;

fn unwritten(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderLeft.into(),
        _ => anyhow::Error::new(error).context("stdout cannot be written"),
    }
}

fn selection(arguments: &Arguments, clock: &Clock, is_searched: bool) -> Result<Selection, Usage> {
    let moment = |name: &str, text: &Option<String>| {
        let moment = text.as_deref().map(|text| clock.moment(text)).transpose();
        moment.map_err(|problem| Usage(format!("--{name} {problem}")))
    };
    let (since, until) = (moment("since", &arguments.since)?, moment("until", &arguments.until)?);
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Usage("--since must be earlier than --until".to_owned()));
    }
    Ok(Selection {
        since,
        until,
        key: arguments.key.clone(),
        endpoints: arguments.profile.as_deref().map(Profile::recorded_as).unwrap_or_default(),
        outcome: arguments.outcome,
        // What is looked for in the records themselves the store cannot count.
        limit: arguments.limit.filter(|_| !is_searched),
        before: None,
    })
}

/// An address as records hold it.
async fn sought(store: &Store, address: &str) -> anyhow::Result<Sought> {
    let key = store.known_pseudonym_key().await?.map(|pseudonyms| AddressKey::new(&pseudonyms));
    Ok(Sought::new(hashed(address), key.as_ref()))
}

enum Form {
    Lines,
    Json,
    Csv,
}

/// A list on its way out.
struct List {
    form: Form,
    clock: Clock,
    /// That was asked for by name.
    zone: Option<Clock>,
    out: BufWriter<std::io::StdoutLock<'static>>,
    count: u64,
}

impl List {
    fn new(arguments: &Arguments, clock: Clock) -> Result<Self, Usage> {
        let form = match arguments {
            Arguments { json: true, .. } => Form::Json,
            Arguments { csv: true, .. } => Form::Csv,
            _ => Form::Lines,
        };
        let zone = arguments.zone.named()?;
        Ok(Self { form, clock, zone, out: BufWriter::new(std::io::stdout().lock()), count: 0 })
    }

    fn add(&mut self, record: &Record) -> anyhow::Result<()> {
        let is_first = self.count == 0;
        self.count += 1;
        let text = match self.form {
            Form::Json => {
                let separator = if is_first { "[\n  " } else { ",\n  " };
                let json = headcount_model::text::visible_json(&serde_json::to_string(record)?);
                format!("{separator}{json}").into_bytes()
            }
            Form::Csv => {
                let mut text = if is_first { csv_head()? } else { Vec::new() };
                text.extend(csv(self.zone.as_ref(), record)?);
                text
            }
            Form::Lines => {
                let lines = lines(&self.clock, record).into_iter();
                lines
                    .map(|line| headcount_model::text::visible(&line) + "\n")
                    .collect::<String>()
                    .into_bytes()
            }
        };
        self.out.write_all(&text).map_err(unwritten)
    }

    fn end(mut self) -> anyhow::Result<()> {
        match self.form {
            Form::Json => {
                writeln!(self.out, "{}", if self.count == 0 { "[]" } else { "\n]" }).map_err(unwritten)?;
            }
            Form::Csv if self.count == 0 => self.out.write_all(&csv_head()?).map_err(unwritten)?,
            Form::Lines if self.count == 0 => tell!("no record is like that"),
            Form::Csv | Form::Lines => {}
        }
        self.out.flush().map_err(unwritten)
    }
}

/// A record for people: when, how it ended, what, who, how many and which; and below, what else there is to say.
fn lines(clock: &Clock, record: &Record) -> Vec<String> {
    let outcome = record.outcome.map_or("running", Outcome::name);
    let who = match (&record.key_name, &record.scope.system_user) {
        (Some(name), _) => format!("key {name}"),
        (None, Some(user)) => format!("user {user}"),
        (None, None) => "no key".to_owned(),
    };
    let export = Profile::name_of(&record.endpoint).unwrap_or(&record.endpoint);
    let rows = format!("{} {}", record.rows, if record.rows == 1 { "row" } else { "rows" });
    let time = format!("{}  {outcome:<12}", clock.shown(record.time));
    let mut lines = wrapped([time, export.to_owned(), who, rows, record.id.clone()], "");
    let mut facts: Vec<_> = record.reason.iter().cloned().collect();
    facts.extend(members(&record.filters).map(|(name, value)| format!("{name}={value}")));
    facts.extend(record.scope.masks.iter().map(|(column, mask)| format!("{column} masked: {mask}")));
    facts.extend(record.scope.conditions.iter().map(|(name, sql)| format!("{name}: {sql}")));
    lines.extend(wrapped(facts, INDENT));
    lines
}

/// Facts on as few lines as they need, each at most [`WIDTH`] wide; those after the first are indented.
fn wrapped(facts: impl IntoIterator<Item = String>, indent: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        let length = fact.chars().count();
        match lines.last_mut().filter(|line| line.chars().count() + 2 + length <= WIDTH) {
            Some(line) => *line += &format!("  {fact}"),
            None => {
                let indent = if lines.is_empty() { indent } else { INDENT };
                lines.extend(pieces(&format!("{indent}{fact}")));
            }
        }
    }
    lines
}

/// A text that is too long for a line on several.
fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let first = characters.len().min(WIDTH);
    let rest = characters[first..].chunks(WIDTH - INDENT.len());
    std::iter::once(characters[..first].iter().collect())
        .chain(rest.map(|piece| INDENT.chars().chain(piece.iter().copied()).collect()))
        .collect()
}

fn members(object: &serde_json::Value) -> impl Iterator<Item = (&String, String)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name, text(value)))
}

/// A text as it is, anything else as JSON.
fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The names of the members of a record.
fn csv_head() -> anyhow::Result<Vec<u8>> {
    let nobody = Request::new(String::new(), Timestamp::now(), String::new(), String::new());
    let value = serde_json::to_value(Record::of(&nobody, None))?;
    let mut head = Vec::new();
    Csv::default().head(&mut head, members(&value).map(|(name, _)| name.as_str()));
    Ok(head)
}

/// A record as CSV, with the times in UTC, as JSON and receipts have them, or in a zone that was asked for.
fn csv(zone: Option<&Clock>, record: &Record) -> anyhow::Result<Vec<u8>> {
    let mut value = serde_json::to_value(record)?;
    if let Some(zone) = zone {
        for (name, time) in
            [("time", Some(record.time)), ("snapshot_at", record.snapshot_at), ("ended_at", record.ended_at)]
        {
            value[name] = time.map(|time: Timestamp| zone.with_offset(time)).into();
        }
    }
    let members: Vec<_> = members(&value).collect();
    let cells: Vec<_> = members
        .iter()
        .map(|(name, text)| match &value[name.as_str()] {
            serde_json::Value::Null => Value::Null,
            _ => text.as_str().into(),
        })
        .collect();
    let mut row = Vec::new();
    Csv::default().record(&mut row, &cells);
    Ok(row)
}
