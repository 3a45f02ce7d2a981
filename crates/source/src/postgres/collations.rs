//! Whether what is kept in the order of a text still has that order. An index that was made before the library that compares texts
//! was updated does not find all that it should, and tells nobody.

use super::column_type::ColumnTypes;
use super::error::mismatch;
use super::holders::READ;
use super::session::Session;
use crate::{Mapping, SourceError};
use headcount_model::plan::{Column, Plan};
use tokio_postgres::types::{ToSql, Type};

/// Whether the order of a collation `k`, in the database `d`, is that of the bytes, so that no library and no update of one changes
/// it. Older servers have no other provider for a database than the C library.
pub(super) const IS_BYTES: &str = "coalesce(CASE \
    CASE k.collprovider WHEN 'd' THEN coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') ELSE k.collprovider::text END \
    WHEN 'b' THEN true \
    WHEN 'c' THEN CASE k.collprovider WHEN 'd' THEN d.datcollate ELSE k.collcollate END IN ('C', 'POSIX') \
    ELSE false END, false)";

/// The version of a collation's order when the database began to use it, and now. The order of the database itself has versions
/// since PostgreSQL 15.
const VERSIONS: &str = "CASE k.collprovider WHEN 'd' THEN d.datcollversion ELSE k.collversion END, \
    CASE k.collprovider WHEN 'd' THEN pg_database_collation_actual_version(d.oid) ELSE pg_collation_actual_version(k.oid) END";
const VERSIONS_BEFORE_15: &str =
    "k.collversion, CASE WHEN k.collprovider <> 'd' THEN pg_collation_actual_version(k.oid) END";

/// What depends on the order of texts: the keys of indexes, what their expressions and conditions compare, and the bounds of
/// partitions; of the application's tables, not of the catalogue's (PostgreSQL manual, section 54.51, "pg_index").
const ORDERED: &str = "
    SELECT i.indrelid AS relation, i.indexrelid AS ordered, unnest(i.indcollation) AS collation
      FROM pg_catalog.pg_index i WHERE i.indexrelid >= 16384
    UNION ALL
    SELECT i.indrelid, i.indexrelid, a.attcollation
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = i.indexrelid
       AND e.refclassid = e.classid AND e.refobjid = i.indrelid
      JOIN pg_catalog.pg_attribute a ON a.attrelid = e.refobjid AND a.attnum = e.refobjsubid
     WHERE i.indexrelid >= 16384 AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
    UNION ALL
    SELECT p.partrelid, p.partrelid, unnest(p.partcollation) FROM pg_catalog.pg_partitioned_table p";

/// The collations that something is kept in the order of, which may be another one by now. A C library that tells no version has NULL.
const OUTDATED: &str = "
    SELECT k.oid, format('collation %s, version %s then and %s now',
                         CASE k.collprovider WHEN 'd' THEN 'of the database' ELSE quote_ident(k.collname) END,
                         coalesce(v.recorded, 'none'), coalesce(v.actual, 'none')) AS said
      FROM (SELECT DISTINCT o.collation FROM ({ordered}) o) AS used
      JOIN pg_collation k ON k.oid = used.collation
      JOIN pg_database d ON d.datname = current_database()
     CROSS JOIN LATERAL (SELECT {versions}) AS v (recorded, actual)
     WHERE v.recorded IS DISTINCT FROM v.actual";

/// What of what was looked at is kept in the order of one of these collations, and whether there is a view among that.
const KEPT: &str = "
    SELECT format('%s %s (%s)', CASE c.relkind WHEN 'p' THEN 'the partitions of' ELSE 'index' END, c.oid::regclass,
                  string_agg(DISTINCT k.said, ', ')),
           EXISTS (SELECT FROM read JOIN pg_class v ON v.oid = read.oid WHERE v.relkind = 'v' AND v.oid >= 16384)
      FROM read
      JOIN ({ordered}) o ON o.relation = read.oid
      JOIN unnest($1::oid[], $2::text[]) AS k (oid, said) ON k.oid = o.collation
      JOIN pg_class c ON c.oid = o.ordered AND c.relkind <> 'I'
     GROUP BY c.oid, c.relkind
     ORDER BY c.oid::regclass::text";

/// Nothing is found by its place in an order. What else would be discouraged might leave no other way.
const WITHOUT_INDEXES: &str = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; \
    SET LOCAL enable_bitmapscan = off; SET LOCAL enable_partition_pruning = off; SET LOCAL constraint_exclusion = off; \
    SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on";

/// What is named of many.
const SHOWN: usize = 10;

/// The SQL that finds the collations of a database with another order than they had: their numbers (`oid`), and words (`said`).
pub(super) fn outdated(server_version: u32) -> String {
    let versions = if server_version < 150_000 { VERSIONS_BEFORE_15 } else { VERSIONS };
    OUTDATED.replace("{ordered}", ORDERED).replace("{versions}", versions)
}

/// What is kept in an outdated order of what the transaction has looked at, in words, and whether that is a view of it.
async fn kept(session: &Session) -> Result<(Vec<String>, bool), SourceError> {
    let outdated = &session.names.outdated;
    if outdated.oids.is_empty() {
        return Ok((Vec::new(), false));
    }
    let sql = format!("{READ}{}", KEPT.replace("{ordered}", ORDERED));
    let values: [(&(dyn ToSql + Sync), Type); 2] =
        [(&outdated.oids, Type::OID_ARRAY), (&outdated.words, Type::TEXT_ARRAY)];
    let rows = session.ask(&sql, &values).await.map_err(|error| mismatch(&error))?;
    let mut words: Vec<String> = rows.iter().take(SHOWN).map(|row| row.get(0)).collect();
    if rows.len() > SHOWN {
        words.push(format!("and {} more", rows.len() - SHOWN));
    }
    Ok((words, rows.first().is_some_and(|row| row.get(1))))
}

/// What is kept in an outdated order of what the transaction has looked at.
pub(super) async fn found(session: &Session) -> Result<Vec<String>, SourceError> {
    Ok(kept(session).await?.0)
}

/// Keeps a statement from being answered by an index that would leave users out: returns what there is, after which the transaction
/// uses no index.
pub(super) async fn avoided(
    session: &Session,
    mapping: &Mapping,
    plan: &Plan,
    types: &ColumnTypes,
) -> Result<Vec<String>, SourceError> {
    let (kept, is_view) = kept(session).await?;
    if kept.is_empty() || !(is_view || compares_texts(mapping, plan, types)) {
        return Ok(Vec::new());
    }
    session.client().batch_execute(WITHOUT_INDEXES).await.map_err(|error| mismatch(&error))?;
    Ok(kept)
}

/// Whether users are chosen by what may compare texts. A whole table that is read in the order of an index is all there, and its order
/// is checked.
fn compares_texts(mapping: &Mapping, plan: &Plan, types: &ColumnTypes) -> bool {
    let chooses_by_text = plan.filters.iter().any(|filter| filter.text().is_some());
    let is_page_of_texts = !plan.is_whole() && types.of(&Column::ID).is_text();
    chooses_by_text || is_page_of_texts || !mapping.expressions(plan).is_empty()
}
