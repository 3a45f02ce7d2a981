//! The table in ranges of its ids.

use super::scan::Range;
use super::{Query, SqliteSource};
use headcount_model::plan::{Column, Plan};
use rusqlite::{Connection, OptionalExtension};

/// Rows of a range, roughly: enough that making it costs nothing beside reading it, few enough to wait in memory.
const ROWS: i64 = 8_192;
/// The same where parts should be large.
const LARGE_ROWS: i64 = 8 * ROWS;
/// Rows whose ids tell how densely the ids of a range lie.
const PROBE_ROWS: i64 = 256;

/// Hands out ranges of ids in their order.
pub(super) struct Ranges {
    source: SqliteSource,
    condition: String,
    /// Where the next one begins; `None` at the end.
    next: Option<i64>,
    rows: i64,
}

impl Ranges {
    pub(super) fn of(source: &SqliteSource, plan: &Plan, query: &Query, are_large: bool) -> Self {
        // What is no integer was refused with the query.
        let after = plan.after.as_deref().and_then(|after| after.parse::<i64>().ok());
        let (id, bound) = (source.mapping.sql(&Column::ID), query.bound.len());
        Self {
            source: source.clone(),
            condition: format!("{id} >= ?{} AND {id} <= ?{}", bound + 1, bound + 2),
            // There is a first range even after the last id that can be.
            next: Some(after.map_or(i64::MIN, |after| after.saturating_add(1))),
            rows: if are_large { LARGE_ROWS } else { ROWS },
        }
    }

    pub(super) fn next(&mut self, reader: &Connection) -> rusqlite::Result<Option<Range>> {
        let Some(first) = self.next else { return Ok(None) };
        let last = self.last(reader, first)?;
        self.next = last.checked_add(1);
        Ok(Some(Range { condition: self.condition.clone(), first, last }))
    }

    /// Where the range that begins at `first` ends: as far away as it has to be if its ids lie as densely as the first few. A wrong
    /// guess costs time, but neither loses nor repeats a row.
    fn last(&self, reader: &Connection, first: i64) -> rusqlite::Result<i64> {
        let (id, table) = (self.source.mapping.sql(&Column::ID), self.source.mapping.table.quoted());
        let sql = format!("SELECT {id} FROM {table} WHERE {id} >= ?1 ORDER BY {id} LIMIT 1 OFFSET ?2");
        let mut statement = reader.prepare_cached(&sql)?;
        let mut nth = |from: i64, offset: i64| {
            statement.query_row((from, offset), |row| row.get::<_, i64>(0)).optional()
        };
        let Some(start) = nth(first, 0)? else { return Ok(i64::MAX) };
        let Some(probed) = nth(start, PROBE_ROWS)? else { return Ok(i64::MAX) };
        let width = (i128::from(probed) - i128::from(start)) * i128::from(self.rows / PROBE_ROWS);
        Ok(i64::try_from(i128::from(start) + width).unwrap_or(i64::MAX))
    }
}
