//! Where in an application's own schema the columns of an export are.

use super::table::quote;
use super::{TableName, query};
use headcount_model::moment;
use headcount_model::plan::{Column, Plan};
use headcount_model::timestamp::Timestamp;
use jiff::tz::TimeZone;

/// The users table, and what in it each column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub table: TableName,
    /// Columns that are not here are called in the table as they are in the export.
    pub columns: Vec<(Column, Expression)>,
    /// SQL that a row must meet to be a user at all.
    pub filter: Option<String>,
    pub timestamps: TimestampEncoding,
    /// The zone of times that do not say theirs; `None`: UTC.
    pub zone: Option<TimeZone>,
    /// Whether ids that SQLite holds as text stay as they are written, even where they are UUIDs.
    pub has_text_ids: bool,
    /// The schemas in which PostgreSQL looks names up; `None`: those of the role's own path in which nobody else can create.
    pub search_path: Option<Vec<String>>,
    pub consistency: Consistency,
}

/// What a column is in the table. It comes from the administrator's file, never from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A column of the table, by its name.
    Column(String),
    /// SQL, in the database's own dialect.
    Sql(String),
}

/// Whether all rows of an export have to be of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// They are of one snapshot; what other servers hold is refused.
    #[default]
    Snapshot,
    /// Each server gives its rows as of a moment of its own.
    PerShard,
}

/// How a table that stores times as integers or as text does it. Types that mean a time are read as such in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampEncoding {
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

impl TimestampEncoding {
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
    #[inline]
    pub fn of_integer(self, integer: i64) -> Option<Timestamp> {
        match self {
            Self::Auto | Self::Seconds => Timestamp::from_seconds(integer),
            Self::Milliseconds => Timestamp::from_micros(integer.checked_mul(1000)?),
            Self::Text => None,
        }
    }

    /// The first integer that stands for `time` or a later one.
    pub(super) fn first_integer_from(self, time: Timestamp) -> i64 {
        -(-time.micros()).div_euclid(self.micros_in_one())
    }

    /// The last integer that stands for `time` or an earlier one.
    pub(super) fn last_integer_to(self, time: Timestamp) -> i64 {
        time.micros().div_euclid(self.micros_in_one())
    }

    fn micros_in_one(self) -> i64 {
        if self == Self::Milliseconds { 1000 } else { 1_000_000 }
    }

    /// What was expected of a cell that is no time.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Auto => {
                "a time in the years 0000 to 9999 UTC (ISO 8601 text, or integer seconds since 1970; for others set \
                 source.timestamps)"
            }
            Self::Seconds => {
                "a time in the years 0000 to 9999 UTC (ISO 8601 text, or integer seconds since 1970)"
            }
            Self::Milliseconds => {
                "a time in the years 0000 to 9999 UTC (ISO 8601 text, or integer milliseconds since 1970)"
            }
            Self::Text => "a time in the years 0000 to 9999 UTC (ISO 8601 text)",
        }
    }
}

impl Mapping {
    /// A table whose columns are called as in exports.
    pub fn plain(table: &str) -> Self {
        Self {
            table: table.into(),
            columns: Vec::new(),
            filter: None,
            timestamps: TimestampEncoding::default(),
            zone: None,
            has_text_ids: false,
            search_path: None,
            consistency: Consistency::default(),
        }
    }

    /// The time that a text stands for: ISO 8601, in the table's zone where it does not say one.
    pub(super) fn time_of_text(&self, text: &[u8]) -> Option<Timestamp> {
        match (Timestamp::parse_zoneless_text(text)?, &self.zone) {
            ((local, true), Some(zone)) => moment::of_zone(local, zone),
            ((time, _), _) => Some(time),
        }
    }

    /// The name of the table's own column that a column is; `None` for an expression.
    pub(super) fn own_column<'a>(&'a self, column: &'a Column) -> Option<&'a str> {
        match self.columns.iter().find(|(known, _)| known == column) {
            Some((_, Expression::Column(name))) => Some(name),
            Some((_, Expression::Sql(_))) => None,
            None => Some(column.name()),
        }
    }

    /// Whether a column is mapped to NULL, as `init` does where the table has nothing for it.
    pub fn is_null(&self, column: &Column) -> bool {
        // In PostgreSQL with a type, as in NULL::timestamptz.
        let is_null =
            |sql: &str| sql.split("::").next().is_some_and(|value| value.trim().eq_ignore_ascii_case("null"));
        let known = self.columns.iter().find(|(known, _)| known == column);
        matches!(known, Some((_, Expression::Sql(sql))) if is_null(sql))
    }

    /// A column as it stands in SQL.
    pub(super) fn sql(&self, column: &Column) -> String {
        match self.columns.iter().find(|(known, _)| known == column) {
            Some((_, Expression::Column(name))) => quote(name),
            Some((_, Expression::Sql(sql))) => format!("({sql}\n)"),
            None => quote(column.name()),
        }
    }

    /// A column, by its name in exports, as somebody would write it in an expression.
    pub(super) fn written(&self, column: &str) -> String {
        match self.columns.iter().find(|(known, _)| known.name() == column) {
            Some((_, Expression::Column(name))) => bare_or_quoted(name),
            // A comment ends with its line.
            Some((_, Expression::Sql(sql))) if sql.contains("--") => format!("({sql}\n)"),
            Some((_, Expression::Sql(sql))) => format!("({sql})"),
            None => bare_or_quoted(column),
        }
    }

    /// The SQL of the administrator that a plan runs: expressions of columns that it touches, and the condition.
    pub(super) fn expressions(&self, plan: &Plan) -> Vec<String> {
        let referenced = query::referenced_columns(plan).into_iter();
        let expressions = referenced.filter(|column| self.own_column(column).is_none());
        let conditions = self.conditions(plan).into_iter().map(|(_, sql)| sql);
        expressions.map(|column| self.sql(&column)).chain(conditions).collect()
    }

    /// The condition that makes a row a user, if there is one.
    pub(super) fn condition(&self) -> Option<String> {
        self.filter.as_deref().map(in_parentheses)
    }

    /// The administrator's conditions on the users of a plan, each with the name of its setting.
    pub(super) fn conditions(&self, plan: &Plan) -> Vec<(String, String)> {
        let conditions = plan.conditions(self.filter.as_deref());
        conditions.map(|(name, sql)| (name, in_parentheses(sql))).collect()
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

/// SQL as a part of a condition. On lines of its own, so that a comment ends with it.
fn in_parentheses(sql: &str) -> String {
    format!("({sql}\n)")
}

/// A column as an expression, as it stands in `[source.columns]`.
pub(super) fn as_expression(name: &str, sql: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let name = if name.bytes().all(is_bare) { name.to_owned() } else { in_toml(name) };
    format!("{name} = {{ sql = {} }}", in_toml(sql))
}

/// A text in TOML.
fn in_toml(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// A name without quotes where neither database could take it for something else: with an underscore, it is no keyword but for
/// the few that tell who is there and what time it is.
fn bare_or_quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
    let is_keyword = name.starts_with("current_") || name.ends_with("_user");
    if is_plain && name.contains('_') && !is_keyword { name.to_owned() } else { quote(name) }
}
