//! A scan in parts: several threads read partitions of one table, from one snapshot.

use super::error::failed;
use super::layout::Layout;
use super::leaves::push_leaves;
use super::pages::{Pages, Subtree};
use super::ranges::Ranges;
use super::scan::{Range, push_rows};
use super::tree::Walk;
use super::{
    ATTEMPTS, InterruptOnDrop, Opened, Query, SourceFile, SqliteSource, first_read, read_in_page_order,
    threads,
};
use crate::readers::join_all;
use crate::{Parts, RowSink, SourceError};
use headcount_model::plan::{Column, Plan};
use headcount_model::schema::Schema;
use rusqlite::Connection;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinSet;

/// A smaller file is read before several threads have come together.
const WORTH_DIVIDING: i64 = 4 * 1024 * 1024;

impl SqliteSource {
    pub(crate) async fn scan_in_parts(&self, plan: &Plan, mut parts: impl Parts) -> Result<(), SourceError> {
        let spare = self.spare_for(plan);
        let (source, asked, further) = (self.clone(), plan.clone(), spare.len());
        let are_large = parts.are_large();
        let (file, readers, partitioning) =
            match threads::run(move || source.readers(&asked, further, are_large)).await? {
                Readers::Alone(opened) => {
                    drop(spare);
                    let sink = move |schema: &Schema| -> Result<_, SourceError> {
                        parts.begin(schema);
                        Ok(Handle::current().block_on(parts.only())?)
                    };
                    let sink = self.scan_on(opened, plan, sink).await?;
                    return Ok(sink.finish().await?);
                }
                Readers::Together(file, readers, partitioning) => (file, readers, partitioning),
            };
        let _stop: Vec<_> =
            readers.iter().map(|reader| InterruptOnDrop(reader.get_interrupt_handle())).collect();
        let query = Arc::clone(&partitioning.query);
        parts.begin(&query.schema);
        let queue = Arc::new(Mutex::new(Queue { partitioning, parts, is_over: false }));
        let mut workers = JoinSet::new();
        for reader in readers {
            let (queue, query) = (Arc::clone(&queue), Arc::clone(&query));
            threads::start(&mut workers, move || work(&reader, &query, &queue))?;
        }
        join_all(workers).await?;
        file.assert_immutable()
    }

    /// The further readers of a scan.
    fn spare_for(&self, plan: &Plan) -> Vec<OwnedSemaphorePermit> {
        if !plan.reads_to_the_end() {
            // An index may find them, which a part does not use.
            self.alone("a filter or a limit chooses users");
            return Vec::new();
        }
        let spare = self.spare.take();
        if spare.is_empty() {
            self.alone("other exports have all further readers");
        }
        spare
    }

    /// Says in the log why one thread reads what several could.
    fn alone(&self, why: &str) {
        if self.spare.exist() {
            tracing::info!("one thread reads the source: {why}");
        }
    }

    /// So many readers and one, if they are worth it.
    fn readers(&self, plan: &Plan, further: usize, are_large: bool) -> Result<Readers, SourceError> {
        for _ in 0..ATTEMPTS {
            let opened = self.connect()?;
            if further == 0 {
                return Ok(Readers::Alone(opened));
            }
            if let Some(why) = self.why_undivided(&opened.connection, plan)? {
                self.alone(&why);
                return Ok(Readers::Alone(opened));
            }
            let Some(readers) = self.begin_together(&opened, further)? else {
                self.alone("somebody writes all the time");
                return Ok(Readers::Alone(opened));
            };
            // All of them, and the one that watched.
            if opened.file.is_what_was_opened(readers.len() + 1) {
                let partitioning = self.partitioning(&readers[0], plan, are_large)?;
                return Ok(Readers::Together(opened.file, readers, partitioning));
            }
        }
        self.alone("the file was replaced while it was opened");
        Ok(Readers::Alone(self.connect()?))
    }

    /// So many readers and one that see the same, if they have opened the same file; `None` if somebody writes all the time.
    fn begin_together(
        &self,
        opened: &Opened,
        further: usize,
    ) -> Result<Option<Vec<Connection>>, SourceError> {
        let mut readers = Vec::new();
        for _ in 0..=further {
            let reader = self.open(&opened.file)?;
            read_in_page_order(&reader)?;
            readers.push(reader);
        }
        let version = || data_version(&opened.connection).map_err(|error| failed(&error));
        for _ in 0..ATTEMPTS {
            let before = version()?;
            begin(&readers).map_err(|error| failed(&error))?;
            if version()? == before {
                return Ok(Some(readers));
            }
            for reader in &readers {
                reader.execute_batch("ROLLBACK").map_err(|error| failed(&error))?;
            }
        }
        Ok(None)
    }

    /// Why several threads should not read the table, unless it is large, in the order of its ids, and the same at any moment.
    fn why_undivided(&self, connection: &Connection, plan: &Plan) -> Result<Option<String>, SourceError> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let size: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(|error| failed(&error))?;
        if size <= WORTH_DIVIDING {
            return Ok(Some(format!("its file has no more than {} MiB", WORTH_DIVIDING >> 20)));
        }
        let table = &self.mapping.table;
        if self.is_a(connection, "view")? {
            return Ok(Some(format!("{table} is a view")));
        }
        if !self.is_in_order_of_ids(connection)? {
            let id = self.mapping.described(&Column::ID);
            return Ok(Some(format!("{id} is not the rowid of table {table}, as an INTEGER PRIMARY KEY is")));
        }
        let varying = self.varying(connection, plan)?;
        Ok(varying.map(|function| format!("{function}() can give something else each time")))
    }

    fn partitioning(
        &self,
        reader: &Connection,
        plan: &Plan,
        are_large: bool,
    ) -> Result<Partitioning, SourceError> {
        let query = self.query(reader, plan)?;
        let partitions = match self.layout(reader, plan, &query)? {
            Some(layout) => {
                let walk = Walk::of(layout.root, &mut Pages::of(reader)?, are_large)?;
                Partitions::Leaves(layout, walk)
            }
            None => Partitions::Ids(Ranges::of(self, plan, &query, are_large)),
        };
        Ok(Partitioning { query: Arc::new(query), partitions })
    }
}

/// Who reads a table.
enum Readers {
    /// One thread.
    Alone(Opened),
    /// Several, in transactions that see the same.
    Together(SourceFile, Vec<Connection>, Partitioning),
}

/// Changes with every commit of another connection (SQLite manual, "PRAGMA data_version"): between two looks that find the same,
/// whatever was opened sees the same.
fn data_version(watcher: &Connection) -> rusqlite::Result<i64> {
    watcher.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Begins a read transaction on every reader.
fn begin(readers: &[Connection]) -> rusqlite::Result<()> {
    for reader in readers {
        reader.execute_batch("BEGIN")?;
        // A transaction begins with the first read.
        first_read(reader)?;
    }
    Ok(())
}

/// What the readers are to do.
struct Partitioning {
    query: Arc<Query>,
    partitions: Partitions,
}

/// What a table is divided into.
enum Partitions {
    Ids(Ranges),
    Leaves(Arc<Layout>, Walk),
}

/// What one thread reads at a time.
enum Partition {
    Ids(Range),
    Leaves(Arc<Layout>, Vec<Subtree>),
}

impl Partitioning {
    fn next(&mut self, reader: &Connection) -> Result<Option<Partition>, SourceError> {
        Ok(match &mut self.partitions {
            Partitions::Ids(ranges) => {
                ranges.next(reader).map_err(|error| failed(&error))?.map(Partition::Ids)
            }
            Partitions::Leaves(layout, walk) => {
                let leaves = walk.next(&mut Pages::of(reader)?)?;
                leaves.map(|leaves| Partition::Leaves(Arc::clone(layout), leaves))
            }
        })
    }
}

/// Hands out the partitions of a table in the order of its ids, each with its sink.
struct Queue<P> {
    partitioning: Partitioning,
    parts: P,
    is_over: bool,
}

impl<P: Parts> Queue<P> {
    async fn take(&mut self, reader: &Connection) -> Result<Option<(Partition, P::Sink)>, SourceError> {
        if self.is_over {
            return Ok(None);
        }
        // Before its partition, because who has a sink is watched, and looking for the partition reads the database, too.
        let sink = self.parts.next().await?;
        if let Some(partition) = self.partitioning.next(reader)? {
            return Ok(Some((partition, sink)));
        }
        self.is_over = true;
        sink.finish().await?;
        Ok(None)
    }
}

/// Reads one partition after the other, until there is none left.
fn work<P: Parts>(
    reader: &Connection,
    query: &Arc<Query>,
    queue: &Mutex<Queue<P>>,
) -> Result<(), SourceError> {
    let runtime = Handle::current();
    loop {
        let taken = runtime.block_on(async { queue.lock().await.take(reader).await })?;
        let Some((partition, sink)) = taken else { return Ok(()) };
        let sink = match partition {
            Partition::Ids(range) => push_rows(reader, query, Some(&range), sink)?,
            Partition::Leaves(layout, leaves) => push_leaves(reader, query, &layout, &leaves, sink)?,
        };
        runtime.block_on(sink.finish())?;
    }
}
