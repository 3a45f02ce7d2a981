//! The rows of a scan, pushed by SQLite itself.
//!
//! They come as the arguments of a function that the statement calls for each row. Read from a row that was stepped to, the
//! same cells cost three times as many instructions: every look at a column takes and checks the connection anew.

use super::decode::{decode, misfit, shown_id, time_remedy};
use super::error::{failed, mismatch};
use super::{Query, read_in_page_order};
use crate::{FEW_CELLS, MANY_CELLS, RowSink, SourceError};
use headcount_model::plan::Kind;
use headcount_model::value::{Misfit, Value};
use parking_lot::Mutex;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Null, Value as Bound, ValueRef};
use rusqlite::{Connection, params_from_iter};
use std::sync::Arc;
use tokio::runtime::Handle;

const ROW_FUNCTION: &str = "headcount_row";

/// Runs the query, or the part of it in a range of ids, on this thread and pushes its rows into the sink; gives the sink back.
pub(super) fn push_rows<S: RowSink + 'static>(
    connection: &Connection,
    query: &Arc<Query>,
    range: Option<&Range>,
    sink: S,
) -> Result<S, SourceError> {
    if query.selection.columns().len() <= FEW_CELLS {
        push_cells::<_, FEW_CELLS>(connection, query, range, sink)
    } else {
        push_cells::<_, MANY_CELLS>(connection, query, range, sink)
    }
}

fn push_cells<S: RowSink + 'static, const CELLS: usize>(
    connection: &Connection,
    query: &Arc<Query>,
    range: Option<&Range>,
    sink: S,
) -> Result<S, SourceError> {
    let pushing = Arc::new(Mutex::new(Pushing { sink, error: None }));
    let pusher = Pusher::new(query);
    let shared = Arc::clone(&pushing);
    let width = i32::try_from(query.selection.columns().len()).unwrap_or(i32::MAX);
    let push = move |context: &Context<'_>| {
        let mut pushing = shared.lock();
        let Pushing { sink, error } = &mut *pushing;
        pusher.push::<S, CELLS>(|at| context.get_raw(at), sink).map(|()| Null).map_err(|problem| {
            *error = Some(problem);
            rusqlite::Error::UserFunctionError("the scan stops here".into())
        })
    };
    // Not DETERMINISTIC: it has to be called for every row, however alike they are.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(ROW_FUNCTION, width, flags, push).map_err(|error| failed(&error))?;
    let stepped =
        calling(connection, query, range).and_then(|sql| step_through(connection, query, range, &sql));
    // The function holds the sink, too.
    connection.remove_function(ROW_FUNCTION, width).map_err(|error| failed(&error))?;
    let pushing = Arc::into_inner(pushing)
        .ok_or_else(|| SourceError::Failed("the scan is still running".to_owned()))?
        .into_inner();
    match pushing.error {
        Some(error) => Err(error),
        None => stepped.map(|()| pushing.sink),
    }
}

/// The statement that calls the function for each row, in the order of the ids.
fn calling(connection: &Connection, query: &Query, range: Option<&Range>) -> Result<String, SourceError> {
    if let Some(range) = range {
        return Ok(query.statement.calls(ROW_FUNCTION, Some(&range.condition)));
    }
    let names = query.statement.names().collect::<Vec<_>>().join(", ");
    if query.is_varying {
        // Counted, all rows come in one step of the statement, in which the clock stands still. With a limit they keep their order.
        let rows = query.statement.limited_rows();
        return Ok(format!("SELECT count({ROW_FUNCTION}({names})) FROM ({rows})"));
    }
    let calls = query.statement.calls(ROW_FUNCTION, None);
    let explained = query.explained(connection, &calls)?;
    if explained.is_in_page_order() {
        read_in_page_order(connection)?;
    }
    if explained.is_one_walk() {
        return Ok(calls);
    }
    // Before a sort the function would be called in the order of the table, and for rows that a limit leaves out. What is
    // materialised is sorted and limited already.
    let rows = query.statement.rows();
    Ok(format!("WITH headcount AS MATERIALIZED ({rows}) SELECT {ROW_FUNCTION}({names}) FROM headcount"))
}

/// Integer ids, in the order of which SQLite reads the table without sorting.
pub(super) struct Range {
    /// Compares with two parameters more than the query has.
    pub(super) condition: String,
    pub(super) first: i64,
    pub(super) last: i64,
}

fn step_through(
    connection: &Connection,
    query: &Query,
    range: Option<&Range>,
    sql: &str,
) -> Result<(), SourceError> {
    let mut bound = query.bound.clone();
    if let Some(range) = range {
        bound.extend([range.first, range.last].map(Bound::Integer));
    }
    let mut statement = connection.prepare(sql).map_err(|error| mismatch(&error))?;
    let mut rows = statement.query(params_from_iter(&bound)).map_err(|error| failed(&error))?;
    while rows.next().map_err(|error| failed(&error))?.is_some() {}
    Ok(())
}

struct Pushing<S> {
    sink: S,
    error: Option<SourceError>,
}

/// Decodes rows and hands them to a sink.
pub(super) struct Pusher {
    query: Arc<Query>,
    runtime: Handle,
}

impl Pusher {
    pub(super) fn new(query: &Arc<Query>) -> Self {
        Self { query: Arc::clone(query), runtime: Handle::current() }
    }

    /// Takes a row, as what gives the cell at each place of the selection.
    #[inline]
    pub(super) fn push<'a, S: RowSink, const CELLS: usize>(
        &self,
        cell: impl Fn(usize) -> ValueRef<'a>,
        sink: &mut S,
    ) -> Result<(), SourceError> {
        let query = &*self.query;
        let mut values = [Value::Null; CELLS];
        for (at, (kind, value)) in query.kinds.iter().zip(&mut values).enumerate() {
            decode(*kind, query.ids, &query.mapping, cell(at), value)
                .map_err(|expected| self.misfit(at, expected, &cell))?;
        }
        sink.row(&values[..query.selection.shown()]).map_err(|misfit| self.unwritable(*misfit, &cell))?;
        if sink.is_full() {
            self.runtime.block_on(sink.flush())?;
        }
        Ok(())
    }

    #[cold]
    fn misfit<'a>(&self, at: usize, expected: &str, cell: &impl Fn(usize) -> ValueRef<'a>) -> SourceError {
        let query = &*self.query;
        let column = query.selection.columns()[at].name();
        let remedy = match query.kinds[at] {
            Kind::Timestamp => time_remedy(cell(at), &query.mapping, column),
            _ => String::new(),
        };
        self.value_error(at, misfit(cell(at), expected) + &remedy, cell)
    }

    /// A row that the format cannot hold.
    #[cold]
    fn unwritable<'a>(&self, misfit: Misfit, cell: &impl Fn(usize) -> ValueRef<'a>) -> SourceError {
        match misfit.column {
            Some(at) => self.value_error(at, misfit.problem, cell),
            None => SourceError::Failed(misfit.problem),
        }
    }

    fn value_error<'a>(
        &self,
        at: usize,
        problem: String,
        cell: &impl Fn(usize) -> ValueRef<'a>,
    ) -> SourceError {
        let query = &*self.query;
        SourceError::Value {
            table: query.mapping.table.to_string(),
            column: query.selection.columns()[at].name().to_owned(),
            id: shown_id(cell(query.selection.id_at())),
            problem,
        }
    }
}
