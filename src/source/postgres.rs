//! Scans a PostgreSQL table: one binary `COPY … TO STDOUT` in a read-only transaction on a connection of its own.

mod copy;
mod dialect;
mod inspect;

use super::query::{self, Selection};
use super::tls;
use super::{FEW_CELLS, MANY_CELLS, Mapping, RowSink, SourceError};
use crate::encode::Value;
use crate::plan::{Column, Plan};
use copy::{CopyReader, Wire};
use dialect::{ColumnType, ColumnTypes, PostgresDialect, expected};
use futures_util::StreamExt;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
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
