//! A SQLite table is exported as SQLite itself reads it, whichever way its rows are found: from its pages or by a statement.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use crate::harness::{Db, Site, csv_records, tries};

/// What makes a table: as its application would write it, over time.
#[derive(Clone, Debug)]
struct Table {
    page_size: u32,
    auto_vacuum: u8,
    encoding: &'static str,
    has_wal: bool,
    /// Of the id, and whatever comes after the columns.
    id: (&'static str, &'static str),
    id_at: usize,
    types: Vec<&'static str>,
    /// Which of them are exported.
    shown: Vec<usize>,
    /// One after the other.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Insert { first: i64, step: i64, copies: usize, rows: Vec<Vec<Value>> },
    Delete { every: i64, rest: i64 },
    Update { every: i64, text: String },
    AddColumn(&'static str),
    DropColumn,
    Vacuum,
    Checkpoint,
}

/// Some in the pages in the order of their ids, some not.
const IDS: [(&str, &str); 8] = [
    ("INTEGER PRIMARY KEY", ""),
    ("INTEGER PRIMARY KEY", ""),
    ("integer primary key autoincrement", ""),
    ("INTEGER PRIMARY KEY", ", extra INT GENERATED ALWAYS AS (id + 1) VIRTUAL"),
    ("INTEGER PRIMARY KEY", ", extra INT GENERATED ALWAYS AS (id + 1) STORED"),
    ("INT PRIMARY KEY", ""),
    ("INTEGER PRIMARY KEY DESC", ""),
    ("INTEGER PRIMARY KEY", "WITHOUT ROWID"),
];

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        6 => ".{0,12}",
        3 => select(vec!["", "a", "Grüße 👋🏽", "a,b\r\n\"c\""]).prop_map(String::from),
        1 => "[a-zé]{1,5}".prop_flat_map(|piece| (1..900_usize).prop_map(move |times| piece.repeat(times))),
    ];
    prop_oneof![
        2 => Just(Value::Null),
        2 => (any::<i64>(), 0..64_u32).prop_map(|(integer, bits)| Value::Integer(integer >> bits)),
        1 => select(vec![0, 1, -1, 127, 128, -129, 32_768, 1 << 23, 1 << 31, 1 << 47, i64::MIN, i64::MAX])
            .prop_map(Value::Integer),
        1 => select(vec![1.5, -0.25, 1e300, 3.0]).prop_map(Value::Real),
        4 => text.prop_map(Value::Text),
    ]
}

fn change(width: usize) -> impl Strategy<Value = Change> {
    let ids = select(vec![(i64::MIN, 1), (-700, 1), (0, 3), (1, 1), (5, 1 << 40), (i64::MAX - 9_999, 1)]);
    let rows = prop::collection::vec(prop::collection::vec(value(), width), 1..12);
    let insert = (ids, 1..120_usize, rows).prop_map(|((first, step), copies, rows)| Change::Insert {
        first,
        step,
        copies,
        rows,
    });
    let added = select(vec!["TEXT", "TEXT DEFAULT 'later, ''é'''", "INTEGER DEFAULT 7", "REAL DEFAULT 2"]);
    prop_oneof![
        6 => insert,
        2 => (1..5_i64, 0..5_i64).prop_map(|(every, rest)| Change::Delete { every, rest }),
        1 => (1..5_i64, "[a-z]{0,60}").prop_map(|(every, text)| Change::Update { every, text }),
        1 => added.prop_map(Change::AddColumn),
        3 => select(vec![Change::DropColumn, Change::Vacuum, Change::Checkpoint]),
    ]
}

fn table() -> impl Strategy<Value = Table> {
    let types = select(vec!["TEXT", "INTEGER", "", "NUMERIC", "VARCHAR(9)", "BLOB", "TEXT", "REAL"]);
    let types = prop_oneof![9 => prop::collection::vec(types, 1..8), 1 => Just(vec!["TEXT"; 62])];
    types.prop_flat_map(|types| {
        let width = types.len();
        let file = (
            select(vec![512, 1024, 4096, 65_536]),
            0..3_u8,
            select(vec!["UTF-8", "UTF-8", "UTF-8", "UTF-16le"]),
            any::<bool>(),
        );
        let shape = (
            select(IDS.to_vec()),
            0..=width,
            Just(types),
            prop::collection::vec(0..width, 1..=width.min(62)),
            prop::collection::vec(change(width), 1..8),
        );
        (file, shape).prop_map(|(file, shape)| {
            let (page_size, auto_vacuum, encoding, has_wal) = file;
            let (id, id_at, types, mut shown, changes) = shape;
            let mut seen = BTreeSet::new();
            shown.retain(|at| seen.insert(*at));
            Table { page_size, auto_vacuum, encoding, has_wal, id, id_at, types, shown, changes }
        })
    })
}

/// A file is divided when it is large; this makes it so.
pub(crate) const PADDING: &str =
    "CREATE TABLE padding (bytes BLOB); INSERT INTO padding VALUES (zeroblob(4500000));";

impl Table {
    /// Makes it; the connection keeps what is in the write-ahead log there.
    fn make(&self, site: &Site) -> Connection {
        let connection = site.sqlite();
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {}; PRAGMA auto_vacuum = {}; PRAGMA encoding = '{}';
                 PRAGMA journal_mode = {}; PRAGMA wal_autocheckpoint = 0",
                self.page_size,
                self.auto_vacuum,
                self.encoding,
                if self.has_wal { "WAL" } else { "DELETE" }
            ))
            .unwrap();
        connection.execute_batch(&self.definition()).unwrap();
        connection.execute_batch(PADDING).unwrap();
        let mut added = 0;
        for change in &self.changes {
            self.apply(change, &connection, &mut added);
        }
        connection
    }

    fn definition(&self) -> String {
        let mut columns: Vec<_> =
            self.types.iter().enumerate().map(|(at, declared)| format!("c{at} {declared}")).collect();
        columns.insert(self.id_at, format!("id {}", self.id.0));
        let (inside, after) = if self.id.1.starts_with(',') { (self.id.1, "") } else { ("", self.id.1) };
        format!("CREATE TABLE users ({}{inside}) {after};", columns.join(", "))
    }

    fn apply(&self, change: &Change, connection: &Connection, added: &mut usize) {
        match change {
            Change::Insert { first, step, copies, rows } => {
                let names: Vec<_> = (0..self.types.len()).map(|at| format!("c{at}")).collect();
                let places = vec!["?"; names.len() + 1].join(", ");
                let sql =
                    format!("INSERT OR REPLACE INTO users (id, {}) VALUES ({places})", names.join(", "));
                connection.execute_batch("BEGIN").unwrap();
                let mut statement = connection.prepare(&sql).unwrap();
                for (row, at) in rows.iter().cycle().take(rows.len() * copies).zip(0..) {
                    let Some(id) = step.checked_mul(at).and_then(|offset| first.checked_add(offset)) else {
                        break;
                    };
                    let cells = std::iter::once(Value::Integer(id)).chain(row.iter().cloned());
                    statement.execute(rusqlite::params_from_iter(cells)).unwrap();
                }
                connection.execute_batch("COMMIT").unwrap();
            }
            Change::Delete { every, rest } => {
                connection.execute("DELETE FROM users WHERE id % ?1 = ?2", (every, rest)).unwrap();
            }
            Change::Update { every, text } => {
                let sql = "UPDATE users SET c0 = ?1 WHERE id % ?2 = 0";
                connection.execute(sql, (text, every)).unwrap();
            }
            Change::AddColumn(declared) => {
                let sql = format!("ALTER TABLE users ADD COLUMN added{added} {declared}");
                connection.execute_batch(&sql).unwrap();
                *added += 1;
            }
            Change::DropColumn if *added == 0 => {}
            Change::DropColumn => {
                *added -= 1;
                connection.execute_batch(&format!("ALTER TABLE users DROP COLUMN added{added}")).unwrap();
            }
            Change::Vacuum => connection.execute_batch("VACUUM").unwrap(),
            Change::Checkpoint => {
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())).unwrap();
            }
        }
    }

    /// All columns that are to be exported: some of those it began with, and those that were added and are still there.
    fn columns(&self, connection: &Connection) -> Vec<String> {
        let mut columns: Vec<_> = self.shown.iter().map(|at| format!("c{at}")).collect();
        columns.insert(self.id_at.min(columns.len()), "id".to_owned());
        let mut added = connection
            .prepare("SELECT name FROM pragma_table_xinfo('users') WHERE name GLOB 'added*'")
            .unwrap();
        columns.extend(added.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap));
        columns.truncate(63);
        columns
    }
}

pub(crate) type Rows = Vec<Vec<Vec<u8>>>;

/// The cells of these columns as SQLite reads them, in the order of the ids.
pub(crate) fn as_sqlite_reads(connection: &Connection, columns: &[String]) -> rusqlite::Result<Rows> {
    let sql = format!("SELECT {} FROM users ORDER BY id", columns.join(", "));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(())?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..columns.len()).map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Vec::new(),
                ValueRef::Integer(integer) => integer.to_string().into_bytes(),
                ValueRef::Real(real) => format!("{real:?}").into_bytes(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
            })
        });
        read.push(cells.collect::<rusqlite::Result<_>>()?);
    }
    Ok(read)
}

fn configure(site: &Site, parallelism: u8, columns: &[String]) {
    let further: String =
        columns.iter().filter(|name| *name != "id").map(|name| format!("{name} = \"{name}\"\n")).collect();
    site.configure(&format!(
        "[source]\nparallelism = {parallelism}\n[source.columns]\n{further}[exports.all]\ncolumns = {columns:?}\n"
    ));
}

/// What an export with so many threads gives, or what it says.
pub(crate) fn exported(site: &Site, parallelism: u8, columns: &[String]) -> Result<Rows, String> {
    configure(site, parallelism, columns);
    let finished = site.run(&["export", "all", "--sanitize=false"]);
    for word in ["panicked", "died"] {
        assert!(!finished.stderr.contains(word), "{}", finished.stderr);
    }
    if finished.code != Some(0) {
        return Err(finished.stderr);
    }
    let mut records = csv_records(&finished.stdout).into_iter();
    assert_eq!(records.next().unwrap(), columns);
    Ok(records.map(|record| record.into_iter().map(String::into_bytes).collect()).collect())
}

fn assert_as_sqlite_reads(site: &Site, connection: &Connection, columns: &[String]) {
    let expected = as_sqlite_reads(connection, columns).unwrap();
    for parallelism in [1, 4] {
        let exported = exported(site, parallelism, columns).unwrap();
        assert_eq!(exported.len(), expected.len(), "{parallelism}");
        let different = exported.iter().zip(&expected).find(|(ours, theirs)| ours != theirs);
        assert_eq!(different, None, "{parallelism}");
    }
}

pub(crate) fn run<T: std::fmt::Debug>(cases: u32, strategy: &impl Strategy<Value = T>, test: impl Fn(&T)) {
    let config =
        Config { cases: tries(cases), failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let outcome = TestRunner::new(config).run(strategy, |value| {
        test(&value);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn any_table_is_exported_as_sqlite_reads_it() {
    run(120, &table(), |table| {
        let site = Site::bare(Db::Sqlite);
        let connection = table.make(&site);
        assert_as_sqlite_reads(&site, &connection, &table.columns(&connection));
    });
}

/// Records of every size around that which a page has room for, and cells that end wherever the page does.
#[test]
fn a_record_goes_on_elsewhere_at_any_byte() {
    let site = Site::bare(Db::Sqlite);
    let connection = site.sqlite();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = 512; {PADDING}
             CREATE TABLE users (id INTEGER PRIMARY KEY, c0 TEXT, c1 BLOB);
             INSERT INTO users (c0) SELECT i FROM {small};
             INSERT INTO users (c0, c1) SELECT substr(hex(zeroblob(300)), 1, i % 520) || 'x', zeroblob(i / 520 * 39) FROM {large}",
            small = site.db.series(1000),
            large = site.db.series(520 * 20),
        ))
        .unwrap();
    assert_as_sqlite_reads(&site, &connection, &["id".to_owned(), "c0".to_owned()]);
}
