//! How SQLite goes about a query ("The EXPLAIN QUERY PLAN Command" of its manual).

use super::Query;
use super::error::{failed, mismatch};
use crate::SourceError;
use rusqlite::types::Value as Bound;
use rusqlite::{Connection, params_from_iter};

/// The steps in which users are found.
#[derive(PartialEq, Eq)]
pub(super) struct Explained {
    steps: Vec<String>,
    /// Whether something else is read for each of them.
    has_subqueries: bool,
}

impl Query {
    /// Asks SQLite how it would run `sql`, a form of this query; nothing is run.
    pub(super) fn explained(&self, connection: &Connection, sql: &str) -> Result<Explained, SourceError> {
        explain(connection, sql, &self.bound)
    }
}

/// Asks SQLite how it would run a statement; nothing is run.
pub(super) fn explain(connection: &Connection, sql: &str, bound: &[Bound]) -> Result<Explained, SourceError> {
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let mut statement = connection.prepare(&explain).map_err(|error| mismatch(&error))?;
    let steps = statement
        .query_map(params_from_iter(bound), |row| {
            Ok(Step { id: row.get("id")?, parent: row.get("parent")?, detail: row.get("detail")? })
        })
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    steps.map(without_subqueries).map_err(|error| failed(&error))
}

impl Explained {
    /// Whether they are found by an index: SEARCH visits a part of a table, SCAN all of it.
    pub(super) fn uses_index(&self) -> bool {
        self.steps.iter().any(|detail| detail.starts_with("SEARCH"))
    }

    /// Whether all of a table, or of an index, is looked at.
    pub(super) fn looks_at_all(&self) -> bool {
        self.steps.iter().any(|detail| detail.starts_with("SCAN"))
    }

    /// Whether one table is walked through, row by row, and nothing else done.
    pub(super) fn is_one_walk(&self) -> bool {
        matches!(&self.steps[..], [step] if step.starts_with("SCAN") || step.starts_with("SEARCH"))
    }

    /// Whether that is in the order of its pages, and no others are read.
    pub(super) fn is_in_page_order(&self) -> bool {
        let is_scan = |step: &str| step.starts_with("SCAN") && !step.contains(" USING INDEX ");
        matches!(&self.steps[..], [step] if is_scan(step)) && !self.has_subqueries
    }

    /// Whether they have to be sorted, because no index has the order of the ids.
    pub(super) fn sorts(&self) -> bool {
        self.steps.iter().any(|detail| detail.starts_with("USE TEMP B-TREE"))
    }
}

/// A line of `EXPLAIN QUERY PLAN`. A parent comes before what is below it.
struct Step {
    id: i64,
    parent: i64,
    detail: String,
}

/// The steps in which users are found; what an expression reads for each of them is none.
fn without_subqueries(found: Vec<Step>) -> Explained {
    let mut inside = Vec::new();
    let mut steps = Vec::new();
    for step in found {
        if inside.contains(&step.parent) || step.detail.contains("SCALAR SUBQUERY") {
            inside.push(step.id);
        } else {
            steps.push(step.detail);
        }
    }
    Explained { steps, has_subqueries: !inside.is_empty() }
}
