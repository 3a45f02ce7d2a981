//! What SQLite says of a plan and of the file.

use super::SqliteSource;
use super::error::failed;
use crate::{Estimate, Inspection, SourceError};
use headcount_model::plan::Plan;
use headcount_model::sensitive;
use rusqlite::params_from_iter;
use std::time::Duration;

/// SQLite has no statistics to speak of, so rows are counted, but not for long.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

impl SqliteSource {
    pub(crate) async fn estimate(&self, plan: &Plan) -> Result<Estimate, SourceError> {
        let asked = plan.clone();
        let explained = self.reading(move |source, connection| {
            let query = source.query(connection, &asked)?;
            query.explained(connection, &query.statement.rows())
        });
        let explained = explained.await?;
        Ok(Estimate {
            rows: tokio::time::timeout(COUNT_TIMEOUT, self.count(plan)).await.ok().and_then(Result::ok),
            uses_index: Some(explained.uses_index()),
            sorts: Some(explained.sorts()),
        })
    }

    async fn count(&self, plan: &Plan) -> Result<u64, SourceError> {
        let plan = plan.clone();
        self.reading(move |source, connection| {
            let query = source.query(connection, &plan)?;
            let sql = format!("SELECT count(*) FROM ({})", query.statement.rows());
            let count =
                connection.query_row(&sql, params_from_iter(&query.bound), |row| row.get::<_, i64>(0));
            count.map(i64::unsigned_abs).map_err(|error| failed(&error))
        })
        .await
    }

    pub(crate) async fn inspect(&self) -> Result<Inspection, SourceError> {
        self.reading(move |source, connection| {
            let read_only = connection.is_readonly(rusqlite::MAIN_DB).map_err(|error| failed(&error))?;
            let columns = source.declared_columns(connection)?;
            Ok(Inspection {
                version: format!("SQLite {}", rusqlite::version()),
                is_read_only: read_only,
                readable_credentials: columns
                    .into_iter()
                    .map(|column| column.name)
                    .filter(|name| sensitive::by_name(name).is_some())
                    .collect(),
                ..Inspection::default()
            })
        })
        .await
    }
}
