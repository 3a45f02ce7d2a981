//! Columns that hold times: by their names, if their types and their cells can be times, whatever they count or are written like.

use super::epochs::{self, Epoch};
use super::{Found, flags, names};
use crate::times::{has_zone, holds_integers, is_time};
use crate::{Confidence, Subject, Suggestion};
use headcount_model::timestamp::Timestamp;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::{Unit, quote};

/// The first column of a list of names that can be a time.
pub(super) fn time(subject: Subject<'_>, list: &[&str]) -> Option<Found> {
    let ranked = subject
        .usable()
        .filter_map(|column| Some((names::time_rank(&column.name, subject.table, list)?, column)));
    let mut ranked: Vec<_> = ranked.collect();
    // What is filled goes before what is not.
    ranked.sort_by_key(|(rank, column)| (!subject.samples.is_filled(&column.name), *rank));
    ranked.into_iter().find_map(|(_, column)| as_time(subject, column))
}

fn as_time(subject: Subject<'_>, column: &Column) -> Option<Found> {
    if holds_integers(subject, &column.name, column.kind) {
        return as_count(subject, column);
    }
    match (column.kind, subject.database()) {
        (ColumnKind::Timestamp, Database::Postgres) if column.type_name == "timestamp" => {
            Some(without_a_zone(subject, column, &format!("its name and type ({})", column.type_name)))
        }
        (ColumnKind::Timestamp | ColumnKind::Date, Database::Postgres) => {
            Some(Found::column(column, Confidence::High, format!("its name and type ({})", column.type_name)))
        }
        (ColumnKind::Timestamp | ColumnKind::Date, Database::Sqlite)
            if !subject.samples.is_filled(&column.name) =>
        {
            Some(Found::column(
                column,
                Confidence::Medium,
                format!("its name and type ({})", column.type_name),
            ))
        }
        (ColumnKind::Number, _) => as_number(subject, column),
        (ColumnKind::Text, _) | (_, Database::Sqlite) => as_text(subject, column),
        _ => None,
    }
}

/// An integer: seconds, or less, since 1970 or another year.
fn as_count(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let integers = subject.samples.integers(&column.name);
    if integers.iter().all(|integer| *integer == 0) {
        return Some(Found::column(column, Confidence::Low, "its name; there are no times to look at"));
    }
    let quoted = quote(&column.name);
    if has_fourteen_digits(subject, column) {
        return Some(fourteen_digits(subject, column));
    }
    if let Some(epoch) = Epoch::of(&integers) {
        let sql = epoch.to_time(subject.database(), &quoted);
        return Some(Found::sql(sql, epoch.confidence(), format!("its name, and {}", epoch.name())));
    }
    Unit::of(&integers)?;
    Some(Found::column(column, Confidence::High, "its name, and times as integers"))
}

/// Seconds with a fraction.
fn as_number(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let quoted = quote(&column.name);
    let numbers = subject.samples.filled(&column.name).filter_map(|cell| cell.parse::<f64>().ok());
    let seconds: Vec<_> = numbers.map(|number| number as i64).collect();
    if let Some(epoch) = Epoch::of(&seconds) {
        let sql = epoch.to_time(subject.database(), &epochs::whole(subject.database(), &quoted));
        return Some(Found::sql(sql, epoch.confidence(), format!("its name, and {}", epoch.name())));
    }
    let per_second = match Unit::of(&seconds)? {
        Unit::Seconds => "",
        Unit::Milliseconds => " / 1000",
        _ => return None,
    };
    let sql = match subject.database() {
        Database::Sqlite => format!("CAST({quoted}{per_second} AS INTEGER)"),
        Database::Postgres => format!("to_timestamp({quoted}{per_second})"),
    };
    Some(Found::sql(sql, Confidence::Medium, "its name, and a number with a fraction since 1970"))
}

/// Text in one of the forms in which programs write times.
fn as_text(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let quoted = quote(&column.name);
    let cells = || subject.samples.filled(&column.name);
    if !subject.samples.is_filled(&column.name) {
        return None;
    }
    if cells().all(|cell| Timestamp::parse_database_text(cell.as_bytes()).is_some()) {
        let found = |sql: Option<String>, reason: &str| match sql {
            Some(sql) => Found::sql(sql, Confidence::Medium, reason),
            None => Found::column(column, Confidence::High, reason),
        };
        let sql =
            (subject.database() == Database::Postgres).then(|| format!("nullif({quoted}, '')::timestamptz"));
        return Some(match cells().all(has_zone) {
            true => found(sql, "its name, and times as text"),
            false if sql.is_some() => {
                found(sql, "its name, and times as text; they have no zone, and are taken for UTC")
            }
            false => without_a_zone(subject, column, "its name, and times as text"),
        });
    }
    if let Some(found) = mostly_times(subject, column) {
        return Some(found);
    }
    if has_fourteen_digits(subject, column) {
        return Some(fourteen_digits(subject, column));
    }
    if cells().all(is_of_javascript) {
        let sql = match subject.database() {
            Database::Postgres => {
                format!("to_timestamp(left({quoted}, 33), 'Dy Mon DD YYYY HH24:MI:SS \"GMT\"TZHTZM')")
            }
            Database::Sqlite => format!(
                "substr({quoted}, 12, 4) || '-' || printf('%02d', (instr('JanFebMarAprMayJunJulAugSepOctNovDec', \
                 substr({quoted}, 5, 3)) + 2) / 3) || '-' || substr({quoted}, 9, 2) || ' ' || substr({quoted}, 17, 8) || \
                 substr({quoted}, 29, 3) || ':' || substr({quoted}, 32, 2)"
            ),
        };
        return Some(Found::sql(sql, Confidence::Medium, "its name, and times as JavaScript prints them"));
    }
    if cells().all(|cell| cell.contains('(') && is_time(cell)) {
        let sql = match subject.database() {
            Database::Postgres => format!("nullif(trim(split_part({quoted}, '(', 1)), '')::timestamptz"),
            Database::Sqlite => format!("trim(substr({quoted}, 1, instr({quoted}, '(') - 1))"),
        };
        return Some(Found::sql(
            sql,
            Confidence::Medium,
            "its name, and times as text with a zone in parentheses",
        ));
    }
    let counts = subject.samples.integers(&column.name);
    let unit = Unit::of(&counts).filter(|_| counts.len() == cells().count())?;
    let factor = unit.brought_to(Unit::Seconds).unwrap_or_default();
    let sql = match subject.database() {
        Database::Postgres => format!("to_timestamp(nullif({quoted}, '')::bigint{factor})"),
        Database::Sqlite => {
            format!("strftime('%Y-%m-%dT%H:%M:%SZ', CAST({quoted} AS INTEGER){factor}, 'unixepoch')")
        }
    };
    Some(Found::sql(sql, Confidence::Medium, "its name, and counts since 1970 as text"))
}

/// Text of which at least half of the cells are times. What MySQL has for none becomes NULL; what else is there is for somebody to
/// look at, and an export fails at it.
fn mostly_times(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let is_time = |cell: &&str| Timestamp::parse_database_text(cell.as_bytes()).is_some();
    let (times, others): (Vec<_>, Vec<_>) = subject.samples.filled(&column.name).partition(is_time);
    if times.len() < others.len() || times.is_empty() {
        return None;
    }
    let quoted = quote(&column.name);
    let time = match subject.database() {
        Database::Postgres => format!("nullif({quoted}, '')::timestamptz"),
        Database::Sqlite => format!("nullif({quoted}, '')"),
    };
    let zone = if times.iter().all(|time| has_zone(time)) { "" } else { "; no zone, taken for UTC" };
    if others.iter().all(|cell| cell.starts_with("0000-00-00")) {
        let sql = format!("CASE WHEN {quoted} NOT LIKE '0000-00-00%' THEN {time} END");
        let reason = format!("its name, and times as text; 0000-00-00 is none{zone}");
        return Some(Found::sql(sql, Confidence::Medium, reason));
    }
    let reason = format!("its name, and times as text in most cells{zone}");
    Some(match subject.database() {
        Database::Postgres => Found::sql(time, Confidence::Low, reason),
        Database::Sqlite => Found::column(column, Confidence::Low, reason),
    })
}

/// A column that is called like a time of such a name, and has cells that are none.
pub(super) fn unreadable<'a>(subject: Subject<'a>, list: &[&str]) -> Option<&'a Column> {
    let rank = |column: &Column| names::time_rank(&column.name, subject.table, list);
    let ranked = subject.usable().filter_map(|column| Some((rank(column)?, column)));
    let filled = ranked.filter(|(_, column)| subject.samples.is_filled(&column.name));
    filled.min_by_key(|(rank, _)| *rank).map(|(_, column)| column)
}

/// A column whose times have no zone: what they are taken for, what speaks for another, and how to say so.
fn without_a_zone(subject: Subject<'_>, column: &Column, reason: &str) -> Found {
    let default = column.default.as_deref().unwrap_or_default().to_lowercase();
    if default.contains("utc")
        || subject.database() == Database::Sqlite && default.contains("current_timestamp")
    {
        return Found::column(
            column,
            Confidence::High,
            format!("{reason}; no zone, and its default is in UTC"),
        );
    }
    let found = Found::column(column, Confidence::Medium, format!("{reason}; no zone, taken for UTC"));
    let is_filled_by_the_server = ["now()", "current_timestamp", "localtimestamp", "clock_timestamp"]
        .iter()
        .any(|call| default.contains(call));
    let zone = subject.catalogue.time_zone.as_deref().filter(|zone| !is_utc(zone));
    let Some(zone) = zone.filter(|_| is_filled_by_the_server) else { return found };
    let comment = format!(
        "Where the database fills it, its default gives the time in {zone}. If the application leaves it to that:"
    );
    let sql = format!("{} AT TIME ZONE {}", quote(&column.name), flags::literal(zone));
    found.with_hints(vec![Suggestion { comment, sql }])
}

/// Whether a zone of PostgreSQL is UTC by another name.
fn is_utc(zone: &str) -> bool {
    let zone = zone.to_lowercase();
    let zone = zone.strip_prefix("etc/").unwrap_or(&zone);
    ["utc", "uct", "gmt", "zulu", "universal", "greenwich", "gmt0", "gmt+0", "gmt-0"].contains(&zone)
}

/// `20250108103000`, as MediaWiki and its like write times, in UTC.
fn has_fourteen_digits(subject: Subject<'_>, column: &Column) -> bool {
    let mut cells = subject.samples.filled(&column.name).peekable();
    let is_time = |cell: &str| {
        let is_digits = cell.len() == 14 && cell.bytes().all(|byte| byte.is_ascii_digit());
        is_digits && ("1970".."2100").contains(&&cell[..4]) && ("01"..="12").contains(&&cell[4..6])
    };
    cells.peek().is_some() && cells.all(is_time)
}

fn fourteen_digits(subject: Subject<'_>, column: &Column) -> Found {
    let quoted = quote(&column.name);
    let sql = match subject.database() {
        Database::Postgres => {
            format!("to_timestamp(nullif({quoted}::text, '') || '+00', 'YYYYMMDDHH24MISSTZH')")
        }
        Database::Sqlite => format!(
            "CASE WHEN length({quoted}) = 14 THEN substr({quoted}, 1, 4) || '-' || substr({quoted}, 5, 2) || '-' || \
             substr({quoted}, 7, 2) || ' ' || substr({quoted}, 9, 2) || ':' || substr({quoted}, 11, 2) || ':' || \
             substr({quoted}, 13, 2) || 'Z' END"
        ),
    };
    Found::sql(sql, Confidence::Medium, "its name, and times of 14 digits, taken for UTC")
}

/// `Wed Jan 08 2025 10:30:00 GMT+0100 (Central European Standard Time)` (ECMA-262, "Date.prototype.toString").
fn is_of_javascript(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    bytes.len() >= 33
        && bytes[3] == b' '
        && bytes[7] == b' '
        && bytes[10] == b' '
        && &bytes[24..28] == b" GMT"
}
