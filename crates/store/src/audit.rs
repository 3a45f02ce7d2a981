//! The audit: one record for every request that reached an export endpoint, and for every export by command line.

mod addresses;
mod chain;
mod records;
mod selection;
mod verify;
mod writer;

pub use addresses::{AddressKey, Sought, hidden};
pub use records::Record;
pub use selection::{Ending, Selection};
pub use verify::{Flaw, Whole};

use super::instance::{Instance, LockedFile};
use super::{Store, StoreError, answered, in_time};
use chain::Head;
use headcount_model::named;
use headcount_model::timestamp::Timestamp;
pub use headcount_proof::scope::Scope;
use records::read_record;
use serde::Serialize;
use sqlx::Row;
use tokio_util::task::AbortOnDropHandle;
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
    /// An address in them only as its SHA-256, of which its HMAC is recorded.
    pub filters: serde_json::Map<String, serde_json::Value>,
    /// The names in the header; empty until the plan is known.
    pub columns: Vec<String>,
    /// What it could show; empty until the plan is known.
    pub scope: Scope,
}

impl Request {
    /// One of nobody that is known, for nothing that is known yet.
    pub fn new(id: String, time: Timestamp, endpoint: String, client: String) -> Self {
        Self {
            id,
            time,
            endpoint,
            client,
            key_id: None,
            key_name: None,
            request_id: None,
            filters: serde_json::Map::new(),
            columns: Vec::new(),
            scope: Scope::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(id: &str) -> Self {
        let time = Timestamp::from_micros(0).expect("a time");
        Self::new(id.to_owned(), time, "/".to_owned(), "192.0.2.1".to_owned())
    }
}

named! {
    /// How an export ended.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
    pub enum Outcome {
        /// Every row was sent.
        Completed = "completed",
        /// Something broke on our side of the wire.
        Failed = "failed",
        /// The client left before the end.
        Disconnected = "disconnected",
        /// The process stopped or died before the end.
        Interrupted = "interrupted",
        /// The key had no rows left for the day.
        OverBudget = "over_budget",
        /// There was no export.
        Denied = "denied",
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
    /// Just before the scan's transaction began.
    pub snapshot_at: Option<Timestamp>,
    pub ended_at: Timestamp,
}

/// The audit, open for writing by this process.
pub struct AuditLog {
    writer: Writer,
    addresses: AddressKey,
    // While they live, nobody takes this process for dead.
    _lock: Option<LockedFile>,
    _watch: AbortOnDropHandle<()>,
}

impl AuditLog {
    /// Registers this process as the random `instance`, and settles what dead ones left open, now and as long as it lives.
    /// Addresses are kept under this key.
    pub async fn open(store: Store, instance: i64, addresses: AddressKey) -> Result<Self, StoreError> {
        let (mut instance, lock) = Instance::register(&store, instance).await?;
        for id in with_open_records(&store).await? {
            if instance.is_left(id, store.waiting).await? {
                interrupt(&store, id).await?;
            }
        }
        let writer = Writer::start(store.clone(), instance.id);
        let watch = AbortOnDropHandle::new(tokio::spawn(watch(store, instance)));
        Ok(Self { writer, addresses, _lock: lock, _watch: watch })
    }

    /// Writes the record of an export that is about to start.
    ///
    /// # Errors
    ///
    /// The record could not be written: there must be no export.
    pub async fn begin(&self, request: &Request) -> Result<(), StoreError> {
        self.writer.write(Write::New(self.record_of(request, None))).await
    }

    /// Writes how an export ended that [`AuditLog::begin`] wrote.
    ///
    /// # Errors
    ///
    /// The export must not end well. The record is open until the store takes it, as that of an export that failed, or until
    /// this process is gone, and then becomes `interrupted`.
    pub async fn close(&self, request: &Request, closing: &Closing) -> Result<(), StoreError> {
        self.writer.write(Write::Settled(self.record_of(request, Some(closing)))).await
    }

    /// Writes the whole record of a request that streamed nothing.
    pub async fn record(&self, request: &Request, closing: &Closing) -> Result<(), StoreError> {
        self.writer.write(Write::New(self.record_of(request, Some(closing)))).await
    }

    fn record_of(&self, request: &Request, closing: Option<&Closing>) -> Record {
        let mut request = request.clone();
        request.filters = self.as_kept(request.filters);
        let mut record = Record::of(&request, closing);
        record.reason = record.reason.map(|reason| self.discreet(&reason));
        record
    }

    /// A reason as it is recorded.
    pub fn discreet(&self, reason: &str) -> String {
        self.addresses.keyed(reason)
    }

    /// Filters as they are recorded.
    pub fn as_kept(
        &self,
        filters: serde_json::Map<String, serde_json::Value>,
    ) -> serde_json::Map<String, serde_json::Value> {
        self.addresses.in_filters(filters)
    }

    /// Waits until everything that was to be written before is written, or has failed.
    pub async fn flush(&self) {
        let _ = self.writer.write(Write::Nothing).await;
    }
}

/// Shows others that this process lives, and settles what those leave open that die meanwhile.
async fn watch(store: Store, mut instance: Instance) {
    loop {
        if !instance.keep().await {
            continue;
        }
        let looked = in_time(async {
            for id in instance.gone(with_open_records(&store).await?).await? {
                interrupt(&store, id).await?;
                tracing::info!(
                    "the exports of another process that ended without a word are marked as interrupted"
                );
            }
            Ok::<_, StoreError>(())
        });
        if let Err(error) = looked.await {
            // Whoever wants something of the store says so louder.
            tracing::debug!(%error, "nobody knows whether other processes live");
        }
    }
}

/// The processes that left records open, or run exports.
async fn with_open_records(store: &Store) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT DISTINCT instance FROM headcount_audit WHERE outcome IS NULL";
    let rows = sqlx::query(sql).fetch_all(&store.pool).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn interrupt(store: &Store, instance: i64) -> Result<(), StoreError> {
    let (_guard, mut transaction) = store.begin_write().await?;
    // Locked first: of two processes that find the same one dead, the second finds nothing left to do.
    let mut head = Head::lock(store, &mut transaction).await?;
    let sql = "SELECT * FROM headcount_audit WHERE outcome IS NULL AND instance = $1 ORDER BY time, id";
    for row in sqlx::query(sql).bind(instance).fetch_all(&mut *transaction).await? {
        let (outcome, reason) = (Some(Outcome::Interrupted), Some("the process ended".to_owned()));
        let linked = head.link(&Record { outcome, reason, ..read_record(&row)? });
        records::settle(&mut transaction, &linked).await?;
        head.follow(linked);
    }
    head.save(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

impl Store {
    /// The record with this id.
    pub async fn find_record(&self, id: &str) -> Result<Option<Record>, StoreError> {
        let query = sqlx::query("SELECT * FROM headcount_audit WHERE id = $1").bind(id);
        let row = answered(query.fetch_optional(&self.pool)).await?;
        row.as_ref().map(read_record).transpose()
    }
}

/// A time as the store keeps it.
pub(super) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).ok_or_else(|| StoreError::Unreadable(format!("the time {micros}")))
}
