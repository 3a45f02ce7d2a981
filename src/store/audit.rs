//! The audit: one record for every request that reached an export endpoint, and for every export by command line.

use super::instance::Instance;
use super::{Store, StoreError};
use crate::timestamp::Timestamp;
use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many records of denied requests are kept: a flood of them pushes out older denials, never an export.
const DENIED_KEPT: i64 = 10_000;
/// Denials between two clean-ups.
const DENIED_BETWEEN_PRUNES: u64 = 256;

/// Who asks, and for what.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: String,
    pub time: Timestamp,
    pub endpoint: String,
    pub key_id: Option<String>,
    pub key_name: Option<String>,
    /// An IP address, or `cli`.
    pub client: String,
    pub request_id: Option<String>,
    pub filters: serde_json::Map<String, serde_json::Value>,
}

/// How an export ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every row was sent.
    Completed,
    /// Something broke on our side of the wire.
    Failed,
    /// The client left before the end.
    Disconnected,
    /// The process stopped or died before the end.
    Interrupted,
    /// The key had no rows left for the day.
    #[serde(rename = "over_budget")]
    OverBudget,
    /// There was no export.
    Denied,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Completed,
        Self::Failed,
        Self::Disconnected,
        Self::Interrupted,
        Self::OverBudget,
        Self::Denied,
    ];

    /// As it stands in the store, in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Interrupted => "interrupted",
            Self::OverBudget => "over_budget",
            Self::Denied => "denied",
        }
    }
}

/// What is known at the end of a request.
#[derive(Clone, Debug)]
pub struct Closing {
    pub outcome: Outcome,
    pub reason: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    /// Of the uncompressed content, in hexadecimal.
    pub sha256: Option<String>,
    pub duration_ms: u64,
}

/// A record as it is listed.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub id: String,
    pub time: Timestamp,
    pub endpoint: String,
    pub key_id: Option<String>,
    pub key_name: Option<String>,
    pub client: String,
    pub request_id: Option<String>,
    pub filters: serde_json::Value,
    /// `None` while the export runs.
    pub outcome: Option<Outcome>,
    pub reason: Option<String>,
    pub rows: i64,
    pub bytes: i64,
    pub sha256: Option<String>,
    pub duration_ms: Option<i64>,
}

/// The audit, open for writing by this process.
pub struct AuditLog {
    store: Store,
    // Held for its lock: while it lives, nobody takes this process for dead.
    instance: Instance,
    denied: AtomicU64,
}

impl AuditLog {
    /// Registers this process as the random `instance` and settles what dead ones left open.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn open(store: Store, instance: i64) -> Result<Self, StoreError> {
        let mut instance = Instance::register(&store, instance).await?;
        mark_interrupted(&store, &mut instance).await?;
        Ok(Self { store, instance, denied: AtomicU64::new(0) })
    }

    /// Writes the record of an export that is about to start.
    ///
    /// # Errors
    ///
    /// The record could not be written: there must be no export.
    pub async fn begin(&self, request: &Request) -> Result<(), StoreError> {
        self.insert(request, None).await
    }

    /// Writes how an export ended.
    ///
    /// # Errors
    ///
    /// The record stays open, and becomes `interrupted` when this process is gone.
    pub async fn close(&self, id: &str, closing: &Closing) -> Result<(), StoreError> {
        let sql = "UPDATE headcount_audit SET outcome = $1, reason = $2, row_count = $3, byte_count = $4, \
                   sha256 = $5, duration_ms = $6 WHERE id = $7";
        sqlx::query(sql)
            .bind(closing.outcome.name())
            .bind(closing.reason.as_deref())
            .bind(closing.rows.cast_signed())
            .bind(closing.bytes.cast_signed())
            .bind(closing.sha256.as_deref())
            .bind(closing.duration_ms.cast_signed())
            .bind(id)
            .execute(&self.store.pool)
            .await?;
        Ok(())
    }

    /// Writes the whole record of a request that streamed nothing.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn record(&self, request: &Request, closing: &Closing) -> Result<(), StoreError> {
        self.insert(request, Some(closing)).await?;
        let is_denial = closing.outcome == Outcome::Denied;
        if is_denial && self.denied.fetch_add(1, Ordering::Relaxed).is_multiple_of(DENIED_BETWEEN_PRUNES) {
            self.prune_denied().await?;
        }
        Ok(())
    }

    async fn insert(&self, request: &Request, closing: Option<&Closing>) -> Result<(), StoreError> {
        let sql = "INSERT INTO headcount_audit (id, time, endpoint, key_id, key_name, client, request_id, filters, \
                   outcome, reason, row_count, byte_count, sha256, duration_ms, instance) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        sqlx::query(sql)
            .bind(&request.id)
            .bind(request.time.micros())
            .bind(&request.endpoint)
            .bind(request.key_id.as_deref())
            .bind(request.key_name.as_deref())
            .bind(&request.client)
            .bind(request.request_id.as_deref())
            .bind(serde_json::Value::from(request.filters.clone()).to_string())
            .bind(closing.map(|closing| closing.outcome.name()))
            .bind(closing.and_then(|closing| closing.reason.as_deref()))
            .bind(closing.map_or(0, |closing| closing.rows.cast_signed()))
            .bind(closing.map_or(0, |closing| closing.bytes.cast_signed()))
            .bind(closing.and_then(|closing| closing.sha256.as_deref()))
            .bind(closing.map(|closing| closing.duration_ms.cast_signed()))
            .bind(self.instance.id)
            .execute(&self.store.pool)
            .await?;
        Ok(())
    }

    async fn prune_denied(&self) -> Result<(), StoreError> {
        let sql = "DELETE FROM headcount_audit WHERE outcome = 'denied' AND time < \
                   (SELECT time FROM headcount_audit WHERE outcome = 'denied' ORDER BY time DESC LIMIT 1 OFFSET $1)";
        sqlx::query(sql).bind(DENIED_KEPT).execute(&self.store.pool).await?;
        Ok(())
    }
}

async fn mark_interrupted(store: &Store, instance: &mut Instance) -> Result<(), StoreError> {
    let open = sqlx::query("SELECT DISTINCT instance FROM headcount_audit WHERE outcome IS NULL")
        .fetch_all(&store.pool)
        .await?;
    for row in open {
        let id: i64 = row.try_get(0)?;
        if instance.is_dead(id).await? {
            let sql = "UPDATE headcount_audit SET outcome = 'interrupted', reason = 'the process ended' \
                       WHERE outcome IS NULL AND instance = $1";
            sqlx::query(sql).bind(id).execute(&store.pool).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Hands every record to `each`, newest first, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or `each` failed.
    pub async fn for_each_record<E: From<StoreError>>(
        &self,
        limit: Option<i64>,
        mut each: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT * FROM headcount_audit ORDER BY time DESC, id DESC LIMIT $1";
        let mut rows = sqlx::query(sql).bind(limit.unwrap_or(i64::MAX)).fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            each(read_record(&row)?)?;
        }
        Ok(())
    }
}

fn read_record(row: &AnyRow) -> Result<Record, StoreError> {
    let outcome: Option<String> = row.try_get("outcome")?;
    let filters: String = row.try_get("filters")?;
    Ok(Record {
        id: row.try_get("id")?,
        time: time(row.try_get("time")?)?,
        endpoint: row.try_get("endpoint")?,
        key_id: row.try_get("key_id")?,
        key_name: row.try_get("key_name")?,
        client: row.try_get("client")?,
        request_id: row.try_get("request_id")?,
        filters: serde_json::from_str(&filters)
            .map_err(|_| StoreError::Unreadable("filters that are not JSON".to_owned()))?,
        outcome: outcome.map(|name| outcome_of(&name)).transpose()?,
        reason: row.try_get("reason")?,
        rows: row.try_get("row_count")?,
        bytes: row.try_get("byte_count")?,
        sha256: row.try_get("sha256")?,
        duration_ms: row.try_get("duration_ms")?,
    })
}

fn outcome_of(name: &str) -> Result<Outcome, StoreError> {
    let known = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    known.ok_or_else(|| StoreError::Unreadable(format!("the outcome {name}")))
}

/// A time as the store keeps it.
pub(super) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).ok_or_else(|| StoreError::Unreadable(format!("the time {micros}")))
}
