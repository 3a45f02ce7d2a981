//! What integers mean as times, decided from a few of them.

use super::{Field, Origin, Proposal, Subject, TimestampEncoding};
use headcount_model::timestamp::Timestamp;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::{Unit, quote};

/// Whether the cells of this column are integers, whatever its type: SQLite lets a `DATETIME` hold them.
pub(super) fn holds_integers(subject: Subject<'_>, column: &str, kind: ColumnKind) -> bool {
    let mut cells = subject.samples.filled(column).peekable();
    match kind {
        ColumnKind::Integer => true,
        ColumnKind::Timestamp | ColumnKind::Date | ColumnKind::Other => {
            cells.peek().is_some() && cells.all(|cell| cell.parse::<i64>().is_ok())
        }
        _ => false,
    }
}

/// Says of every mapped column whose times have no zone what they are taken for.
pub(super) fn note_zones(proposal: &mut Proposal, subject: Subject<'_>) {
    for mapped in &mut proposal.columns {
        let Origin::Column(name) = &mapped.from else { continue };
        let is_time = matches!(mapped.field, Field::CreatedAt | Field::UpdatedAt);
        if !is_time || !subject.table.column(name).is_some_and(|column| lacks_zone(subject, column)) {
            continue;
        }
        proposal.without_zone.push(name.clone());
        if !mapped.reason.contains("no zone") {
            mapped.reason.push_str("; no zone, taken for UTC");
        }
    }
}

/// Whether a time ends with `Z` or an offset.
pub(super) fn has_zone(time: &str) -> bool {
    let clock = time.get(10..).unwrap_or_default();
    clock.ends_with(['Z', 'z']) || clock.contains(['+', '-'])
}

/// Whether a text is a time, with or without a zone in parentheses behind it.
pub(super) fn is_time(cell: &str) -> bool {
    let time = cell.split_once('(').map_or(cell, |(time, _)| time.trim_end());
    Timestamp::parse_database_text(time.as_bytes()).is_some()
}

fn lacks_zone(subject: Subject<'_>, column: &Column) -> bool {
    let mut cells = subject.samples.filled(&column.name).peekable();
    match subject.catalogue.database {
        Database::Postgres => column.type_name == "timestamp",
        Database::Sqlite => {
            cells.peek().is_some() && !cells.any(|cell| has_zone(cell) || cell.parse::<f64>().is_ok())
        }
    }
}

/// Settles one unit for the whole table, and rewrites a column that has another, or 0 for "never".
pub(super) fn settle(proposal: &mut Proposal, subject: Subject<'_>) {
    let mut units = Vec::new();
    for (at, mapped) in proposal.columns.iter().enumerate() {
        let Origin::Column(name) = &mapped.from else { continue };
        let Some(column) = subject.table.column(name) else { continue };
        let is_time = matches!(mapped.field, Field::CreatedAt | Field::UpdatedAt);
        if is_time && holds_integers(subject, name, column.kind) {
            units.push((at, name.clone(), Unit::of(&subject.samples.integers(name))));
        }
    }
    if units.is_empty() {
        return;
    }
    if proposal.timestamps == TimestampEncoding::Auto {
        proposal.timestamps = match units.iter().find_map(|(.., unit)| *unit) {
            Some(Unit::Seconds) => TimestampEncoding::Seconds,
            Some(_) => TimestampEncoding::Milliseconds,
            None => {
                let names: Vec<_> = units.iter().map(|(_, name, _)| name.as_str()).collect();
                proposal.warnings.push(format!(
                    "{} holds integers, and there are no rows that would show their unit; \
                     they are read as seconds (source.timestamps)",
                    names.join(" and ")
                ));
                TimestampEncoding::Auto
            }
        };
    }
    for (at, name, unit) in units {
        let mapped = &mut proposal.columns[at];
        let mut integer = quote(&name);
        if subject.samples.integers(&name).contains(&0) {
            integer = format!("nullif({integer}, 0)");
            mapped.from = Origin::Sql(integer.clone());
            mapped.reason.push_str("; 0 is no time, or it would leave as 1970");
        }
        let unit_of_table = match proposal.timestamps {
            TimestampEncoding::Milliseconds => Unit::Milliseconds,
            _ => Unit::Seconds,
        };
        if let Some(factor) = unit.and_then(|unit| unit.brought_to(unit_of_table)) {
            mapped.from = Origin::Sql(integer + &factor);
            mapped.reason.push_str(&format!("; brought to {}", proposal.timestamps.name()));
        }
    }
}
