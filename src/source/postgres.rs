//! Scans a PostgreSQL table: one query in a read-only transaction, or several on one snapshot.

mod answer;
mod aside;
mod connection;
mod data_row;
mod dialect;
mod inspect;
mod parts;
mod question;
pub(super) mod session;

use super::catalogue::Database;
use super::query::{self, Selection, Statement};
use super::{FEW_CELLS, MANY_CELLS, Mapping, RowSink, SourceError, SpareReaders};
use crate::encode::Value;
use crate::plan::{Column, Plan, discreet};
use answer::Answer;
use data_row::Wire;
use dialect::{ColumnType, ColumnTypes, PostgresDialect, expected};
use session::{Connector, Session, error_text, mismatch};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// Bytes that a scan reads before others have their turn: some tenths of a millisecond.
const TURN: usize = 64 * 1024;

/// A users table or view in a PostgreSQL database.
pub(super) struct PostgresSource {
    connector: Connector,
    mapping: Mapping,
    spare: SpareReaders,
}

impl PostgresSource {
    pub(super) fn new(url: &str, mapping: Mapping, spare: SpareReaders) -> Result<Self, String> {
        Ok(Self { connector: Connector::new(url)?, mapping, spare })
    }

    pub(super) async fn scan<S: RowSink>(&self, plan: &Plan, sink: S) -> Result<S, SourceError> {
        let mut session = self.connector.open().await?;
        let query = self.prepare(&mut session, plan).await?;
        let sink = self.push_all(&mut session, &query, sink).await?;
        session.finish().await;
        Ok(sink)
    }

    async fn push_all<S: RowSink>(
        &self,
        session: &mut Session,
        query: &Query,
        sink: S,
    ) -> Result<S, SourceError> {
        let (client, rows) = session.client_and_rows();
        let answer = Answer::to(&query.statement.rows(), &query.texts(), &query.wires, client, rows).await;
        self.push_rows(answer.map_err(|error| mismatch(&error))?, query, sink).await
    }

    async fn push_rows<S: RowSink>(
        &self,
        answer: Answer<'_>,
        query: &Query,
        sink: S,
    ) -> Result<S, SourceError> {
        if query.wires.len() <= FEW_CELLS {
            self.push_cells::<_, FEW_CELLS>(answer, query, sink).await
        } else {
            self.push_cells::<_, MANY_CELLS>(answer, query, sink).await
        }
    }

    async fn push_cells<S: RowSink, const CELLS: usize>(
        &self,
        mut answer: Answer<'_>,
        query: &Query,
        mut sink: S,
    ) -> Result<S, SourceError> {
        let failed = |error: tokio_postgres::Error| SourceError::Failed(error_text(&error));
        let (mut in_turn, mut count) = (0, 0);
        while let Some(block) = answer.next().await.map_err(failed)? {
            in_turn += block.len();
            // However fast the rows come, other requests have their turn.
            if in_turn >= TURN {
                in_turn = 0;
                tokio::task::yield_now().await;
            }
            for row in answer::rows(&block) {
                self.push_row::<_, CELLS>(row, query, &mut sink)?;
                count += 1;
                if sink.is_full() {
                    sink.flush().await?;
                }
            }
        }
        match answer.count() {
            Some(sent) if sent == count => Ok(sink),
            sent => {
                let sent = sent.map_or_else(|| "nobody knows how many".to_owned(), |sent| sent.to_string());
                Err(SourceError::Failed(format!("{count} rows came, and the server has sent {sent}")))
            }
        }
    }

    fn push_row<S: RowSink, const CELLS: usize>(
        &self,
        row: &[u8],
        query: &Query,
        sink: &mut S,
    ) -> Result<(), SourceError> {
        let mut values = [Value::Null; CELLS];
        data_row::read(row, &query.wires, self.mapping.timestamps, &mut values)
            .map_err(|misfit| self.value_error(query, &values, row, misfit))?;
        if matches!(values[query.selection.id_at()], Value::Null) {
            let misfit = (query.selection.id_at(), "NULL is not an id".to_owned());
            return Err(self.value_error(query, &values, row, misfit));
        }
        sink.row(&values[..query.selection.shown()]);
        Ok(())
    }

    pub(super) async fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        let mut session = self.connector.open().await?;
        let query = self.prepare(&mut session, plan).await?;
        // Parsing the statement checks names and privileges; nothing is run.
        query.explain(session.client(), "FORMAT TEXT").await?;
        session.finish().await;
        Ok(())
    }

    /// Turns the plan into SQL for the table as it is now.
    async fn prepare(&self, session: &mut Session, plan: &Plan) -> Result<Query, SourceError> {
        session.set_busy(true);
        let query = self.prepare_in(session, plan).await;
        session.set_busy(false);
        query
    }

    async fn prepare_in(&self, session: &mut Session, plan: &Plan) -> Result<Query, SourceError> {
        let touched = query::touched(plan);
        let types = self.column_types(session, &touched).await?;
        let mut dialect = PostgresDialect { mapping: &self.mapping, types: &types, texts: Vec::new() };
        let selection = Selection::of(plan, &dialect);
        let statement = Statement::of(plan, &selection, &self.mapping, &mut dialect)?;
        let texts = dialect.texts;
        let wires = selection.columns().iter().map(|column| types.of(column).wire(session.is_utf8)).collect();
        let (probe, id_type) = (self.probe(&touched), types.of(&Column::ID));
        Ok(Query { probe, statement, texts, selection, wires, id_type })
    }

    /// Asks the server what the columns and expressions are; nothing is run.
    async fn column_types(
        &self,
        session: &mut Session,
        touched: &[Column],
    ) -> Result<ColumnTypes, SourceError> {
        let statement = match session.client().prepare(&self.probe(touched)).await {
            Ok(statement) => statement,
            Err(error) => return Err(self.blame(session.client(), touched, &error).await),
        };
        if !statement.params().is_empty() {
            return Err(self.blame_placeholder(session.client(), touched).await);
        }
        session.has_described(statement.columns());
        let mut types = ColumnTypes(Vec::new());
        for (column, described) in touched.iter().zip(statement.columns()) {
            let column_type = ColumnType::of(column, described.type_(), &self.mapping).ok_or_else(|| {
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

    /// A statement that is only ever prepared, which locks everything that a scan reads.
    fn probe(&self, touched: &[Column]) -> String {
        let selected: Vec<_> = touched.iter().map(|column| self.mapping.sql(column)).collect();
        let condition = self.mapping.condition().map_or_else(String::new, |sql| format!(" WHERE {sql}"));
        format!("SELECT {} FROM {}{condition}", selected.join(", "), self.mapping.table.quoted())
    }

    /// What it is that the server does not understand: the table, a column, an expression or the condition.
    async fn blame(&self, client: &Client, touched: &[Column], error: &tokio_postgres::Error) -> SourceError {
        if error.as_db_error().is_none() {
            return SourceError::Unreachable(error_text(error));
        }
        let (table, quoted) = (&self.mapping.table, self.mapping.table.quoted());
        if let Err(error) = prepare_anew(client, &format!("SELECT FROM {quoted}")).await {
            return match error.code() {
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
                    SourceError::Mismatch(format!("there is no table {table}, or the role may not see it"))
                }
                _ => mismatch(&error),
            };
        }
        for column in touched {
            let probe = format!("SELECT {} FROM {quoted}", self.mapping.sql(column));
            let Err(error) = prepare_anew(client, &probe).await else {
                continue;
            };
            let described = self.mapping.described(column);
            let is_own = self.mapping.own_column(column).is_some();
            return SourceError::Mismatch(match error.code() {
                Some(&SqlState::UNDEFINED_COLUMN) if is_own => format!("table {table} has no {described}"),
                _ => format!("table {table}, {described}: {}", error_text(&error)),
            });
        }
        match &self.mapping.filter {
            Some(_) => SourceError::Mismatch(format!("table {table}, source.where: {}", error_text(error))),
            None => mismatch(error),
        }
    }

    /// Which expression, or the condition, has a placeholder, which a value of the request would fill.
    async fn blame_placeholder(&self, client: &Client, touched: &[Column]) -> SourceError {
        let (table, mut what) = (&self.mapping.table, "source.where".to_owned());
        for column in touched {
            let probe = format!("SELECT {} FROM {}", self.mapping.sql(column), table.quoted());
            if client.prepare(&probe).await.is_ok_and(|statement| !statement.params().is_empty()) {
                what = self.mapping.described(column);
                break;
            }
        }
        SourceError::Mismatch(format!(
            "table {table}, {what}: a placeholder such as $1 has nothing to stand for"
        ))
    }

    fn value_error(
        &self,
        query: &Query,
        values: &[Value<'_>],
        row: &[u8],
        (at, problem): (usize, String),
    ) -> SourceError {
        let id_at = query.selection.id_at();
        let column = query.selection.columns().get(at).map_or("?", Column::name);
        let odd = query.wires.get(at).and_then(|wire| data_row::odd_time(*wire, data_row::cell_at(row, at)?));
        let remedy = odd.map(|odd| odd.remedy(Database::Postgres, &self.mapping, column));
        SourceError::Value {
            table: self.mapping.table.to_string(),
            column: column.to_owned(),
            id: match values.get(id_at) {
                Some(Value::Int(id)) => id.to_string(),
                Some(Value::Text(id) | Value::Plain(id)) => discreet(&String::from_utf8_lossy(id)),
                Some(Value::Uuid(id)) => crate::hex(id),
                _ => "?".to_owned(),
            },
            problem: problem + &remedy.unwrap_or_default(),
        }
    }
}

/// Prepares a statement where one before it failed: after an error a transaction answers nothing more. Outside of one, a
/// pooler would give it to another connection than what takes it back.
async fn prepare_anew(client: &Client, sql: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("ROLLBACK; BEGIN READ ONLY").await?;
    client.prepare(sql).await.map(drop)
}

struct Query {
    probe: String,
    statement: Statement,
    /// The values of its parameters.
    texts: Vec<String>,
    selection: Selection,
    wires: Vec<Wire>,
    id_type: ColumnType,
}

impl Query {
    fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// How the server would run it.
    async fn explain(&self, client: &Client, options: &str) -> Result<Vec<Row>, SourceError> {
        let sql = format!("EXPLAIN ({options}) {}", self.statement.rows());
        let texts: Vec<(&(dyn ToSql + Sync), Type)> =
            self.texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        client.query_typed(&sql, &texts).await.map_err(|error| mismatch(&error))
    }
}
