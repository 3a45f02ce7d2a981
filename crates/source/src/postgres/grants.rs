//! What a role needs for an export, as statements for somebody who may grant it.

use super::error::mismatch;
use super::holders::READ;
use super::session::Session;
use super::{PostgresSource, query};
use crate::SourceError;
use headcount_model::plan::Plan;
use headcount_model::sensitive;
use std::sync::Arc;
use tokio_postgres::types::{ToSql, Type};

/// The role in whose name we are here lacks the schema of the users table.
const MISSING_USAGE: &str = "
    SELECT format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user)
      FROM pg_namespace n
     WHERE n.nspname = (parse_ident($1))[1] AND NOT has_schema_privilege(n.oid, 'USAGE')";

/// Of the users table the columns `$2`, and of what expressions name beside it the columns that they name (`$3`). What views read
/// is their owners' affair. For the role `$4`, or the one in whose name we are here.
const NAMED: &str = ", named (schema, statement, is_first) AS (
    SELECT n.nspname, format('GRANT SELECT (%s) ON %I.%I TO %I',
                  string_agg('\"' || replace(a.attname, '\"', '\"\"') || '\"', ', ' ORDER BY a.attnum),
                  n.nspname, c.relname, coalesce($4, current_user)),
           c.oid = to_regclass($1)
      FROM read
      JOIN pg_class c ON c.oid = read.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'pg_catalog'
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE (CASE WHEN c.oid = to_regclass($1) THEN a.attname = ANY ($2)
                 ELSE c.relname = ANY ($3) AND a.attname = ANY ($3) END)
       AND {lacks}
     GROUP BY c.oid, n.nspname, c.relname
)";
const MISSING: &str = " SELECT statement FROM named ORDER BY is_first DESC, 1";
/// The schemas first.
const ALL: &str = "
    SELECT DISTINCT 0, false, format('GRANT USAGE ON SCHEMA %I TO %I', schema, $4) FROM named
    UNION ALL
    SELECT 1, NOT is_first, statement FROM named ORDER BY 1, 2, 3";
/// What comes before all that.
const CONNECT: &str = "
    SELECT 0, format('CREATE ROLE %I LOGIN%s PASSWORD ''...''', $2, CASE WHEN EXISTS (
               SELECT FROM pg_class c WHERE c.oid = to_regclass($1) AND c.relrowsecurity) THEN ' BYPASSRLS' ELSE '' END)
     WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname::text = $2)
    UNION ALL
    SELECT 1, format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), $2) ORDER BY 1";

impl PostgresSource {
    /// The statements that let the role read what a plan reads, and no more; none where that is not what is missing.
    pub(crate) async fn missing_grants(&self, plan: &Plan) -> Result<Vec<String>, SourceError> {
        let session = self.connector.open().await?;
        let names = Arc::clone(&session.names);
        let table: [(&(dyn ToSql + Sync), Type); 1] = [(&names.table, Type::TEXT)];
        let usage = session.ask(MISSING_USAGE, &table).await.map_err(|error| mismatch(&error))?;
        let statements = match usage.is_empty() {
            false => usage.iter().map(|row| row.get(0)).collect(),
            true => {
                let lacks = "NOT has_column_privilege(c.oid, a.attnum, 'SELECT')";
                let sql = format!("{NAMED}{MISSING}").replace("{lacks}", lacks);
                self.named(&session, plan, &sql, None).await?.unwrap_or_default()
            }
        };
        session.finish().await;
        Ok(statements)
    }

    /// All statements that a role of this name needs for a plan, that it exists included.
    pub(crate) async fn grants(&self, plan: &Plan, role: &str) -> Result<Vec<String>, SourceError> {
        let session = self.connector.open().await?;
        let names = Arc::clone(&session.names);
        let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&names.table, Type::TEXT), (&role, Type::TEXT)];
        let rows = session.ask(CONNECT, &asked).await.map_err(|error| mismatch(&error))?;
        let mut statements: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
        let sql = format!("{NAMED}{ALL}").replace("{lacks}", "true");
        let named = self.named(&session, plan, &sql, Some(role)).await?;
        session.finish().await;
        let table = &self.mapping.table;
        statements.extend(named.ok_or_else(|| {
            SourceError::Mismatch(format!(
                "table {table}: what the configuration names cannot all be found, or is in a schema that the role in source.url may \
                 not use; see 'headcount check', or give another URL in HEADCOUNT_SOURCE_URL"
            ))
        })?);
        Ok(statements)
    }

    /// Asks for the columns that a plan names; `None` where a name is nobody's.
    async fn named(
        &self,
        session: &Session,
        plan: &Plan,
        sql: &str,
        role: Option<&str>,
    ) -> Result<Option<Vec<String>>, SourceError> {
        let names = Arc::clone(&session.names);
        let (referenced, conditions) = (query::referenced_columns(plan), self.mapping.conditions(plan));
        let probe = self.probe(&referenced, conditions.iter().map(|(_, sql)| sql), &names);
        if session.client().prepare(&probe).await.is_err() {
            return Ok(None);
        }
        let mut named: Vec<String> =
            self.mapping.expressions(plan).iter().flat_map(|sql| sensitive::identifiers(sql)).collect();
        // Names that are not quoted are folded (PostgreSQL manual, section 4.1.1).
        named.extend(named.clone().iter().map(|name| name.to_lowercase()));
        let own = referenced.iter().filter_map(|column| self.mapping.own_column(column)).map(str::to_owned);
        let own: Vec<String> = own.chain(named.iter().cloned()).collect();
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&names.table, Type::TEXT),
            (&own, Type::TEXT_ARRAY),
            (&named, Type::TEXT_ARRAY),
            (&role, Type::TEXT),
        ];
        let rows = session.ask(&format!("{READ}{sql}"), &values).await.map_err(|error| mismatch(&error))?;
        Ok(Some(rows.iter().map(|row| row.get(row.len() - 1)).collect()))
    }
}
