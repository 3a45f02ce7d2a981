//! Columns and conditions as SQLite says them.

use super::decode::{misfit, shown_id, time_remedy, timestamp};
use super::flags::{self, FlagTests};
use super::ids::Ids;
use crate::query::Dialect;
use crate::{Id, Mapping, SourceError};
use headcount_model::plan::{Column, Filter};
use headcount_model::value::Value;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value as Bound, ValueRef};

const MICROS_FUNCTION: &str = "headcount_micros";

/// Adds `headcount_micros(cell, column, id)`: the time in a cell in microseconds, read exactly as the export reads it,
/// so that a filter and a cell never disagree about what a text means.
pub(super) fn add_micros_function(connection: &Connection, mapping: &Mapping) -> rusqlite::Result<()> {
    let mapping = mapping.clone();
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(MICROS_FUNCTION, 3, flags, move |context| match context.get_raw(0) {
        ValueRef::Null => Ok(None),
        cell => timestamp(cell, &mapping).map(|time| Some(time.micros())).ok_or_else(|| {
            let column: String = context.get(1).unwrap_or_default();
            let id = shown_id(context.get_raw(2));
            let problem = misfit(cell, mapping.timestamps.expected()) + &time_remedy(cell, &mapping, &column);
            let text = format!("table {}, column {column}, id {id}: {problem}", mapping.table);
            rusqlite::Error::UserFunctionError(text.into())
        }),
    })
}

/// The number that an export shows as this text, and what SQLite calls its kind.
fn shown_number(text: &str) -> Option<(Bound, &'static str)> {
    let is_shown = |value: Value<'_>| {
        let mut shown = Vec::new();
        value.append_to(&mut shown);
        shown == text.as_bytes()
    };
    if let Ok(integer) = text.parse::<i64>() {
        return is_shown(Value::Int(integer)).then_some((Bound::Integer(integer), "integer"));
    }
    let real = text.parse::<f64>().ok().filter(|real| is_shown(Value::Float(*real)))?;
    Some((Bound::Real(real), "real"))
}

pub(super) struct SqliteDialect<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) ids: Ids,
    pub(super) tests: FlagTests,
    /// Whether there may be addresses that are no text.
    pub(super) lets_odd_addresses_pass: bool,
    /// Flags whose columns make integers of what looks like them.
    pub(super) numeric: &'a [Column],
    pub(super) bound: Vec<Bound>,
}

impl SqliteDialect<'_> {
    fn condition(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Email(email) => {
                let column = self.mapping.sql(&Column::EMAIL);
                let value = self.bind(Bound::Text(email.clone()));
                // The first comparison can use an index whatever its collation, the second makes it exact. A column that makes
                // numbers of texts would take others for this one.
                let mut exact = format!(
                    "{column} = {value} AND {column} = {value} COLLATE BINARY AND typeof({column}) = 'text'"
                );
                if let Some((number, storage)) = shown_number(email) {
                    let number = self.bind(number);
                    exact = format!("({exact} OR {column} = {number} AND typeof({column}) = '{storage}')");
                }
                match self.lets_odd_addresses_pass {
                    true => format!("({exact} OR {})", flags::is_blob(&column)),
                    false => exact,
                }
            }
            Filter::AtOrAfter(column, time) => {
                format!("{} >= {}", self.micros(column), self.bind(Bound::Integer(time.micros())))
            }
            Filter::Before(column, time) => {
                format!("{} < {}", self.micros(column), self.bind(Bound::Integer(time.micros())))
            }
            Filter::Is(column, value) => {
                let is_numeric = self.numeric.contains(column);
                self.tests.condition(&self.mapping.sql(column), *value, is_numeric)
            }
        }
    }

    fn bind(&mut self, value: Bound) -> String {
        self.bound.push(value);
        format!("?{}", self.bound.len())
    }

    fn micros(&self, column: &Column) -> String {
        let (cell, id) = (self.mapping.sql(column), self.mapping.sql(&Column::ID));
        format!("{MICROS_FUNCTION}({cell}, '{}', {id})", column.name())
    }
}

impl Dialect for SqliteDialect<'_> {
    fn table(&self) -> String {
        self.mapping.table.quoted()
    }

    fn select(&self, column: &Column) -> String {
        self.mapping.sql(column)
    }

    fn conditions(&mut self, filters: &[Filter]) -> Vec<String> {
        filters.iter().map(|filter| self.condition(filter)).collect()
    }

    fn lets_misfits_pass(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Email(_) => self.lets_odd_addresses_pass,
            Filter::Is(..) => true,
            // A time that cannot be read fails the function.
            Filter::AtOrAfter(..) | Filter::Before(..) => false,
        }
    }

    fn after(&mut self, after: &str) -> Result<String, SourceError> {
        let value = match self.ids.kind.parse(after)? {
            Id::Integer(id) => Bound::Integer(id),
            Id::Text(id) => Bound::Text(id),
            Id::Uuid(uuid) => self.ids.uuid_form.bound(uuid),
        };
        Ok(format!("{} > {}", self.mapping.sql(&Column::ID), self.bind(value)))
    }
}
