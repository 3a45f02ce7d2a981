//! The users table: can it be read, by whom, and does it hold what the configuration says?

use super::{Finding, database};
use crate::config::Config;
use headcount_format::masks::Masks;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::mask::PseudonymKey;
use headcount_model::plan::{Column, OutputFormat, Plan, Profile, ProfileColumn, filterable_columns};
use headcount_model::sensitive;
use headcount_model::timestamp::Timestamp;
use headcount_model::value::{Misfit, Value};
use headcount_source::{Estimate, Gather, Inspection, Source, SourceError};
use headcount_store::audit::hidden;
use std::sync::Arc;

pub(super) const UNREACHABLE: &str = "without its source nothing is exported";

/// Rows that are read to see whether values fit their columns.
const SAMPLE: i64 = 200;
/// How far two clocks may be apart, in microseconds.
const SKEW: i64 = 5_000_000;
/// What one core encodes in a second, roughly: for an estimate of the time that an export takes.
const ROWS_PER_SECOND: u64 = 1_500_000;

/// Its code in an error's text (PostgreSQL manual, appendix A).
const INSUFFICIENT_PRIVILEGE: &str = "SQLSTATE 42501";

/// Looks at the source.
pub(super) async fn examine(config: &Config, source: &Source, now: Timestamp) -> Vec<Finding> {
    let inspection = match source.inspect().await {
        Ok(inspection) => inspection,
        Err(error) => {
            let text = error.to_string();
            let remedy = match grants(source, &Plan::new(Arc::new(Profile::full())), &text).await {
                Some(grants) => grants,
                None if text.contains("of source.search_path is not there") => {
                    "correct source.search_path, or let somebody GRANT USAGE ON SCHEMA".to_owned()
                }
                None => "see whether the database runs, and whether source.url and source.table name it"
                    .to_owned(),
            };
            return vec![Finding::problem("source", text, UNREACHABLE, remedy)];
        }
    };
    let mut findings = vec![Finding::ok("source", inspection.version.clone())];
    findings.push(read_only(&inspection));
    findings.extend(encryption(&inspection));
    findings.push(privileges(config, &inspection));
    findings.extend(database::search_path(config, &inspection));
    findings.extend(database::collations(&inspection));
    findings.extend(clock(&inspection, now));
    findings.extend(database::elsewhere(config, &inspection.elsewhere));
    findings.extend(unused(config));
    let mut fits = true;
    for profile in &config.profiles {
        let finding = mapping(source, profile).await;
        fits &= finding.level == super::Level::Ok;
        findings.push(finding);
    }
    findings.extend(null_columns(config));
    if fits {
        findings.extend(size(config, source, &inspection).await);
        findings.extend(values(config, source).await);
    }
    findings
}

fn read_only(inspection: &Inspection) -> Finding {
    if inspection.is_read_only {
        return Finding::ok("read-only", "this session can write nothing");
    }
    let why = "a source must never be written";
    Finding::problem("read-only", "this session could write", why, "report this as a bug")
}

fn encryption(inspection: &Inspection) -> Option<Finding> {
    Some(match inspection.is_encrypted? {
        true => Finding::ok("encryption", "the connection to the source is encrypted"),
        false => Finding::warning(
            "encryption",
            "the connection to the source is not encrypted",
            "users travel in clear between the database and here",
            "add ?sslmode=verify-full to source.url, where the server has a certificate",
        ),
    })
}

fn privileges(config: &Config, inspection: &Inspection) -> Finding {
    let mut excess = inspection.excess.clone();
    let allowed = &config.source.allow_sensitive;
    let readable = inspection.readable_credentials.iter().filter(|name| !allowed.contains(name));
    let readable: Vec<_> = readable.map(String::as_str).collect();
    if !readable.is_empty() {
        excess.push(format!("may read {}", readable.join(", ")));
    }
    // A file has no privileges by column, and what is ours may be written.
    if excess.is_empty() || matches!(config.source.url, DatabaseUrl::Sqlite(_)) {
        return Finding::ok("privileges", "no more than reading needs");
    }
    Finding::warning(
        "privileges",
        format!("the role {}", excess.join(", ")),
        "whoever gets hold of source.url could do the same",
        "make a role that may read the exported columns only: headcount init --print writes the statements",
    )
}

fn clock(inspection: &Inspection, now: Timestamp) -> Option<Finding> {
    let skew = inspection.clock?.micros() - now.micros();
    if skew.abs() <= SKEW {
        return Some(Finding::ok("clock", "the database's clock agrees with this machine's"));
    }
    let seconds = skew.abs() / 1_000_000;
    let direction = if skew > 0 { "ahead of" } else { "behind" };
    Some(Finding::warning(
        "clock",
        format!("the database's clock is {seconds} s {direction} this machine's"),
        "keys expire, and created_after and its like select, by different clocks",
        "let both machines follow the same time server (NTP)",
    ))
}

/// Whether the export of a profile could start.
async fn mapping(source: &Source, profile: &Arc<Profile>) -> Finding {
    let plan = Plan::new(Arc::clone(profile));
    let Err(error) = source.check(&plan).await else {
        return Finding::ok(
            "mapping",
            format!("every column of the {} export is there and fits", profile.name),
        );
    };
    let text = error.to_string();
    let remedy = if text.contains("row-level security") {
        "ALTER ROLE … BYPASSRLS for the role in source.url, or let source.table be a view whose owner sees all rows"
            .to_owned()
    } else if text.contains("source.consistency") {
        "set source.consistency = \"per_shard\", or let source.table be a copy that one server holds, such as a materialized view"
            .to_owned()
    } else if let Some(grants) = grants(source, &plan, &text).await {
        grants
    } else if text.contains("source.search_path") {
        "write the schema before the name, let nobody else create there (REVOKE CREATE ON SCHEMA … FROM PUBLIC), or set \
         source.search_path"
            .to_owned()
    } else if let Some(setting) = condition(&text) {
        format!("correct {setting}, SQL in which text stands in single quotes")
    } else {
        "correct source.table and [source.columns], or write them anew with: headcount init --print"
            .to_owned()
    };
    let finding = format!("{} export: {text}", profile.name);
    Finding::problem("mapping", finding, "this export answers 503", remedy)
}

/// The setting whose condition is what does not fit.
fn condition(problem: &str) -> Option<&str> {
    let (before, _) = problem.split_once(".where: ")?;
    let name = before.rsplit(' ').next()?;
    Some(&problem[before.len() - name.len()..before.len() + ".where".len()])
}

/// What the role lacks where a privilege is what is missing: statements that are ready to be run.
async fn grants(source: &Source, plan: &Plan, problem: &str) -> Option<String> {
    if !problem.contains(INSUFFICIENT_PRIVILEGE) {
        return None;
    }
    let statements = source.missing_grants(plan).await.unwrap_or_default();
    if statements.is_empty() {
        // A function, or what a view reads: only who made it knows what it needs.
        return Some("let somebody who may do so GRANT what is denied to the role in source.url".to_owned());
    }
    let statements = statements.iter().map(|statement| format!("{statement};")).collect::<Vec<_>>().join(" ");
    Some(format!("{statements} (all that a role needs: headcount grants)"))
}

async fn size(config: &Config, source: &Source, inspection: &Inspection) -> Vec<Finding> {
    let Some(full) = config.profile("full") else { return Vec::new() };
    let estimate = match source.estimate(&Plan::new(Arc::clone(full))).await {
        Ok(estimate) => estimate,
        Err(error) => {
            let why = "how long exports take cannot be told";
            return vec![Finding::warning("size", error.to_string(), why, "see the cause")];
        }
    };
    let mut findings = Vec::new();
    match estimate.rows {
        Some(rows) => {
            let seconds = rows.div_ceil(ROWS_PER_SECOND);
            findings.push(Finding::ok(
                "size",
                format!("about {rows} users, a full export takes about {seconds} s"),
            ));
            findings.extend(database::timeout(inspection, seconds));
        }
        None if matches!(config.source.url, DatabaseUrl::Sqlite(_)) => {
            findings.push(Finding::ok("size", "more users than can be counted in two seconds"));
        }
        None if estimate == Estimate::UNKNOWN => findings.push(Finding::ok(
            "size",
            "unknown number of users: the server does not explain how it answers, so preflights tell no number and exports run without one",
        )),
        None => findings.push(Finding::ok(
            "size",
            "unknown number of users: other servers hold them, or several tables of which some were never analysed \
             (ANALYZE), changed much since, or are chosen from by source.where",
        )),
    }
    findings.push(match estimate.sorts {
        Some(true) => Finding::warning(
            "order",
            "no index has the order of the ids",
            "every export sorts the whole table before its first byte, and every page of a paged export again",
            format!("CREATE INDEX on the id of {}, or map an indexed column to it", config.source.mapping.table),
        ),
        Some(false) => Finding::ok("order", "the table is read in the order of its ids, without sorting"),
        None => Finding::ok("order", "unknown: the server does not tell whether it sorts"),
    });
    findings
}

/// Reads some rows for what only values show: types that do not fit, and credentials under innocent names.
async fn values(config: &Config, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for profile in &config.profiles {
        if let Err(error) = first_rows(config, source, profile, &mut findings).await {
            let remedy = match error {
                SourceError::Value { .. } => "correct the row, or map an expression that copes with it",
                _ => "see the cause",
            };
            let finding = format!("{} export: {}", profile.name, hidden(&error.to_string()));
            findings.push(Finding::problem("values", finding, "it breaks off at this row", remedy));
        }
    }
    if findings.is_empty() {
        let finding = format!("the first rows, {SAMPLE} at most, fit, and none looks like a credential");
        findings.push(Finding::ok("values", finding));
    }
    findings
}

/// Looks at the first rows of an export; fails where one does not fit its column, or the format that is given unasked.
async fn first_rows(
    config: &Config,
    source: &Source,
    profile: &Arc<Profile>,
    findings: &mut Vec<Finding>,
) -> Result<(), SourceError> {
    let format = OutputFormat::of(profile.format);
    let plan = Plan { limit: Some(SAMPLE), format, ..Plan::new(Arc::clone(profile)) };
    let sample =
        Gather::into(vec![Vec::new(); plan.columns.len()], |texts, values| keep_texts(texts, values));
    let sample = source.scan(&plan, move |_| sample).await?;
    credentials(config, &plan, &sample.gathered, findings);
    // A text has room for every value.
    if !profile.format.is_text() {
        // Whatever the key, what is masked is a text.
        let masks = Masks::of(&PseudonymKey::new(&[0; 32]), plan.columns.iter().map(|shown| shown.mask));
        headcount_export::row_bytes(source, &plan, masks).await?;
    }
    Ok(())
}

/// What a mask hides does not leave. Ids may well look random, and they are there to be shown.
fn credentials(config: &Config, plan: &Plan, sample: &[Vec<String>], findings: &mut Vec<Finding>) {
    let leaves = |shown: &ProfileColumn| shown.mask.is_none() && shown.column != Column::ID;
    for (shown, texts) in plan.columns.iter().zip(sample).filter(|(shown, _)| leaves(shown)) {
        let name = shown.column.name();
        let Some(kind) = sensitive::by_content(texts.iter().map(String::as_str)) else { continue };
        let finding = format!("column {name} holds what looks like {kind}");
        let is_known = findings.iter().any(|known| known.finding == finding);
        if !is_known && !config.source.allow_sensitive.iter().any(|allowed| allowed == name) {
            findings.push(Finding::problem(
                "sensitive",
                finding,
                "credentials must not leave, whatever their column is called",
                format!("take {name} out of [source.columns], or list it in source.allow_sensitive"),
            ));
        }
    }
}

/// Columns that are declared for nothing: most likely one of the seven, misspelt, which is then read under its own name.
fn unused(config: &Config) -> Option<Finding> {
    let is_shown = |column: &Column| {
        let mut shown = config.profiles.iter().flat_map(|profile| &profile.columns);
        shown.any(|shown| shown.column == *column)
    };
    let columns = config.source.mapping.columns.iter().map(|(column, _)| column);
    let unused: Vec<_> = columns.filter(|column| !is_shown(column)).map(Column::name).collect();
    (!unused.is_empty()).then(|| {
        Finding::warning(
            "mapping",
            format!("no export shows {}", unused.join(", ")),
            "a column that is declared for nothing is often a misspelt one of the seven",
            "correct the name in [source.columns], list it in an [exports.NAME], or take it out",
        )
    })
}

/// Columns that are empty for everybody: a filter on one finds nobody.
fn null_columns(config: &Config) -> Option<Finding> {
    let mapping = &config.source.mapping;
    let empty: Vec<_> = filterable_columns().filter(|column| mapping.is_null(column)).collect();
    let names: Vec<_> = empty.iter().map(Column::name).collect();
    (!names.is_empty()).then(|| {
        Finding::ok(
            "mapping",
            format!("NULL for everybody: {}; a filter on any of these finds nobody", names.join(", ")),
        )
    })
}

/// Keeps the texts of a row, by column.
fn keep_texts(texts: &mut [Vec<String>], values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
    for (texts, value) in texts.iter_mut().zip(values) {
        if let Value::Text(text) = value {
            texts.push(String::from_utf8_lossy(text.bytes()).into_owned());
        }
    }
    Ok(())
}
