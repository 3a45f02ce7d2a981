//! Scans a SQLite file in one read transaction, on a thread of its own: by a statement, or from the pages of the table.

mod declared;
mod decode;
mod dialect;
mod error;
mod explain;
mod file;
mod flags;
mod ids;
mod inspect;
mod layout;
mod leaves;
mod pages;
mod parts;
mod ranges;
mod record;
mod scan;
mod threads;
mod tree;
mod varying;

use super::query::{self, Selection, Statement};
use super::{IdKind, Mapping, ReaderPermits, RowSink, SourceError};
use declared::DeclaredColumn;
use dialect::{SqliteDialect, add_micros_function};
pub(super) use error::{error_text, unreadable_text};
use error::{failed, mismatch, unfit, unreadable};
use file::SourceFile;
pub(super) use file::open_read_only;
use headcount_model::plan::{Column, Kind, Plan};
use headcount_model::schema::Schema;
use ids::{Ids, UuidForm};
use leaves::push_table;
use rusqlite::types::Value as Bound;
use rusqlite::{Connection, InterruptHandle};
use scan::push_rows;
use std::path::PathBuf;
use std::sync::Arc;

/// The page cache of a scan in page order: negative, in KiB (SQLite manual, `PRAGMA cache_size`).
const SEQUENTIAL_CACHE: i64 = -256;

/// How often to try again when what is read changed while it was opened.
const ATTEMPTS: u32 = 20;

/// A users table in a SQLite file.
#[derive(Clone)]
pub(super) struct SqliteSource {
    path: PathBuf,
    mapping: Mapping,
    spare: ReaderPermits,
    is_immutable: bool,
}

/// A connection, and the file that it reads.
struct Opened {
    file: SourceFile,
    connection: Connection,
}

impl SqliteSource {
    pub(super) fn new(path: PathBuf, mapping: Mapping, spare: ReaderPermits) -> Self {
        Self { path, mapping, spare, is_immutable: false }
    }

    /// Reads the file as one that nobody writes: without locks, and without a write-ahead log.
    pub(super) fn set_immutable(&mut self) {
        self.is_immutable = true;
    }

    pub(super) async fn scan<S: RowSink + 'static>(
        &self,
        plan: &Plan,
        sink: impl FnOnce(&Schema) -> S + Send + 'static,
    ) -> Result<S, SourceError> {
        let source = self.clone();
        let opened = threads::run(move || source.connect()).await?;
        self.scan_on(opened, plan, |schema| Ok(sink(schema))).await
    }

    /// Scans on one thread alone.
    async fn scan_on<S: RowSink + 'static>(
        &self,
        opened: Opened,
        plan: &Plan,
        sink: impl FnOnce(&Schema) -> Result<S, SourceError> + Send + 'static,
    ) -> Result<S, SourceError> {
        let plan = plan.clone();
        self.reading_on(opened, move |source, connection| {
            let query = Arc::new(source.query(connection, &plan)?);
            let sink = sink(&query.schema)?;
            match source.layout(connection, &plan, &query)? {
                Some(layout) => {
                    read_in_page_order(connection)?;
                    push_table(connection, &query, &layout, sink)
                }
                None => push_rows(connection, &query, None, sink),
            }
        })
        .await
    }

    pub(super) async fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        let plan = plan.clone();
        self.reading(move |source, connection| {
            let query = source.query(connection, &plan)?;
            connection.prepare(&query.statement.rows()).map_err(|error| mismatch(&error))?;
            Ok(())
        })
        .await
    }

    /// Works on a connection in one read transaction, on a thread of its own; dropped, it stops the thread even inside one long
    /// step of SQLite.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &Connection) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let source = self.clone();
        let opened = threads::run(move || source.connect()).await?;
        self.reading_on(opened, work).await
    }

    async fn reading_on<T: Send + 'static>(
        &self,
        opened: Opened,
        work: impl FnOnce(&Self, &Connection) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let _stop = InterruptOnDrop(opened.connection.get_interrupt_handle());
        let source = self.clone();
        threads::run(move || {
            // What the table turns out to be is still so when its rows are read.
            opened.connection.execute_batch("BEGIN").map_err(|error| unreadable(&error))?;
            let done = work(&source, &opened.connection)?;
            opened.file.assert_immutable()?;
            Ok(done)
        })
        .await
    }

    /// Opens the file, and the write-ahead log that belongs to it.
    fn connect(&self) -> Result<Opened, SourceError> {
        for _ in 0..ATTEMPTS {
            let file = SourceFile::at(&self.path, self.is_immutable);
            let connection = self.open(&file)?;
            if file.is_in_place() {
                return Ok(Opened { file, connection });
            }
        }
        let path = self.path.display();
        Err(SourceError::Unreachable(format!("{path} is replaced again and again while it is opened")))
    }

    fn open(&self, file: &SourceFile) -> Result<Connection, SourceError> {
        let connection = file.open()?;
        add_micros_function(&connection, &self.mapping).map_err(|error| unreadable(&error))?;
        first_read(&connection).map_err(|error| unfit(&error))?;
        Ok(connection)
    }

    fn query(&self, connection: &Connection, plan: &Plan) -> Result<Query, SourceError> {
        let declared = Arc::new(self.declared_columns(connection)?);
        let of = |column: &Column| declared.iter().find(|known| known.is(self.mapping.own_column(column)));
        let declared_type = |column: &Column| of(column).map(|known| known.declared.to_ascii_uppercase());
        for column in query::referenced_columns(plan) {
            if self.mapping.own_column(&column).is_some() && of(&column).is_none() {
                let (table, column) = (&self.mapping.table, self.mapping.described(&column));
                return Err(SourceError::Mismatch(format!("table {table} has no {column}")));
            }
        }
        self.try_expressions(connection, plan)?;
        let ids = self.ids(connection, &declared_type(&Column::ID).unwrap_or_default())?;
        let is_varying = self.varying(connection, plan)?.is_some();
        let numeric = self.numeric_flags(connection, plan, declared_type)?;
        let lets_odd_addresses_pass = self.may_have_odd_addresses(connection, plan)?;
        self.with_flag_tests(connection, plan, &numeric, |tests| {
            let (mapping, numeric) = (&self.mapping, &numeric[..]);
            let bound = Vec::new();
            let mut dialect = SqliteDialect { mapping, ids, tests, lets_odd_addresses_pass, numeric, bound };
            let selection = Selection::of(plan, &dialect);
            let kind = |column: &Column| declared::kind(column, &declared_type(column).unwrap_or_default());
            let schema = Schema::of(plan, |column| declared::stored(column, of(column), ids.kind));
            let kinds = selection.columns().iter().map(kind).collect();
            let statement = Statement::of(plan, &selection, mapping, &mut dialect)?;
            let (bound, mapping) = (dialect.bound, mapping.clone());
            let declared = Arc::clone(&declared);
            Ok(Query { schema, declared, mapping, statement, bound, selection, kinds, ids, is_varying })
        })
    }

    /// Finds out, one by one, whether the expressions and the condition of the mapping are SQL: then what is wrong can be named.
    fn try_expressions(&self, connection: &Connection, plan: &Plan) -> Result<(), SourceError> {
        let table = self.mapping.table.quoted();
        let expressions = query::referenced_columns(plan)
            .into_iter()
            .filter(|column| self.mapping.own_column(column).is_none());
        let expressions = expressions.map(|column| {
            // In a condition, because there an aggregate, which would make one row of all, is an error.
            let sql = format!("SELECT 1 FROM {table} WHERE {} IS NULL", self.mapping.sql(&column));
            (self.mapping.described(&column), sql)
        });
        let conditions = self.mapping.conditions(plan).into_iter();
        let conditions = conditions.map(|(name, sql)| (name, format!("SELECT 1 FROM {table} WHERE {sql}")));
        for (what, sql) in expressions.chain(conditions) {
            let problem = match connection.prepare(&sql) {
                Ok(statement) if statement.parameter_count() == 0 => continue,
                Ok(_) => "a placeholder such as ? has nothing to stand for".to_owned(),
                Err(error) => error_text(&error),
            };
            return Err(SourceError::Mismatch(format!("table {}, {what}: {problem}", self.mapping.table)));
        }
        Ok(())
    }

    /// Whether the table is of this kind: `table`, and not a virtual one, or `view` (SQLite manual, "The Schema Table"). The pragma
    /// that knows it as well takes several times as long.
    fn is_a(&self, connection: &Connection, kind: &str) -> Result<bool, SourceError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema \
                   WHERE name = ?1 COLLATE NOCASE AND type = ?2 AND sql NOT LIKE 'CREATE VIRTUAL%')";
        let asked = (self.mapping.table.name(), kind);
        connection.query_row(sql, asked, |row| row.get(0)).map_err(|error| failed(&error))
    }

    /// What the ids are, from the declared type and, where that says little, from the first row.
    fn ids(&self, connection: &Connection, declared: &str) -> Result<Ids, SourceError> {
        if declared.contains("INT") {
            return Ok(Ids { kind: IdKind::Integer, uuid_form: UuidForm::Bytes });
        }
        let id = self.mapping.sql(&Column::ID);
        let condition = self.mapping.condition().map_or_else(String::new, |sql| format!(" AND {sql}"));
        let table = self.mapping.table.quoted();
        let sql = format!(
            "SELECT typeof({id}), length({id}), {id} GLOB '*[A-F]*' FROM {table} \
             WHERE {id} IS NOT NULL{condition} LIMIT 1"
        );
        let first: Option<(String, Option<i64>, bool)> =
            match connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))) {
                Ok(first) => Some(first),
                Err(rusqlite::Error::QueryReturnedNoRows) => None,
                Err(error) => return Err(mismatch(&error)),
            };
        let (stored, length, is_upper_case) = first.unwrap_or_default();
        let is_uuid = declared.contains("UUID") || declared == "CHAR(32)" || stored == "blob";
        let kind = match stored.as_str() {
            "text" if self.mapping.has_text_ids => IdKind::Text,
            _ if is_uuid => IdKind::Uuid,
            "integer" => IdKind::Integer,
            _ => IdKind::Text,
        };
        let uuid_form = match (stored.as_str(), length) {
            ("blob", _) => UuidForm::Bytes,
            (_, Some(32)) => UuidForm::Plain { is_upper_case },
            _ => UuidForm::Hyphenated { is_upper_case },
        };
        Ok(Ids { kind, uuid_form })
    }
}

/// The first read of a connection, at which SQLite opens what it has not opened yet.
fn first_read(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// In the order of its pages a table is read once: what stays in the processor's cache is faster.
fn read_in_page_order(connection: &Connection) -> Result<(), SourceError> {
    connection.pragma_update(None, "cache_size", SEQUENTIAL_CACHE).map_err(|error| failed(&error))
}

struct InterruptOnDrop(InterruptHandle);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

struct Query {
    /// What is shown.
    schema: Schema,
    /// All columns of the table, in its order.
    declared: Arc<Vec<DeclaredColumn>>,
    /// For error texts, and for what its times mean.
    mapping: Mapping,
    statement: Statement,
    bound: Vec<Bound>,
    selection: Selection,
    /// What each selected column is read as.
    kinds: Vec<Kind>,
    ids: Ids,
    /// Whether its expressions or its condition read the clock or the like.
    is_varying: bool,
}
