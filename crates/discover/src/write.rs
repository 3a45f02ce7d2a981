//! The configuration file, as a newcomer would like to find it.

use super::toml::{comment, string};
use super::{Confidence, Field, Mapped, Origin, Proposal, Suggestion};
use headcount_model::sensitive;
use headcount_source::catalogue::Database;

/// How the file says where the database is.
#[derive(Clone, Debug)]
pub enum Address {
    /// In full.
    Written { url: String, has_password: bool },
    /// Not at all, because the environment says it; as it may be shown.
    Environment { shown: String },
}

/// The file's text. `options` are what a command needs to find the file, as in `--config FILE`; empty for the usual
/// place.
pub fn configuration(proposal: &Proposal, address: &Address, data_dir: &str, options: &str) -> String {
    let mut text = comment("Headcount's configuration, written by 'headcount init'.");
    text.push_str("#\n");
    text.push_str(&comment(&format!("Recognised: {}.", recognised(proposal))));
    for note in proposal.preset.map_or(&[][..], |preset| preset.notes) {
        text.push_str(&comment(note));
    }
    for warning in &proposal.warnings {
        text.push_str(&comment(&format!("Warning: {warning}.")));
    }
    text.push_str("#\n# Next:\n");
    text.push_str(&next_commands(options));
    text.push('\n');
    text.push_str(&comment(
        "Where keys, flags and the audit are kept. Relative paths in this file start at this file.",
    ));
    text.push_str(&format!("data_dir = {}\n", string(data_dir)));
    text.push_str(
        "\n# The endpoints that are switched on: none, until you take the # off or run 'headcount flags enable'.\n\
         #features = [\"users:export\", \"users:export_full\"]\n\n[source]\n",
    );
    text.push_str(&url(proposal.database, address));
    text.push_str(&format!("table = {}\n", string(&proposal.table.parseable())));
    if let Some(schema) = &proposal.search_path {
        text.push_str(&comment(
            "Where the expressions below look for other tables; this role does not look there by itself.",
        ));
        text.push_str(&format!("search_path = [{}]\n", string(schema)));
    }
    text.push_str(&conditions(proposal));
    text.push_str(&comment(
        "What times are: \"auto\" (integers are seconds), \"seconds\", \"milliseconds\", or \"text\" (an integer is an \
         error). Times of the database's own types need nothing.",
    ));
    text.push_str(&format!("timestamps = {}\n", string(proposal.timestamps.name())));
    text.push_str(&time_zone(proposal));
    text.push_str(
        "\n[source.columns]\n# NAME = \"COLUMN\", or NAME = { sql = \"EXPRESSION\" }. The seven names are what exports \
         consist of.\n",
    );
    text.push_str(&left_alone(proposal));
    for mapped in &proposal.columns {
        text.push_str(&comment(&reason(mapped)));
        text.push_str(&format!("{} = {}\n", mapped.field.name(), value(mapped, proposal)));
        for hint in &mapped.hints {
            text.push_str(&comment(&hint.comment));
            text.push_str(&format!("#{} = {{ sql = {} }}\n", mapped.field.name(), string(&hint.sql)));
        }
    }
    text + &further(proposal)
}

/// In which zone the times are that do not say so.
fn time_zone(proposal: &Proposal) -> String {
    if proposal.without_zone.is_empty() {
        return String::new();
    }
    let columns = proposal.without_zone.join(" and ");
    comment(&format!(
        "{columns}: times without a zone, which are taken for UTC. If the application writes the time of another zone:"
    )) + "#stored_time_zone = \"Europe/Berlin\"\n"
}

/// What else the table has, ready to be declared.
fn further(proposal: &Proposal) -> String {
    if proposal.further.is_empty() {
        return String::new();
    }
    // The seven stand above already.
    let free = |column: &String| match Field::ALL.iter().any(|field| field.name() == column) {
        true => format!("{column}_as_stored"),
        false => column.clone(),
    };
    let names: Vec<_> = proposal.further.iter().map(|column| (key(&free(column)), column)).collect();
    let lines = names.iter().map(|(key, column)| format!("#{key} = {}", string(column))).collect::<Vec<_>>();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let lines = lines
        .iter()
        .zip(&proposal.further)
        .map(|(line, column)| format!("{line:width$}  # {}\n", sensitive::sensitivity(column).name()));
    String::from("\n")
        + &comment(
            "Further columns of the table, each with what its name tells. Take the # off, and show them in an export of \
             your own, as in [exports.marketing] with columns = [\"id\", \"email\", ...] and, if you like, where = \"...\".",
        )
        + &lines.collect::<String>()
}

/// A key of TOML, in quotes where it needs them (TOML 1.0, "Keys").
fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { name.to_owned() } else { string(name) }
}

/// What the database turned out to be, in one sentence without its full stop.
pub fn recognised(proposal: &Proposal) -> String {
    match proposal.preset {
        Some(preset) => format!("{} (preset {}), by {}", preset.title, preset.name, proposal.recognised),
        None => format!("no known framework; {}", proposal.recognised),
    }
}

/// The commands that come after this one, a line each, as comments.
pub fn next_commands(options: &str) -> String {
    let lines = [
        ("check", "does everything answer and fit?"),
        ("export minimal --limit 3", "three users, without a server"),
        ("keys create NAME --kind standard", "a key for the endpoints"),
        ("flags enable users:export", "switch an endpoint on"),
        ("serve", ""),
    ];
    let commands = lines.map(|(command, what)| (format!("headcount {options}{command}"), what));
    let width = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let lines = commands
        .iter()
        .map(|(command, what)| format!("#   {command:width$}  {what}").trim_end().to_owned() + "\n");
    lines.collect()
}

fn url(database: Database, address: &Address) -> String {
    let (url, has_password) = match address {
        Address::Environment { shown } => {
            let said = "The URL is not here: it came from HEADCOUNT_SOURCE_URL, which has to be set for every command.";
            return comment(said) + &format!("#url = {}\n", string(shown));
        }
        Address::Written { url, has_password } => (url, has_password),
    };
    let mut text = match database {
        Database::Sqlite => {
            comment("The file, which is only ever read. A relative path starts at this file.")
        }
        Database::Postgres => comment(
            "The database, which is only ever read. A role that may read nothing but the columns below is enough; \
             'headcount init' has printed the statements that make one.",
        ),
    };
    if *has_password {
        text.push_str(&comment(
            "There is a password in this URL: keep this file readable by Headcount's user only, or, better, take the \
             line out and set the environment variable HEADCOUNT_SOURCE_URL.",
        ));
    }
    text + &format!("url = {}\n", string(url))
}

fn conditions(proposal: &Proposal) -> String {
    let line = |prefix: &str, condition: &Suggestion| {
        let mut said = condition.comment.clone();
        if !prefix.is_empty() && proposal.database == Database::Postgres {
            said.push_str(" The role in the URL needs SELECT on the columns in it, too.");
        }
        comment(&said) + &format!("{prefix}where = {}\n", string(&condition.sql))
    };
    let mut text = String::new();
    if let Some(condition) = &proposal.condition {
        text.push_str(&line("", condition));
    }
    for condition in &proposal.suggestions {
        text.push_str(&line("# ", condition));
    }
    if proposal.suggestions.len() + usize::from(proposal.condition.is_some()) > 1 {
        text.push_str(&comment("There can be one where: put several together with AND."));
    }
    if text.is_empty() {
        text.push_str("# Only some of the rows, by a condition in SQL:\n# where = \"...\"\n");
    }
    text
}

fn left_alone(proposal: &Proposal) -> String {
    if proposal.left_alone.is_empty() {
        return String::new();
    }
    let columns = proposal.left_alone.iter().map(|left| format!("{} ({})", left.column, left.why));
    comment(&format!(
        "Left alone, because they look like credentials: {}.",
        columns.collect::<Vec<_>>().join(", ")
    ))
}

fn reason(mapped: &Mapped) -> String {
    let mut first = mapped.reason.chars();
    let reason: String = first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
    match (&mapped.from, mapped.confidence) {
        (Origin::Nothing, _) => format!("Empty for everybody: {}.", mapped.reason),
        (_, Confidence::High) => format!("{reason}."),
        (_, confidence) => format!("{reason} ({}).", confidence.name()),
    }
}

fn value(mapped: &Mapped, proposal: &Proposal) -> String {
    match &mapped.from {
        Origin::Column(name) if mapped.field == Field::Id && proposal.id_as_text => {
            format!("{{ column = {}, as = \"text\" }}", string(name))
        }
        Origin::Column(name) => string(name),
        Origin::Sql(_) | Origin::Nothing => {
            format!("{{ sql = {} }}", string(&mapped.expression(proposal.database)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{catalogue, table};
    use crate::others::Others;
    use crate::samples::Samples;
    use crate::{Choices, Subject, grants};

    const ODD: &[&str] = &[
        "Id pk int",
        "e\"mail text",
        "first_name text",
        "last_name text",
        "Password text",
        "role enum=it's,admin",
    ];

    fn proposal(name: &str, columns: &[&str]) -> (Proposal, String) {
        let catalogue = catalogue(vec![table(name, columns)]);
        let samples = Samples::default();
        let others = Others::default();
        let subject = Subject {
            catalogue: &catalogue,
            table: &catalogue.tables[0],
            samples: &samples,
            others: &others,
        };
        let proposal = subject.propose(None, "a\nb = 1".to_owned(), &Choices::new()).expect("no ambiguity");
        let grants = grants::statements(&proposal, subject, &catalogue).expect("PostgreSQL");
        (proposal, grants)
    }

    fn written(url: &str) -> Address {
        Address::Written { url: url.to_owned(), has_password: url.contains(":s3cret@") }
    }

    #[test]
    fn the_file_reads_back() {
        let (proposal, _) = proposal("\"My Schema\".\"Odd.Users\"", ODD);
        let text = configuration(&proposal, &written("postgres://me@db/app"), "state", "");
        let file: toml::Table = text.parse().expect("TOML");
        let source = &file["source"];
        assert_eq!(file["data_dir"].as_str(), Some("state"));
        assert_eq!(file.len(), 2);
        assert_eq!(source["url"].as_str(), Some("postgres://me@db/app"));
        assert_eq!(source["table"].as_str(), Some("My Schema.\"Odd.Users\""));
        assert_eq!(source["timestamps"].as_str(), Some("auto"));
        let columns = source["columns"].as_table().expect("columns");
        let sql = |name: &str| columns[name]["sql"].as_str();
        assert_eq!(columns.len(), 7);
        assert_eq!(columns["id"].as_str(), Some("Id"));
        assert_eq!(columns["email"].as_str(), Some("e\"mail"));
        assert_eq!(sql("name"), Some("nullif(trim(\"first_name\" || ' ' || \"last_name\"), '')"));
        assert_eq!(sql("created_at"), Some("NULL::timestamptz"));
        assert_eq!(sql("is_active"), Some("NULL::boolean"));
        assert_eq!(sql("is_admin"), Some("\"role\"::text = 'admin'"));
        assert!(text.contains("Password (named like a credential: password)"));
        assert!(text.contains("# Warning: created_at: no column looks like it"));
        assert!(text.contains("# where = "));
    }

    #[test]
    fn further_columns_are_ready_to_be_declared() {
        let (proposal, _) =
            proposal("users", &["id pk int", "email text", "phone text", "Pla\"n text", "api_token text"]);
        let text = configuration(&proposal, &written("postgres://me@db/app"), "state", "");
        assert!(text.contains("#phone = \"phone\"") && text.contains("# personal\n"), "{text}");
        assert!(text.contains("# other\n") && !text.contains("#api_token"), "{text}");
        let declared: String = text
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|_| line.contains("  # ")).unwrap_or(line).to_owned() + "\n"
            })
            .collect();
        let file: toml::Table = declared.parse().expect("TOML");
        let columns = file["source"]["columns"].as_table().expect("columns");
        assert_eq!(columns.len(), 9);
        assert_eq!(columns["Pla\"n"].as_str(), Some("Pla\"n"));
    }

    #[test]
    fn the_url_is_where_it_came_from() {
        let (proposal, _) = proposal("users", ODD);
        let text =
            configuration(&proposal, &written("postgres://me:s3cret@db/app"), "state", "--config 'x.toml' ");
        assert!(text.contains("set the environment variable HEADCOUNT_SOURCE_URL"));
        assert!(text.contains("headcount --config 'x.toml' check"));
        let environment = Address::Environment { shown: "postgres://me@db/app".to_owned() };
        let text = configuration(&proposal, &environment, "state", "");
        let file: toml::Table = text.parse().expect("TOML");
        assert!(file["source"].get("url").is_none());
    }

    #[test]
    fn grants_name_what_is_read_and_no_more() {
        let (_, grants) = proposal("\"My Schema\".\"Users\"", ODD);
        assert_eq!(
            grants,
            "CREATE ROLE headcount LOGIN PASSWORD '...';\n\
             GRANT CONNECT ON DATABASE \"app\" TO headcount;\n\
             GRANT USAGE ON SCHEMA \"My Schema\" TO headcount;\n\
             GRANT SELECT (\"Id\", \"e\"\"mail\", \"first_name\", \"last_name\", \"role\") \
             ON \"My Schema\".\"Users\" TO headcount;\n"
        );
    }
}
