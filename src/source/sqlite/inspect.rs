//! What SQLite says of a plan and of the file.

use super::{InterruptOnDrop, SqliteSource, blocking, failed, mismatch};
use crate::plan::Plan;
use crate::sensitive;
use crate::source::{Estimate, Inspection, SourceError};
use rusqlite::params_from_iter;
use std::time::Duration;

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

/// SQLite has no statistics to speak of, so rows are counted, but not for long.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

impl SqliteSource {
    pub(in crate::source) async fn estimate(&self, plan: &Plan) -> Result<Estimate, SourceError> {
        let (source, asked) = (self.clone(), plan.clone());
        let details = blocking(move || {
            let connection = source.open()?;
            let query = source.query(&connection, &asked)?;
            let explain = format!("EXPLAIN QUERY PLAN {}", query.sql);
            let mut statement = connection.prepare(&explain).map_err(|error| mismatch(&error))?;
            let details = statement
                .query_map(params_from_iter(&query.bound), |row| {
                    Ok(Step { id: row.get("id")?, parent: row.get("parent")?, detail: row.get("detail")? })
                })
                .and_then(Iterator::collect::<Result<Vec<_>, _>>);
            details.map(without_subqueries).map_err(|error| failed(&error))
        });
        let details = details.await?;
        // "The EXPLAIN QUERY PLAN Command" of the SQLite manual: SEARCH visits a part of a table, SCAN all of it.
        Ok(Estimate {
            rows: tokio::time::timeout(COUNT_TIMEOUT, self.count(plan)).await.ok().and_then(Result::ok),
            uses_index: details.iter().any(|detail| detail.starts_with("SEARCH")),
            sorts: details.iter().any(|detail| detail.starts_with("USE TEMP B-TREE")),
        })
    }

    async fn count(&self, plan: &Plan) -> Result<u64, SourceError> {
        let (source, plan) = (self.clone(), plan.clone());
        let connection = blocking(move || {
            let connection = source.open()?;
            let query = source.query(&connection, &plan)?;
            Ok((connection, query))
        });
        let (connection, query) = connection.await?;
        let _stop = InterruptOnDrop(connection.get_interrupt_handle());
        blocking(move || {
            let sql = format!("SELECT count(*) FROM ({})", query.sql);
            let count =
                connection.query_row(&sql, params_from_iter(&query.bound), |row| row.get::<_, i64>(0));
            count.map(i64::unsigned_abs).map_err(|error| failed(&error))
        })
        .await
    }

    pub(in crate::source) async fn inspect(&self) -> Result<Inspection, SourceError> {
        let source = self.clone();
        blocking(move || {
            let connection = source.open()?;
            let read_only = connection.is_readonly(rusqlite::MAIN_DB).map_err(|error| failed(&error))?;
            let columns = source.declared_types(&connection)?;
            Ok(Inspection {
                version: format!("SQLite {}", rusqlite::version()),
                is_read_only: read_only,
                readable_credentials: columns
                    .into_iter()
                    .map(|(name, _)| name)
                    .filter(|name| sensitive::by_name(name).is_some())
                    .collect(),
                ..Inspection::default()
            })
        })
        .await
    }
}
