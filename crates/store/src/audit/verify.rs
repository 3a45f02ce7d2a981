//! Walks the chain from its first record to its head and says where it is broken.

use super::chain::{Head, START, hash};
use super::records::{Record, read_record, scope_text};
use crate::{Store, StoreError};
use futures_util::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A chain without a flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How many records it has.
    pub records: i64,
    /// How many denials are beside it.
    pub denials: i64,
    /// How many other requests without an export are.
    pub looks: i64,
    /// How many exports have not ended.
    pub running: i64,
    /// The number of the record whose hash was kept; 0 of an empty audit.
    pub kept: Option<i64>,
    /// The hash of the newest; 64 zeros if there is none.
    pub head: String,
}

/// Why the chain cannot be trusted: its first flaw. Records are named by id, time and number.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0} was changed after it was written")]
    Changed(String),
    #[error("the record with number {number} was removed, before {next}")]
    Removed { number: i64, next: String },
    #[error("{0} was put in, and was not written by Headcount")]
    Inserted(String),
    #[error("{changed}, or what follows it, was changed: {next} holds another hash of the record before it")]
    Rewritten { changed: String, next: String },
    #[error(
        "the newest records were removed: the store's head has the number {head}, but the chain ends with {last}"
    )]
    Cut { head: i64, last: String },
    #[error("{last} was changed: the store's head holds another hash of the newest record")]
    NotTheHead { last: String },
    #[error(
        "no record has the hash {kept}: what had it was removed or changed; the chain now ends with {last}"
    )]
    NotKept { kept: String, last: String },
}

impl Store {
    /// Walks the audit's chain as it is now, in memory that does not grow with it. `kept` is a hash that was once its
    /// head, and must still be part of it.
    ///
    /// # Errors
    ///
    /// The first flaw, or that the store cannot be reached.
    pub async fn verify_audit(&self, kept: Option<&str>) -> Result<Whole, Flaw> {
        let mut snapshot = self.begin_read().await.map_err(StoreError::from)?;
        let head = Head::read(&mut snapshot).await?;
        let end = walk(&mut snapshot, &head, kept).await?;
        if let Some(stray) = stray(&mut snapshot).await? {
            return Err(Flaw::Inserted(name(&stray)));
        }
        if end.sequence < head.sequence {
            return Err(Flaw::Cut { head: head.sequence, last: end.last });
        }
        if end.hash != head.hash {
            return Err(Flaw::NotTheHead { last: end.last });
        }
        if let Some(kept) = kept.filter(|_| end.kept.is_none()) {
            return Err(Flaw::NotKept { kept: kept.to_owned(), last: end.last });
        }
        let beside = sqlx::query(BESIDE).fetch_one(&mut *snapshot).await.map_err(StoreError::from)?;
        let count = |name: &str| beside.try_get(name).map_err(StoreError::from);
        Ok(Whole {
            records: end.sequence,
            denials: count("denials")?,
            looks: count("looks")?,
            running: count("running")?,
            kept: end.kept,
            head: end.hash,
        })
    }
}

/// Records that are not in the chain.
const BESIDE: &str = "SELECT count(CASE WHEN outcome = 'denied' THEN 1 END) AS denials, \
    count(CASE WHEN outcome <> 'denied' THEN 1 END) AS looks, \
    count(CASE WHEN outcome IS NULL THEN 1 END) AS running FROM headcount_audit WHERE sequence IS NULL";

/// How far a walk has come.
struct ChainWalk {
    sequence: i64,
    hash: String,
    last: String,
    kept: Option<i64>,
}

async fn walk(connection: &mut AnyConnection, head: &Head, kept: Option<&str>) -> Result<ChainWalk, Flaw> {
    let last = "nothing at all".to_owned();
    let mut walk =
        ChainWalk { sequence: 0, hash: START.to_owned(), last, kept: (kept == Some(START)).then_some(0) };
    let sql = "SELECT * FROM headcount_audit WHERE sequence IS NOT NULL ORDER BY sequence, id";
    let mut rows = sqlx::query(sql).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
        walk.step(&row, head)?;
        if kept == Some(&walk.hash) {
            walk.kept = Some(walk.sequence);
        }
    }
    Ok(walk)
}

impl ChainWalk {
    fn step(&mut self, row: &AnyRow, head: &Head) -> Result<(), Flaw> {
        let expected = self.sequence + 1;
        match row.try_get::<i64, _>("sequence") {
            Ok(number) if number > expected => {
                return Err(Flaw::Removed { number: expected, next: name(row) });
            }
            Ok(number) if number == expected && number <= head.sequence => {}
            // A number that is there already, or that nobody has reached.
            Ok(_) => return Err(Flaw::Inserted(name(row))),
            Err(_) => return Err(Flaw::Changed(name(row))),
        }
        let Some(hash) = self_consistent(row) else { return Err(Flaw::Changed(name(row))) };
        if row.try_get("previous").ok().as_ref() != Some(&self.hash) {
            return Err(match expected {
                1 => Flaw::Changed(name(row)),
                _ => Flaw::Rewritten { changed: std::mem::take(&mut self.last), next: name(row) },
            });
        }
        *self = Self { sequence: expected, hash, last: name(row), kept: self.kept };
        Ok(())
    }
}

/// The hash of a record that is what it was when it was hashed.
fn self_consistent(row: &AnyRow) -> Option<String> {
    let record: Record = read_record(row).ok()?;
    // The hash knows what they mean, and not how they are written.
    let (filters, scope) = (record.filters.to_string(), scope_text(&record.scope));
    let is_as_written = row.try_get::<String, _>("filters").is_ok_and(|text| text == filters)
        && row.try_get::<Option<String>, _>("scope").is_ok_and(|text| text.is_none_or(|text| text == scope));
    let hash = hash(&record);
    (is_as_written && record.hash.as_ref() == Some(&hash)).then_some(hash)
}

/// A settled record outside of the chain, where only those of requests without an export may be: they have no content.
async fn stray(connection: &mut AnyConnection) -> Result<Option<AnyRow>, StoreError> {
    let sql = "SELECT * FROM headcount_audit WHERE sequence IS NULL AND outcome IS NOT NULL AND outcome <> 'denied' \
               AND (sha256 IS NOT NULL OR row_count <> 0 OR byte_count <> 0) ORDER BY time, id LIMIT 1";
    Ok(sqlx::query(sql).fetch_optional(connection).await?)
}

/// A record as people find it again, whatever was done to it.
fn name(row: &AnyRow) -> String {
    let id = row.try_get("id").unwrap_or_else(|_| "?".to_owned());
    let time = row.try_get("time").ok().and_then(|micros| super::time(micros).ok());
    let time = time.map_or_else(|| "an unreadable time".to_owned(), |time| time.to_string());
    match row.try_get::<i64, _>("sequence") {
        Ok(number) => format!("record {id} of {time} (number {number})"),
        Err(_) => format!("record {id} of {time}"),
    }
}
