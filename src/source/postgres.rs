//! Scans a PostgreSQL table: one binary `COPY … TO STDOUT` in a read-only transaction on a connection of its own.

mod copy;

use super::query::{self, Dialect, Selection};
use super::tls;
use super::{FEW_CELLS, Id, IdKind, MANY_CELLS, Mapping, RowSink, SourceError};
use crate::encode::Value;
use crate::plan::{Column, Filter, Kind, Plan};
use crate::timestamp::Timestamp;
use copy::{CopyReader, Wire};
use futures_util::StreamExt;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Kind as TypeKind, Type};
use tokio_postgres::{CancelToken, Client, Config, CopyOutStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Used where the URL sets no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A users table or view in a PostgreSQL database.
pub struct PostgresSource {
    config: Config,
    tls: MakeRustlsConnect,
    mapping: Mapping,
}

impl PostgresSource {
    pub(super) fn new(url: &str, mapping: Mapping) -> Result<Self, String> {
        let (mut config, tls) = tls::connector(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("headcount");
        }
        Ok(Self { config, tls, mapping })
    }

    pub(super) async fn scan<S: RowSink>(&self, plan: &Plan, sink: S) -> Result<S, SourceError> {
        let session = self.connect().await?;
        let query = self.prepare(&session.client, plan).await?;
        let copy = format!("COPY ({}) TO STDOUT (FORMAT binary)", query.sql);
        let stream = session.client.copy_out(&copy).await.map_err(|error| mismatch(&error))?;
        let sink = if query.wires.len() <= FEW_CELLS {
            self.push_rows::<_, FEW_CELLS>(stream, &query, sink).await?
        } else {
            self.push_rows::<_, MANY_CELLS>(stream, &query, sink).await?
        };
        session.finish();
        Ok(sink)
    }

    async fn push_rows<S: RowSink, const CELLS: usize>(
        &self,
        stream: CopyOutStream,
        query: &Query,
        mut sink: S,
    ) -> Result<S, SourceError> {
        let mut stream = pin!(stream);
        let mut reader = CopyReader::new(self.mapping.timestamps);
        while let Some(message) = stream.next().await {
            let message = message.map_err(|error| SourceError::Failed(error_text(&error)))?;
            let mut rest = reader.start_of(&message).map_err(SourceError::Failed)?;
            while !rest.is_empty() {
                let mut values = [Value::Null; CELLS];
                let row = reader
                    .row(&mut rest, &query.wires, &mut values)
                    .map_err(|problem| self.value_error(query, &values, problem))?;
                if row && matches!(values[query.selection.id_at()], Value::Null) {
                    let misfit = (query.selection.id_at(), "NULL is not an id".to_owned());
                    return Err(self.value_error(query, &values, misfit));
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
        let row = session.client.query_opt(sql, &[&self.mapping.table.quoted()]).await.ok()??;
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
        // Times without a zone are UTC, in text too.
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                     SET LOCAL row_security = off; SET LOCAL TimeZone = 'UTC'";
        session.client.batch_execute(begin).await.map_err(unreachable)?;
        Ok(session)
    }

    /// Turns the plan into SQL for the table as it is now, and hands the request's values to the session.
    async fn prepare(&self, client: &Client, plan: &Plan) -> Result<Query, SourceError> {
        let touched = query::touched(plan);
        let types = self.column_types(client, &touched).await?;
        let selection = Selection::of(plan);
        let mut dialect = PostgresDialect { mapping: &self.mapping, types: &types, settings: Vec::new() };
        let sql = query::select(plan, &selection, &self.mapping, &mut dialect)?;
        for (name, value) in dialect.settings {
            let set = "SELECT set_config($1, $2, true)";
            client.execute(set, &[&name, &value]).await.map_err(|error| mismatch(&error))?;
        }
        let wires = selection.columns().iter().map(|column| types.of(column).wire()).collect();
        Ok(Query { sql, selection, wires })
    }

    /// Asks the server what the columns and expressions are; nothing is run.
    async fn column_types(&self, client: &Client, touched: &[Column]) -> Result<ColumnTypes, SourceError> {
        let selected: Vec<_> = touched.iter().map(|column| self.mapping.sql(column)).collect();
        let statement = match client.prepare(&self.probe(&selected.join(", "))).await {
            Ok(statement) => statement,
            Err(error) => return Err(self.blame(client, touched, &error).await),
        };
        let mut types = ColumnTypes(Vec::new());
        for (column, described) in touched.iter().zip(statement.columns()) {
            let column_type = ColumnType::of(column.kind(), described.type_()).ok_or_else(|| {
                SourceError::Mismatch(format!(
                    "table {}, {}: type {} cannot be exported as {}",
                    self.mapping.table,
                    self.mapping.described(column),
                    described.type_().name(),
                    expected(column)
                ))
            })?;
            types.0.push((column.clone(), column_type));
        }
        Ok(types)
    }

    fn probe(&self, selected: &str) -> String {
        let mut sql = format!("SELECT {selected} FROM {}", self.mapping.table.quoted());
        if let Some(filter) = &self.mapping.filter {
            sql.push_str(&format!(" WHERE ({filter})"));
        }
        sql
    }

    /// Which column or expression it is that the server does not understand.
    async fn blame(&self, client: &Client, touched: &[Column], error: &tokio_postgres::Error) -> SourceError {
        let table = &self.mapping.table;
        if error.as_db_error().is_none() {
            return SourceError::Unreachable(error_text(error));
        }
        if error.code() == Some(&SqlState::UNDEFINED_TABLE) {
            let problem = format!("there is no table {table}, or the role may not see it");
            return SourceError::Mismatch(problem);
        }
        // After an error a transaction answers nothing more.
        let _ = client.batch_execute("ROLLBACK").await;
        for column in touched {
            let Err(error) = client.prepare(&self.probe(&self.mapping.sql(column))).await else {
                continue;
            };
            let described = self.mapping.described(column);
            let is_own = self.mapping.own_column(column).is_some();
            return SourceError::Mismatch(match error.code() {
                Some(&SqlState::UNDEFINED_COLUMN) if is_own => format!("table {table} has no {described}"),
                _ => format!("table {table}, {described}: {}", error_text(&error)),
            });
        }
        mismatch(error)
    }

    fn value_error(
        &self,
        query: &Query,
        values: &[Value<'_>],
        (at, problem): (usize, String),
    ) -> SourceError {
        let id_at = query.selection.id_at();
        SourceError::Value {
            table: self.mapping.table.to_string(),
            column: query.selection.columns().get(at).map_or("?", Column::name).to_owned(),
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
    /// A number that is cast to text.
    Number,
    TimestampTz,
    Timestamp,
    Date,
    /// In the unit that the mapping says.
    Epoch,
    /// A time as text.
    TimeText,
}

impl ColumnType {
    /// `None` where the type does not fit the kind of the column, or cannot be exported at all.
    fn of(kind: Kind, column_type: &Type) -> Option<Self> {
        let is_enum = matches!(column_type.kind(), TypeKind::Enum(_));
        Some(match (kind, column_type.name()) {
            (Kind::Id | Kind::AsStored, "int2" | "int4" | "int8") => Self::Int,
            (Kind::Id | Kind::AsStored, "uuid") => Self::Uuid,
            (Kind::Id | Kind::Text, "citext") => Self::CaseInsensitiveText,
            (Kind::Id | Kind::Text, "text" | "varchar" | "bpchar" | "name") => Self::Text,
            (Kind::Text, "uuid" | "int2" | "int4" | "int8") => Self::Text,
            (Kind::Id | Kind::Text, _) if is_enum => Self::Text,
            (Kind::Timestamp | Kind::AsStored, "timestamptz") => Self::TimestampTz,
            (Kind::Timestamp | Kind::AsStored, "timestamp") => Self::Timestamp,
            (Kind::Timestamp, "date") => Self::Date,
            (Kind::Timestamp, "int4" | "int8") => Self::Epoch,
            (Kind::Timestamp, "text" | "varchar" | "bpchar") => Self::TimeText,
            (Kind::Bool | Kind::AsStored, "bool") => Self::Bool,
            (Kind::Bool, "int2" | "int4" | "int8") => Self::BoolInt,
            (Kind::AsStored, "numeric" | "float4" | "float8") => Self::Number,
            (Kind::AsStored, "bytea") => return None,
            // Every type has a text form; it is what people know from psql.
            (Kind::AsStored, _) => Self::Text,
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
            Self::Number => Wire::Number,
            Self::TimestampTz | Self::Timestamp => Wire::Timestamp,
            Self::Date => Wire::Date,
            Self::Epoch => Wire::Epoch,
            Self::TimeText => Wire::TimeText,
        }
    }
}

fn expected(column: &Column) -> &'static str {
    match column.kind() {
        Kind::Id => "an id (integer, uuid or text)",
        Kind::Text => "text",
        Kind::Timestamp => "a time (timestamptz, timestamp, date, text, or an integer since 1970)",
        Kind::Bool => "a boolean (boolean, or integer 0 and 1)",
        Kind::AsStored => "text; map an expression such as encode(…, 'hex')",
    }
}

/// The types of the columns that a plan touches.
struct ColumnTypes(Vec<(Column, ColumnType)>);

impl ColumnTypes {
    fn of(&self, column: &Column) -> ColumnType {
        let known = self.0.iter().find(|(known, _)| known == column);
        known.map_or(ColumnType::Text, |(_, column_type)| *column_type)
    }
}

/// `COPY` takes no parameters, so the request's values become settings of the transaction, which the statement reads
/// by name: none of them is ever part of SQL.
struct PostgresDialect<'a> {
    mapping: &'a Mapping,
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

    fn compare_time(&mut self, column: &Column, operator: &str, time: Timestamp) -> String {
        let name = self.mapping.sql(column);
        match self.types.of(column) {
            ColumnType::Epoch => {
                let bound = self.mapping.timestamps.first_integer_from(time);
                let bound = self.setting(bound.to_string());
                format!("{name} {operator} {bound}::bigint")
            }
            ColumnType::TimestampTz => {
                let time = self.setting(time.to_string());
                format!("{name} {operator} {time}::timestamptz")
            }
            ColumnType::TimeText => {
                let time = self.setting(time.to_string());
                format!("{name}::timestamptz {operator} {time}::timestamptz")
            }
            _ => {
                let time = self.setting(time.to_string());
                format!("{name} {operator} ({time}::timestamptz AT TIME ZONE 'UTC')")
            }
        }
    }
}

impl Dialect for PostgresDialect<'_> {
    fn select(&self, column: &Column) -> String {
        let sql = self.mapping.sql(column);
        match self.types.of(column).wire() {
            Wire::Text | Wire::Number | Wire::TimeText => format!("{sql}::text"),
            _ => sql,
        }
    }

    fn condition(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Email(email) => {
                let (column, value) = (self.mapping.sql(&Column::EMAIL), self.setting(email.clone()));
                match self.types.of(&Column::EMAIL) {
                    // The first comparison can use the index, the second makes it exact.
                    ColumnType::CaseInsensitiveText => {
                        format!("{column} = {value}::citext AND {column}::text = {value}")
                    }
                    _ => format!("{column} = {value}"),
                }
            }
            Filter::AtOrAfter(column, time) => self.compare_time(column, ">=", *time),
            Filter::Before(column, time) => self.compare_time(column, "<", *time),
            Filter::Is(column, value) => match self.types.of(column) {
                ColumnType::BoolInt => format!("{} = {}", self.mapping.sql(column), i32::from(*value)),
                _ => format!("{} = {value}", self.mapping.sql(column)),
            },
        }
    }

    fn after(&mut self, after: &str) -> Result<String, SourceError> {
        let column = self.mapping.sql(&Column::ID);
        let (id_kind, cast) = match self.types.of(&Column::ID) {
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
