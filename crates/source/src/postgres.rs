//! Scans a PostgreSQL table: one query in a read-only transaction, or several on one snapshot.

mod answer;
mod demultiplexer;
mod collations;
mod column_type;
mod comparison;
mod connection;
pub(super) mod connector;
mod data_row;
mod dialect;
pub(super) mod error;
mod grants;
mod holders;
mod inspect;
pub(super) mod lookup;
mod mentions;
mod names;
mod order;
mod overlooked;
mod parts;
pub(super) mod session;
mod text_times;
mod texts;
mod tokens;

use super::query::{self, Selection, Statement};
use super::{Database, Elsewhere, FEW_CELLS, MANY_CELLS, Mapping, ReaderPermits, RowSink, SourceError};
use answer::Answer;
use column_type::{ColumnType, ColumnTypes, expected};
use comparison::Comparison;
use connector::Connector;
use data_row::{NOT_UTF8, Wire};
use dialect::PostgresDialect;
use error::{error_text, mismatch};
use headcount_model::plan::{Column, Filter, Plan, discreet};
use headcount_model::schema::Schema;
use headcount_model::sensitive;
use headcount_model::value::Value;
use lookup::Lookup;
use names::Names;
use order::Ascent;
use session::{About, Session};
use std::sync::Arc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// Bytes that a scan reads before others have their turn: some tenths of a millisecond.
const TURN: usize = 64 * 1024;

/// A users table or view in a PostgreSQL database.
pub(super) struct PostgresSource {
    connector: Connector,
    mapping: Mapping,
    /// How many connections may share a scan.
    parallelism: usize,
    spare: ReaderPermits,
}

impl PostgresSource {
    pub(super) fn new(
        url: &str,
        mapping: Mapping,
        parallelism: usize,
        spare: ReaderPermits,
    ) -> Result<Self, String> {
        let connector = Connector::new(url, Some(Lookup::of(&mapping)), parallelism)?;
        Ok(Self { connector, mapping, parallelism, spare })
    }

    pub(super) async fn scan<S: RowSink>(
        &self,
        plan: &Plan,
        sink: impl FnOnce(&Schema) -> S + Send,
    ) -> Result<S, SourceError> {
        let mut session = self.connector.open().await?;
        let query = self.prepare(&mut session, plan).await?;
        let sink = self.push_all(&mut session, &query, sink(&query.schema)).await?;
        holders::were_here(&session, &self.mapping).await?;
        session.finish().await;
        Ok(sink)
    }

    async fn push_all<S: RowSink>(
        &self,
        session: &mut Session,
        query: &Query,
        sink: S,
    ) -> Result<S, SourceError> {
        session.take_any_text().await?;
        let (client, rows) = session.client_and_rows();
        let answer = Answer::to(&query.statement.rows(), &query.texts(), client, rows).await;
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
        let (mut in_turn, mut count, mut last) = (0, 0, None);
        let mut ascent = Ascent::new(query.compares_texts);
        loop {
            let next = answer.next().await;
            let Some(block) = next.map_err(|error| self.broken_off(query, &error, last.as_ref()))? else {
                break;
            };
            in_turn += block.len();
            // However fast the rows come, other requests have their turn.
            if in_turn >= TURN {
                in_turn = 0;
                tokio::task::yield_now().await;
            }
            for row in answer::rows(&block) {
                self.push_row::<_, CELLS>(row, query, &mut ascent, &mut sink)?;
                count += 1;
                if sink.is_full() {
                    sink.flush().await?;
                }
            }
            // Only an error about an encoding needs to know whose the row before it was.
            last = query.database.converted_from.is_some().then_some(block);
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
        ascent: &mut Ascent,
        sink: &mut S,
    ) -> Result<(), SourceError> {
        let mut values = [Value::Null; CELLS];
        data_row::read(row, &query.wires, &self.mapping, &mut values)
            .map_err(|misfit| self.value_error(query, &values, row, misfit))?;
        if matches!(values[query.selection.id_at()], Value::Null) {
            let misfit = (query.selection.id_at(), "NULL is not an id".to_owned());
            return Err(self.value_error(query, &values, row, misfit));
        }
        if !ascent.takes(&values[query.selection.id_at()]) {
            let id = id_text(&values[query.selection.id_at()]);
            let table = &self.mapping.table;
            return Err(SourceError::Failed(format!("table {table}: id {id} {}", order::PROBLEM)));
        }
        sink.row(&values[..query.selection.shown()]).map_err(|misfit| match misfit.column {
            Some(at) => self.value_error(query, &values, row, (at, misfit.problem)),
            None => SourceError::Failed(misfit.problem),
        })
    }

    pub(super) async fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        let mut session = self.connector.open().await?;
        let query = self.prepare(&mut session, plan).await?;
        // Parsing the statement checks names and privileges; nothing is run.
        match query.explain(session.client(), "FORMAT TEXT").await {
            Ok(_) => session.finish().await,
            Err(error) if error::is_unknown_to_server(&error) => {
                drop(session);
                session = self.connector.open().await?;
                let query = self.prepare(&mut session, plan).await?;
                query.try_without_rows(session.client()).await.map_err(|error| mismatch(&error))?;
                session.finish().await;
            }
            Err(error) => return Err(mismatch(&error)),
        }
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
        let referenced = query::referenced_columns(plan);
        let conditions = self.mapping.conditions(plan);
        let types = self.column_types(session, &referenced, &conditions).await?;
        let elsewhere = holders::allowed(session, &self.mapping).await?;
        overlooked::refuse(session, &self.mapping, plan).await?;
        let avoided = collations::avoided(session, &self.mapping, plan, &types).await?;
        dialect::refuse_year_0(plan, &types)?;
        texts::refuse_unknown(session, plan).await?;
        let (names, id_type) = (Arc::clone(&session.names), types.of(&Column::ID));
        let compares_texts = names.has_ids_in_order_of_bytes && id_type.cast().is_some();
        let checks_order = id_type.is_text() && !compares_texts && !self.has_windowed_ids();
        let compares_ids = checks_order || plan.after.is_some();
        let compares_addresses = plan.filters.iter().any(|filter| matches!(filter, Filter::Email(_)));
        let comparison = async |is_needed: bool, column: &Column| match is_needed {
            true => Comparison::of(session, types.of(column)).await,
            false => Ok(None),
        };
        let mut dialect = PostgresDialect {
            mapping: &self.mapping,
            table: &names.table,
            types: &types,
            ids: comparison(compares_ids, &Column::ID).await?,
            addresses: comparison(compares_addresses, &Column::EMAIL).await?,
            checks_order,
            texts: Vec::new(),
        };
        let selection = Selection::of(plan, &dialect);
        let statement = Statement::of(plan, &selection, &self.mapping, &mut dialect)?;
        let texts = dialect.texts;
        let wires = selection.columns().iter().map(|column| types.of(column).wire()).collect();
        let probe = self.probe(&referenced, conditions.iter().map(|(_, sql)| sql), &names);
        Ok(Query {
            schema: types.schema(plan),
            names,
            probe,
            expressions: self.mapping.expressions(plan),
            statement,
            texts,
            selection,
            types,
            wires,
            id_type,
            compares_texts,
            database: session.database.clone(),
            elsewhere,
            avoided,
        })
    }

    /// Whether the ids are what an expression makes of other rows, which no other expression can do with them again.
    fn has_windowed_ids(&self) -> bool {
        let is_own = self.mapping.own_column(&Column::ID).is_some();
        let names = || sensitive::identifiers(&self.mapping.sql(&Column::ID));
        !is_own && names().iter().any(|name| name.eq_ignore_ascii_case("over"))
    }

    /// Asks the server what the columns and expressions are; nothing is run.
    async fn column_types(
        &self,
        session: &mut Session,
        referenced: &[Column],
        conditions: &[(String, String)],
    ) -> Result<ColumnTypes, SourceError> {
        let probe = self.probe(referenced, conditions.iter().map(|(_, sql)| sql), &session.names);
        let statement = match session.client().prepare(&probe).await {
            Ok(statement) => statement,
            Err(error) => {
                // It may have another schema by now.
                self.connector.forget_names();
                return Err(self.blame(session, referenced, conditions, &error).await);
            }
        };
        if !statement.params().is_empty() {
            return Err(self.blame_placeholder(session, referenced, conditions).await);
        }
        session.has_described(statement.columns());
        let mut types = ColumnTypes::default();
        for (column, described) in referenced.iter().zip(statement.columns()) {
            let column_type = ColumnType::of(column, described.type_(), &self.mapping).ok_or_else(|| {
                SourceError::Mismatch(format!(
                    "table {}, {}: type {} cannot be exported as {}",
                    self.mapping.table,
                    self.mapping.described(column),
                    described.type_().name(),
                    expected(column)
                ))
            })?;
            types.add(column, column_type, described);
        }
        Ok(types)
    }

    /// A statement that is only ever prepared, which locks everything that a scan reads.
    fn probe<'a>(
        &self,
        referenced: &[Column],
        conditions: impl IntoIterator<Item = &'a String>,
        names: &Names,
    ) -> String {
        let selected: Vec<_> = referenced.iter().map(|column| self.mapping.sql(column)).collect();
        let conditions: Vec<_> = conditions.into_iter().map(String::as_str).collect();
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        format!("SELECT {} FROM {} WHERE {condition}", selected.join(", "), names.table)
    }

    /// What it is that the server does not understand: the table, a column, an expression or a condition.
    async fn blame(
        &self,
        session: &Session,
        referenced: &[Column],
        conditions: &[(String, String)],
        error: &tokio_postgres::Error,
    ) -> SourceError {
        if error.as_db_error().is_none() {
            return SourceError::Unreachable(error_text(error));
        }
        let (table, names) = (&self.mapping.table, &session.names);
        if let Err(error) = prepare_anew(session, &format!("SELECT FROM {}", names.table)).await {
            return match error.code() {
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
                    SourceError::Mismatch(format!("there is no table {table}, or the role may not see it"))
                }
                _ => mismatch(&error),
            };
        }
        for column in referenced {
            let probe = format!("SELECT {} FROM {}", self.mapping.sql(column), names.table);
            let Err(error) = prepare_anew(session, &probe).await else {
                continue;
            };
            let described = self.mapping.described(column);
            let is_own = self.mapping.own_column(column).is_some();
            return SourceError::Mismatch(match error.code() {
                Some(&SqlState::UNDEFINED_COLUMN) if is_own => format!("table {table} has no {described}"),
                _ => format!("table {table}, {described}: {}{}", error_text(&error), names.hint(&error)),
            });
        }
        for (name, sql) in conditions {
            let probe = format!("SELECT FROM {} WHERE {sql}", names.table);
            if let Err(error) = prepare_anew(session, &probe).await {
                let hint = names.hint(&error);
                return SourceError::Mismatch(format!("table {table}, {name}: {}{hint}", error_text(&error)));
            }
        }
        mismatch(error)
    }

    /// Which expression or condition has a placeholder, which a value of the request would fill.
    async fn blame_placeholder(
        &self,
        session: &Session,
        referenced: &[Column],
        conditions: &[(String, String)],
    ) -> SourceError {
        let (table, users) = (&self.mapping.table, &session.names.table);
        let columns = referenced.iter().map(|column| {
            (self.mapping.described(column), format!("SELECT {} FROM {users}", self.mapping.sql(column)))
        });
        let conditions =
            conditions.iter().map(|(name, sql)| (name.clone(), format!("SELECT FROM {users} WHERE {sql}")));
        let mut what = "an expression or condition".to_owned();
        for (name, probe) in columns.chain(conditions) {
            let prepared = session.client().prepare(&probe).await;
            if prepared.is_ok_and(|statement| !statement.params().is_empty()) {
                what = name;
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
        let (id_at, column) = (query.selection.id_at(), query.selection.columns().get(at));
        let odd = column.and_then(|column| query.types.of(column).odd_time(data_row::cell_at(row, at)?));
        let problem = match (column, odd) {
            (Some(column), _) if problem == NOT_UTF8 && !query.database.is_utf8 => {
                format!("{problem}; {}", texts::remedy(column, &self.mapping.sql(column)))
            }
            (Some(column), Some(odd)) => {
                problem + &odd.remedy(Database::Postgres, &self.mapping, column.name())
            }
            _ => problem,
        };
        SourceError::Value {
            table: self.mapping.table.to_string(),
            column: column.map_or("?", Column::name).to_owned(),
            id: values.get(id_at).map_or_else(|| "?".to_owned(), id_text),
            problem,
        }
    }
}

/// An id for an error text.
fn id_text(id: &Value<'_>) -> String {
    match id {
        Value::Int(id) => id.to_string(),
        Value::Text(id) => discreet(&String::from_utf8_lossy(id.bytes())),
        Value::Uuid(id) => headcount_model::text::hex(id),
        _ => "?".to_owned(),
    }
}

/// Prepares a statement where one before it failed: after an error a transaction answers nothing more. Outside of one, a
/// pooler would give it to another connection than what takes it back.
async fn prepare_anew(session: &Session, sql: &str) -> Result<(), tokio_postgres::Error> {
    let again = format!("ROLLBACK; BEGIN READ ONLY; {}", session.names.set_path);
    session.client().batch_execute(&again).await?;
    session.client().prepare(sql).await.map(drop)
}

struct Query {
    /// What is shown.
    schema: Schema,
    names: Arc<Names>,
    probe: String,
    /// What of it is SQL of the administrator's.
    expressions: Vec<String>,
    statement: Statement,
    /// The values of its parameters.
    texts: Vec<String>,
    selection: Selection,
    types: ColumnTypes,
    wires: Vec<Wire>,
    id_type: ColumnType,
    /// Whether ids of text are in the order of their bytes.
    compares_texts: bool,
    database: About,
    elsewhere: Elsewhere,
    /// What is in an outdated order, so that no index is used.
    avoided: Vec<String>,
}

impl Query {
    fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// How the server would run it.
    async fn explain(&self, client: &Client, options: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.ask(client, &format!("EXPLAIN ({options}) {}", self.statement.rows())).await
    }

    /// Lets the server run it, and give none of its rows.
    async fn try_without_rows(&self, client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.ask(client, &format!("SELECT 1 FROM ({}) AS users LIMIT 0", self.statement.rows())).await
    }

    async fn ask(&self, client: &Client, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        let texts: Vec<(&(dyn ToSql + Sync), Type)> =
            self.texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        client.query_typed(sql, &texts).await
    }
}
