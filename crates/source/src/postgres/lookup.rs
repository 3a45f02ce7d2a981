//! Whose names are meant. PostgreSQL looks up operators, functions, types and tables along the `search_path`, and takes what fits
//! best in any schema of it: whoever may create in one of them could have an operator of his own run in an export.
//!
//! So what we write is looked up in `pg_catalog` alone, or names it; the table is found once and named with its schema; and what the
//! administrator writes is looked up in schemas in which nobody else can create, or in those that the configuration names.

use super::collations::{self, IS_BYTES};
use super::error::mismatch;
use super::names::{Names, OURS, Outdated};
use super::session::{About, Session};
use crate::{Mapping, SourceError, TableName, quote};
use headcount_model::plan::Column;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, SimpleQueryMessage};

/// How long a look at the catalogue counts: it takes longer than a small export.
const REMEMBERED: Duration = Duration::from_millis(500);
/// How long it counts for others while somebody looks again: all of them at once would keep the server busy with it.
const WHILE_LOOKING: Duration = Duration::from_secs(5);
/// How long a look is waited for before somebody else looks.
const LOOK: Duration = Duration::from_secs(1);

/// The schemas of the path that a session has, and what server it is on.
const SITUATION: &str = "SELECT pg_catalog.current_schemas(false) AS path, \
    pg_catalog.current_setting('server_version_num') AS version, \
    pg_catalog.current_setting('server_encoding') AS encoding";

/// Finds the table and sets the path for the administrator's SQL, without the schemas in which others can create, or have what runs
/// where a name is taken for it, unless the configuration names them. Others are all but superusers, the owner of the database,
/// and those who can put another table in the place of the users: its owner, and the owner of its schema. Where the role's path
/// leads to a second table of that name, those who can create before it must be able to replace that one, too.
const NAMES: &str = "
    WITH path AS (
        SELECT n.oid, n.nspname, n.nspowner, n.nspacl, p.place
          FROM unnest($1::name[]) WITH ORDINALITY AS p (name, place)
          JOIN pg_namespace n ON n.nspname = p.name AND n.oid <> pg_my_temp_schema()
    ), tables AS (
        SELECT c.oid, c.relowner, n.nspname, n.nspowner, p.place
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN path p ON p.oid = n.oid
         WHERE c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND CASE WHEN $3::text IS NULL THEN p.place IS NOT NULL ELSE n.nspname = $3 END
    ), users AS (
        SELECT * FROM tables ORDER BY place LIMIT 1
    ), makers AS (
        SELECT p.place, p.nspname, m.role
          FROM path p, LATERAL (
                   SELECT p.nspowner UNION
                   SELECT a.grantee FROM aclexplode(p.nspacl) a WHERE a.privilege_type = 'CREATE' UNION
                   SELECT f.proowner FROM pg_proc f WHERE f.pronamespace = p.oid UNION
                   SELECT o.oprowner FROM pg_operator o WHERE o.oprnamespace = p.oid UNION
                   SELECT t.typowner FROM pg_type t
                    WHERE t.typnamespace = p.oid
                      AND (t.typtype IN ('d', 'r', 'm') OR t.typtype = 'b' AND t.typcategory <> 'A') UNION
                   SELECT k.collowner FROM pg_collation k WHERE k.collnamespace = p.oid UNION
                   SELECT v.relowner FROM pg_class v WHERE v.relnamespace = p.oid AND v.relkind = 'v') AS m (role)
         WHERE m.role IS DISTINCT FROM to_regrole('pg_database_owner')::oid
    ), database AS (
        SELECT datdba FROM pg_database WHERE datname = current_database()
    ), others AS (
        SELECT m.place, m.nspname, m.role FROM makers m
         WHERE m.role = 0 OR NOT EXISTS (
             SELECT FROM (SELECT relowner FROM users UNION SELECT nspowner FROM users UNION SELECT datdba FROM database) o (oid)
              WHERE pg_has_role(m.role, o.oid, 'MEMBER'))
    ), rivals AS (
        SELECT t.nspname FROM users u JOIN tables t ON t.place > u.place, database
         WHERE $4 = 'found' AND EXISTS (
             SELECT FROM (SELECT role FROM makers WHERE place = u.place UNION SELECT u.relowner) m (role)
              WHERE m.role = 0 OR NOT EXISTS (
                  SELECT FROM (VALUES (t.relowner), (t.nspowner), (datdba)) o (oid)
                   WHERE pg_has_role(m.role, o.oid, 'MEMBER')))
         ORDER BY t.place LIMIT 1
    ), outdated AS ({outdated}
    )
    SELECT (SELECT nspname::text FROM users) AS schema,
           (SELECT nspname::text FROM rivals) AS rival,
           set_config('search_path', concat_ws(', ', 'pg_catalog', (
               SELECT string_agg(quote_ident(p.nspname), ', ' ORDER BY p.place) FROM path p
                WHERE $4::text = 'named' OR NOT EXISTS (SELECT FROM others o WHERE o.place = p.place)), 'pg_temp'), true) AS path,
           ARRAY(SELECT format('%s (%s)', o.nspname, string_agg(
                            CASE o.role WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(o.role)::text END, ', ' ORDER BY o.role))
                   FROM others o GROUP BY o.place, o.nspname ORDER BY o.place) AS others,
           ARRAY(SELECT DISTINCT o.nspname::text FROM others o WHERE $4 = 'found') AS left_out,
           ARRAY(SELECT w.name FROM unnest($6::text[]) AS w (name)
                  WHERE w.name NOT IN ('$user', 'pg_catalog', 'pg_temp') AND w.name <> ALL ($1::text[])) AS missing,
           (SELECT {is_bytes}
              FROM users u
              JOIN pg_attribute a ON a.attrelid = u.oid AND a.attname = $5 AND NOT a.attisdropped
              JOIN pg_collation k ON k.oid = a.attcollation
              JOIN pg_database d ON d.datname = current_database()) AS id_is_bytes,
           ARRAY(SELECT oid FROM outdated ORDER BY oid) AS outdated,
           ARRAY(SELECT said FROM outdated ORDER BY oid) AS outdated_words";

/// Finds out what names mean.
pub(crate) struct Lookup {
    table: TableName,
    /// The path that the configuration names.
    named: Option<Vec<String>>,
    /// The column of ids.
    id: Option<String>,
    known: Mutex<Option<Known>>,
}

/// What was found.
#[derive(Debug)]
struct Known {
    since: Instant,
    names: Arc<Names>,
    database: About,
    /// When somebody began to look again.
    looking_since: Option<Instant>,
}

impl Lookup {
    pub(crate) fn new(table: TableName, named: Option<Vec<String>>) -> Self {
        Self { table, named, id: None, known: Mutex::new(None) }
    }

    pub(super) fn of(mapping: &Mapping) -> Self {
        let id = mapping.own_column(&Column::ID).map(str::to_owned);
        Self { id, ..Self::new(mapping.table.clone(), mapping.search_path.clone()) }
    }

    /// What was found a moment ago; `None` tells the caller to look.
    pub(super) fn known(&self) -> Option<(Arc<Names>, About)> {
        let mut known = self.known.lock();
        let known = known.as_mut()?;
        let age = known.since.elapsed();
        let is_looked_for = known.looking_since.is_some_and(|since| since.elapsed() < LOOK);
        if age < REMEMBERED || (age < WHILE_LOOKING && is_looked_for) {
            return Some((Arc::clone(&known.names), known.database.clone()));
        }
        known.looking_since = Some(Instant::now());
        None
    }

    /// Looks again at the next occasion.
    pub(super) fn forget(&self) {
        *self.known.lock() = None;
    }

    /// Asks for the situation, of which [`Lookup::find`] makes names, and leaves our path behind.
    pub(super) fn question(&self) -> String {
        let named = self.named.as_ref().map_or_else(String::new, |named| {
            let schemas: Vec<_> = named.iter().map(|schema| quote(schema)).collect();
            // An empty list is no SQL.
            let schemas = if schemas.is_empty() { "''".to_owned() } else { schemas.join(", ") };
            format!("SET LOCAL search_path = {schemas}; ")
        });
        format!("{named}{}", situation_and_ours())
    }

    /// Finds the names, and sets the path for the administrator's SQL.
    pub(super) async fn find(
        &self,
        session: &Session,
        said: &[SimpleQueryMessage],
    ) -> Result<Arc<Names>, SourceError> {
        let Situation { schemas, version, has_order_of_bytes } = Situation::of(said);
        let sql = NAMES.replace("{is_bytes}", IS_BYTES).replace("{outdated}", &collations::outdated(version));
        let (table, schema) = (self.table.name(), self.table.schema());
        let how = if self.named.is_some() { "named" } else { "found" };
        let named = self.named.as_deref().unwrap_or_default();
        let texts: [&(dyn ToSql + Sync); 5] = [&schemas, &table, &schema, &how, &self.id];
        let mut values = texts.map(|value| (value, Type::TEXT)).to_vec();
        values.push((&named, Type::TEXT_ARRAY));
        let rows = session.client().query_typed(&sql, &values).await.map_err(|error| mismatch(&error))?;
        let row = rows.first().ok_or_else(|| SourceError::Failed("the server left a row out".to_owned()))?;
        // What the server leaves out of a path in silence could have what is meant.
        if let [schema, ..] = &column::<Vec<String>>(row, "missing")?[..] {
            return Err(SourceError::Mismatch(format!(
                "table {table}: the schema {schema} of source.search_path is not there, or the role may not use it: correct the name, or \
                 GRANT USAGE ON SCHEMA {schema} to the role in source.url"
            )));
        }
        let found: Option<String> = column(row, "schema")?;
        if let (Some(first), Some(rival)) = (&found, column::<Option<String>>(row, "rival")?) {
            return Err(SourceError::Mismatch(format!(
                "table {table}: the role's search_path leads to one in schema {first} and to one in schema {rival}, and others \
                 can create in the first: write its schema, as in source.table = \"{first}.{table}\", or set source.search_path"
            )));
        }
        let is_found = found.is_some();
        let name = TableName::new(found.or(schema.map(str::to_owned)), table.to_owned());
        let names = Arc::new(Names {
            table: name.quoted(),
            set_path: format!("SET LOCAL search_path = {}", column::<String>(row, "path")?),
            schemas,
            others: column(row, "others")?,
            left_out: column(row, "left_out")?,
            has_ids_in_order_of_bytes: has_order_of_bytes
                && column::<Option<bool>>(row, "id_is_bytes")? == Some(true),
            outdated: Outdated { oids: column(row, "outdated")?, words: column(row, "outdated_words")? },
        });
        if is_found {
            let (names, database) = (Arc::clone(&names), session.database.clone());
            *self.known.lock() = Some(Known { since: Instant::now(), names, database, looking_since: None });
        }
        Ok(names)
    }
}

/// Asks for the situation and sets our path.
pub(super) fn situation_and_ours() -> String {
    format!("{SITUATION}; {OURS}")
}

/// The names of a session that reads nothing but the catalogue.
pub(super) fn ours(said: &[SimpleQueryMessage]) -> Names {
    Names { schemas: Situation::of(said).schemas, set_path: OURS.to_owned(), ..Names::default() }
}

/// What a session says of itself.
struct Situation {
    schemas: String,
    version: u32,
    /// Whether texts that are in the order of their bytes there are so in UTF-8, too.
    has_order_of_bytes: bool,
}

impl Situation {
    fn of(said: &[SimpleQueryMessage]) -> Self {
        let rows = || {
            said.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
        };
        let cell = |name: &str| rows().find_map(|row| row.try_get(name).ok().flatten());
        Self {
            schemas: cell("path").unwrap_or("{}").to_owned(),
            version: cell("version").and_then(|version| version.parse().ok()).unwrap_or_default(),
            has_order_of_bytes: matches!(cell("encoding"), Some("UTF8" | "SQL_ASCII" | "LATIN1")),
        }
    }
}

fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, SourceError> {
    row.try_get(name).map_err(|error| mismatch(&error))
}
