//! What PostgreSQL says of a plan, of the role and of the table.

use super::answer::Cell;
use super::collations;
use super::error::{error_text, is_unknown_to_server, mismatch};
use super::holders::{self, Held};
use super::session::Session;
use super::{PostgresSource, Query};
use crate::{Elsewhere, Estimate, Inspection, SourceError};
use headcount_model::plan::{Column, Plan};
use headcount_model::sensitive;
use headcount_model::timestamp::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

impl PostgresSource {
    pub(crate) async fn estimate(&self, asked: &Plan) -> Result<Estimate, SourceError> {
        let mut session = self.connector.open().await?;
        let query = self.prepare(&mut session, asked).await?;
        match self.estimate_in(&session, asked, &query).await {
            Ok(estimate) => {
                session.finish().await;
                Ok(estimate)
            }
            // It is advice: a server that has no words for it can still export. Its transaction answers nothing more.
            Err(error) if is_unknown_to_server(&error) => Ok(Estimate::UNKNOWN),
            Err(error) => Err(mismatch(&error)),
        }
    }

    async fn estimate_in(
        &self,
        session: &Session,
        asked: &Plan,
        query: &Query,
    ) -> Result<Estimate, tokio_postgres::Error> {
        let plan = explain(session.client(), query).await?;
        let rows = self.estimated_rows(session, asked, query, &plan).await?;
        let mut sorts = any_node(&plan, &is_sort);
        if sorts {
            // A small table is sorted though there is an index. Whether it has to be shows where sorting is discouraged.
            session.client().batch_execute("SET LOCAL enable_sort = off").await?;
            sorts = any_node(&explain(session.client(), query).await?, &is_sort);
        }
        // A plan in words of its own says nothing of either.
        let is_known = plan["Node Type"].is_string();
        Ok(Estimate {
            rows,
            uses_index: is_known.then(|| any_node(&plan, &|node| node.get("Index Cond").is_some())),
            sorts: is_known.then_some(sorts),
        })
    }

    /// How many rows a plan gives; `None` where there is no telling: what other servers hold nobody counts here, and of a table
    /// that consists of several each guess of the planner can be wrong, and all of them together more so.
    async fn estimated_rows(
        &self,
        session: &Session,
        asked: &Plan,
        query: &Query,
        plan: &Value,
    ) -> Result<Option<u64>, tokio_postgres::Error> {
        if !query.elsewhere.is_empty() {
            return Ok(None);
        }
        let chooses =
            !asked.filters.is_empty() || asked.after.is_some() || !self.mapping.conditions(asked).is_empty();
        Ok(match holders::held(session, &session.names.table).await? {
            Held::InOne => plan["Plan Rows"].as_u64(),
            Held::InSeveral(rows) if !chooses => {
                Some(asked.limit.map_or(rows, |limit| rows.min(limit.unsigned_abs())))
            }
            Held::InSeveral(_) | Held::Unknown => None,
        })
    }

    /// What other servers hold, and what is in an outdated order, of everything that can be exported, or of the table alone where not
    /// all of that is there.
    async fn behind_all(&self, session: &mut Session) -> Result<(Elsewhere, Vec<String>), SourceError> {
        let declared = self.mapping.columns.iter().map(|(column, _)| column.clone());
        let all: Vec<_> = Column::CONTRACT.into_iter().chain(declared).collect();
        let everybody: Vec<_> = self.mapping.condition().into_iter().collect();
        session.set_busy(true);
        for columns in [&all[..], &[]] {
            let client = session.client();
            client.batch_execute("SAVEPOINT probe").await.map_err(|error| mismatch(&error))?;
            if let Ok(statement) = client.prepare(&self.probe(columns, &everybody, &session.names)).await {
                session.has_described(statement.columns());
                break;
            }
            client.batch_execute("ROLLBACK TO SAVEPOINT probe").await.map_err(|error| mismatch(&error))?;
        }
        let elsewhere = holders::elsewhere(session).await?;
        let outdated = collations::found(session).await?;
        session.set_busy(false);
        Ok((elsewhere, outdated))
    }

    pub(crate) async fn inspect(&self) -> Result<Inspection, SourceError> {
        let mut session = self.connector.open().await?;
        let failed = |error: tokio_postgres::Error| SourceError::Failed(error_text(&error));
        let names = Arc::clone(&session.names);
        let table: [(&(dyn ToSql + Sync), Type); 1] = [(&names.table, Type::TEXT)];
        let about = session.ask(ABOUT, &table).await.map_err(failed)?;
        let rows = session.ask(READABLE, &table).await.map_err(failed)?;
        let (elsewhere, outdated) = self.behind_all(&mut session).await?;
        session.finish().await;
        let row = about.first().ok_or_else(|| SourceError::Failed("the role is not known".to_owned()))?;
        let table = &self.mapping.table;
        let excess = [
            ("is_superuser", "is a superuser".to_owned()),
            ("can_create", "may create roles or databases".to_owned()),
            ("can_write", format!("may write table {table}")),
            ("owns", format!("owns table {table}")),
        ];
        let excess =
            excess.into_iter().filter(|(column, _)| row.get::<_, Option<bool>>(*column) == Some(true));
        Ok(Inspection {
            version: format!("PostgreSQL {}", row.get::<_, &str>("version")),
            is_encrypted: row.get("is_encrypted"),
            is_read_only: row.get("is_read_only"),
            excess: excess.map(|(_, words)| words).collect(),
            readable_credentials: rows
                .iter()
                .map(|row| row.get::<_, String>(0))
                .filter(|name| sensitive::by_name(name).is_some())
                .collect(),
            clock: Timestamp::from_micros(row.get("clock")),
            statement_timeout: row
                .get::<_, Option<i64>>("timeout")
                .and_then(|time| time.try_into().ok())
                .map(Duration::from_millis),
            others_on_path: Some(names.others.clone()),
            outdated_indexes: outdated,
            elsewhere,
        })
    }
}

/// A connection without an address is one through a socket on the same machine.
const ABOUT: &str = "
    SELECT current_setting('server_version') AS version,
           (SELECT ssl FROM pg_catalog.pg_stat_ssl
             WHERE pid = pg_backend_pid() AND inet_client_addr() IS NOT NULL
               AND NOT (inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1')) AS is_encrypted,
           current_setting('transaction_read_only')::bool AS is_read_only,
           rolsuper AS is_superuser,
           rolcreaterole OR rolcreatedb AS can_create,
           has_table_privilege(to_regclass($1), 'DELETE, TRUNCATE')
               OR has_any_column_privilege(to_regclass($1), 'INSERT, UPDATE') AS can_write,
           (SELECT relowner = r.oid FROM pg_catalog.pg_class WHERE pg_class.oid = to_regclass($1)) AS owns,
           (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS clock,
           (SELECT min(setting::int8) FROM pg_catalog.pg_settings
             WHERE name IN ('statement_timeout', 'transaction_timeout') AND setting <> '0') AS timeout
      FROM pg_catalog.pg_roles r
     WHERE rolname = current_user";

const READABLE: &str = "
    SELECT attname::text
      FROM pg_catalog.pg_attribute
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
       AND has_column_privilege(attrelid, attnum, 'SELECT')
     ORDER BY attnum";

/// The top node of the plan of a query.
///
/// # Errors
///
/// The server's. One that answers in another format tells nothing.
async fn explain(client: &Client, query: &Query) -> Result<Value, tokio_postgres::Error> {
    let rows = query.explain(client, "FORMAT JSON").await?;
    let json = rows.first().and_then(|row| row.try_get(0).ok()).map_or(&[][..], |Cell(json)| json);
    let mut explained: Value = serde_json::from_slice(json).unwrap_or_default();
    Ok(explained.pointer_mut("/0/Plan").map(Value::take).unwrap_or_default())
}

fn is_sort(node: &Value) -> bool {
    node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Sort"))
}

/// Whether a node of the plan, or one below it, is as asked. What an expression reads for each user is not how the users
/// are found.
fn any_node(node: &Value, is_it: &impl Fn(&Value) -> bool) -> bool {
    let is_subquery = matches!(node["Parent Relationship"].as_str(), Some("SubPlan" | "InitPlan"));
    let below = || node["Plans"].as_array().into_iter().flatten();
    !is_subquery && (is_it(node) || below().any(|node| any_node(node, is_it)))
}
