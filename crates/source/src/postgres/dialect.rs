//! Columns and conditions as PostgreSQL says them.

use super::column_type::{ColumnType, ColumnTypes};
use super::comparison::Comparison;
use super::data_row::Wire;
use super::{order, text_times};
use crate::query::Dialect;
use crate::{Id, IdKind, Mapping, SourceError};
use headcount_model::plan::{Column, Filter, ParameterError, Plan};
use headcount_model::timestamp::Timestamp;

/// Refuses a time that the type of its column does not have: PostgreSQL has no year 0.
pub(super) fn refuse_year_0(plan: &Plan, types: &ColumnTypes) -> Result<(), ParameterError> {
    let is_unknown = |filter: &&Filter| match filter {
        Filter::AtOrAfter(column, time) | Filter::Before(column, time) => {
            *time < Timestamp::YEAR_1 && types.of(column) != ColumnType::Epoch
        }
        Filter::Email(_) | Filter::Is(..) => false,
    };
    match plan.filters.iter().find(is_unknown) {
        Some(filter) => {
            Err(ParameterError::invalid(filter.parameter(), "must be in the years 0001 to 9999 (UTC) here"))
        }
        None => Ok(()),
    }
}

/// The request's values become parameters, all of them texts: none is ever part of SQL. Everything else that is written here is
/// named with its schema, because it stands beside what the administrator wrote.
pub(super) struct PostgresDialect<'a> {
    pub(super) mapping: &'a Mapping,
    /// As it stands in SQL.
    pub(super) table: &'a str,
    pub(super) types: &'a ColumnTypes,
    /// How ids and addresses are compared in the way of their indexes.
    pub(super) ids: Option<Comparison>,
    pub(super) addresses: Option<Comparison>,
    /// Whether the server has to see to it that the ids ascend.
    pub(super) checks_order: bool,
    pub(super) texts: Vec<String>,
}

impl PostgresDialect<'_> {
    fn parameter(&mut self, text: String) -> String {
        self.texts.push(text);
        format!("${}", self.texts.len())
    }

    /// The zone of times that do not say theirs, as a literal; nothing where it is UTC.
    fn zone(&self) -> Option<String> {
        self.mapping.zone.as_ref()?.iana_name().map(|name| format!("'{}'", name.replace('\'', "''")))
    }

    fn has_email(&mut self, email: &str) -> String {
        let (column, value) = (self.mapping.sql(&Column::EMAIL), self.parameter(email.to_owned()));
        let exact =
            format!("{column}::pg_catalog.text OPERATOR(pg_catalog.=) {value} COLLATE pg_catalog.\"C\"");
        match &self.addresses {
            // The first comparison can use the index, the second makes it exact.
            Some(comparison) => format!("{} AND {exact}", comparison.equal(&column, &value)),
            None => exact,
        }
    }

    fn is(&self, column: &Column, value: bool) -> String {
        let (name, other) = (self.mapping.sql(column), i32::from(!value));
        match self.types.of(column) {
            // Not the other one: what is neither comes along. An index can find it on both sides.
            ColumnType::BoolInt if self.mapping.own_column(column).is_some() => {
                format!("({name} OPERATOR(pg_catalog.<) {other} OR {name} OPERATOR(pg_catalog.>) {other})")
            }
            ColumnType::BoolInt => format!("{name} OPERATOR(pg_catalog.<>) {other}"),
            _ => format!("{name} OPERATOR(pg_catalog.=) {value}"),
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
                return vec![
                    format!("{name} OPERATOR(pg_catalog.<) {first}"),
                    format!("{name} OPERATOR(pg_catalog.>) {last}"),
                ];
            }
            ColumnType::TimestampTz => "pg_catalog.timestamptz",
            _ => "pg_catalog.timestamp",
        };
        let beyond = |time: &str, type_name: &str| {
            [
                format!("{time} OPERATOR(pg_catalog.<) '0001-01-01 00:00:00+00 BC'::{type_name}"),
                format!("{time} OPERATOR(pg_catalog.>) '9999-12-31 23:59:59.999999+00'::{type_name}"),
            ]
        };
        match (self.types.of(column), self.zone()) {
            (ColumnType::Timestamp, Some(zone)) => {
                // As in `compare_time`, for an index and exactly.
                let [before, after] =
                    beyond(&format!("({name} AT TIME ZONE {zone})"), "pg_catalog.timestamptz");
                vec![
                    format!(
                        "({name} OPERATOR(pg_catalog.<) '0001-01-02 00:00:00 BC'::pg_catalog.timestamp AND {before})"
                    ),
                    format!(
                        "({name} OPERATOR(pg_catalog.>) '9999-12-31 00:00:00'::pg_catalog.timestamp AND {after})"
                    ),
                ]
            }
            _ => beyond(&name, type_name).to_vec(),
        }
    }

    fn compare_time(&mut self, column: &Column, operator: &str, time: Timestamp) -> String {
        let name = self.mapping.sql(column);
        let quoted = format!("OPERATOR(pg_catalog.{operator})");
        match (self.types.of(column), self.zone()) {
            (ColumnType::Epoch, _) => {
                let bound = self.mapping.timestamps.first_integer_from(time);
                let bound = self.parameter(bound.to_string());
                format!("{name} {quoted} {bound}::pg_catalog.int8")
            }
            (ColumnType::TimestampTz, _) => {
                let time = self.parameter(time.to_string());
                format!("{name} {quoted} {time}::pg_catalog.timestamptz")
            }
            (ColumnType::TimeText, zone) => {
                let bound = self.parameter(time.to_string());
                text_times::compared(&name, &quoted, &bound, zone.as_deref())
            }
            (ColumnType::Timestamp, Some(zone)) => {
                // A day earlier or later than the clocks of the zone show it, for an index; and exactly, as the export shows it.
                let time = self.parameter(time.to_string());
                let day = if operator == ">=" { "-" } else { "+" };
                format!(
                    "({name} {quoted} (({time}::pg_catalog.timestamptz AT TIME ZONE 'UTC') \
                     OPERATOR(pg_catalog.{day}) '1 day'::pg_catalog.interval) \
                     AND ({name} AT TIME ZONE {zone}) {quoted} {time}::pg_catalog.timestamptz)"
                )
            }
            _ => {
                let time = self.parameter(time.to_string());
                format!("{name} {quoted} ({time}::pg_catalog.timestamptz AT TIME ZONE 'UTC')")
            }
        }
    }
}

impl Dialect for PostgresDialect<'_> {
    fn table(&self) -> String {
        self.table.to_owned()
    }

    fn select(&self, column: &Column) -> String {
        let sql = self.mapping.sql(column);
        let column_type = self.types.of(column);
        let selected = match column_type.wire() {
            _ if column_type == ColumnType::Network => {
                return format!("CASE WHEN {sql} IS NOT NULL THEN pg_catalog.format('%s', {sql}) END");
            }
            Wire::Text | Wire::Number | Wire::TimeText => format!("{sql}::pg_catalog.text"),
            Wire::Timestamp if column_type == ColumnType::Timestamp => {
                return self.zone().map_or(sql.clone(), |zone| format!("({sql} AT TIME ZONE {zone})"));
            }
            _ => return sql,
        };
        match &self.ids {
            Some(comparison) if self.checks_order && *column == Column::ID => {
                order::checked(&sql, &selected, comparison, &self.mapping.table.to_string())
            }
            _ => selected,
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
        let id_kind = match self.types.of(&Column::ID) {
            ColumnType::Int => IdKind::Integer,
            ColumnType::Uuid => IdKind::Uuid,
            _ => IdKind::Text,
        };
        let value = match id_kind.parse(after)? {
            Id::Integer(id) => id.to_string(),
            Id::Uuid(id) => headcount_model::text::hex(&id),
            Id::Text(id) => id,
        };
        let value = self.parameter(value);
        let Some(comparison) = &self.ids else {
            return Err(SourceError::Mismatch(format!(
                "table {}, {}: ids of this type have no order that the role may use: GRANT USAGE ON SCHEMA of the type to it",
                self.mapping.table,
                self.mapping.described(&Column::ID)
            )));
        };
        Ok(comparison.greater(&column, &value))
    }
}
