//! Which tables can be read from their pages, and where in them the cells are.

use super::error::failed;
use super::pages::{Page, Pages, malformed};
use super::record::{self, Extent};
use super::tree::Walk;
use super::{Query, SqliteSource};
use crate::SourceError;
use headcount_model::plan::{Column, Plan};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension};
use std::sync::Arc;

/// Leaves that are looked at before a table is read in this way.
const SAMPLE: usize = 16;

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
    ) -> Result<Option<Arc<Layout>>, SourceError> {
        if !plan.is_whole()
            || !self.mapping.conditions(plan).is_empty()
            || !self.is_in_order_of_ids(connection)?
        {
            return Ok(None);
        }
        let (Some(root), Some(places)) = (self.root(connection)?, self.places(query)) else {
            return Ok(None);
        };
        let columns: Vec<_> =
            query.selection.columns().iter().map(|column| self.mapping.sql(column)).collect();
        let (table, id) = (self.mapping.table.quoted(), self.mapping.sql(&Column::ID));
        let layout = Arc::new(Layout {
            root,
            id_place: places[query.selection.id_at()],
            width: places.iter().max().map_or(0, |last| last + 1),
            places,
            by_id: format!("SELECT {} FROM {table} NOT INDEXED WHERE {id} = ?1", columns.join(", ")),
        });
        Ok(is_good_for_most(&layout, connection)?.then_some(layout))
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
    fn places(&self, query: &Query) -> Option<Vec<usize>> {
        let declared = &query.declared;
        let place = |column: &Column| {
            let own = self.mapping.own_column(column)?;
            let at = declared.iter().position(|column| column.is(Some(own)))?;
            (!may_be_real(&declared[at].declared)).then_some(at)
        };
        query.selection.columns().iter().map(place).collect()
    }
}

/// Whether a column may have the affinity REAL: then whole numbers are stored as integers ("Datatypes In SQLite" of its manual,
/// section 3.1).
fn may_be_real(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    ["REAL", "FLOA", "DOUB"].iter().any(|word| declared.contains(word))
}

/// Whether most rows of the first leaves can be read from them, and are what SQLite reads: a row of each leaf is compared. A row that
/// cannot be read is found by its id, which takes longer than if SQLite had gone from row to row: not for a whole table.
fn is_good_for_most(layout: &Arc<Layout>, connection: &Connection) -> Result<bool, SourceError> {
    let mut pages = Pages::of(connection)?;
    let Some(leaves) = Walk::of(layout.root, &mut pages, false)?.next(&mut pages)? else { return Ok(true) };
    let mut by_id = connection.prepare_cached(&layout.by_id).map_err(|error| failed(&error))?;
    let mut balance = 0_i64;
    for leaf in leaves.iter().take(SAMPLE) {
        let looked = pages.try_read(leaf.page, |page| look_at(page, layout, &mut by_id, leaf.page))?;
        let Some(of_leaf) = looked else {
            tracing::warn!(
                "the pages of the table are not read, because SQLite reads something else in a row of them"
            );
            return Ok(false);
        };
        balance += of_leaf;
    }
    Ok(balance >= 0)
}

/// How many more rows of a leaf can be read from it than cannot; `None` where its first one is not what SQLite reads.
fn look_at(
    page: Page<'_>,
    layout: &Layout,
    by_id: &mut CachedStatement<'_>,
    number: u32,
) -> Result<Option<i64>, SourceError> {
    let malformed = || malformed(number);
    let (mut balance, mut is_compared) = (0, false);
    let mut cells = vec![ValueRef::Null; layout.width];
    for row in page.rows().ok_or_else(malformed)? {
        let row = row.ok_or_else(malformed)?;
        match record::read(row.payload, row.size, &mut cells).ok_or_else(malformed)? {
            Extent::All => balance += 1,
            Extent::Part => {
                balance -= 1;
                continue;
            }
        }
        if !std::mem::replace(&mut is_compared, true) {
            cells[layout.id_place] = ValueRef::Integer(row.id);
            if !is_what_sqlite_reads(row.id, &cells, layout, by_id)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(balance))
}

fn is_what_sqlite_reads(
    id: i64,
    cells: &[ValueRef<'_>],
    layout: &Layout,
    by_id: &mut CachedStatement<'_>,
) -> Result<bool, SourceError> {
    let mut rows = by_id.query([id]).map_err(|error| failed(&error))?;
    let Some(row) = rows.next().map_err(|error| failed(&error))? else { return Ok(false) };
    let is_same = |(at, place): (usize, &usize)| row.get_ref(at).is_ok_and(|cell| cell == cells[*place]);
    Ok(layout.places.iter().enumerate().all(is_same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::ReaderPermits;
    use crate::{Expression, Mapping};
    use headcount_model::plan::{Filter, Profile};

    /// Whether a minimal export of the table `users` that this SQL makes reads its pages.
    fn reads_pages(sql: &str, change: impl Fn(&mut Mapping, &mut Plan)) -> bool {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("users.db");
        Connection::open(&path).and_then(|connection| connection.execute_batch(sql)).expect(sql);
        let table = "users".into();
        let mut mapping = Mapping { table, ..Mapping::plain("users") };
        let mut plan = Plan::new(Arc::new(Profile::minimal()));
        change(&mut mapping, &mut plan);
        let source = SqliteSource::new(path, mapping, ReaderPermits::new(1));
        let connection = source.connect().expect("a file").connection;
        let query = source.query(&connection, &plan).expect("a table that fits");
        source.layout(&connection, &plan, &query).expect("pages").is_some()
    }

    fn of_table(definition: &str) -> bool {
        reads_pages(definition, |_, _| ())
    }

    const TABLE: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT, score REAL)";
    const ROWS: &str = "INSERT INTO users (id, email) WITH RECURSIVE up(i) AS
                        (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < 100) SELECT i, i FROM up";

    #[test]
    fn ordinary_tables_are_read_from_their_pages() {
        assert!(of_table(TABLE));
        assert!(of_table(&format!("PRAGMA page_size = 512; {TABLE}; {ROWS}")));
        assert!(of_table("CREATE TABLE Users (name, email CLOB, ID integer primary key autoincrement)"));
        assert!(of_table(
            "CREATE TABLE users (id INTEGER, email TEXT UNIQUE, name ANY, PRIMARY KEY (id)) STRICT"
        ));
        // Where few rows are odd, SQLite finds those.
        assert!(of_table(&format!(
            "{TABLE}; {ROWS}; UPDATE users SET email = hex(zeroblob(9999)) WHERE id < 3"
        )));
    }

    #[test]
    fn other_tables_are_not() {
        for definition in [
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT) WITHOUT ROWID",
            "CREATE TABLE users (id INT PRIMARY KEY, email TEXT, name TEXT)",
            "CREATE TABLE users (id INTEGER PRIMARY KEY DESC, email TEXT, name TEXT)",
            "CREATE TABLE users (id INTEGER, email TEXT, name TEXT)",
            "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT, name TEXT)",
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name REAL)",
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name double precision)",
            "CREATE TABLE users (id INTEGER PRIMARY KEY, first, email, name AS (first))",
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email, name, more AS (email) STORED)",
            "CREATE TABLE people (id INTEGER PRIMARY KEY, email, name); CREATE VIEW users AS SELECT * FROM people",
        ] {
            assert!(!of_table(definition), "{definition}");
        }
        for encoding in ["UTF-16le", "UTF-16be"] {
            assert!(!of_table(&format!("PRAGMA encoding = '{encoding}'; {TABLE}")), "{encoding}");
        }
        // SQLite would have to find most of the rows.
        let added = "ALTER TABLE users ADD COLUMN";
        assert!(!of_table(&format!(
            "{TABLE}; {ROWS}; ALTER TABLE users DROP COLUMN name; {added} name TEXT"
        )));
        assert!(!of_table(&format!("{TABLE}; {ROWS}; UPDATE users SET email = hex(zeroblob(9999))")));
        // What is not exported may come after what is in the page.
        assert!(of_table(&format!("{TABLE}; {ROWS}; {added} more TEXT DEFAULT 'x'")));
        assert!(of_table(&format!(
            "{TABLE}; {added} bio; {ROWS}; UPDATE users SET bio = hex(zeroblob(9999))"
        )));
    }

    #[test]
    fn a_table_in_which_sqlite_reads_something_else_is_not() {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(&format!("{TABLE}; {ROWS}")).expect("a table");
        let root = connection
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'users'", [], |row| row.get(0))
            .expect("a page");
        let layout = |by_id: &str| {
            let (places, by_id) = (vec![0, 1], by_id.to_owned());
            Arc::new(Layout { root, places, id_place: 0, width: 2, by_id })
        };
        let is_good = |by_id: &str| is_good_for_most(&layout(by_id), &connection).expect("pages");
        assert!(is_good("SELECT id, email FROM users WHERE id = ?1"));
        assert!(!is_good("SELECT id, email || 'x' FROM users WHERE id = ?1"));
        assert!(!is_good("SELECT id, email FROM users WHERE id = -?1"));
    }

    #[test]
    fn only_whole_tables_are() {
        assert!(!reads_pages(TABLE, |_, plan| plan.limit = Some(9)));
        assert!(!reads_pages(TABLE, |_, plan| plan.after = Some("9".to_owned())));
        assert!(!reads_pages(TABLE, |_, plan| plan.filters.push(Filter::Email("a@example.com".to_owned()))));
        assert!(!reads_pages(TABLE, |mapping, _| mapping.filter = Some("id > 0".to_owned())));
        let name = |expression: Expression| {
            reads_pages(TABLE, |mapping, _| mapping.columns = vec![(Column::NAME, expression.clone())])
        };
        assert!(name(Expression::Column("Email".to_owned())));
        assert!(name(Expression::Column("ID".to_owned())));
        assert!(!name(Expression::Column("score".to_owned())));
        assert!(!name(Expression::Sql("email".to_owned())));
    }
}
