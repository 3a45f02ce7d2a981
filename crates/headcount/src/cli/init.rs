//! `init`: looks at a database, shows what it would configure, and writes it.

mod dialogue;
mod address;
mod show;

use super::terminal::{self, tell};
use super::{Usage, print};
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use dialogue::Dialogue;
use headcount_discover::others::Others;
use headcount_discover::samples::{ROWS, Request, Samples};
use headcount_discover::write::{self, Address};
use headcount_discover::{Choices, Field, Proposal, Subject, check, grants, guess, presets, rank, tables};
use headcount_files::links;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::sensitive;
use headcount_model::text::visible;
use headcount_model::timestamp::Timestamp;
use headcount_source::TableName;
use headcount_source::catalogue::{self, Catalogue, Row, Sample, Table};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The database: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE [default: HEADCOUNT_SOURCE_URL, or what is
    /// configured]
    url: Option<String>,
    /// The table or view with the users [default: the one that looks like it]
    #[arg(long, value_name = "NAME", value_parser = parse_table)]
    table: Option<TableName>,
    /// What made the database [default: what it looks like]
    #[arg(long, value_name = "NAME", value_parser = preset_names())]
    preset: Option<String>,
    /// Take a field from this column, as in email=work_email; may be given several times
    #[arg(long = "column", value_name = "FIELD=COLUMN", value_parser = parse_choice)]
    columns: Vec<(Field, String)>,
    /// The file to write [default: what --config says, or headcount.toml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "print")]
    output: Option<PathBuf>,
    /// Print the configuration to stdout and write no file
    #[arg(long)]
    print: bool,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

/// Rows are read to decide by, through the mapping, and the last ones for the clock.
const SAMPLE: u32 = 2 * ROWS + check::NEWEST;

pub(super) async fn run(
    config: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    arguments: Arguments,
) -> anyhow::Result<()> {
    let output = arguments.output.clone().or_else(|| config.clone());
    let output = output.unwrap_or_else(|| PathBuf::from(crate::config::FILE_NAME));
    if !arguments.print && output.symlink_metadata().is_ok() {
        return Err(exists(&output));
    }
    if !arguments.print {
        // Before anybody is asked anything.
        target(&output)?;
    }
    let (url, from_environment) = address::find(arguments.url.as_deref(), config, data_dir.clone())?;
    tell!(
        "reading the catalogue of {url} and, as a sample, at most {SAMPLE} rows of the users table and the names of roles beside it; no more"
    );
    let mut dialogue = Dialogue::new(arguments.yes);
    let catalogue = catalogue::read(&url).await?;
    let (table, reason) = choose_table(&url, &catalogue, &arguments, &mut dialogue).await?;
    let preset = choose_preset(&catalogue, table, arguments.preset.as_deref())?;
    check_choices(table, &arguments.columns)?;

    let samples = sample(&url, table, &Request::of_table(catalogue.database, table)).await;
    let mut others = Others::default();
    for (other, request) in guess::requests(&catalogue, table) {
        others.add(other, sample(&url, other, &request).await);
    }
    let subject = Subject { catalogue: &catalogue, table, samples: &samples, others: &others };
    let recognised = preset.map_or(reason, |preset| preset.evidence(&catalogue, table));
    let mut proposal = propose(subject, preset, &recognised, arguments.columns.clone(), &mut dialogue)?;
    if catalogue.tables.iter().filter(|other| other.name.name() == table.name.name()).count() > 1 {
        // Which of them the name alone means is for the search path to say.
        proposal.table = table.name.clone();
    }
    let rows = try_out(&url, &mut proposal, subject).await;
    show::proposal(&proposal, &rows);
    if let Some(statements) = grants::statements(&proposal, subject, &catalogue) {
        tell!("");
        tell!("A role that may read this and nothing else (choose a password, run it as the owner):");
        tell!("");
        terminal::lines(&statements);
    }

    let address = match from_environment {
        true => Address::Environment { shown: url.to_string() },
        false => Address::Written { url: address::text(&url, &output)?, has_password: url.has_password() },
    };
    let data_dir = address::data_dir(data_dir, &output)?;
    let options = match output.to_str() {
        Some(crate::config::FILE_NAME) => String::new(),
        _ => format!("--config '{}' ", output.display()),
    };
    let text = write::configuration(&proposal, &address, &data_dir, &options);
    if arguments.print {
        return print(&text);
    }
    tell!("");
    if !dialogue.agrees(&format!("Write {}?", output.display()))? {
        bail!("nothing is written; see --table, --preset and --column for other mappings");
    }
    create(&output, &text, matches!(address, Address::Written { has_password: true, .. }))?;
    tell!("wrote {}; next:", output.display());
    tell!("");
    terminal::lines(&write::next_commands(&options).replace("#   ", "  "));
    Ok(())
}

/// The table that was named, that a preset knows, or that looks like users more than any other; and why.
async fn choose_table<'a>(
    url: &DatabaseUrl,
    catalogue: &'a Catalogue,
    arguments: &Arguments,
    dialogue: &mut Dialogue,
) -> anyhow::Result<(&'a Table, String)> {
    if let Some(name) = &arguments.table {
        let table = tables::find(catalogue, name).map_err(Usage)?;
        return Ok((table, format!("table {} was named", table.name)));
    }
    let candidates = rank::candidates(catalogue);
    let known = match arguments.preset.as_deref().and_then(presets::by_name) {
        Some(preset) => {
            catalogue.tables.iter().filter(|table| preset.misfit(catalogue, table).is_none()).collect()
        }
        None => presets::recognise(catalogue).map(|(_, tables)| tables).unwrap_or_default(),
    };
    if let (Some(preset), []) = (&arguments.preset, &known[..]) {
        let listed = tables::listed(catalogue.tables.iter());
        let problem =
            format!("--preset {preset} fits no table here; name one with --table NAME. There are: {listed}");
        return Err(Usage(problem).into());
    }
    let contenders = match known[..] {
        [table] => return Ok((table, String::new())),
        [] => with_rows(url, candidates).await,
        _ => among(&known, candidates),
    };
    let at = match contenders[..] {
        [] => return Err(Usage(none(catalogue)).into()),
        [_] => 0,
        _ => {
            let described: Vec<_> = contenders.iter().map(show::candidate).collect();
            dialogue.choose("several tables look like users", &described, "--table NAME")?
        }
    };
    let reason = format!("table {} has {}", contenders[at].table.name, contenders[at].reasons.join(", "));
    Ok((contenders[at].table, reason))
}

/// Candidates of which it is asked whether they have rows: nobody's database is to be held up by a look at it.
const ASKED: usize = 8;

/// The best of the candidates; those that have no row only where none has.
async fn with_rows<'a>(url: &DatabaseUrl, candidates: Vec<rank::Candidate<'a>>) -> Vec<rank::Candidate<'a>> {
    let contenders = rank::contenders(&candidates);
    let mut filled = Vec::new();
    for candidate in candidates.into_iter().take(ASKED) {
        let request = Sample::of(&candidate.table.name, vec!["1".to_owned()], 1);
        if !catalogue::sample(url, &request).await.is_ok_and(|rows| rows.is_empty()) {
            filled.push(candidate);
        }
    }
    if filled.is_empty() { contenders } else { rank::contenders(&filled) }
}

/// Why no table can be taken, and what to do.
fn none(catalogue: &Catalogue) -> String {
    let unreadable = |table: &Table| !table.columns.iter().any(|column| column.is_readable);
    if catalogue.tables.is_empty() {
        return "no table looks like users: the database has none. Is it the one that the application uses? A table of another schema, \
                or one to come, is named with --table NAME"
            .to_owned();
    }
    if catalogue.tables.iter().all(unreadable) {
        return format!(
            "this role may read none of the {} tables here; run init as a role that may, such as the application's: it prints the \
             statements for one that may read the users and nothing else",
            catalogue.tables.len()
        );
    }
    let listed = tables::listed(catalogue.tables.iter());
    let unusable: String =
        rank::unusable(catalogue).into_iter().take(3).map(|why| format!("; {why}")).collect();
    format!("no table looks like users{unusable}. Name one with --table NAME. There are: {listed}")
}

/// The best of the tables that a preset fits; all of them, if it knows what the names do not show.
fn among<'a>(known: &[&'a Table], candidates: Vec<rank::Candidate<'a>>) -> Vec<rank::Candidate<'a>> {
    let is_known =
        |candidate: &rank::Candidate<'_>| known.iter().any(|table| std::ptr::eq(*table, candidate.table));
    let ranked: Vec<_> = candidates.into_iter().filter(is_known).collect();
    if ranked.is_empty() {
        let unranked = |table: &&'a Table| rank::Candidate::unranked(table);
        return known.iter().map(unranked).collect();
    }
    rank::contenders(&ranked)
}

fn choose_preset(
    catalogue: &Catalogue,
    table: &Table,
    named: Option<&str>,
) -> anyhow::Result<Option<&'static presets::Preset>> {
    let Some(preset) = named.and_then(presets::by_name) else {
        return Ok(presets::for_table(catalogue, table));
    };
    match preset.missing(catalogue, table) {
        None => Ok(Some(preset)),
        Some(problem) => Err(Usage(format!("--preset {}: {problem}", preset.name)).into()),
    }
}

fn check_choices(table: &Table, choices: &Choices) -> Result<(), Usage> {
    for (field, column) in choices {
        if table.column(column).is_none() {
            let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
            let problem =
                format!("table {} has no column {column}; it has {}", table.name, columns.join(", "));
            let problem = visible(&problem);
            return Err(Usage(format!("--column {}: {problem}", field.name())));
        }
        if let Some(rule) = sensitive::by_name(column) {
            let problem = format!("{column} is named like a credential ({rule}), which init never maps");
            return Err(Usage(format!("--column {}: {problem}", field.name())));
        }
    }
    Ok(())
}

/// Cells to decide by. Without them there are still names and types.
async fn sample(url: &DatabaseUrl, table: &Table, request: &Request) -> Samples {
    match catalogue::sample(url, &request.sample).await {
        Ok(rows) => request.answered(&rows),
        Err(error) => {
            tell!("warning: no sample of table {}: {error}", table.name);
            Samples::default()
        }
    }
}

/// The mapping; a field that two columns fit is asked for, once.
fn propose(
    subject: Subject<'_>,
    preset: Option<&'static presets::Preset>,
    recognised: &str,
    mut choices: Choices,
    dialogue: &mut Dialogue,
) -> anyhow::Result<Proposal> {
    loop {
        let ambiguous = match subject.propose(preset, recognised.to_owned(), &choices) {
            Ok(proposal) => break has_id(proposal, subject),
            Err(ambiguous) => ambiguous,
        };
        let field = ambiguous.field.name();
        let problem = format!("several columns of {} fit {field} equally well", subject.table.name);
        let remedy = format!("--column {field}=COLUMN");
        let at = dialogue.choose(&problem, &ambiguous.columns, &remedy)?;
        choices.push((ambiguous.field, ambiguous.columns[at].clone()));
    }
}

fn has_id(proposal: Proposal, subject: Subject<'_>) -> anyhow::Result<Proposal> {
    let has_id = proposal
        .columns
        .iter()
        .any(|mapped| mapped.field == Field::Id && mapped.from != headcount_discover::Origin::Nothing);
    if !has_id {
        let why = guess::why_no_id(subject).unwrap_or_else(|| format!("table {} has no id", proposal.table));
        return Err(Usage(format!("{why}; or name a column with --column id=COLUMN")).into());
    }
    Ok(proposal)
}

/// The first users through the mapping; what does not work is taken out of it, and what does not fit is no longer called sure.
async fn try_out(url: &DatabaseUrl, proposal: &mut Proposal, subject: Subject<'_>) -> Vec<Row> {
    let mut tried = catalogue::sample(url, &check::request(proposal, subject, ROWS)).await;
    if tried.is_err() {
        for field in Field::ALL {
            let Some(request) = check::request_of(proposal, subject, field) else { continue };
            if let Err(error) = catalogue::sample(url, &request).await {
                check::take_out(proposal, field, &error.to_string());
            }
        }
        tried = catalogue::sample(url, &check::request(proposal, subject, ROWS)).await;
    }
    let rows = match tried {
        Ok(rows) => rows,
        Err(error) => {
            proposal.warnings.push(format!("the mapping could not be tried: {error}"));
            return Vec::new();
        }
    };
    check::look_at(proposal, &rows);
    if let Some(request) = check::newest(proposal, subject)
        && let Ok(newest) = catalogue::sample(url, &request).await
    {
        check::look_at_the_clock(proposal, &newest, Timestamp::now());
    }
    rows
}

/// Makes the file, whole or not at all, and never over another.
fn create(path: &Path, text: &str, is_secret: bool) -> anyhow::Result<()> {
    let mode = if is_secret { 0o600 } else { 0o644 };
    let problem = || unwritable(path);
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(target(path)?);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
        opened => opened.with_context(problem)?,
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a configuration is worse than none.
        let _ = std::fs::remove_file(path);
    }
    written.with_context(problem)
}

/// Where that leads, if only links that can be trusted lead there.
fn target(path: &Path) -> anyhow::Result<PathBuf> {
    links::follow(path).with_context(|| unwritable(path))
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

fn exists(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} exists already, and init never overwrites; look at a new one with --print, or write it to another file \
         with --output FILE",
        path.display()
    )
}

fn preset_names() -> PossibleValuesParser {
    PossibleValuesParser::new(presets::all().map(|preset| preset.name))
}

/// Told to clap, which would otherwise take the name as it is, dots and quotes included.
fn parse_table(text: &str) -> Result<TableName, String> {
    text.parse()
}

fn parse_choice(text: &str) -> Result<(Field, String), String> {
    let choice = text.split_once('=').and_then(|(field, column)| {
        let field = Field::ALL.into_iter().find(|known| known.name() == field)?;
        (!column.is_empty()).then(|| (field, column.to_owned()))
    });
    choice.ok_or_else(|| {
        format!("expected FIELD=COLUMN, where FIELD is one of {}", Field::ALL.map(Field::name).join(", "))
    })
}
