//! A scan in parts: several threads read ranges of one table, from one snapshot.

use super::scan::{Range, push_rows};
use super::{InterruptOnDrop, Query, SEQUENTIAL_CACHE, SqliteSource, blocking, failed};
use crate::plan::{Column, Plan};
use crate::source::{Parts, RowSink, SourceError};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Rows of a part, roughly: enough that making it costs nothing beside reading it, few enough to wait in memory.
const PART_ROWS: i64 = 8_192;
/// Rows whose ids tell how densely the ids of a part lie.
const PROBE_ROWS: i64 = 256;
/// A smaller file is read before several threads have come together.
const WORTH_DIVIDING: i64 = 4 * 1024 * 1024;
/// How often to try again when somebody wrote while the readers took their snapshots.
const ATTEMPTS: u32 = 20;

impl SqliteSource {
    pub(in crate::source) async fn scan_in_parts(
        &self,
        plan: &Plan,
        parts: impl Parts,
    ) -> Result<(), SourceError> {
        let (source, asked) = (self.clone(), plan.clone());
        let readers = blocking(move || source.readers(&asked)).await?;
        let Some((readers, query)) = readers else {
            let sink = self.scan(plan, parts.only().await?).await?;
            return Ok(sink.finish().await?);
        };
        let _stop: Vec<_> =
            readers.iter().map(|reader| InterruptOnDrop(reader.get_interrupt_handle())).collect();
        // What is no integer was refused with the query.
        let after = plan.after.as_deref().and_then(|after| after.parse::<i64>().ok());
        // There is a first range even after the last id that can be: its sink writes the header.
        let next = Some(after.map_or(i64::MIN, |after| after.saturating_add(1)));
        let (id, bound) = (self.mapping.sql(&Column::ID), query.bound.len());
        let condition = format!("{id} >= ?{} AND {id} <= ?{}", bound + 1, bound + 2);
        let ranges = Arc::new(Mutex::new(Ranges { source: self.clone(), condition, next, parts }));
        let query = Arc::new(query);
        let mut workers = JoinSet::new();
        for reader in readers {
            let (ranges, query) = (Arc::clone(&ranges), Arc::clone(&query));
            workers.spawn_blocking(move || work(&reader, &query, &ranges));
        }
        while let Some(worker) = workers.join_next().await {
            worker.map_err(|error| SourceError::Failed(format!("a scanning thread died: {error}")))??;
        }
        Ok(())
    }

    /// Connections that all read the same snapshot, and what they are to run; `None` where one is enough.
    fn readers(&self, plan: &Plan) -> Result<Option<(Vec<Connection>, Query)>, SourceError> {
        // With a filter an index may find the rows, which a part does not use.
        let is_whole = plan.limit.is_none() && plan.filters.is_empty();
        if self.parallelism < 2 || !is_whole || self.mapping.own_column(&Column::ID).is_none() {
            return Ok(None);
        }
        let watcher = self.open()?;
        if !self.is_worth_dividing(&watcher)? {
            return Ok(None);
        }
        let mut readers = Vec::new();
        for _ in 0..self.parallelism {
            let reader = self.open()?;
            reader.pragma_update(None, "cache_size", SEQUENTIAL_CACHE).map_err(|error| failed(&error))?;
            readers.push(reader);
        }
        for _ in 0..ATTEMPTS {
            let before = data_version(&watcher).map_err(|error| failed(&error))?;
            let query = self.query(&watcher, plan)?;
            begin(&readers, &self.mapping.table.quoted()).map_err(|error| failed(&error))?;
            if data_version(&watcher).map_err(|error| failed(&error))? == before {
                return Ok(Some((readers, query)));
            }
            for reader in &readers {
                reader.execute_batch("ROLLBACK").map_err(|error| failed(&error))?;
            }
        }
        tracing::info!("somebody writes all the time: the source is read by one thread");
        Ok(None)
    }

    /// Whether the table is large, and in the order of its ids. An `INTEGER PRIMARY KEY DESC` is not the rowid, so that it has an
    /// index of its own, and may hold text (SQLite manual, "ROWIDs and the INTEGER PRIMARY KEY").
    fn is_worth_dividing(&self, connection: &Connection) -> Result<bool, SourceError> {
        let id = Column::ID;
        let own = self.mapping.own_column(&id).unwrap_or_default();
        let sql = "SELECT (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size) > ?1
                      AND (SELECT count(*) FROM pragma_table_xinfo(?2) WHERE pk > 0) = 1
                      AND EXISTS (SELECT 1 FROM pragma_table_xinfo(?2)
                                   WHERE pk = 1 AND upper(type) = 'INTEGER' AND lower(name) = lower(?3))
                      AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?2) WHERE origin = 'pk')
                      AND EXISTS (SELECT 1 FROM pragma_table_list(?2)
                                   WHERE schema = 'main' AND type = 'table' AND NOT wr)";
        let table = self.mapping.table.name();
        connection
            .query_row(sql, (WORTH_DIVIDING, table, own), |row| row.get(0))
            .map_err(|error| failed(&error))
    }
}

/// Changes with every commit of another connection (SQLite manual, "PRAGMA data_version"): between two looks that find the same,
/// whatever was opened sees the same.
fn data_version(watcher: &Connection) -> rusqlite::Result<i64> {
    watcher.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Begins a read transaction on every reader.
fn begin(readers: &[Connection], table: &str) -> rusqlite::Result<()> {
    for reader in readers {
        reader.execute_batch("BEGIN")?;
        // A transaction begins with the first read.
        reader.query_row(&format!("SELECT 1 FROM {table} LIMIT 1"), [], |_| Ok(())).optional()?;
    }
    Ok(())
}

/// Hands out ranges of ids in their order, each with its sink.
struct Ranges<P> {
    source: SqliteSource,
    condition: String,
    /// Where the next one begins; `None` at the end.
    next: Option<i64>,
    parts: P,
}

impl<P: Parts> Ranges<P> {
    async fn take(&mut self, reader: &Connection) -> Result<Option<(Range, P::Sink)>, SourceError> {
        let Some(first) = self.next else { return Ok(None) };
        let last = self.last(reader, first).map_err(|error| failed(&error))?;
        self.next = last.checked_add(1);
        let range = Range { condition: self.condition.clone(), first, last };
        Ok(Some((range, self.parts.next().await?)))
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
        let width = (i128::from(probed) - i128::from(start)) * i128::from(PART_ROWS / PROBE_ROWS);
        Ok(i64::try_from(i128::from(start) + width).unwrap_or(i64::MAX))
    }
}

/// Reads one range after the other, until there is none left.
fn work<P: Parts>(
    reader: &Connection,
    query: &Arc<Query>,
    ranges: &Mutex<Ranges<P>>,
) -> Result<(), SourceError> {
    let runtime = Handle::current();
    loop {
        let taken = runtime.block_on(async { ranges.lock().await.take(reader).await })?;
        let Some((range, sink)) = taken else { return Ok(()) };
        let sink = push_rows(reader, query, Some(&range), sink)?;
        runtime.block_on(sink.finish())?;
    }
}
