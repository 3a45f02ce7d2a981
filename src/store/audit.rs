//! The audit: one record for every request that reached an export endpoint, and for every export by command line.

mod writer;

use super::instance::Instance;
use super::{Store, StoreError};
use crate::timestamp::Timestamp;
use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use writer::{Write, Writer};

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
    /// There was no export.
    Denied,
}

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Completed, Self::Failed, Self::Disconnected, Self::Interrupted, Self::Denied];

    /// As it stands in the store, in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Interrupted => "interrupted",
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
    writer: Writer,
    // Held for its lock: while it lives, nobody takes this process for dead.
    _instance: Instance,
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
        Ok(Self { writer: Writer::start(store, instance.id), _instance: instance })
    }

    /// Writes the record of an export that is about to start.
    ///
    /// # Errors
    ///
    /// The record could not be written: there must be no export.
    pub async fn begin(&self, request: &Request) -> Result<(), StoreError> {
        self.writer.write(Write::Begin(request.clone())).await
    }

    /// Writes how an export ended that [`AuditLog::begin`] wrote.
    ///
    /// # Errors
    ///
    /// The record stays open, and becomes `interrupted` when this process is gone.
    pub async fn close(&self, request: &Request, closing: &Closing) -> Result<(), StoreError> {
        self.writer.write(Write::Close(request.clone(), closing.clone())).await
    }

    /// Writes the whole record of a request that streamed nothing.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn record(&self, request: &Request, closing: &Closing) -> Result<(), StoreError> {
        self.writer.write(Write::Whole(request.clone(), closing.clone())).await
    }

    /// Waits until everything that was to be written before is written, or has failed.
    pub async fn flush(&self) {
        let _ = self.writer.write(Write::Nothing).await;
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
