//! Scans a SQLite file: one statement, one read transaction, on a thread of its own.

use super::query::{self, Dialect, Selection};
use super::{Id, IdKind, MAX_COLUMNS, RowSink, SourceError, TableName, parse_uuid};
use crate::encode::Value;
use crate::plan::{Column, Filter, Kind, Plan};
use crate::timestamp::Timestamp;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value as Bound, ValueRef};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// How long to wait for a writer that holds the whole file (rollback journal mode).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The page cache of a scan in page order: negative, in KiB (SQLite manual, `PRAGMA cache_size`).
const SEQUENTIAL_CACHE: i64 = -256;

/// A users table in a SQLite file.
#[derive(Clone)]
pub struct SqliteSource {
    path: PathBuf,
    table: TableName,
}

impl SqliteSource {
    pub(super) fn new(path: PathBuf, table: TableName) -> Self {
        Self { path, table }
    }

    pub(super) async fn scan<S: RowSink + 'static>(&self, plan: &Plan, sink: S) -> Result<S, SourceError> {
        let (source, plan) = (self.clone(), plan.clone());
        let (connection, query) = blocking(move || {
            let connection = source.open()?;
            let query = source.query(&connection, &plan)?;
            Ok((connection, query))
        })
        .await?;
        // Dropping this future must stop the thread even inside one long step of SQLite.
        let _stop = InterruptOnDrop(connection.get_interrupt_handle());
        let table = self.table.clone();
        blocking(move || push_rows(&connection, &query, &table, sink)).await
    }

    pub(super) async fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        let (source, plan) = (self.clone(), plan.clone());
        blocking(move || {
            let connection = source.open()?;
            let query = source.query(&connection, &plan)?;
            connection.prepare(&query.sql).map_err(|error| mismatch(&error))?;
            Ok(())
        })
        .await
    }

    pub(super) async fn estimate_rows(&self) -> Option<u64> {
        let source = self.clone();
        let count = blocking(move || {
            let sql = format!("SELECT count(*) FROM {}", source.table.quoted());
            source.open()?.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_err(|error| failed(&error))
        });
        count.await.ok().map(i64::unsigned_abs)
    }

    fn open(&self) -> Result<Connection, SourceError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&self.path, flags).map_err(|error| unreadable(&error))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| unreadable(&error))?;
        connection.pragma_update(None, "query_only", true).map_err(|error| unreadable(&error))?;
        add_micros_function(&connection, self.table.to_string()).map_err(|error| unreadable(&error))?;
        Ok(connection)
    }

    fn query(&self, connection: &Connection, plan: &Plan) -> Result<Query, SourceError> {
        let declared = self.declared_types(connection)?;
        let declared_type = |column: Column| {
            declared
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(column.name()))
                .map(|(_, declared)| declared.as_str())
        };
        for column in query::touched(plan) {
            if declared_type(column).is_none() {
                let problem = format!("table {} has no column {}", self.table, column.name());
                return Err(SourceError::Mismatch(problem));
            }
        }
        let ids = self.ids(connection, declared_type(Column::Id).unwrap_or_default())?;
        if ids.kind == IdKind::Integer {
            // In the order of its pages a table is read once: what stays in the processor's cache is faster.
            connection
                .pragma_update(None, "cache_size", SEQUENTIAL_CACHE)
                .map_err(|error| unreadable(&error))?;
        }
        let selection = Selection::of(plan);
        let mut dialect = SqliteDialect { ids, bound: Vec::new() };
        let sql = query::select(plan, &selection, &self.table, &mut dialect)?;
        Ok(Query { sql, bound: dialect.bound, selection, id_kind: ids.kind })
    }

    /// Names and declared types of the table's columns.
    fn declared_types(&self, connection: &Connection) -> Result<Vec<(String, String)>, SourceError> {
        let mut statement = connection
            .prepare("SELECT name, type FROM pragma_table_info(?1)")
            .map_err(|error| unreadable(&error))?;
        let columns = statement
            .query_map([self.table.name()], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&error))?;
        if columns.is_empty() {
            let problem = format!("there is no table {} in {}", self.table, self.path.display());
            return Err(SourceError::Mismatch(problem));
        }
        Ok(columns)
    }

    /// What the ids are, from the declared type and, where that says little, from the first row.
    fn ids(&self, connection: &Connection, declared: &str) -> Result<Ids, SourceError> {
        let declared = declared.to_ascii_uppercase();
        let sql = format!(
            "SELECT typeof({id}), length({id}) FROM {table} ORDER BY {id} LIMIT 1",
            id = query::column(Column::Id),
            table = self.table.quoted()
        );
        let first: Option<(String, Option<i64>)> =
            match connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))) {
                Ok(first) => Some(first),
                Err(rusqlite::Error::QueryReturnedNoRows) => None,
                Err(error) => return Err(mismatch(&error)),
            };
        let (stored, length) = first.unwrap_or_default();
        let is_uuid = declared.contains("UUID") || declared == "CHAR(32)" || stored == "blob";
        let kind = match stored.as_str() {
            _ if declared.contains("INT") => IdKind::Integer,
            _ if is_uuid => IdKind::Uuid,
            "integer" => IdKind::Integer,
            _ => IdKind::Text,
        };
        let uuid_form = match (stored.as_str(), length) {
            ("blob", _) => UuidForm::Bytes,
            (_, Some(32)) => UuidForm::Plain,
            _ => UuidForm::Hyphenated,
        };
        Ok(Ids { kind, uuid_form })
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SourceError::Failed(format!("the scanning thread died: {error}"))),
    }
}

struct InterruptOnDrop(InterruptHandle);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

struct Query {
    sql: String,
    bound: Vec<Bound>,
    selection: Selection,
    id_kind: IdKind,
}

fn push_rows<S: RowSink>(
    connection: &Connection,
    query: &Query,
    table: &TableName,
    mut sink: S,
) -> Result<S, SourceError> {
    let runtime = Handle::current();
    let mut statement = connection.prepare(&query.sql).map_err(|error| mismatch(&error))?;
    let mut rows =
        statement.query(rusqlite::params_from_iter(&query.bound)).map_err(|error| failed(&error))?;
    let columns = query.selection.columns();
    let shown = query.selection.shown();
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        let mut values = [Value::Null; MAX_COLUMNS];
        for (at, column) in columns.iter().enumerate() {
            let cell = row.get_ref(at).map_err(|error| failed(&error))?;
            decode(column.kind(), query.id_kind, cell, &mut values[at]).map_err(|expected| {
                SourceError::Value {
                    table: table.to_string(),
                    column: column.name(),
                    id: row.get_ref(query.selection.id_at()).map_or_else(|_| "?".to_owned(), shown_id),
                    problem: misfit(cell, expected),
                }
            })?;
        }
        sink.row(&values[..shown]);
        if sink.is_full() {
            runtime.block_on(sink.flush())?;
        }
    }
    Ok(sink)
}

/// Reads a cell as the column's kind wants it, or says what was expected. SQLite lets any value stand in any column.
///
/// The value is written in place: returned, it would be copied twice a cell, which is measurable.
fn decode<'a>(
    kind: Kind,
    id_kind: IdKind,
    cell: ValueRef<'a>,
    value: &mut Value<'a>,
) -> Result<(), &'static str> {
    *value = match (kind, cell) {
        (Kind::Id, ValueRef::Null) => return Err("an id"),
        (_, ValueRef::Null) => Value::Null,
        (Kind::Id, ValueRef::Integer(int)) if id_kind == IdKind::Integer => Value::Int(int),
        (Kind::Id, _) if id_kind == IdKind::Integer => return Err("an integer id"),
        (Kind::Id, ValueRef::Text(bytes) | ValueRef::Blob(bytes)) if id_kind == IdKind::Uuid => {
            let sixteen = <[u8; 16]>::try_from(bytes).ok();
            Value::Uuid(sixteen.or_else(|| parse_uuid(bytes)).ok_or("a UUID")?)
        }
        (Kind::Id, _) if id_kind == IdKind::Uuid => return Err("a UUID"),
        (Kind::Id | Kind::Text, ValueRef::Integer(int)) => Value::Int(int),
        (Kind::Id | Kind::Text, ValueRef::Text(bytes)) => Value::text(bytes).ok_or("valid UTF-8")?,
        (Kind::Id | Kind::Text, _) => return Err("text"),
        (Kind::Bool, ValueRef::Integer(int @ (0 | 1))) => Value::Bool(int == 1),
        (Kind::Bool, _) => return Err("a boolean (0 or 1)"),
        (Kind::Timestamp, ValueRef::Text(text)) if Timestamp::is_printed_form(text) => {
            Value::PrintedTimestamp(text)
        }
        (Kind::Timestamp, cell) => Value::Timestamp(timestamp(cell).ok_or(EXPECTED_TIME)?),
    };
    Ok(())
}

const EXPECTED_TIME: &str = "a time (ISO 8601 text, or integer seconds since 1970)";

/// Text as [`Timestamp::parse_database_text`] reads it, or integer seconds since the epoch.
fn timestamp(cell: ValueRef<'_>) -> Option<Timestamp> {
    match cell {
        ValueRef::Text(text) => Timestamp::parse_database_text(text),
        ValueRef::Integer(seconds) => Timestamp::from_seconds(seconds),
        _ => None,
    }
}

fn misfit(cell: ValueRef<'_>, expected: &str) -> String {
    format!("{} is not {expected}", described(cell))
}

/// What a cell is, without what it says: error texts carry no user data.
fn described(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(_) => "this integer".to_owned(),
        ValueRef::Real(_) => "this floating point number".to_owned(),
        ValueRef::Text(text) => format!("this text of {} bytes", text.len()),
        ValueRef::Blob(blob) => format!("this blob of {} bytes", blob.len()),
    }
}

fn shown_id(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Integer(id) => id.to_string(),
        ValueRef::Text(id) => String::from_utf8_lossy(id).escape_debug().to_string(),
        ValueRef::Blob(id) => crate::hex(id),
        _ => "?".to_owned(),
    }
}

const MICROS_FUNCTION: &str = "headcount_micros";

/// Adds `headcount_micros(cell, column, id)`: the time in a cell in microseconds, read exactly as the export reads it,
/// so that a filter and a cell never disagree about what a text means.
fn add_micros_function(connection: &Connection, table: String) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(MICROS_FUNCTION, 3, flags, move |context| match context.get_raw(0) {
        ValueRef::Null => Ok(None),
        cell => timestamp(cell).map(|time| Some(time.micros())).ok_or_else(|| {
            let column: String = context.get(1).unwrap_or_default();
            let id = shown_id(context.get_raw(2));
            let problem = misfit(cell, EXPECTED_TIME);
            let text = format!("table {table}, column {column}, id {id}: {problem}");
            rusqlite::Error::UserFunctionError(text.into())
        }),
    })
}

#[derive(Clone, Copy)]
struct Ids {
    kind: IdKind,
    uuid_form: UuidForm,
}

/// How a table stores its UUIDs.
#[derive(Clone, Copy)]
enum UuidForm {
    Bytes,
    Plain,
    Hyphenated,
}

struct SqliteDialect {
    ids: Ids,
    bound: Vec<Bound>,
}

impl SqliteDialect {
    fn bind(&mut self, value: Bound) -> String {
        self.bound.push(value);
        format!("?{}", self.bound.len())
    }

    fn micros(column: Column) -> String {
        format!(
            "{MICROS_FUNCTION}({}, '{}', {})",
            query::column(column),
            column.name(),
            query::column(Column::Id)
        )
    }
}

impl Dialect for SqliteDialect {
    fn select(&self, column: Column) -> String {
        query::column(column)
    }

    fn condition(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Email(email) => {
                let (column, value) = (query::column(Column::Email), self.bind(Bound::Text(email.clone())));
                // The first comparison can use an index whatever its collation, the second makes it exact.
                format!("{column} = {value} AND {column} = {value} COLLATE BINARY")
            }
            Filter::AtOrAfter(column, time) => {
                format!("{} >= {}", Self::micros(*column), self.bind(Bound::Integer(time.micros())))
            }
            Filter::Before(column, time) => {
                format!("{} < {}", Self::micros(*column), self.bind(Bound::Integer(time.micros())))
            }
            Filter::Is(column, value) => {
                format!("{} = {}", query::column(*column), self.bind(Bound::Integer(i64::from(*value))))
            }
        }
    }

    fn after(&mut self, after: &str) -> Result<String, SourceError> {
        let value = match self.ids.kind.parse(after)? {
            Id::Integer(id) => Bound::Integer(id),
            Id::Text(id) => Bound::Text(id),
            Id::Uuid(uuid) => match self.ids.uuid_form {
                UuidForm::Bytes => Bound::Blob(uuid.to_vec()),
                UuidForm::Plain => Bound::Text(crate::hex(&uuid)),
                UuidForm::Hyphenated => Bound::Text(hyphenated(&uuid)),
            },
        };
        Ok(format!("{} > {}", query::column(Column::Id), self.bind(value)))
    }
}

fn hyphenated(uuid: &[u8; 16]) -> String {
    let hex = crate::hex(uuid);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn unreadable(error: &rusqlite::Error) -> SourceError {
    let hint = match error.sqlite_error_code() {
        // Readers of a file in WAL mode share an index beside it (SQLite manual, "Write-Ahead Logging", section 5).
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            "; the file must exist, and in WAL mode this user must be able to write its -shm file and directory"
        }
        _ => "",
    };
    SourceError::Unreachable(format!("{error}{hint}"))
}

fn mismatch(error: &rusqlite::Error) -> SourceError {
    SourceError::Mismatch(error.to_string())
}

fn failed(error: &rusqlite::Error) -> SourceError {
    SourceError::Failed(error.to_string())
}
