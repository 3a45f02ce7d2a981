//! A scan in parts: several threads read pieces of one table, from one snapshot.

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
use crate::plan::{Column, Plan};
use crate::source::{Parts, RowSink, SourceError, join};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinSet;

/// A smaller file is read before several threads have come together.
const WORTH_DIVIDING: i64 = 4 * 1024 * 1024;

impl SqliteSource {
    pub(in crate::source) async fn scan_in_parts(
        &self,
        plan: &Plan,
        parts: impl Parts,
    ) -> Result<(), SourceError> {
        let spare = self.spare_for(plan);
        let (source, asked, further) = (self.clone(), plan.clone(), spare.len());
        let (file, readers, division) = match threads::run(move || source.readers(&asked, further)).await? {
            Readers::Alone(opened) => {
                drop(spare);
                let sink = self.scan_on(opened, plan, parts.only().await?).await?;
                return Ok(sink.finish().await?);
            }
            Readers::Together(file, readers, division) => (file, readers, division),
        };
        let _stop: Vec<_> =
            readers.iter().map(|reader| InterruptOnDrop(reader.get_interrupt_handle())).collect();
        let query = Arc::clone(&division.query);
        let pieces = Arc::new(Mutex::new(Pieces { division, parts, is_over: false }));
        let mut workers = JoinSet::new();
        for reader in readers {
            let (pieces, query) = (Arc::clone(&pieces), Arc::clone(&query));
            threads::start(&mut workers, move || work(&reader, &query, &pieces))?;
        }
        join::all(workers).await?;
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
    fn readers(&self, plan: &Plan, further: usize) -> Result<Readers, SourceError> {
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
                let division = self.division(&readers[0], plan)?;
                return Ok(Readers::Together(opened.file, readers, division));
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

    fn division(&self, reader: &Connection, plan: &Plan) -> Result<Division, SourceError> {
        let query = self.query(reader, plan)?;
        let way = match self.layout(reader, plan, &query)? {
            Some(layout) => {
                let walk = Walk::of(layout.root, &mut Pages::of(reader)?)?;
                Way::Leaves(layout, walk)
            }
            None => Way::Ids(Ranges::of(self, plan, &query)),
        };
        Ok(Division { query: Arc::new(query), way })
    }
}

/// Who reads a table.
enum Readers {
    /// One thread.
    Alone(Opened),
    /// Several, in transactions that see the same.
    Together(SourceFile, Vec<Connection>, Division),
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
struct Division {
    query: Arc<Query>,
    way: Way,
}

/// What a table is divided into.
enum Way {
    Ids(Ranges),
    Leaves(Arc<Layout>, Walk),
}

/// What one thread reads at a time.
enum Piece {
    Ids(Range),
    Leaves(Arc<Layout>, Vec<Subtree>),
}

impl Division {
    fn next(&mut self, reader: &Connection) -> Result<Option<Piece>, SourceError> {
        Ok(match &mut self.way {
            Way::Ids(ranges) => ranges.next(reader).map_err(|error| failed(&error))?.map(Piece::Ids),
            Way::Leaves(layout, walk) => {
                let leaves = walk.next(&mut Pages::of(reader)?)?;
                leaves.map(|leaves| Piece::Leaves(Arc::clone(layout), leaves))
            }
        })
    }
}

/// Hands out the pieces of a table in the order of its ids, each with its sink.
struct Pieces<P> {
    division: Division,
    parts: P,
    is_over: bool,
}

impl<P: Parts> Pieces<P> {
    async fn take(&mut self, reader: &Connection) -> Result<Option<(Piece, P::Sink)>, SourceError> {
        if self.is_over {
            return Ok(None);
        }
        // Before its piece, because who has a sink is watched, and looking for the piece reads the database, too.
        let sink = self.parts.next().await?;
        if let Some(piece) = self.division.next(reader)? {
            return Ok(Some((piece, sink)));
        }
        self.is_over = true;
        sink.finish().await?;
        Ok(None)
    }
}

/// Reads one piece after the other, until there is none left.
fn work<P: Parts>(
    reader: &Connection,
    query: &Arc<Query>,
    pieces: &Mutex<Pieces<P>>,
) -> Result<(), SourceError> {
    let runtime = Handle::current();
    loop {
        let taken = runtime.block_on(async { pieces.lock().await.take(reader).await })?;
        let Some((piece, sink)) = taken else { return Ok(()) };
        let sink = match piece {
            Piece::Ids(range) => push_rows(reader, query, Some(&range), sink)?,
            Piece::Leaves(layout, leaves) => push_leaves(reader, query, &layout, &leaves, sink)?,
        };
        runtime.block_on(sink.finish())?;
    }
}
