//! What PostgreSQL says of a plan, of the role and of the table.

use super::answer::Cell;
use super::session::{error_text, mismatch};
use super::{PostgresSource, Query};
use crate::plan::Plan;
use crate::sensitive;
use crate::source::{Estimate, Inspection, SourceError};
use crate::timestamp::Timestamp;
use serde_json::Value;
use tokio_postgres::Client;

impl PostgresSource {
    pub(in crate::source) async fn estimate(&self, plan: &Plan) -> Result<Estimate, SourceError> {
        let mut session = self.connector.open().await?;
        let query = self.prepare(&mut session, plan).await?;
        let plan = explain(session.client(), &query).await?;
        let mut sorts = any_node(&plan, &is_sort);
        if sorts {
            // A small table is sorted though there is an index. Whether it has to be shows where sorting is discouraged.
            let discourage = "SET LOCAL enable_sort = off";
            session.client().batch_execute(discourage).await.map_err(|error| mismatch(&error))?;
            sorts = any_node(&explain(session.client(), &query).await?, &is_sort);
        }
        session.finish().await;
        Ok(Estimate {
            rows: plan["Plan Rows"].as_u64(),
            uses_index: any_node(&plan, &|node| node.get("Index Cond").is_some()),
            sorts,
        })
    }

    pub(in crate::source) async fn inspect(&self) -> Result<Inspection, SourceError> {
        let session = self.connector.open().await?;
        let failed = |error: tokio_postgres::Error| SourceError::Failed(error_text(&error));
        let row = session.client().query_one(ABOUT, &[&self.mapping.table.quoted()]).await.map_err(failed)?;
        let rows = session.client().query(READABLE, &[&self.mapping.table.quoted()]).await.map_err(failed)?;
        session.finish().await;
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
           (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS clock
      FROM pg_catalog.pg_roles r
     WHERE rolname = current_user";

const READABLE: &str = "
    SELECT attname::text
      FROM pg_catalog.pg_attribute
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
       AND has_column_privilege(attrelid, attnum, 'SELECT')
     ORDER BY attnum";

/// The top node of the plan of a query.
async fn explain(client: &Client, query: &Query) -> Result<Value, SourceError> {
    let rows = query.explain(client, "FORMAT JSON").await?;
    let json = rows.first().and_then(|row| row.try_get(0).ok()).map_or(&[][..], |Cell(json)| json);
    let mut explained: Value = serde_json::from_slice(json)
        .map_err(|error| SourceError::Failed(format!("EXPLAIN cannot be read: {error}")))?;
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
