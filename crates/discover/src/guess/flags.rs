//! Columns that say yes or no: as booleans, as integers, as words, or as times that are there or not.

use super::words;
use crate::Subject;
use crate::times::is_time;
use headcount_source::catalogue::{Column, ColumnKind, Database};
use headcount_source::quote;
use std::collections::BTreeSet;

/// What a column says of everybody, in SQL that is never NULL.
pub(super) struct Sign<'a> {
    pub(super) column: &'a Column,
    pub(super) sql: String,
    /// Whether the column says it as it is.
    pub(super) is_plain: bool,
    /// Whether it says it, but for what NULL means.
    pub(super) is_but_for_null: bool,
    pub(super) is_sure: bool,
    /// What it says of those for whom it is true, beside others: `is_active`, `not blocked`.
    pub(super) says: String,
    /// How that is known.
    pub(super) by: String,
}

impl<'a> Sign<'a> {
    /// What an expression says, which need not be sure.
    pub(super) fn of(column: &'a Column, sql: String, says: String, by: impl Into<String>) -> Self {
        Self { column, sql, is_plain: false, is_but_for_null: false, is_sure: false, says, by: by.into() }
    }

    /// As a condition.
    pub(super) fn condition(&self) -> String {
        if self.is_plain { condition(self.column) } else { self.sql.clone() }
    }
}

/// A flag as a condition: an integer is none in PostgreSQL.
pub(super) fn condition(column: &Column) -> String {
    let quoted = quote(&column.name);
    if column.kind == ColumnKind::Integer { format!("{quoted} = 1") } else { quoted }
}

/// No, as the database writes it.
fn no_of(database: Database) -> &'static str {
    match database {
        Database::Sqlite => "0",
        Database::Postgres => "false",
    }
}

/// A flag as it is: a `boolean`, an integer 0 or 1, or a word that says so. NULL counts as no.
pub(super) fn yes<'a>(subject: Subject<'a>, column: &'a Column) -> Option<Sign<'a>> {
    let quoted = quote(&column.name);
    let may_be_null = may_be_null(subject, column);
    let sign = |sql: String, is_plain, is_sure, by: &str| Sign {
        column,
        sql,
        is_plain,
        is_but_for_null: matches!(column.kind, ColumnKind::Bool | ColumnKind::Integer),
        is_sure,
        says: column.name.clone(),
        by: if may_be_null { format!("{by}; NULL counts as no") } else { by.to_owned() },
    };
    match column.kind {
        ColumnKind::Bool if has_letters(subject, column) => {
            Some(sign(format!("coalesce({quoted}, 'f') IN ('t', 1)"), false, true, "its name and type"))
        }
        ColumnKind::Bool if may_be_null => {
            let sql = format!("coalesce({quoted}, {})", no_of(subject.database()));
            Some(sign(sql, false, true, "its name and type"))
        }
        ColumnKind::Bool => Some(sign(quoted, true, true, "its name and type")),
        ColumnKind::Integer => {
            let is_filled = is_zero_or_one(subject, column)?;
            let by = if is_filled {
                "its name, and 0 and 1 as cells"
            } else {
                "its name; there are no cells to look at"
            };
            Some(match may_be_null {
                true => sign(format!("coalesce({quoted}, 0) = 1"), false, is_filled, by),
                false => sign(quoted, true, is_filled, by),
            })
        }
        ColumnKind::Text | ColumnKind::Enum => holds_flag_words(subject, column).then(|| {
            let text = format!("lower(coalesce({}, ''))", as_text(subject, column));
            let sql = format!("{text} IN ({})", list(words::TRUE));
            sign(sql, false, false, "its name, and words for yes and no as cells")
        }),
        _ => None,
    }
}

/// The opposite of a flag: NULL counts as no, which makes somebody active.
pub(super) fn no<'a>(subject: Subject<'a>, column: &'a Column) -> Option<Sign<'a>> {
    let quoted = quote(&column.name);
    let (sql, is_sure) = match column.kind {
        ColumnKind::Bool if has_letters(subject, column) => {
            (format!("coalesce({quoted}, 'f') IN ('f', 0)"), true)
        }
        ColumnKind::Bool if !column.is_nullable => (format!("NOT {quoted}"), true),
        ColumnKind::Bool => (format!("NOT coalesce({quoted}, {})", no_of(subject.database())), true),
        ColumnKind::Integer => {
            is_zero_or_one(subject, column)?;
            (format!("coalesce({quoted}, 0) = 0"), true)
        }
        ColumnKind::Text | ColumnKind::Enum if holds_flag_words(subject, column) => {
            let text = as_text(subject, column);
            (format!("lower(coalesce({text}, '')) NOT IN ({})", list(words::TRUE)), false)
        }
        _ => return None,
    };
    let by = if is_sure { "its name and type" } else { "its name, and words for yes and no as cells" };
    Some(Sign { is_sure, ..Sign::of(column, sql, format!("not {}", column.name), by) })
}

/// A time that is not there yet, or 0.
pub(super) fn never<'a>(subject: Subject<'a>, column: &'a Column, is_flag_name: bool) -> Option<Sign<'a>> {
    let quoted = quote(&column.name);
    let sql = match column.kind {
        ColumnKind::Timestamp | ColumnKind::Date => format!("{quoted} IS NULL"),
        ColumnKind::Integer => format!("coalesce({quoted}, 0) = 0"),
        ColumnKind::Text if may_hold_times(subject, column, is_flag_name) => {
            format!("coalesce({quoted}, '') = ''")
        }
        _ => return None,
    };
    Some(Sign::of(column, sql, format!("no {}", column.name), "its name and type"))
}

/// A time that is there.
pub(super) fn once<'a>(subject: Subject<'a>, column: &'a Column) -> Option<Sign<'a>> {
    let quoted = quote(&column.name);
    let sql = match column.kind {
        ColumnKind::Timestamp | ColumnKind::Date => format!("{quoted} IS NOT NULL"),
        ColumnKind::Text if may_hold_times(subject, column, false) => format!("coalesce({quoted}, '') <> ''"),
        _ => return None,
    };
    Some(Sign::of(column, sql, format!("a {}", column.name), "its name and type"))
}

/// Whether the cells of a text column are times, or there are none and its name is no flag's: in a flag, `N` would be
/// taken for a time.
fn may_hold_times(subject: Subject<'_>, column: &Column, is_flag_name: bool) -> bool {
    let mut cells = subject.samples.filled(&column.name).peekable();
    match cells.peek() {
        Some(_) => cells.all(is_time),
        None => !is_flag_name,
    }
}

/// Whether a row may have no value: one has none, or nothing fills the column that an `INSERT` leaves out.
pub(super) fn may_be_null(subject: Subject<'_>, column: &Column) -> bool {
    column.is_nullable && (column.default.is_none() || subject.samples.has_nulls(&column.name))
}

/// Whether a SQLite table holds `t` and `f`, as Rails wrote them before 5.2: alone they are booleans, in an expression they are 0.
fn has_letters(subject: Subject<'_>, column: &Column) -> bool {
    subject.database() == Database::Sqlite
        && subject.samples.filled(&column.name).any(|cell| matches!(cell, "t" | "f"))
}

/// Whether words for yes and no are all there is, and there are any.
fn holds_flag_words(subject: Subject<'_>, column: &Column) -> bool {
    let values = values(subject, column);
    !values.is_empty() && values.iter().all(|value| words::is_flag(value))
}

/// The values that a column may have: those of its type, or the few in the sample.
pub(super) fn values<'a>(subject: Subject<'a>, column: &'a Column) -> BTreeSet<&'a str> {
    match column.kind {
        ColumnKind::Enum => column.labels.iter().map(String::as_str).collect(),
        _ => subject.samples.few_values(&column.name),
    }
}

/// Whether a value is a word or a few, such as a state or a role has.
pub(super) fn is_shown(value: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || " _-.:/".contains(c);
    value.chars().count() <= 32 && value.chars().all(is_plain) && value.split_whitespace().count() <= 3
}

/// The values that a column may have, where all of them are words for something: what people wrote of themselves is not shown.
pub(super) fn shown_values<'a>(subject: Subject<'a>, column: &'a Column) -> Option<Vec<&'a str>> {
    let values: Vec<_> = values(subject, column).into_iter().collect();
    let filled = subject.samples.filled(&column.name).count();
    // One for each user would be theirs.
    let is_shared = values.len() <= 3 || values.len() * 2 <= filled;
    let is_told = column.kind == ColumnKind::Enum || is_shared && values.iter().all(|value| is_shown(value));
    is_told.then_some(values)
}

/// Whether 0 and 1 are all there is; `Some(false)` if there is nothing, `None` if there is something else.
fn is_zero_or_one(subject: Subject<'_>, column: &Column) -> Option<bool> {
    let mut cells = subject.samples.filled(&column.name).peekable();
    let is_filled = cells.peek().is_some();
    cells.all(|cell| matches!(cell, "0" | "1")).then_some(is_filled)
}

/// A column as text that compares with a literal, which a domain over an enumerated type does not.
pub(super) fn as_text(subject: Subject<'_>, column: &Column) -> String {
    let quoted = quote(&column.name);
    match (subject.database(), column.kind) {
        (Database::Postgres, ColumnKind::Enum) => format!("{quoted}::text"),
        _ => quoted,
    }
}

/// Whether a column has one of these values; NULL, where there may be one, has none.
pub(super) fn is_one_of<S: AsRef<str>>(subject: Subject<'_>, column: &Column, values: &[S]) -> String {
    let text = as_text(subject, column);
    let text = if may_be_null(subject, column) { format!("coalesce({text}, '')") } else { text };
    format!("{text} {}", one_of(values))
}

/// `= 'a'`, or `IN ('a', 'b')`.
pub(super) fn one_of<S: AsRef<str>>(values: &[S]) -> String {
    match values {
        [value] => format!("= {}", literal(value.as_ref())),
        _ => format!("IN ({})", list(values.iter().map(AsRef::as_ref))),
    }
}

pub(super) fn list<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> String {
    values.into_iter().map(|value| literal(value.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A string literal (ISO/IEC 9075-2). PostgreSQL reads backslashes in it as they are.
pub(super) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
