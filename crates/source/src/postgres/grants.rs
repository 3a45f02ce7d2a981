//! What a role needs for an export, as statements for somebody who may grant it.

use super::error::{error_text, mismatch};
use super::holders::READ;
use super::mentions::{Mentions, Relation};
use super::session::Session;
use super::{PostgresSource, query};
use crate::{Grants, SourceError, quote};
use headcount_model::plan::Plan;
use headcount_model::sensitive;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// The role, or the one in whose name we are here, as it stands in SQL, and the database. Whether the role is there, and sees all
/// rows.
const ROLE: &str = "
    SELECT quote_ident(v.role), quote_ident(current_database()), r.oid IS NOT NULL,
           coalesce(r.rolbypassrls OR r.rolsuper, false)
      FROM (VALUES (coalesce($1, current_user))) v (role) LEFT JOIN pg_roles r ON r.rolname::text = v.role";
/// The schemas of the names `$1`, and that of the table `$2`, and whether we may use them.
const SCHEMAS: &str = "
    SELECT quote_ident(n.nspname), has_schema_privilege(n.oid, 'USAGE')
      FROM pg_namespace n
     WHERE (n.nspname = ANY ($1) OR n.nspname = (parse_ident($2))[1])
       AND n.nspname NOT IN ('pg_catalog', 'information_schema')
     ORDER BY 1";
/// The tables and views that are read, the users first, with their columns, and whether we may read those.
const RELATIONS: &str = "
    SELECT n.nspname::text, c.relname::text, quote_ident(n.nspname), format('%I.%I', n.nspname, c.relname),
           c.oid = to_regclass($1), c.relrowsecurity,
           array_agg(a.attname::text ORDER BY a.attnum),
           array_agg(has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY a.attnum),
           array_agg(quote_ident(tn.nspname) ORDER BY a.attnum),
           EXISTS (SELECT FROM unnest(c.reloptions) AS o (text) WHERE o.text ~ '^security_invoker=(t|y|1|on)')
      FROM read
      JOIN pg_class c ON c.oid = read.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
      JOIN pg_namespace tn ON tn.oid = t.typnamespace
     GROUP BY c.oid, n.nspname, c.relname, c.relrowsecurity, c.reloptions
     ORDER BY c.oid = to_regclass($1) DESC, 4";
/// The functions of the names `$2` in the schemas `$1`, or, where that is NULL, in those of the path `$3` without those in `$4`; whether
/// everybody may run them, whether we may, and whether they read with the rights of whoever runs them.
const FUNCTIONS: &str = "
    SELECT DISTINCT quote_ident(n.nspname), format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0),
           has_function_privilege(p.oid, 'EXECUTE'),
           NOT p.prosecdef AND l.lanname NOT IN ('internal', 'c')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
      FROM unnest($1::text[], $2::text[]) AS called (schema, name)
      JOIN pg_proc p ON p.proname = called.name AND p.prokind <> 'p'
      JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      JOIN pg_language l ON l.oid = p.prolang
     WHERE n.nspname = called.schema
        OR called.schema IS NULL AND n.nspname = ANY ($3::text[]) AND n.nspname <> ALL ($4)
     ORDER BY 2";

/// A table or view that is read and named.
struct Table {
    schema: String,
    in_sql: String,
    has_row_security: bool,
    /// The columns that a role has to be able to read; of a table of which none is, any (PostgreSQL manual, "GRANT").
    needed: Vec<String>,
    /// Which of them we may not read.
    missing: Vec<String>,
    /// The schemas of their types, without which they cannot be compared.
    type_schemas: Vec<String>,
    /// Whether it is a view that reads with the rights of whoever reads it.
    reads_as_caller: bool,
}

/// A function that may be the one that is named.
struct Function {
    schema: String,
    in_sql: String,
    is_for_all: bool,
    is_for_us: bool,
    reads_as_caller: bool,
}

impl PostgresSource {
    /// The statements that let the role in whose name we are here read what a plan names; none where that is not what is missing.
    pub(crate) async fn missing_grants(&self, plan: &Plan) -> Result<Vec<String>, SourceError> {
        let session = self.connector.open().await?;
        let mentions = self.mentions(plan);
        let us = ask(&session, ROLE, &[(&None::<&str>, Type::TEXT)]).await?;
        let us: &str = us[0].get(0);
        let schemas = self.schemas(&session, &mentions).await?;
        let mut statements: Vec<_> =
            schemas.iter().filter(|(_, is_for_us)| !is_for_us).map(|(schema, _)| usage(schema, us)).collect();
        if statements.is_empty()
            && let Ok(tables) = self.tables(&session, plan, &mentions).await
        {
            let missing = tables.iter().filter(|table| !table.missing.is_empty());
            statements.extend(missing.map(|table| select(&table.missing, &table.in_sql, us)));
            let functions = functions(&session, &mentions).await?;
            let missing = functions.iter().filter(|function| !function.is_for_us);
            statements.extend(missing.map(|function| execute(&function.in_sql, us)));
        }
        session.finish().await;
        Ok(statements)
    }

    /// All that a role of this name needs for a plan, that it exists included.
    pub(crate) async fn grants(&self, plan: &Plan, role: &str) -> Result<Grants, SourceError> {
        let session = self.connector.open().await?;
        let mentions = self.mentions(plan);
        let known = ask(&session, ROLE, &[(&Some(role), Type::TEXT)]).await?;
        let (role, database): (&str, &str) = (known[0].get(0), known[0].get(1));
        let (is_there, sees_all): (bool, bool) = (known[0].get(2), known[0].get(3));
        let mut schemas: BTreeSet<_> =
            self.schemas(&session, &mentions).await?.into_iter().map(|(schema, _)| schema).collect();
        let tables = self.tables(&session, plan, &mentions).await.map_err(|error| match error {
            SourceError::Mismatch(problem) => SourceError::Mismatch(format!(
                "{problem}; see 'headcount check', or give the URL of a role that finds it in HEADCOUNT_SOURCE_URL"
            )),
            error => error,
        })?;
        let functions = functions(&session, &mentions).await?;
        session.finish().await;

        schemas.extend(tables.iter().map(|table| table.schema.clone()));
        schemas.extend(tables.iter().flat_map(|table| table.type_schemas.iter().cloned()));
        schemas.extend(functions.iter().map(|function| function.schema.clone()));
        let has_policies = !sees_all && tables.iter().any(|table| table.has_row_security);
        let made = match (is_there, has_policies) {
            (false, true) => Some(format!("CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD '...'")),
            (false, false) => Some(format!("CREATE ROLE {role} LOGIN PASSWORD '...'")),
            (true, true) => Some(format!("ALTER ROLE {role} BYPASSRLS")),
            (true, false) => None,
        };
        let mut statements = Vec::from_iter(made);
        statements.push(format!("GRANT CONNECT ON DATABASE {database} TO {role}"));
        statements.extend(schemas.iter().map(|schema| usage(schema, role)));
        statements.extend(tables.iter().map(|table| select(&table.needed, &table.in_sql, role)));
        let for_some = functions.iter().filter(|function| !function.is_for_all);
        statements.extend(for_some.map(|function| execute(&function.in_sql, role)));
        let views =
            tables.iter().filter(|table| table.reads_as_caller).map(|view| format!("view {}", view.in_sql));
        let called = functions.iter().filter(|function| function.reads_as_caller);
        let called = called.map(|function| format!("function {}", function.in_sql));
        Ok(Grants { statements, read_as_caller: views.chain(called).collect() })
    }

    /// What the administrator's SQL in a plan names.
    fn mentions(&self, plan: &Plan) -> Vec<Mentions> {
        self.mapping.expressions(plan).iter().map(|sql| Mentions::in_sql(sql)).collect()
    }

    /// The schemas that are named, those of the users and of the path included, and whether we may use them.
    async fn schemas(
        &self,
        session: &Session,
        mentions: &[Mentions],
    ) -> Result<Vec<(String, bool)>, SourceError> {
        let mut named: Vec<_> = mentions.iter().flat_map(Mentions::qualifiers).collect();
        // Where types and operators may be that are written without one.
        named.extend(self.mapping.search_path.iter().flatten().map(String::as_str));
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&named, Type::TEXT_ARRAY), (&session.names.table, Type::TEXT)];
        let rows = ask(session, SCHEMAS, &values).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// The tables that are named.
    ///
    /// # Errors
    ///
    /// A name is nobody's, or nothing that we may look at.
    async fn tables(
        &self,
        session: &Session,
        plan: &Plan,
        mentions: &[Mentions],
    ) -> Result<Vec<Table>, SourceError> {
        let names = Arc::clone(&session.names);
        let (referenced, conditions) = (query::referenced_columns(plan), self.mapping.conditions(plan));
        let probe = self.probe(&referenced, conditions.iter().map(|(_, sql)| sql), &names);
        let table = &self.mapping.table;
        let misfit = |error: tokio_postgres::Error| {
            SourceError::Mismatch(format!("table {table}: {}", error_text(&error)))
        };
        // Nothing is run, so that no policy hides anybody.
        session.client().batch_execute("SET LOCAL row_security = on").await.map_err(misfit)?;
        session.client().prepare(&probe).await.map_err(misfit)?;
        let own: BTreeSet<_> =
            referenced.iter().filter_map(|column| self.mapping.own_column(column)).collect();
        let rows = ask(session, &format!("{READ}{RELATIONS}"), &[(&names.table, Type::TEXT)]).await?;
        Ok(rows.iter().filter_map(|row| read_table(row, &own, mentions)).collect())
    }
}

/// The table of a row of [`RELATIONS`], if it is the users' or is named. What views read is their owners' affair, unless they read
/// with the rights of their readers.
fn read_table(row: &Row, own: &BTreeSet<&str>, mentions: &[Mentions]) -> Option<Table> {
    let relation = Relation { schema: row.get(0), name: row.get(1) };
    let is_users: bool = row.get(4);
    if !is_users && !mentions.iter().any(|mentions| mentions.has_table(&relation)) {
        return None;
    }
    let columns: Vec<&str> = row.get(6);
    let columns: Vec<(&str, bool)> = columns.into_iter().zip(row.get::<_, Vec<bool>>(7)).collect();
    let is_needed = |column: &str| {
        is_users && own.contains(column)
            || mentions.iter().any(|mentions| mentions.has_column(&relation, column))
    };
    let mut needed: Vec<_> = columns.iter().filter(|(column, _)| is_needed(column)).collect();
    if needed.is_empty() {
        // One that we may read already, if there is one; and no secret, if there is another.
        let preference =
            |(column, may_read): &&(&str, bool)| (!may_read, sensitive::by_name(column).is_some());
        needed.extend(columns.iter().min_by_key(preference));
    }
    let names = |columns: &[&(&str, bool)]| columns.iter().map(|(column, _)| (*column).to_owned()).collect();
    let missing: Vec<_> = needed.iter().copied().filter(|(_, may_read)| !may_read).collect();
    let type_schemas = columns.iter().zip(row.get::<_, Vec<String>>(8));
    let type_schemas =
        type_schemas.filter(|(column, schema)| needed.contains(column) && schema != "pg_catalog");
    Some(Table {
        schema: row.get(2),
        in_sql: row.get(3),
        has_row_security: row.get(5),
        needed: names(&needed),
        missing: names(&missing),
        type_schemas: type_schemas.map(|(_, schema)| schema).collect(),
        reads_as_caller: row.get(9),
    })
}

/// The functions that are named, but for PostgreSQL's own.
async fn functions(session: &Session, mentions: &[Mentions]) -> Result<Vec<Function>, SourceError> {
    let (schemas, called): (Vec<_>, Vec<_>) = mentions.iter().flat_map(Mentions::called).unzip();
    let values: [(&(dyn ToSql + Sync), Type); 4] = [
        (&schemas, Type::TEXT_ARRAY),
        (&called, Type::TEXT_ARRAY),
        (&session.names.schemas, Type::TEXT),
        (&session.names.left_out, Type::TEXT_ARRAY),
    ];
    let rows = ask(session, FUNCTIONS, &values).await?;
    let function = |row: &Row| Function {
        schema: row.get(0),
        in_sql: row.get(1),
        is_for_all: row.get(2),
        is_for_us: row.get(3),
        reads_as_caller: row.get(4),
    };
    Ok(rows.iter().map(function).collect())
}

async fn ask(
    session: &Session,
    sql: &str,
    values: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, SourceError> {
    session.ask(sql, values).await.map_err(|error| mismatch(&error))
}

fn usage(schema: &str, role: &str) -> String {
    format!("GRANT USAGE ON SCHEMA {schema} TO {role}")
}

fn select(columns: &[String], table: &str, role: &str) -> String {
    let columns: Vec<_> = columns.iter().map(|column| quote(column)).collect();
    format!("GRANT SELECT ({}) ON {table} TO {role}", columns.join(", "))
}

fn execute(function: &str, role: &str) -> String {
    format!("GRANT EXECUTE ON FUNCTION {function} TO {role}")
}
