//! Columns and conditions as PostgreSQL says them.

use super::data_row::Wire;
use crate::plan::{Column, Filter, Kind};
use crate::source::query::Dialect;
use crate::source::{Id, IdKind, Mapping, SourceError, Timestamps};
use crate::timestamp::Timestamp;
use tokio_postgres::types::{Kind as TypeKind, Type};

/// How a column is stored, as far as it matters for SQL and for reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Bool,
    /// 0 or 1.
    BoolInt,
    Int,
    Uuid,
    Text,
    /// `citext`: compares without case.
    CaseInsensitiveText,
    /// `char(n)`: compares without the blanks at its end.
    PaddedText,
    /// Any other type, as the text that the server makes of it.
    AsText,
    /// A number, as the text that the server makes of it.
    Number,
    /// `inet` and `cidr`, whose cast to text is not what they are printed as.
    Network,
    TimestampTz,
    Timestamp,
    Date,
    /// In the unit that the mapping says.
    Epoch,
    /// A time as text.
    TimeText,
}

impl ColumnType {
    /// `None` where the type does not fit the column, or cannot be exported at all.
    pub(super) fn of(column: &Column, column_type: &Type, mapping: &Mapping) -> Option<Self> {
        // PostgreSQL takes a table's name for its whole row, credentials included.
        let is_composite = matches!(column_type.kind(), TypeKind::Composite(_));
        if is_composite && column_type.name() == mapping.table.name() {
            return None;
        }
        let is_enum = matches!(column_type.kind(), TypeKind::Enum(_));
        let is_further = !Column::CONTRACT.contains(column);
        Some(match (column.kind(), column_type.name()) {
            (Kind::Id | Kind::AsStored, "int2" | "int4" | "int8") => Self::Int,
            (Kind::Id | Kind::AsStored, "uuid") => Self::Uuid,
            (Kind::Id | Kind::Text, "citext") => Self::CaseInsensitiveText,
            (Kind::Id | Kind::Text, "bpchar") => Self::PaddedText,
            (Kind::Id | Kind::Text, "text" | "varchar" | "name") => Self::Text,
            (Kind::Text, "int2" | "int4" | "int8") => Self::Number,
            (Kind::Text, "uuid") => Self::AsText,
            (Kind::Text, _) if is_enum => Self::AsText,
            (Kind::Timestamp | Kind::AsStored, "timestamptz") => Self::TimestampTz,
            (Kind::Timestamp | Kind::AsStored, "timestamp") => Self::Timestamp,
            (Kind::Timestamp, "date") => Self::Date,
            (Kind::Timestamp, "int4" | "int8") if mapping.timestamps != Timestamps::Text => Self::Epoch,
            (Kind::Timestamp, "text" | "varchar" | "bpchar") => Self::TimeText,
            (Kind::Bool | Kind::AsStored, "bool") => Self::Bool,
            (Kind::Bool, "int2" | "int4" | "int8") => Self::BoolInt,
            (Kind::AsStored, "numeric" | "float4" | "float8") => Self::Number,
            (Kind::AsStored | Kind::Text, "bytea") => return None,
            (Kind::AsStored | Kind::Text, "inet" | "cidr") if is_further => Self::Network,
            // Every type has a text form; it is what people know from psql.
            (Kind::AsStored | Kind::Text, _) if is_further => Self::AsText,
            _ => return None,
        })
    }

    /// How its bytes are to be read from a server that checks that its texts are UTF-8, or one that does not.
    pub(super) fn wire(self, is_utf8: bool) -> Wire {
        match self {
            Self::Bool => Wire::Bool,
            Self::BoolInt => Wire::BoolInt,
            Self::Int => Wire::Int,
            Self::Uuid => Wire::Uuid,
            Self::Text | Self::CaseInsensitiveText | Self::PaddedText | Self::AsText | Self::Network => {
                if is_utf8 {
                    Wire::Text
                } else {
                    Wire::UncheckedText
                }
            }
            Self::Number => Wire::Number,
            Self::TimestampTz | Self::Timestamp => Wire::Timestamp,
            Self::Date => Wire::Date,
            Self::Epoch => Wire::Epoch,
            Self::TimeText => Wire::TimeText,
        }
    }

    /// What makes of a text a value that an index on the column can be asked for; `None` where only the text of
    /// the column compares with it.
    pub(super) fn cast(self) -> Option<&'static str> {
        match self {
            Self::Text => Some(""),
            Self::CaseInsensitiveText => Some("::citext"),
            Self::PaddedText => Some("::bpchar"),
            Self::Int => Some("::bigint"),
            Self::Uuid => Some("::uuid"),
            _ => None,
        }
    }
}

/// What a column of this kind may be.
pub(super) fn expected(column: &Column) -> &'static str {
    match column.kind() {
        Kind::Id => "an id (integer, uuid or text)",
        Kind::Text => "text",
        Kind::Timestamp => {
            "a time (timestamptz, timestamp, date, text, or an integer since 1970; see source.timestamps)"
        }
        Kind::Bool => "a boolean (boolean, or integer 0 and 1)",
        Kind::AsStored => "text; map an expression such as encode(…, 'hex')",
    }
}

/// The texts that are read as times, see [`Timestamp::parse_database_text`]. The server would take more, such as `tomorrow`.
const ISO_TIME: &str = concat!(
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])",
    r"([Tt ]([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d+)?)?",
    r"( ?[Zz]| UTC|[+-]\d\d(:?\d\d)?| [+-]\d\d(:?\d\d)?( ([A-Za-z]{1,6}|[+-]\d\d(:?\d\d)?)( m=[+-][\d.]*)?)?)?)?$"
);

/// What of such a text the server does not read: digits finer than microseconds, which it would round, and what Go writes behind
/// an offset.
const FINER_DIGITS: &str = r"(\.\d{6})\d+";
const ZONE_NAME: &str = r"( [+-]\d\d(:?\d\d)?) .*$";

/// The types of the columns that a plan touches.
pub(super) struct ColumnTypes(pub(super) Vec<(Column, ColumnType)>);

impl ColumnTypes {
    pub(super) fn of(&self, column: &Column) -> ColumnType {
        let known = self.0.iter().find(|(known, _)| known == column);
        known.map_or(ColumnType::Text, |(_, column_type)| *column_type)
    }
}

/// The request's values become parameters, all of them texts: none is ever part of SQL.
pub(super) struct PostgresDialect<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) types: &'a ColumnTypes,
    pub(super) texts: Vec<String>,
}

impl PostgresDialect<'_> {
    fn parameter(&mut self, text: String) -> String {
        self.texts.push(text);
        format!("${}", self.texts.len())
    }

    fn has_email(&mut self, email: &str) -> String {
        let (column, value) = (self.mapping.sql(&Column::EMAIL), self.parameter(email.to_owned()));
        let exact = format!("{column}::text = {value} COLLATE \"C\"");
        match self.types.of(&Column::EMAIL).cast() {
            // The first comparison can use the index, the second makes it exact.
            Some(cast) => format!("{column} = {value}{cast} AND {exact}"),
            None => exact,
        }
    }

    fn is(&self, column: &Column, value: bool) -> String {
        let (name, other) = (self.mapping.sql(column), i32::from(!value));
        match self.types.of(column) {
            // Not the other one: what is neither comes along. An index can find it on both sides.
            ColumnType::BoolInt if self.mapping.own_column(column).is_some() => {
                format!("({name} < {other} OR {name} > {other})")
            }
            ColumnType::BoolInt => format!("{name} <> {other}"),
            _ => format!("{name} = {value}"),
        }
    }

    /// The time in a column is as these filters want it, or cannot be shown and so comes along.
    fn is_in_time(&mut self, column: &Column, filters: &[Filter]) -> String {
        let (mut within, mut is_open) = (Vec::new(), [true, true]);
        for filter in filters.iter().filter(|filter| filter.column() == *column) {
            match filter {
                Filter::AtOrAfter(column, time) => {
                    within.push(self.compare_time(column, ">=", *time));
                    is_open[0] = false;
                }
                Filter::Before(column, time) => {
                    within.push(self.compare_time(column, "<", *time));
                    is_open[1] = false;
                }
                Filter::Email(_) | Filter::Is(..) => {}
            }
        }
        let mut any = vec![within.join(" AND ")];
        // Where the range has no end, what is beyond is in it.
        let beyond = self.unprintable(column).into_iter().zip(is_open);
        any.extend(beyond.filter(|(_, is_open)| !is_open).map(|(beyond, _)| beyond));
        format!("({})", any.join(" OR "))
    }

    /// The times in a column that are before the year 0000, and those after the year 9999, which `infinity` is, too. Texts that are
    /// no times are in any range.
    fn unprintable(&self, column: &Column) -> Vec<String> {
        let name = self.mapping.sql(column);
        let type_name = match self.types.of(column) {
            ColumnType::TimeText => return Vec::new(),
            ColumnType::Epoch => {
                let unit = self.mapping.timestamps;
                let (first, last) =
                    (unit.first_integer_from(Timestamp::MIN), unit.last_integer_to(Timestamp::MAX));
                return vec![format!("{name} < {first}"), format!("{name} > {last}")];
            }
            ColumnType::TimestampTz => "timestamptz",
            _ => "timestamp",
        };
        vec![
            format!("{name} < '0001-01-01 00:00:00+00 BC'::{type_name}"),
            format!("{name} > '9999-12-31 23:59:59.999999+00'::{type_name}"),
        ]
    }

    fn compare_time(&mut self, column: &Column, operator: &str, time: Timestamp) -> String {
        let name = self.mapping.sql(column);
        match self.types.of(column) {
            ColumnType::Epoch => {
                let bound = self.mapping.timestamps.first_integer_from(time);
                let bound = self.parameter(bound.to_string());
                format!("{name} {operator} {bound}::bigint")
            }
            ColumnType::TimestampTz => {
                let time = self.parameter(time.to_string());
                format!("{name} {operator} {time}::timestamptz")
            }
            ColumnType::TimeText => {
                let time = self.parameter(time.to_string());
                let text = format!("regexp_replace({name}::text, '{ZONE_NAME}', '\\1')");
                // As a cell is read: digits finer than microseconds are cut.
                format!(
                    "CASE WHEN {name}::text ~ '{ISO_TIME}' \
                     THEN regexp_replace({text}, '{FINER_DIGITS}', '\\1')::timestamptz {operator} {time}::timestamptz \
                     ELSE {name} IS NOT NULL END"
                )
            }
            _ => {
                let time = self.parameter(time.to_string());
                format!("{name} {operator} ({time}::timestamptz AT TIME ZONE 'UTC')")
            }
        }
    }
}

impl Dialect for PostgresDialect<'_> {
    fn select(&self, column: &Column) -> String {
        let sql = self.mapping.sql(column);
        let column_type = self.types.of(column);
        match column_type.wire(true) {
            _ if column_type == ColumnType::Network => {
                format!("CASE WHEN {sql} IS NOT NULL THEN format('%s', {sql}) END")
            }
            Wire::Text | Wire::Number | Wire::TimeText => format!("{sql}::text"),
            _ => sql,
        }
    }

    fn conditions(&mut self, filters: &[Filter]) -> Vec<String> {
        let mut conditions = Vec::new();
        for (at, filter) in filters.iter().enumerate() {
            match filter {
                Filter::Email(email) => conditions.push(self.has_email(email)),
                Filter::Is(column, value) => conditions.push(self.is(column, *value)),
                Filter::AtOrAfter(column, _) | Filter::Before(column, _) => {
                    // All that is asked of a column is one condition.
                    if !filters[..at].iter().any(|before| before.column() == *column) {
                        conditions.push(self.is_in_time(column, filters));
                    }
                }
            }
        }
        conditions
    }

    fn lets_misfits_pass(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Email(_) => false,
            Filter::AtOrAfter(..) | Filter::Before(..) => true,
            Filter::Is(column, _) => self.types.of(column) == ColumnType::BoolInt,
        }
    }

    fn after(&mut self, after: &str) -> Result<String, SourceError> {
        let column = self.mapping.sql(&Column::ID);
        let id_type = self.types.of(&Column::ID);
        let id_kind = match id_type {
            ColumnType::Int => IdKind::Integer,
            ColumnType::Uuid => IdKind::Uuid,
            _ => IdKind::Text,
        };
        let cast = id_type.cast().unwrap_or_default();
        let value = match id_kind.parse(after)? {
            Id::Integer(id) => id.to_string(),
            Id::Uuid(id) => crate::hex(&id),
            Id::Text(id) => id,
        };
        Ok(format!("{column} > {}{cast}", self.parameter(value)))
    }
}
