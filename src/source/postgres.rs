//! Scans a PostgreSQL table: one binary `COPY … TO STDOUT` in a read-only transaction on a connection of its own.

mod copy;

use super::query::{self, Dialect, Selection};
use super::tls;
use super::{Id, IdKind, MAX_COLUMNS, RowSink, SourceError, TableName};
use crate::encode::Value;
use crate::plan::{Column, Filter, Kind, Plan};
use copy::{CopyReader, Wire};
use futures_util::StreamExt;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Used where the URL sets no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A users table or view in a PostgreSQL database.
pub struct PostgresSource {
    config: Config,
    tls: MakeRustlsConnect,
    table: TableName,
}

impl PostgresSource {
    pub(super) fn new(url: &str, table: TableName) -> Result<Self, String> {
        let (mut config, tls) = tls::connector(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("headcount");
        }
        Ok(Self { config, tls, table })
    }

    pub(super) async fn scan<S: RowSink>(&self, plan: &Plan, mut sink: S) -> Result<S, SourceError> {
        let session = self.connect().await?;
        let query = self.prepare(&session.client, plan).await?;
        let copy = format!("COPY ({}) TO STDOUT (FORMAT binary)", query.sql);
        let stream = session.client.copy_out(&copy).await.map_err(|error| mismatch(&error))?;
        let mut stream = pin!(stream);
        let mut reader = CopyReader::default();
        while let Some(message) = stream.next().await {
            let message = message.map_err(|error| SourceError::Failed(error_text(&error)))?;
            let mut rest = reader.start_of(&message).map_err(SourceError::Failed)?;
            while !rest.is_empty() {
                let mut values = [Value::Null; MAX_COLUMNS];
                let row = reader
                    .row(&mut rest, &query.wires, &mut values)
                    .map_err(|problem| self.value_error(&query, &values, problem))?;
                if row && matches!(values[query.selection.id_at()], Value::Null) {
                    let misfit = (query.selection.id_at(), "NULL is not an id".to_owned());
                    return Err(self.value_error(&query, &values, misfit));
                }
                if row {
                    sink.row(&values[..query.selection.shown()]);
                }
            }
            if sink.is_full() {
                sink.flush().await?;
            }
        }
        reader.finish().map_err(SourceError::Failed)?;
        session.finish();
        Ok(sink)
    }

    pub(super) async fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        let session = self.connect().await?;
        let query = self.prepare(&session.client, plan).await?;
        // Parsing the statement checks names and privileges; nothing is run.
        let explain = format!("EXPLAIN {}", query.sql);
        session.client.simple_query(&explain).await.map_err(|error| mismatch(&error))?;
        session.finish();
        Ok(())
    }

    pub(super) async fn estimate_rows(&self) -> Option<u64> {
        let session = self.connect().await.ok()?;
        let sql = "SELECT reltuples::float8 FROM pg_catalog.pg_class WHERE oid = to_regclass($1)";
        let row = session.client.query_opt(sql, &[&self.table.quoted()]).await.ok()??;
        session.finish();
        // -1 means that the table was never analysed; a view has 0.
        let rows: f64 = row.get(0);
        (rows > 0.0).then_some(rows as u64)
    }

    /// Connects and opens the transaction that every statement of an export runs in: one snapshot, no writing.
    async fn connect(&self) -> Result<Session, SourceError> {
        let unreachable = |error: tokio_postgres::Error| SourceError::Unreachable(error_text(&error));
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(unreachable)?;
        let connection = tokio::spawn(async move {
            // Its error reaches whoever uses the client.
            let _ = connection.await;
        });
        let session = Session { cancel: Some((client.cancel_token(), self.tls.clone())), client, connection };
        // With row security off, a policy that would hide users makes the statement fail instead of leaving them out.
        let begin =
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off";
        session.client.batch_execute(begin).await.map_err(unreachable)?;
        Ok(session)
    }

    /// Turns the plan into SQL for the table as it is now, and hands the request's values to the session.
    async fn prepare(&self, client: &Client, plan: &Plan) -> Result<Query, SourceError> {
        let touched = query::touched(plan);
        let types = self.column_types(client, &touched).await?;
        let selection = Selection::of(plan);
        let mut dialect = PostgresDialect { types: &types, settings: Vec::new() };
        let sql = query::select(plan, &selection, &self.table, &mut dialect)?;
        for (name, value) in dialect.settings {
            let set = "SELECT set_config($1, $2, true)";
            client.execute(set, &[&name, &value]).await.map_err(|error| mismatch(&error))?;
        }
        let wires = selection.columns().iter().map(|column| types.of(*column).wire()).collect();
        Ok(Query { sql, selection, wires })
    }

    async fn column_types(&self, client: &Client, touched: &[Column]) -> Result<ColumnTypes, SourceError> {
        // A domain is read as the type it stands on.
        let sql = "SELECT a.attname::text, coalesce(b.typname, t.typname)::text, t.typtype = 'e' \
                   FROM pg_catalog.pg_attribute a \
                   JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                   LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
                   WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
        let rows = client.query(sql, &[&self.table.quoted()]).await.map_err(|error| mismatch(&error))?;
        if rows.is_empty() {
            let problem = format!("there is no table {}, or the role may not see it", self.table);
            return Err(SourceError::Mismatch(problem));
        }
        let mut types = ColumnTypes(Vec::new());
        for column in touched {
            let Some(row) = rows.iter().find(|row| row.get::<_, &str>(0) == column.name()) else {
                let problem = format!("table {} has no column {}", self.table, column.name());
                return Err(SourceError::Mismatch(problem));
            };
            let (name, is_enum) = (row.get(1), row.get(2));
            let column_type = ColumnType::of(*column, name, is_enum).ok_or_else(|| {
                SourceError::Mismatch(format!(
                    "table {}, column {}: type {name} cannot be exported as {}",
                    self.table,
                    column.name(),
                    expected(*column)
                ))
            })?;
            types.0.push((*column, column_type));
        }
        Ok(types)
    }

    fn value_error(
        &self,
        query: &Query,
        values: &[Value<'_>],
        (at, problem): (usize, String),
    ) -> SourceError {
        let id_at = query.selection.id_at();
        SourceError::Value {
            table: self.table.to_string(),
            column: query.selection.columns().get(at).map_or("?", |column| column.name()),
            id: match values.get(id_at) {
                Some(Value::Int(id)) => id.to_string(),
                Some(Value::Text(id)) => String::from_utf8_lossy(id).escape_debug().to_string(),
                Some(Value::Uuid(id)) => crate::hex(id),
                _ => "?".to_owned(),
            },
            problem,
        }
    }
}

struct Query {
    sql: String,
    selection: Selection,
    wires: Vec<Wire>,
}

/// A connection in its transaction. Dropped before [`Session::finish`], it asks the server to stop what it is doing,
/// because a server in a long sort would not notice a closed socket for a while.
struct Session {
    client: Client,
    connection: JoinHandle<()>,
    cancel: Option<(CancelToken, MakeRustlsConnect)>,
}

impl Session {
    fn finish(mut self) {
        self.cancel = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((token, tls)) = self.cancel.take() else {
            return; // The connection task ends by itself, after saying goodbye to the server.
        };
        self.connection.abort();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = token.cancel_query(tls).await;
            });
        }
    }
}

/// How a column is stored, as far as it matters for SQL and for reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnType {
    Bool,
    /// 0 or 1.
    BoolInt,
    Int,
    Uuid,
    /// Text, or a type that is cast to it.
    Text,
    /// `citext`: compares without case.
    CaseInsensitiveText,
    TimestampTz,
    Timestamp,
    Date,
    /// Integer seconds since 1970.
    EpochSeconds,
}

impl ColumnType {
    fn of(column: Column, name: &str, is_enum: bool) -> Option<Self> {
        Some(match (column.kind(), name) {
            (Kind::Id, "int2" | "int4" | "int8") => Self::Int,
            (Kind::Id, "uuid") => Self::Uuid,
            (Kind::Id | Kind::Text, "citext") => Self::CaseInsensitiveText,
            (Kind::Id | Kind::Text, "text" | "varchar" | "bpchar" | "name") => Self::Text,
            (Kind::Text, "uuid" | "int2" | "int4" | "int8") => Self::Text,
            (Kind::Id | Kind::Text, _) if is_enum => Self::Text,
            (Kind::Timestamp, "timestamptz") => Self::TimestampTz,
            (Kind::Timestamp, "timestamp") => Self::Timestamp,
            (Kind::Timestamp, "date") => Self::Date,
            (Kind::Timestamp, "int4" | "int8") => Self::EpochSeconds,
            (Kind::Bool, "bool") => Self::Bool,
            (Kind::Bool, "int2" | "int4" | "int8") => Self::BoolInt,
            _ => return None,
        })
    }

    fn wire(self) -> Wire {
        match self {
            Self::Bool => Wire::Bool,
            Self::BoolInt => Wire::BoolInt,
            Self::Int => Wire::Int,
            Self::Uuid => Wire::Uuid,
            Self::Text | Self::CaseInsensitiveText => Wire::Text,
            Self::TimestampTz | Self::Timestamp => Wire::Timestamp,
            Self::Date => Wire::Date,
            Self::EpochSeconds => Wire::EpochSeconds,
        }
    }
}

fn expected(column: Column) -> &'static str {
    match column.kind() {
        Kind::Id => "an id (integer, uuid or text)",
        Kind::Text => "text",
        Kind::Timestamp => "a time (timestamptz, timestamp, date or integer seconds since 1970)",
        Kind::Bool => "a boolean (boolean, or integer 0 and 1)",
    }
}

/// The types of the columns that a plan touches.
struct ColumnTypes(Vec<(Column, ColumnType)>);

impl ColumnTypes {
    fn of(&self, column: Column) -> ColumnType {
        let known = self.0.iter().find(|(known, _)| *known == column);
        known.map_or(ColumnType::Text, |(_, column_type)| *column_type)
    }
}

/// `COPY` takes no parameters, so the request's values become settings of the transaction, which the statement reads
/// by name: none of them is ever part of SQL.
struct PostgresDialect<'a> {
    types: &'a ColumnTypes,
    settings: Vec<(String, String)>,
}

impl PostgresDialect<'_> {
    fn setting(&mut self, value: String) -> String {
        let name = format!("headcount.value{}", self.settings.len());
        let sql = format!("current_setting('{name}')");
        self.settings.push((name, value));
        sql
    }

    fn compare_time(&mut self, column: Column, operator: &str, time: crate::timestamp::Timestamp) -> String {
        let name = query::column(column);
        match self.types.of(column) {
            ColumnType::EpochSeconds => {
                let seconds = self.setting(time.seconds_rounded_up().to_string());
                format!("{name} {operator} {seconds}::bigint")
            }
            ColumnType::TimestampTz => {
                let time = self.setting(time.to_string());
                format!("{name} {operator} {time}::timestamptz")
            }
            _ => {
                let time = self.setting(time.to_string());
                format!("{name} {operator} ({time}::timestamptz AT TIME ZONE 'UTC')")
            }
        }
    }
}

impl Dialect for PostgresDialect<'_> {
    fn select(&self, column: Column) -> String {
        let name = query::column(column);
        match self.types.of(column) {
            ColumnType::Text | ColumnType::CaseInsensitiveText => format!("{name}::text"),
            _ => name,
        }
    }

    fn condition(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Email(email) => {
                let (column, value) = (query::column(Column::Email), self.setting(email.clone()));
                match self.types.of(Column::Email) {
                    // The first comparison can use the index, the second makes it exact.
                    ColumnType::CaseInsensitiveText => {
                        format!("{column} = {value}::citext AND {column}::text = {value}")
                    }
                    _ => format!("{column} = {value}"),
                }
            }
            Filter::AtOrAfter(column, time) => self.compare_time(*column, ">=", *time),
            Filter::Before(column, time) => self.compare_time(*column, "<", *time),
            Filter::Is(column, value) => match self.types.of(*column) {
                ColumnType::BoolInt => format!("{} = {}", query::column(*column), i32::from(*value)),
                _ => format!("{} = {value}", query::column(*column)),
            },
        }
    }

    fn after(&mut self, after: &str) -> Result<String, SourceError> {
        let column = query::column(Column::Id);
        let (id_kind, cast) = match self.types.of(Column::Id) {
            ColumnType::Int => (IdKind::Integer, "::bigint"),
            ColumnType::Uuid => (IdKind::Uuid, "::uuid"),
            ColumnType::CaseInsensitiveText => (IdKind::Text, "::citext"),
            _ => (IdKind::Text, ""),
        };
        let value = match id_kind.parse(after)? {
            Id::Integer(id) => id.to_string(),
            Id::Uuid(id) => crate::hex(&id),
            Id::Text(id) => id,
        };
        Ok(format!("{column} > {}{cast}", self.setting(value)))
    }
}

/// An error before the first row: of the statement if the server answered, else of the connection.
fn mismatch(error: &tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(_) => SourceError::Mismatch(error_text(error)),
        None => SourceError::Unreachable(error_text(error)),
    }
}

/// The server's message and code, or the driver's with its cause. The server's `DETAIL` is left out: it can quote data.
fn error_text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
