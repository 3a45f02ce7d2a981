//! How SQLite goes about a query ("The EXPLAIN QUERY PLAN Command" of its manual).

use super::Query;
use super::error::{failed, mismatch};
use crate::source::SourceError;
use rusqlite::{Connection, params_from_iter};

/// The steps in which users are found.
pub(super) struct Explained(Vec<String>);

impl Query {
    /// Asks SQLite how it would run `sql`, a form of this query; nothing is run.
    pub(super) fn explained(&self, connection: &Connection, sql: &str) -> Result<Explained, SourceError> {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = connection.prepare(&explain).map_err(|error| mismatch(&error))?;
        let steps = statement
            .query_map(params_from_iter(&self.bound), |row| {
                Ok(Step { id: row.get("id")?, parent: row.get("parent")?, detail: row.get("detail")? })
            })
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        steps.map(|steps| Explained(without_subqueries(steps))).map_err(|error| failed(&error))
    }
}

impl Explained {
    /// Whether they are found by an index: SEARCH visits a part of a table, SCAN all of it.
    pub(super) fn uses_index(&self) -> bool {
        self.0.iter().any(|detail| detail.starts_with("SEARCH"))
    }

    /// Whether one table is walked through, row by row, and nothing else done.
    pub(super) fn is_one_walk(&self) -> bool {
        matches!(&self.0[..], [step] if step.starts_with("SCAN") || step.starts_with("SEARCH"))
    }

    /// Whether they have to be sorted, because no index has the order of the ids.
    pub(super) fn sorts(&self) -> bool {
        self.0.iter().any(|detail| detail.starts_with("USE TEMP B-TREE"))
    }
}

/// A line of `EXPLAIN QUERY PLAN`. A parent comes before what is below it.
struct Step {
    id: i64,
    parent: i64,
    detail: String,
}

/// The steps in which users are found; what an expression reads for each of them is none.
fn without_subqueries(steps: Vec<Step>) -> Vec<String> {
    let mut inside = Vec::new();
    let mut details = Vec::new();
    for step in steps {
        if inside.contains(&step.parent) || step.detail.contains("SCALAR SUBQUERY") {
            inside.push(step.id);
        } else {
            details.push(step.detail);
        }
    }
    details
}
