//! Where in an application's own schema the columns of an export are.

use super::TableName;
use super::table::quote;
use crate::plan::Column;
use crate::timestamp::Timestamp;

/// The users table, and what in it each column is.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub table: TableName,
    /// Columns that are not here are called in the table as they are in the export.
    pub columns: Vec<(Column, Expression)>,
    /// SQL that a row must meet to be a user at all.
    pub filter: Option<String>,
    pub timestamps: Timestamps,
}

/// What a column is in the table. It comes from the administrator's file, never from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A column of the table, by its name.
    Column(String),
    /// SQL, in the database's own dialect.
    Sql(String),
}

/// How a table that stores times as integers or as text does it. Types that mean a time are read as such in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// Integers are seconds since 1970, text is read as it is.
    #[default]
    Auto,
    /// Integers are seconds since 1970.
    Seconds,
    /// Integers are milliseconds since 1970.
    Milliseconds,
    /// Text; an integer is an error.
    Text,
}

impl Timestamps {
    /// The value in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Text => "text",
        }
    }

    /// The time that an integer stands for; `None` if it stands for none, or not for one in the years 0000 to 9999.
    pub(crate) fn of_integer(self, integer: i64) -> Option<Timestamp> {
        match self {
            Self::Auto | Self::Seconds => Timestamp::from_seconds(integer),
            Self::Milliseconds => Timestamp::from_micros(integer.checked_mul(1000)?),
            Self::Text => None,
        }
    }

    /// The first integer that stands for `time` or a later one.
    pub(super) fn first_integer_from(self, time: Timestamp) -> i64 {
        let unit = if self == Self::Milliseconds { 1000 } else { 1_000_000 };
        -(-time.micros()).div_euclid(unit)
    }

    /// What was expected of a cell that is no time.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Auto => {
                "a time (ISO 8601 text, or integer seconds since 1970; for others set source.timestamps)"
            }
            Self::Seconds => "a time (ISO 8601 text, or integer seconds since 1970)",
            Self::Milliseconds => "a time (ISO 8601 text, or integer milliseconds since 1970)",
            Self::Text => "a time (ISO 8601 text)",
        }
    }
}

impl Mapping {
    /// The name of the table's own column that a column is; `None` for an expression.
    pub(super) fn own_column<'a>(&'a self, column: &'a Column) -> Option<&'a str> {
        match self.columns.iter().find(|(known, _)| known == column) {
            Some((_, Expression::Column(name))) => Some(name),
            Some((_, Expression::Sql(_))) => None,
            None => Some(column.name()),
        }
    }

    /// A column as it stands in SQL.
    pub(super) fn sql(&self, column: &Column) -> String {
        match self.columns.iter().find(|(known, _)| known == column) {
            Some((_, Expression::Column(name))) => quote(name),
            Some((_, Expression::Sql(sql))) => format!("({sql}\n)"),
            None => quote(column.name()),
        }
    }

    /// The condition that makes a row a user, if there is one. On lines of its own, so that a comment ends with it.
    pub(super) fn condition(&self) -> Option<String> {
        self.filter.as_ref().map(|filter| format!("({filter}\n)"))
    }

    /// A column as an administrator knows it, for error texts: `column email` or `column email (mapped to mail)`.
    pub(super) fn described(&self, column: &Column) -> String {
        match self.own_column(column) {
            Some(own) if own == column.name() => format!("column {own}"),
            Some(own) => format!("column {own} (mapped to {})", column.name()),
            None => format!("the expression for {}", column.name()),
        }
    }
}
