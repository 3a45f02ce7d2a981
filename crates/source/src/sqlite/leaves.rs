//! The rows of a scan, read from the leaves of their table.
//!
//! As arguments of a function (`scan.rs`) the same cells cost three times as many instructions before they are decoded: SQLite's,
//! for the program that it runs for each row, and the driver's, for handing over each cell.
//!
//! An interrupt that comes between two pages is forgotten by SQLite. What stops the reader is that its sink is closed.

use super::Query;
use super::error::failed;
use super::layout::Layout;
use super::pages::{Pages, Subtree, malformed};
use super::record::{self, Extent};
use super::scan::Pusher;
use super::tree::Walk;
use crate::{FEW_CELLS, MANY_CELLS, RowSink, SourceError};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection};
use std::sync::Arc;

/// Pushes all rows of a table into the sink; gives the sink back.
pub(super) fn push_table<S: RowSink>(
    connection: &Connection,
    query: &Arc<Query>,
    layout: &Layout,
    mut sink: S,
) -> Result<S, SourceError> {
    let mut pages = Pages::of(connection)?;
    let mut walk = Walk::of(layout.root, &mut pages, false)?;
    while let Some(leaves) = walk.next(&mut pages)? {
        sink = push_leaves(connection, query, layout, &leaves, sink)?;
    }
    Ok(sink)
}

/// Pushes the rows of some leaves into the sink; gives the sink back.
pub(super) fn push_leaves<S: RowSink>(
    connection: &Connection,
    query: &Arc<Query>,
    layout: &Layout,
    leaves: &[Subtree],
    mut sink: S,
) -> Result<S, SourceError> {
    let mut pages = Pages::of(connection)?;
    let by_id = connection.prepare_cached(&layout.by_id).map_err(|error| failed(&error))?;
    let mut reader = LeafReader { layout, by_id, pusher: Pusher::new(query) };
    for leaf in leaves {
        if layout.places.len() <= FEW_CELLS {
            reader.push::<_, FEW_CELLS>(leaf, &mut pages, &mut sink)?;
        } else {
            reader.push::<_, MANY_CELLS>(leaf, &mut pages, &mut sink)?;
        }
    }
    Ok(sink)
}

struct LeafReader<'a> {
    layout: &'a Layout,
    by_id: CachedStatement<'a>,
    pusher: Pusher,
}

impl LeafReader<'_> {
    fn push<S: RowSink, const CELLS: usize>(
        &mut self,
        leaf: &Subtree,
        pages: &mut Pages<'_>,
        sink: &mut S,
    ) -> Result<(), SourceError> {
        let malformed = || malformed(leaf.page);
        pages.try_read(leaf.page, |page| {
            let rows = page.rows().ok_or_else(malformed)?;
            // Only a table without any has a leaf without rows, which is its root.
            if rows.len() == 0 && leaf.page != self.layout.root {
                return Err(malformed());
            }
            let mut cells = vec![ValueRef::Null; self.layout.width];
            let mut previous = leaf.after;
            for row in rows {
                let row = row.ok_or_else(malformed)?;
                if Some(row.id) <= previous || row.id > leaf.last {
                    return Err(malformed());
                }
                previous = Some(row.id);
                match record::read(row.payload, row.size, &mut cells).ok_or_else(malformed)? {
                    Extent::All => {
                        cells[self.layout.id_place] = ValueRef::Integer(row.id);
                        self.pusher.push::<_, CELLS>(|at| cells[self.layout.places[at]], sink)?;
                    }
                    Extent::Part => self.push_by_id::<_, CELLS>(row.id, leaf, sink)?,
                }
            }
            Ok(())
        })
    }

    /// Lets SQLite find the row: it knows what a column is in records that were written before it was added, and where those go
    /// on that are larger than a page.
    fn push_by_id<S: RowSink, const CELLS: usize>(
        &mut self,
        id: i64,
        leaf: &Subtree,
        sink: &mut S,
    ) -> Result<(), SourceError> {
        let mut rows = self.by_id.query([id]).map_err(|error| failed(&error))?;
        let row = rows.next().map_err(|error| failed(&error))?.ok_or_else(|| malformed(leaf.page))?;
        self.pusher.push::<_, CELLS>(|at| row.get_ref_unwrap(at), sink)
    }
}
