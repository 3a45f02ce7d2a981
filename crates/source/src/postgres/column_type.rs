//! How the columns of a PostgreSQL table are stored.

use super::data_row::Wire;
use crate::odd_times::OddTime;
use crate::{Mapping, TimestampEncoding};
use headcount_model::plan::{Column, Kind, Plan};
use headcount_model::schema::{DataType, Digits, Schema, Stored};
use tokio_postgres::Column as Described;
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
    /// `citext`: compares without case. An extension's, which is anywhere: by its number.
    CaseInsensitiveText(u32),
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
            (Kind::Id | Kind::Text, "citext") => Self::CaseInsensitiveText(column_type.oid()),
            (Kind::Id | Kind::Text, "bpchar") => Self::PaddedText,
            (Kind::Id | Kind::Text, "text" | "varchar" | "name") => Self::Text,
            (Kind::Text, "int2" | "int4" | "int8") => Self::Number,
            (Kind::Text, "uuid") => Self::AsText,
            (Kind::Text, _) if is_enum => Self::AsText,
            (Kind::Timestamp | Kind::AsStored, "timestamptz") => Self::TimestampTz,
            (Kind::Timestamp | Kind::AsStored, "timestamp") => Self::Timestamp,
            (Kind::Timestamp, "date") => Self::Date,
            (Kind::Timestamp, "int4" | "int8") if mapping.timestamps != TimestampEncoding::Text => {
                Self::Epoch
            }
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

    /// How its bytes are to be read.
    pub(super) fn wire(self) -> Wire {
        match self {
            Self::Bool => Wire::Bool,
            Self::BoolInt => Wire::BoolInt,
            Self::Int => Wire::Int,
            Self::Uuid => Wire::Uuid,
            Self::Text | Self::CaseInsensitiveText(_) | Self::PaddedText | Self::AsText | Self::Network => {
                Wire::Text
            }
            Self::Number => Wire::Number,
            Self::TimestampTz | Self::Timestamp => Wire::Timestamp,
            Self::Date => Wire::Date,
            Self::Epoch => Wire::Epoch,
            Self::TimeText => Wire::TimeText,
        }
    }

    /// What the cells of a column are once they are read.
    fn data_type(self, column: &Column, described: &Described) -> DataType {
        let type_name = described.type_().name();
        match self {
            Self::Bool | Self::BoolInt => DataType::Boolean,
            Self::Int => DataType::Integer,
            Self::Uuid => DataType::Uuid,
            Self::TimestampTz | Self::Timestamp | Self::Date | Self::Epoch | Self::TimeText => {
                DataType::Timestamp
            }
            Self::Text | Self::CaseInsensitiveText(_) | Self::PaddedText => DataType::Text,
            _ if column.kind() == Kind::Text => DataType::Text,
            Self::Number if matches!(type_name, "float4" | "float8") => DataType::Float,
            Self::Number => DataType::Decimal(digits(described.type_modifier())),
            Self::AsText | Self::Network => match type_name {
                "date" => DataType::Date,
                "json" | "jsonb" => DataType::Json,
                "text" | "varchar" | "bpchar" | "name" | "citext" => DataType::Text,
                _ => DataType::Printed,
            },
        }
    }

    /// What makes of a text a value of a type of the server's own that an index on the column can be asked for; `None` where only
    /// the text of the column compares with it.
    pub(super) fn cast(self) -> Option<&'static str> {
        match self {
            Self::Text => Some(""),
            Self::PaddedText => Some("::pg_catalog.bpchar"),
            Self::Int => Some("::pg_catalog.int8"),
            Self::Uuid => Some("::pg_catalog.uuid"),
            _ => None,
        }
    }

    /// Whether it is compared as text, so that its order is a collation's.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::CaseInsensitiveText(_) | Self::PaddedText)
    }

    /// What a cell of this type is that is no time, if somebody knows what may be meant.
    pub(super) fn odd_time(self, cell: &[u8]) -> Option<OddTime> {
        let is_infinite = matches!(cell, [0x7f, rest @ ..] if rest.iter().all(|&byte| byte == 0xff))
            || matches!(cell, [0x80, rest @ ..] if rest.iter().all(|&byte| byte == 0));
        match self {
            Self::TimeText => OddTime::of_text(cell),
            Self::Timestamp | Self::TimestampTz | Self::Date if is_infinite => Some(OddTime::Infinite),
            Self::Timestamp => Some(OddTime::FarAwayLocal),
            Self::TimestampTz | Self::Date => Some(OddTime::FarAway),
            _ => None,
        }
    }
}

/// The digits of `numeric(precision, scale)`, where it says them and they are of use (`numeric.c`, `make_numeric_typmod`).
fn digits(type_modifier: i32) -> Option<Digits> {
    let packed = type_modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let (precision, scale) = (packed >> 16 & 0xffff, packed & 0x7ff);
    let fits = scale <= precision && precision <= i32::from(Digits::MAX_PRECISION);
    fits.then_some(Digits { precision: precision as u8, scale: scale as u8 })
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

/// The types of the columns that a plan touches.
#[derive(Default)]
pub(super) struct ColumnTypes(Vec<(Column, ColumnType, DataType)>);

impl ColumnTypes {
    pub(super) fn add(&mut self, column: &Column, column_type: ColumnType, described: &Described) {
        self.0.push((column.clone(), column_type, column_type.data_type(column, described)));
    }

    pub(super) fn of(&self, column: &Column) -> ColumnType {
        let known = self.0.iter().find(|(known, ..)| known == column);
        known.map_or(ColumnType::Text, |(_, column_type, _)| *column_type)
    }

    /// What is shown of a plan.
    pub(super) fn schema(&self, plan: &Plan) -> Schema {
        Schema::of(plan, |column| {
            let known = self.0.iter().find(|(known, ..)| known == column);
            let data_type = known.map_or(DataType::Printed, |(.., data_type)| *data_type);
            // Which columns are NOT NULL would be one question more for every export.
            Stored { data_type, is_nullable: *column != Column::ID }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_where_they_are_bounded() {
        let modifier = |precision: i32, scale: i32| (precision << 16 | scale & 0x7ff) + 4;
        assert_eq!(digits(modifier(10, 2)), Some(Digits { precision: 10, scale: 2 }));
        assert_eq!(digits(modifier(38, 38)), Some(Digits { precision: 38, scale: 38 }));
        assert_eq!(digits(modifier(39, 0)), None);
        // A scale may be negative, or greater than the precision, since PostgreSQL 15.
        assert_eq!(digits(modifier(3, -2)), None);
        assert_eq!(digits(modifier(2, 5)), None);
        assert_eq!(digits(-1), None);
    }
}
