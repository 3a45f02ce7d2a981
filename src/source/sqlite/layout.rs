//! Which tables can be read from their pages, and where in them the cells are.

use super::error::failed;
use super::pages::Pages;
use super::record::{self, Extent};
use super::tree::first_leaf;
use super::{Query, SqliteSource};
use crate::plan::{Column, Plan};
use crate::source::SourceError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

/// A table whose rows are records in the order of their ids.
pub(super) struct Layout {
    /// The page at the root of its b-tree.
    pub(super) root: u32,
    /// Where in a record the cells of the selected columns are.
    pub(super) places: Vec<usize>,
    /// Where the id would be, which is not in the record.
    pub(super) id_place: usize,
    /// How many columns of a record have to be read.
    pub(super) width: usize,
    /// Finds the selected cells of one row.
    pub(super) by_id: String,
}

impl SqliteSource {
    /// Where the rows of a plan are in the pages of its table; `None` where SQLite has to look for them.
    pub(super) fn layout(
        &self,
        connection: &Connection,
        plan: &Plan,
        query: &Query,
    ) -> Result<Option<Layout>, SourceError> {
        let is_whole = plan.filters.is_empty() && plan.after.is_none() && plan.limit.is_none();
        if !is_whole || self.mapping.condition().is_some() || !self.is_in_order_of_ids(connection)? {
            return Ok(None);
        }
        let (Some(root), Some(places)) = (self.root(connection)?, self.places(connection, query)?) else {
            return Ok(None);
        };
        let columns: Vec<_> =
            query.selection.columns().iter().map(|column| self.mapping.sql(column)).collect();
        let (table, id) = (self.mapping.table.quoted(), self.mapping.sql(&Column::ID));
        let layout = Layout {
            root,
            id_place: places[query.selection.id_at()],
            width: places.iter().max().map_or(0, |last| last + 1),
            places,
            by_id: format!("SELECT {} FROM {table} NOT INDEXED WHERE {id} = ?1", columns.join(", ")),
        };
        Ok(layout.is_good_for_most(connection)?.then_some(layout))
    }

    /// Whether the table's b-tree is in the order of its ids. An `INTEGER PRIMARY KEY DESC` is not the rowid, so that it has an
    /// index of its own, and may hold text (SQLite manual, "ROWIDs and the INTEGER PRIMARY KEY").
    pub(super) fn is_in_order_of_ids(&self, connection: &Connection) -> Result<bool, SourceError> {
        let id = Column::ID;
        let Some(own) = self.mapping.own_column(&id) else { return Ok(false) };
        let sql = "SELECT (SELECT count(*) FROM pragma_table_xinfo(?1) WHERE pk > 0) = 1
                      AND EXISTS (SELECT 1 FROM pragma_table_xinfo(?1)
                                   WHERE pk = 1 AND upper(type) = 'INTEGER' AND lower(name) = lower(?2))
                      AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')
                      AND EXISTS (SELECT 1 FROM pragma_table_list(?1)
                                   WHERE schema = 'main' AND type = 'table' AND NOT wr)";
        let table = self.mapping.table.name();
        connection.query_row(sql, (table, own), |row| row.get(0)).map_err(|error| failed(&error))
    }

    /// The root of the table, if this SQLite shows its pages and they are as they are read here: text in UTF-8, and every column
    /// in the record.
    fn root(&self, connection: &Connection) -> Result<Option<u32>, SourceError> {
        let sql = "SELECT rootpage FROM sqlite_schema
                    WHERE type = 'table' AND lower(name) = lower(?1)
                      AND EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'sqlite_dbpage')
                      AND (SELECT encoding FROM pragma_encoding) = 'UTF-8'
                      AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE hidden <> 0)";
        let root = connection.query_row(sql, [self.mapping.table.name()], |row| row.get(0)).optional();
        root.map_err(|error| failed(&error))
    }

    /// Where in a record each selected column is; `None` if one is an expression, or not stored as it is read.
    fn places(&self, connection: &Connection, query: &Query) -> Result<Option<Vec<usize>>, SourceError> {
        let declared = self.declared_types(connection)?;
        let place = |column: &Column| {
            let own = self.mapping.own_column(column)?;
            let at = declared.iter().position(|(name, _)| name.eq_ignore_ascii_case(own))?;
            (!may_be_real(&declared[at].1)).then_some(at)
        };
        Ok(query.selection.columns().iter().map(place).collect())
    }
}

/// Whether a column may have the affinity REAL: then whole numbers are stored as integers ("Datatypes In SQLite" of its manual,
/// section 3.1).
fn may_be_real(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    ["REAL", "FLOA", "DOUB"].iter().any(|word| declared.contains(word))
}

impl Layout {
    /// Whether most rows of the first leaf can be read from it. One that cannot is found by its id, which takes longer than if
    /// SQLite had gone from row to row: not for a whole table.
    fn is_good_for_most(&self, connection: &Connection) -> Result<bool, SourceError> {
        let mut pages = Pages::of(connection)?;
        let (leaf, _) = first_leaf(self.root, &mut pages)?;
        pages.read(leaf, |page| {
            let mut cells = vec![ValueRef::Null; self.width];
            let (mut all, mut partial) = (0, 0);
            for row in page.rows()? {
                let row = row?;
                match record::read(row.payload, row.size, &mut cells)? {
                    Extent::All => all += 1,
                    Extent::Part => partial += 1,
                }
            }
            Some(all >= partial)
        })
    }
}
