//! Whether somebody is active or an administrator, from flags, times and words.

use super::{Found, names};
use crate::{Confidence, Subject};
use headcount_model::timestamp::Timestamp;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::quote;
use std::collections::BTreeSet;

const TRUE_WORDS: [&str; 6] = ["1", "on", "t", "true", "y", "yes"];
const FALSE_WORDS: [&str; 6] = ["0", "f", "false", "n", "no", "off"];

pub(super) fn is_active(subject: Subject<'_>) -> Option<Found> {
    in_order(subject, names::ACTIVE, as_flag)
        .or_else(|| {
            in_order(subject, names::STATUS, |subject, column| as_word(subject, column, names::ACTIVE_VALUES))
        })
        .or_else(|| in_order(subject, names::INACTIVE, as_inverted_flag))
        .or_else(|| in_order(subject, names::INACTIVE_TIMES, as_absent_time))
}

pub(super) fn is_admin(subject: Subject<'_>) -> Option<Found> {
    in_order(subject, names::ADMIN, as_flag).or_else(|| {
        in_order(subject, names::ROLE, |subject, column| as_word(subject, column, names::ADMIN_VALUES))
    })
}

/// The first column of a list, in its order, that `read` can make something of.
fn in_order(
    subject: Subject<'_>,
    list: &[&str],
    read: impl Fn(Subject<'_>, &Column) -> Option<Found>,
) -> Option<Found> {
    let ranked =
        subject.usable().filter_map(|column| Some((names::rank(&column.name, subject.table, list)?, column)));
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().find_map(|(_, column)| read(subject, column))
}

/// A boolean as it is: a `boolean`, an integer 0 or 1, or a word that says so.
fn as_flag(subject: Subject<'_>, column: &Column) -> Option<Found> {
    match column.kind {
        ColumnKind::Bool => Some(Found::column(column, Confidence::High, "its name and type")),
        ColumnKind::Integer => match is_zero_or_one(subject, column)? {
            true => Some(Found::column(column, Confidence::High, "its name, and 0 and 1 as cells")),
            false => {
                Some(Found::column(column, Confidence::Medium, "its name; there are no cells to look at"))
            }
        },
        ColumnKind::Text | ColumnKind::Enum => holds_flag_words(subject, column).then(|| {
            let sql = format!("lower({}) IN ({})", as_text(subject, column), list(TRUE_WORDS));
            Found::sql(sql, Confidence::Medium, "its name, and words for yes and no as cells")
        }),
        _ => None,
    }
}

/// A boolean that says the opposite; NULL is taken for "no".
fn as_inverted_flag(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let quoted = quote(&column.name);
    let reason = format!("active unless {}", column.name);
    let sql = match column.kind {
        ColumnKind::Bool if !column.is_nullable => format!("NOT {quoted}"),
        ColumnKind::Bool => format!("NOT coalesce({quoted}, false)"),
        ColumnKind::Integer => {
            is_zero_or_one(subject, column)?;
            format!("coalesce({quoted}, 0) = 0")
        }
        ColumnKind::Text | ColumnKind::Enum if holds_flag_words(subject, column) => {
            let text = as_text(subject, column);
            let sql = format!("lower(coalesce({text}, '')) NOT IN ({})", list(TRUE_WORDS));
            let reason = format!("{reason}, with words for yes and no as cells");
            return Some(Found::sql(sql, Confidence::Medium, reason));
        }
        _ => return None,
    };
    Some(Found::sql(sql, Confidence::High, reason))
}

/// A time at which somebody stopped being active.
fn as_absent_time(subject: Subject<'_>, column: &Column) -> Option<Found> {
    let quoted = quote(&column.name);
    let sql = match column.kind {
        ColumnKind::Timestamp | ColumnKind::Date => format!("{quoted} IS NULL"),
        ColumnKind::Integer => format!("coalesce({quoted}, 0) = 0"),
        ColumnKind::Text if may_hold_times(subject, column) => format!("coalesce({quoted}, '') = ''"),
        _ => return None,
    };
    Some(Found::sql(sql, Confidence::Medium, format!("active while there is no {}", column.name)))
}

/// Whether the cells of a text column are times, or there are none and its name is no flag's: in a flag, `N` would be
/// taken for a time.
fn may_hold_times(subject: Subject<'_>, column: &Column) -> bool {
    let mut cells = subject.samples.filled(&column.name).peekable();
    match cells.peek() {
        Some(_) => cells.all(|cell| Timestamp::parse_database_text(cell.as_bytes()).is_some()),
        None => names::rank(&column.name, subject.table, names::INACTIVE).is_none(),
    }
}

/// A word out of a few, such as a status or a role, one of which is among those wanted.
fn as_word(subject: Subject<'_>, column: &Column, wanted: &[&str]) -> Option<Found> {
    if !matches!(column.kind, ColumnKind::Text | ColumnKind::Enum) {
        return None;
    }
    let is_wanted = |value: &&str| wanted.contains(&names::joined(value).as_str());
    let values = values(subject, column);
    let found: Vec<_> = values.iter().copied().filter(is_wanted).collect();
    let condition = match found[..] {
        [] => return None,
        [value] => format!("= {}", literal(value)),
        _ => format!("IN ({})", list(&found)),
    };
    let sql = format!("{} {condition}", as_text(subject, column));
    let (confidence, reason) = match column.kind {
        ColumnKind::Enum => (Confidence::High, "its name, and the values of its type"),
        _ => (Confidence::Medium, "its name, and the words in the sample"),
    };
    Some(Found::sql(sql, confidence, reason))
}

/// Whether words for yes and no are all there is, and there are any.
fn holds_flag_words(subject: Subject<'_>, column: &Column) -> bool {
    let is_flag = |value: &&str| {
        let value = value.to_lowercase();
        TRUE_WORDS.contains(&value.as_str()) || FALSE_WORDS.contains(&value.as_str())
    };
    let values = values(subject, column);
    !values.is_empty() && values.iter().all(is_flag)
}

/// The values that a column may have: those of its type, or the few in the sample.
fn values<'a>(subject: Subject<'a>, column: &'a Column) -> BTreeSet<&'a str> {
    match column.kind {
        ColumnKind::Enum => column.labels.iter().map(String::as_str).collect(),
        _ => subject.samples.few_values(&column.name),
    }
}

/// Whether 0 and 1 are all there is; `Some(false)` if there is nothing, `None` if there is something else.
fn is_zero_or_one(subject: Subject<'_>, column: &Column) -> Option<bool> {
    let mut cells = subject.samples.filled(&column.name).peekable();
    let is_filled = cells.peek().is_some();
    cells.all(|cell| matches!(cell, "0" | "1")).then_some(is_filled)
}

/// A column as text that compares with a literal, which a domain over an enumerated type does not.
fn as_text(subject: Subject<'_>, column: &Column) -> String {
    let quoted = quote(&column.name);
    match (subject.database, column.kind) {
        (Database::Postgres, ColumnKind::Enum) => format!("{quoted}::text"),
        _ => quoted,
    }
}

fn list<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> String {
    values.into_iter().map(|value| literal(value.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A string literal (ISO/IEC 9075-2). PostgreSQL reads backslashes in it as they are.
fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
