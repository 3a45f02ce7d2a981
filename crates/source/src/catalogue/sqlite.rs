//! The catalogue of a SQLite file, from its table-valued pragmas (SQLite manual, "PRAGMA functions").

use super::{Catalogue, Column, ColumnKind, Database, Reference, Row, TIMEOUT, Table};
use crate::sqlite::{error_text, open_read_only, unreadable_text};
use crate::{SourceError, TableName, quote};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

// Virtual tables and the shadow tables behind them hold indexes, not users.
const TABLES: &str = "\
SELECT name, type = 'view', wr FROM pragma_table_list
WHERE schema = 'main' AND type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY name";

// Hidden are 1 (of a virtual table), 2 and 3 (generated, which can be selected).
const COLUMNS: &str =
    "SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_xinfo(?1) WHERE hidden <> 1";

// A key that does not say to what leads to the primary key.
const REFERENCES: &str = "\
SELECT \"from\", \"table\", \"to\", count(*) FROM pragma_foreign_key_list(?1) GROUP BY id ORDER BY id";

const INDEXED: &str = "\
SELECT i.name, l.\"unique\" AND (SELECT count(*) FROM pragma_index_info(l.name)) = 1
FROM pragma_index_list(?1) l JOIN pragma_index_info(l.name) i
WHERE NOT l.partial AND i.seqno = 0 AND i.name IS NOT NULL";

pub(super) async fn read(path: PathBuf) -> Result<Catalogue, SourceError> {
    blocking(path, |connection| {
        let tables = tables(connection)?;
        Ok(Catalogue { database: Database::Sqlite, name: None, time_zone: None, tables })
    })
    .await
}

pub(super) async fn sample(path: PathBuf, sql: String) -> Result<Vec<Row>, SourceError> {
    blocking(path, move |connection| {
        let mut statement = connection.prepare(&sql)?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        let mut sample = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = (0..width).map(|at| row.get_ref(at).map(shown));
            sample.push(cells.collect::<Result<_, _>>()?);
        }
        Ok(sample)
    })
    .await
}

/// Opens the file for reading and works on it in a thread that may block, interrupted after [`TIMEOUT`].
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let connection = open(&path)?;
    let interrupt = connection.get_interrupt_handle();
    let task = tokio::task::spawn_blocking(move || work(&connection));
    let Ok(finished) = tokio::time::timeout(TIMEOUT, task).await else {
        interrupt.interrupt();
        return Err(SourceError::Failed(format!("no answer within {} s", TIMEOUT.as_secs())));
    };
    match finished {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(SourceError::Mismatch(error_text(&error))),
        Err(error) => Err(SourceError::Failed(format!("the reading thread died: {error}"))),
    }
}

fn open(path: &Path) -> Result<Connection, SourceError> {
    let unreadable = |error: rusqlite::Error| {
        SourceError::Unreachable(format!("{}: {}", path.display(), unreadable_text(&error)))
    };
    let connection = open_read_only(path).map_err(unreadable)?;
    // SQLite opens a file when it first reads it.
    connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()))
        .optional()
        .map_err(unreadable)?;
    Ok(connection)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let statistics = statistics(connection);
    let mut statement = connection.prepare(TABLES)?;
    let found = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<(String, bool, bool)>, _>>()?;
    let table = |(name, is_view, without_rowid): (String, bool, bool)| {
        let rows = match statistics.get(&name) {
            Some(rows) => Some(*rows),
            None if is_view || without_rowid => None,
            None => last_rowid(connection, &name),
        };
        Ok(Table {
            columns: match columns(connection, &name) {
                // A view over what is gone, or with text in double quotes, cannot be read; the tables can.
                Err(_) if is_view => Vec::new(),
                columns => columns?,
            },
            rows,
            referenced_by: 0,
            references: Vec::new(),
            has_row_security: false,
            is_found_by_name: true,
            is_view,
            name: TableName::new(None, name),
        })
    };
    let mut tables = found.into_iter().map(table).collect::<rusqlite::Result<Vec<_>>>()?;
    add_references(connection, &mut tables)?;
    Ok(tables)
}

/// Adds which table refers to which.
fn add_references(connection: &Connection, tables: &mut [Table]) -> rusqlite::Result<()> {
    let places: HashMap<String, usize> =
        tables.iter().enumerate().map(|(at, table)| (table.name.name().to_lowercase(), at)).collect();
    let mut statement = connection.prepare(REFERENCES)?;
    for from in 0..tables.len() {
        let keys = statement
            .query_map([tables[from].name.name()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<Vec<(String, String, Option<String>, i64)>, _>>()?;
        let mut referred = HashSet::new();
        for (column, table, to, columns) in keys {
            // A name of a table or a column may stand there in another case, or be nobody's.
            let Some(at) = places.get(&table.to_lowercase()).copied() else { continue };
            referred.insert(at);
            let is_meant = |column: &&Column| match &to {
                Some(to) => column.name.eq_ignore_ascii_case(to),
                None => column.in_primary_key,
            };
            let to = tables[at].columns.iter().find(is_meant).map(|column| column.name.clone());
            let own = tables[from].columns.iter().find(|own| own.name.eq_ignore_ascii_case(&column));
            let (Some(to), Some(own), 1) = (to, own, columns) else { continue };
            let reference = Reference { column: own.name.clone(), table: tables[at].name.clone(), to };
            tables[from].references.push(reference);
        }
        referred.remove(&from);
        referred.into_iter().for_each(|at| tables[at].referenced_by += 1);
    }
    Ok(())
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = connection.prepare(INDEXED)?;
    let indexed = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, bool)>, _>>()?;
    let mut statement = connection.prepare(COLUMNS)?;
    let mut columns = statement
        .query_map([table], |row| {
            let (name, type_name): (String, String) = (row.get(0)?, row.get(1)?);
            let place_in_key: i64 = row.get(3)?;
            let not_null: bool = row.get(2)?;
            let mut own = indexed.iter().filter(|(column, _)| *column == name).peekable();
            Ok(Column {
                kind: kind(&type_name),
                type_name,
                labels: Vec::new(),
                is_nullable: !not_null && place_in_key == 0,
                in_primary_key: place_in_key > 0,
                is_indexed: own.peek().is_some() || place_in_key == 1,
                is_unique: own.any(|(_, is_unique)| *is_unique),
                is_readable: true,
                default: row.get(4)?,
                name,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    // The rowid as a primary key has no index of its own.
    let mut key = columns.iter_mut().filter(|column| column.in_primary_key);
    if let (Some(only), None) = (key.next(), key.next()) {
        only.is_unique = true;
    }
    Ok(columns)
}

/// What `ANALYZE` has counted, if it ever ran: the first number of each entry is the rows.
fn statistics(connection: &Connection) -> HashMap<String, u64> {
    let read = || -> rusqlite::Result<HashMap<String, u64>> {
        let mut statement = connection.prepare("SELECT tbl, stat FROM sqlite_stat1")?;
        let entries = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let entries = entries.collect::<Result<Vec<(String, Option<String>)>, _>>()?;
        let rows = |stat: Option<String>| stat?.split(' ').next()?.parse().ok();
        Ok(entries.into_iter().filter_map(|(table, stat)| Some((table, rows(stat)?))).collect())
    };
    read().unwrap_or_default()
}

/// The greatest rowid, which is found without reading the table.
fn last_rowid(connection: &Connection, table: &str) -> Option<u64> {
    let sql = format!("SELECT max(rowid) FROM {}", quote(table));
    let last: Option<i64> = connection.query_row(&sql, [], |row| row.get(0)).ok()?;
    Some(last.unwrap_or(0).unsigned_abs())
}

/// What a declared type holds, close to how SQLite reads it (SQLite manual, "Datatypes", section 3.1).
fn kind(declared: &str) -> ColumnKind {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["BOOL"]) {
        ColumnKind::Bool
    } else if has(&["UUID", "GUID", "UNIQUEIDENTIFIER"]) {
        ColumnKind::Uuid
    } else if has(&["DATETIME", "TIMESTAMP"]) {
        ColumnKind::Timestamp
    } else if has(&["DATE"]) {
        ColumnKind::Date
    } else if has(&["INT"]) {
        ColumnKind::Integer
    } else if has(&["CHAR", "CLOB", "TEXT", "STRING"]) {
        ColumnKind::Text
    } else if has(&["REAL", "FLOA", "DOUB", "NUM", "DEC"]) {
        ColumnKind::Number
    } else {
        ColumnKind::Other
    }
}

/// A cell as text; bytes in hexadecimal.
fn shown(cell: ValueRef<'_>) -> Option<String> {
    match cell {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Some(headcount_model::text::hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_keys_and_statistics() {
        let connection = Connection::open_in_memory().expect("a database");
        let schema = "
            CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(100) NOT NULL UNIQUE, flag BOOLEAN, at DATETIME);
            CREATE TABLE links (a TEXT, b TEXT REFERENCES Users (id), PRIMARY KEY (a, b)) WITHOUT ROWID;
            CREATE VIEW people AS SELECT id, email FROM users;
            CREATE UNIQUE INDEX partial ON users (flag) WHERE flag;
            INSERT INTO users (id, email) VALUES (7, 'e')";
        connection.execute_batch(schema).expect("a schema");
        let tables = tables(&connection).expect("tables");
        let names: Vec<_> = tables.iter().map(|table| table.name.to_string()).collect();
        assert_eq!(names, ["links", "people", "users"]);
        let (links, people, users) = (&tables[0], &tables[1], &tables[2]);
        assert_eq!((users.rows, links.rows, people.rows), (Some(7), None, None));
        assert_eq!((users.referenced_by, people.is_view), (1, true));
        let reference = Reference { column: "b".to_owned(), table: users.name.clone(), to: "id".to_owned() };
        assert_eq!(links.references, [reference]);

        let of = |column: &Column| {
            (column.kind, column.is_nullable, column.in_primary_key, column.is_unique, column.is_indexed)
        };
        assert_eq!(of(&users.columns[0]), (ColumnKind::Integer, false, true, true, true));
        assert_eq!(of(&users.columns[1]), (ColumnKind::Text, false, false, true, true));
        assert_eq!(of(&users.columns[2]), (ColumnKind::Bool, true, false, false, false));
        assert_eq!(of(&users.columns[3]), (ColumnKind::Timestamp, true, false, false, false));
        assert_eq!(of(&links.columns[0]), (ColumnKind::Text, false, true, false, true));
        assert_eq!(of(&links.columns[1]), (ColumnKind::Text, false, true, false, false));
    }

    #[test]
    fn double_quotes_are_no_text_and_a_broken_view_is_no_obstacle() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let writer = Connection::open(file.path()).expect("a database");
        let schema = "
            CREATE TABLE users (id INTEGER PRIMARY KEY);
            CREATE VIEW quoted AS SELECT id, \"text\" AS kind FROM users;
            CREATE VIEW broken AS SELECT id FROM gone";
        writer.execute_batch(schema).expect("a schema");
        let connection = open(file.path()).expect("a connection");
        assert!(connection.prepare("SELECT \"misspelt\" FROM users").is_err());
        let tables = tables(&connection).expect("tables");
        let found: Vec<_> = tables.iter().map(|table| (table.name.name(), table.columns.len())).collect();
        assert_eq!(found, [("broken", 0), ("quoted", 0), ("users", 1)]);
    }
}
