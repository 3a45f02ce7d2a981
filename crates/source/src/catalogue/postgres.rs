//! The catalogue of a PostgreSQL database (PostgreSQL manual, chapter 53, "System Catalogs").

use super::{Catalogue, Column, ColumnKind, Database, Reference, Row, Sample, TIMEOUT, Table};
use crate::postgres::connector::Connector;
use crate::postgres::error::{error_text, mismatch};
use crate::postgres::lookup::Lookup;
use crate::postgres::session::Session;
use crate::{SourceError, TableName};
use std::collections::{HashMap, HashSet};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

// A partition is read through its table. A relation that was never analysed has -1 rows; a view has 0. The name alone means the
// first table of this name in the schemas of the role's path.
const TABLES: &str = "\
WITH path AS (
    SELECT n.oid, p.place FROM unnest($1::name[]) WITH ORDINALITY AS p (name, place)
    JOIN pg_catalog.pg_namespace n ON n.nspname = p.name
)
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind IN ('v', 'm'), c.reltuples::float8, c.relrowsecurity,
       has_schema_privilege(n.oid, 'USAGE'),
       coalesce(c.oid = (SELECT s.oid FROM pg_catalog.pg_class s JOIN path p ON p.oid = s.relnamespace
                          WHERE s.relname = c.relname ORDER BY p.place LIMIT 1), false)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
ORDER BY n.nspname, c.relname";

// A domain is read as the type it stands on, through however many other domains. An index on an expression has 0 for a column.
const COLUMNS: &str = "\
WITH RECURSIVE domains (oid, base) AS (
    SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT d.oid, t.typbasetype FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base WHERE t.typtype = 'd'
)
SELECT a.attrelid, a.attname::text, coalesce(b.typname, t.typname)::text,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
              WHERE e.enumtypid = coalesce(b.oid, t.oid) ORDER BY e.enumsortorder),
       NOT a.attnotnull, coalesce(x.is_primary, false), coalesce(x.is_unique, false), coalesce(x.is_first, false),
       has_column_privilege(a.attrelid, a.attnum, 'SELECT'), pg_get_expr(f.adbin, f.adrelid)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN (domains d JOIN pg_catalog.pg_type b ON b.oid = d.base AND b.typtype <> 'd') ON d.oid = t.oid
LEFT JOIN (
    SELECT i.indrelid, k.attnum, bool_or(i.indisprimary) AS is_primary,
           bool_or(i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL) AS is_unique,
           bool_or(k.place = 1 AND i.indpred IS NULL) AS is_first
    FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    WHERE i.indisvalid AND k.place <= i.indnkeyatts
    GROUP BY i.indrelid, k.attnum
) x ON x.indrelid = a.attrelid AND x.attnum = a.attnum
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

// Which table refers to which; of keys of one column, with what to what. A partition's are those of its table.
const REFERENCES: &str = "\
SELECT k.conrelid, k.confrelid, a.attname::text, b.attname::text
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
LEFT JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND k.confkey = ARRAY[b.attnum]
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY k.conrelid, k.conkey";

// Our sessions have a time zone of their own; `reset_val` is that of everybody else.
const SERVER: &str = "\
SELECT current_database()::text, (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'TimeZone')";

pub(super) async fn read(url: &str) -> Result<Catalogue, SourceError> {
    let session = open(url, None).await?;
    let failed = |error: tokio_postgres::Error| SourceError::Failed(error_text(&error));
    let server = session.client().query_one(SERVER, &[]).await.map_err(failed)?;
    let path = session.names.schemas.clone();
    let tables = session.client().query_typed(TABLES, &[(&path, Type::TEXT)]).await.map_err(failed)?;
    let oids: Vec<u32> = tables.iter().map(|row| row.get(0)).collect();
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in session.client().query(COLUMNS, &[&oids]).await.map_err(failed)? {
        columns.entry(row.get(0)).or_default().push(column(&row));
    }
    let keys = session.client().query(REFERENCES, &[]).await.map_err(failed)?;
    session.finish().await;
    let name = |row: &tokio_postgres::Row| TableName::new(Some(row.get(1)), row.get(2));
    let names: HashMap<u32, TableName> = tables.iter().map(|row| (row.get(0), name(row))).collect();
    let mut references = references(&keys, &names);
    let referring: HashSet<(u32, u32)> = keys.iter().map(|row| (row.get(1), row.get(0))).collect();
    let mut referred: HashMap<u32, usize> = HashMap::new();
    for (to, _) in referring.iter().filter(|(to, from)| to != from) {
        *referred.entry(*to).or_default() += 1;
    }
    let tables = tables.iter().map(|row| {
        let (oid, rows): (u32, f64) = (row.get(0), row.get(4));
        let mut columns = columns.remove(&oid).unwrap_or_default();
        if !row.get::<_, bool>(6) {
            columns.iter_mut().for_each(|column| column.is_readable = false);
        }
        Table {
            name: name(row),
            is_view: row.get(3),
            rows: (rows > 0.0).then_some(rows as u64),
            referenced_by: referred.get(&oid).copied().unwrap_or(0),
            references: references.remove(&oid).unwrap_or_default(),
            has_row_security: row.get(5),
            is_found_by_name: row.get(7),
            columns,
        }
    });
    Ok(Catalogue {
        database: Database::Postgres,
        name: Some(server.get(0)),
        time_zone: server.get(1),
        tables: tables.collect(),
    })
}

/// The foreign keys of each table, of those that have one column and lead to a table that is listed.
fn references(keys: &[tokio_postgres::Row], names: &HashMap<u32, TableName>) -> HashMap<u32, Vec<Reference>> {
    let mut references: HashMap<u32, Vec<Reference>> = HashMap::new();
    for key in keys {
        let (Some(column), Some(to), Some(table)) =
            (key.get(2), key.get(3), names.get(&key.get::<_, u32>(1)))
        else {
            continue;
        };
        references.entry(key.get(0)).or_default().push(Reference { column, table: table.clone(), to });
    }
    references
}

/// What is selected is looked up as in an export.
pub(super) async fn sample(url: &str, sample: &Sample) -> Result<Vec<Row>, SourceError> {
    let search_path = sample.search_path.clone().map(|schema| vec![schema]);
    let session = open(url, Some(Lookup::new(sample.table.clone(), search_path))).await?;
    // The simple protocol prints every type as text.
    let rows = session.client().simple_query(&sample.sql()).await;
    let messages = rows.map_err(|error| match error.as_db_error() {
        Some(_) => SourceError::Mismatch(error_text(&error) + &session.names.hint(&error)),
        None => SourceError::Failed(error_text(&error)),
    })?;
    session.finish().await;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

fn column(row: &tokio_postgres::Row) -> Column {
    let type_name: String = row.get(2);
    let labels: Vec<String> = row.get(3);
    Column {
        name: row.get(1),
        kind: if labels.is_empty() { kind(&type_name) } else { ColumnKind::Enum },
        type_name,
        labels,
        is_nullable: row.get(4),
        in_primary_key: row.get(5),
        is_unique: row.get(6),
        is_indexed: row.get(7),
        is_readable: row.get(8),
        default: row.get(9),
    }
}

fn kind(type_name: &str) -> ColumnKind {
    match type_name {
        "int2" | "int4" | "int8" => ColumnKind::Integer,
        "numeric" | "float4" | "float8" => ColumnKind::Number,
        "text" | "varchar" | "bpchar" | "citext" | "name" => ColumnKind::Text,
        "bool" => ColumnKind::Bool,
        "timestamptz" | "timestamp" => ColumnKind::Timestamp,
        "date" => ColumnKind::Date,
        "uuid" => ColumnKind::Uuid,
        _ => ColumnKind::Other,
    }
}

/// A session in which nothing takes long.
async fn open(url: &str, lookup: Option<Lookup>) -> Result<Session, SourceError> {
    let session = Connector::new(url, lookup, 1).map_err(SourceError::Unreachable)?.open().await?;
    let set = format!("SET LOCAL statement_timeout = {}", TIMEOUT.as_millis());
    session.client().batch_execute(&set).await.map_err(|error| mismatch(&error))?;
    Ok(session)
}
