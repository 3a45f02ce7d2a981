//! What is known of a running export, and its one way into the audit, the metrics and the log.

use super::Exporter;
use headcount_model::plan::Profile;
use headcount_model::timestamp::Timestamp;
use headcount_store::StoreError;
use headcount_store::audit::{Closing, Outcome, Request};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::task::JoinHandle;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The account of one export. However it is dropped, the audit record gets its outcome exactly once.
pub(super) struct Account {
    exporter: Arc<Exporter>,
    profile: Arc<Profile>,
    request: Request,
    started: Instant,
    /// Read just before the scan begins.
    snapshot_at: Timestamp,
    rows: u64,
    bytes: u64,
    hasher: Sha256,
    is_settled: bool,
    stall: Stall,
    /// Keeps [`Exporter::settled`] waiting for exports that are not dropped yet.
    _unsettled: TaskTrackerToken,
}

impl Account {
    /// Opens the account of a scan that is about to begin.
    pub(super) fn open(
        exporter: Arc<Exporter>,
        profile: Arc<Profile>,
        request: Request,
        stall: Stall,
    ) -> Self {
        exporter.metrics.export_started();
        let unsettled = exporter.closing.token();
        // A clock that was set back meanwhile does not make an export that ended before it began.
        let snapshot_at = (exporter.clock)().max(request.time);
        Self {
            exporter,
            profile,
            request,
            started: Instant::now(),
            snapshot_at,
            rows: 0,
            bytes: 0,
            hasher: Sha256::new(),
            is_settled: false,
            stall,
            _unsettled: unsettled,
        }
    }

    /// Counts a chunk on its way out.
    pub(super) fn add(&mut self, bytes: &[u8], rows: u64) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.rows += rows;
    }

    /// The id of the export.
    pub(super) fn id(&self) -> &str {
        &self.request.id
    }

    /// What a file may say of itself: names and values.
    pub(super) fn about(&self) -> Vec<(String, String)> {
        let snapshot_at = self.snapshot_at().map(|time| ("headcount.snapshot_at", time.to_string()));
        [("headcount.export_id", self.request.id.clone()), ("headcount.profile", self.profile.name.clone())]
            .into_iter()
            .chain(snapshot_at)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The moment of all rows. There is none where each server has its own.
    fn snapshot_at(&self) -> Option<Timestamp> {
        self.exporter.source.is_of_one_moment().then_some(self.snapshot_at)
    }

    /// Users counted so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Uncompressed bytes counted so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of the uncompressed bytes counted so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// Settles the export. The record is written by a task of its own, which goes on if the stream is dropped.
    pub(super) fn settle(
        &mut self,
        outcome: Outcome,
        reason: Option<String>,
    ) -> JoinHandle<Result<(), StoreError>> {
        self.is_settled = true;
        let duration = self.started.elapsed();
        self.exporter.metrics.export_ended(&self.profile, outcome, self.rows, self.bytes, duration);
        let closing = Closing {
            outcome,
            reason: reason.map(|reason| self.exporter.audit.discreet(&reason)),
            rows: self.rows,
            bytes: self.bytes,
            sha256: Some(headcount_model::text::hex(&self.digest())),
            duration_ms: duration.as_millis() as u64,
            snapshot_at: self.snapshot_at(),
            ended_at: (self.exporter.clock)().max(self.snapshot_at),
        };
        self.log(&closing);
        let (exporter, request) = (Arc::clone(&self.exporter), self.request.clone());
        self.exporter.closing.spawn(async move {
            let written = exporter.audit.close(&request, &closing).await;
            if let Err(error) = &written {
                tracing::error!(export_id = request.id, %error, "the outcome of an export could not be recorded");
            }
            written
        })
    }

    fn log(&self, closing: &Closing) {
        let (outcome, reason) = (closing.outcome.name(), closing.reason.as_deref().unwrap_or_default());
        let request_id = self.request.request_id.as_deref().unwrap_or_default();
        let (rows, bytes, duration_ms) = (closing.rows, closing.bytes, closing.duration_ms);
        let (export_id, endpoint) = (&self.request.id, &self.request.endpoint);
        if closing.outcome == Outcome::Failed {
            tracing::error!(
                export_id,
                endpoint,
                outcome,
                reason,
                rows,
                bytes,
                duration_ms,
                request_id,
                "export"
            );
        } else {
            tracing::info!(
                export_id,
                endpoint,
                outcome,
                reason,
                rows,
                bytes,
                duration_ms,
                request_id,
                "export"
            );
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        if self.exporter.breaking_off.is_cancelled() {
            self.settle(Outcome::Interrupted, Some("shutdown".to_owned()));
        } else {
            let reason = self.stall.is_cut_off().then(|| "client stalled".to_owned());
            self.settle(Outcome::Disconnected, reason);
        }
    }
}

/// Whether a client was cut off because it took nothing of its answer for too long. Whoever cuts it off says so
/// before it drops the stream; the account reads it when the stream is dropped.
#[derive(Clone, Debug, Default)]
pub struct Stall {
    connection: Arc<AtomicBool>,
    stream: Arc<AtomicBool>,
}

impl Stall {
    /// That of a stream in HTTP/2, which may be cut off alone or with its connection, whose this is.
    #[must_use]
    pub fn of_stream(&self, stream: &Arc<AtomicBool>) -> Self {
        Self { connection: Arc::clone(&self.connection), stream: Arc::clone(stream) }
    }

    /// From now on whatever ends on this connection was cut off.
    pub fn cut_off(&self) {
        self.connection.store(true, Ordering::Release);
    }

    fn is_cut_off(&self) -> bool {
        self.connection.load(Ordering::Acquire) || self.stream.load(Ordering::Acquire)
    }
}
