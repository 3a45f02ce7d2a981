//! What the role lacks for an export, as statements for somebody who may grant it.

use super::error::mismatch;
use super::holders::READ;
use super::{PostgresSource, query};
use crate::SourceError;
use headcount_model::plan::Plan;
use headcount_model::sensitive;
use std::sync::Arc;
use tokio_postgres::types::{ToSql, Type};

const USAGE: &str = "
    SELECT format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user)
      FROM pg_namespace n
     WHERE n.nspname = (parse_ident($1))[1] AND NOT has_schema_privilege(n.oid, 'USAGE')";

/// Of the users table the columns `$2`, and of what expressions name beside it the columns that they name (`$3`). What views read
/// is their owners' affair.
const SELECT: &str = "
    SELECT format('GRANT SELECT (%s) ON %I.%I TO %I',
                  string_agg('\"' || replace(a.attname, '\"', '\"\"') || '\"', ', ' ORDER BY a.attnum),
                  n.nspname, c.relname, current_user)
      FROM read
      JOIN pg_class c ON c.oid = read.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE (CASE WHEN c.oid = to_regclass($1) THEN a.attname = ANY ($2)
                 ELSE c.relname = ANY ($3) AND a.attname = ANY ($3) END)
       AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')
     GROUP BY c.oid, n.nspname, c.relname ORDER BY c.oid = to_regclass($1) DESC, 1";

impl PostgresSource {
    /// The statements that let the role read what a plan reads, and no more; none where that is not what is missing.
    pub(crate) async fn missing_grants(&self, plan: &Plan) -> Result<Vec<String>, SourceError> {
        let session = self.connector.open().await?;
        let names = Arc::clone(&session.names);
        let texts =
            |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get(0)).collect::<Vec<String>>();
        let table: [(&(dyn ToSql + Sync), Type); 1] = [(&names.table, Type::TEXT)];
        let usage = session.ask(USAGE, &table).await.map_err(|error| mismatch(&error))?;
        if !usage.is_empty() {
            session.finish().await;
            return Ok(texts(usage));
        }
        let (referenced, conditions) = (query::referenced_columns(plan), self.mapping.conditions(plan));
        let probe = self.probe(&referenced, conditions.iter().map(|(_, sql)| sql), &names);
        if session.client().prepare(&probe).await.is_err() {
            return Ok(Vec::new());
        }
        let mut named: Vec<String> =
            self.mapping.expressions(plan).iter().flat_map(|sql| sensitive::identifiers(sql)).collect();
        // Names that are not quoted are folded (PostgreSQL manual, section 4.1.1).
        named.extend(named.clone().iter().map(|name| name.to_lowercase()));
        let own = referenced.iter().filter_map(|column| self.mapping.own_column(column)).map(str::to_owned);
        let own: Vec<String> = own.chain(named.iter().cloned()).collect();
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&names.table, Type::TEXT), (&own, Type::TEXT_ARRAY), (&named, Type::TEXT_ARRAY)];
        let select =
            session.ask(&format!("{READ}{SELECT}"), &values).await.map_err(|error| mismatch(&error))?;
        session.finish().await;
        Ok(texts(select))
    }
}
