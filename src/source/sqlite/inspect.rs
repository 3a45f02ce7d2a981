//! What SQLite says of a plan and of the file.

use super::{InterruptOnDrop, SqliteSource, blocking, failed};
use crate::plan::Plan;
use crate::sensitive;
use crate::source::{Estimate, Inspection, SourceError};
use rusqlite::params_from_iter;
use std::time::Duration;

/// SQLite has no statistics to speak of, so rows are counted, but not for long.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

impl SqliteSource {
    pub(in crate::source) async fn estimate(&self, plan: &Plan) -> Result<Estimate, SourceError> {
        let (source, asked) = (self.clone(), plan.clone());
        let explained = blocking(move || {
            let connection = source.open()?;
            source.query(&connection, &asked)?.explained(&connection)
        });
        let explained = explained.await?;
        Ok(Estimate {
            rows: tokio::time::timeout(COUNT_TIMEOUT, self.count(plan)).await.ok().and_then(Result::ok),
            uses_index: explained.uses_index(),
            sorts: explained.sorts(),
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
            let sql = format!("SELECT count(*) FROM ({})", query.statement.rows());
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
