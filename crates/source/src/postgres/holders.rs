//! Who holds the rows that a scan reads: this server, in one table or in several, or other servers.

use super::error::mismatch;
use super::session::Session;
use crate::{Consistency, Elsewhere, Mapping, SourceError};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// What was looked at in this transaction, and whatever is a partition of it or inherits from it. A statement has locked what it
/// names, and what the views among that read, as soon as it is prepared (PostgreSQL manual, section 54.12, "pg_locks"). The rows
/// of a materialized view are its own.
pub(super) const READ: &str = "
    WITH RECURSIVE read (oid) AS (
        SELECT l.relation FROM pg_catalog.pg_locks l
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
        UNION
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN read ON i.inhparent = read.oid
    )";

const FOREIGN: &str = "
    SELECT c.oid::pg_catalog.regclass::pg_catalog.text
      FROM read JOIN pg_catalog.pg_class c ON c.oid = read.oid AND c.relkind = 'f' ORDER BY 1";

/// What Citus keeps of its tables. Of one without a distribution column every node has a copy (`t`, a reference table), or it is an
/// ordinary one of this node that is only listed (without a group), or all of it is on some node. Old versions have fewer columns.
const DISTRIBUTED: &str = "
    SELECT d.logicalrelid::pg_catalog.regclass::pg_catalog.text
      FROM read JOIN pg_catalog.pg_dist_partition d ON d.logicalrelid = read.oid
     CROSS JOIN LATERAL pg_catalog.to_jsonb(d) AS listed (columns)
     WHERE d.partmethod <> 'n'
        OR coalesce(columns ->> 'repmodel' <> 't', true) AND coalesce(columns ->> 'colocationid', '0') <> '0' ORDER BY 1";

/// About how many rows the tables hold that a table consists of, and in how many of them, or how many of those, that number can
/// be wrong: those that were changed or deleted since, or, of a table that was never analysed, as many as its pages have room for
/// (PostgreSQL manual, section 73.6, "Database Page Layout": 28 bytes for a row are the least). The planner thinks of a table
/// that is empty, and was never analysed, that it has ten pages.
const HELD: &str = ", tree (oid) AS (
        SELECT pg_catalog.to_regclass($1)::pg_catalog.oid
        UNION
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
    )
    SELECT s.relkind = 'p' OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = s.oid),
           s.relkind = 'v' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN read ON i.inhparent = read.oid),
           held.rows, held.unsure
      FROM pg_catalog.pg_class s
     CROSS JOIN (
           SELECT coalesce(sum(CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                                    THEN c.reltuples / c.relpages
                                         * (size.bytes / pg_catalog.current_setting('block_size')::bigint)
                               END), 0)::double precision AS rows,
                  coalesce(sum(CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                                    THEN pg_catalog.pg_stat_get_dead_tuples(c.oid)
                                    ELSE size.bytes / 28
                               END), 0)::double precision AS unsure
             FROM tree
             JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind = 'r'
            CROSS JOIN LATERAL pg_catalog.pg_relation_size(c.oid) AS size (bytes)
     ) held
     WHERE s.oid = pg_catalog.to_regclass($1)";

/// What other servers hold of what the transaction has looked at; refused where all has to be of one moment.
pub(super) async fn allowed(session: &Session, mapping: &Mapping) -> Result<Elsewhere, SourceError> {
    let elsewhere = elsewhere(session).await?;
    if elsewhere.is_empty() || mapping.consistency == Consistency::PerShard {
        return Ok(elsewhere);
    }
    Err(SourceError::Mismatch(format!(
        "table {}: other servers hold what it is read from ({elsewhere}), each as of a moment of its own, so that a user \
         who is moved meanwhile is left out or there twice; if that will do, set source.consistency = \"per_shard\"",
        mapping.table
    )))
}

/// Fails where a function has read what other servers hold: nobody knows what it reads before it has run, and locked that.
pub(super) async fn were_here(session: &Session, mapping: &Mapping) -> Result<(), SourceError> {
    match allowed(session, mapping).await {
        Ok(_) => Ok(()),
        Err(SourceError::Mismatch(refusal)) => {
            Err(SourceError::Failed(format!("a function read it: {refusal}")))
        }
        Err(error) => Err(error),
    }
}

/// What other servers hold of what the transaction has looked at.
pub(super) async fn elsewhere(session: &Session) -> Result<Elsewhere, SourceError> {
    let named = async |has_any: bool, select: &str| -> Result<Vec<String>, SourceError> {
        let rows = match has_any {
            true => ask(session, select, &[]).await.map_err(|error| mismatch(&error))?,
            false => Vec::new(),
        };
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    Ok(Elsewhere {
        foreign: named(session.database.has_foreign_tables, FOREIGN).await?,
        distributed: named(session.database.has_citus, DISTRIBUTED).await?,
    })
}

/// How many rows a table has, as far as its server can tell.
pub(super) enum Held {
    /// It is one table, or a view of such: the planner's guess is as good as any.
    InOne,
    /// It is several, which together have about so many.
    InSeveral(u64),
    /// It is several, of which too little is known.
    Unknown,
}

/// Looks at what holds the rows of a table. What was looked at in the transaction tells what a view reads.
pub(super) async fn held(session: &Session, table: &str) -> Result<Held, tokio_postgres::Error> {
    let rows = ask(session, HELD, &[(&table, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(Held::Unknown) };
    let (is_tree, reads_trees) = (row.get::<_, bool>(0), row.get::<_, bool>(1));
    let (rows, unsure) = (row.get::<_, f64>(2), row.get::<_, f64>(3));
    Ok(match (is_tree, reads_trees) {
        (true, _) if 2.0 * unsure <= rows => Held::InSeveral(rows.round() as u64),
        (false, false) => Held::InOne,
        _ => Held::Unknown,
    })
}

async fn ask(
    session: &Session,
    select: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let sql = format!("{READ}{select}");
    session.ask(&sql, parameters).await
}
