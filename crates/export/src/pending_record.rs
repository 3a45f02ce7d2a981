//! A request on the way to its answer, and the record that it leaves whatever becomes of it.

use super::Exporter;
use headcount_store::StoreError;
use headcount_store::audit::{Closing, Outcome, Request};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Drafts at the same time, with those whose records are being written: what a flood of requests that nobody waits for
/// may take of the memory while the store is slow. More than `limits.queue` can hold back.
pub(super) const DRAFTS: usize = 16 * 1024;
/// How long a request waits to become one of them.
const PATIENCE: Duration = Duration::from_secs(5);

/// The draft of a request's record. Dropped before it is recorded, it records that the client left. As long as nobody has shown
/// a good key it can only become a denial, of which old ones are forgotten: strangers must not fill the store.
pub struct PendingRecord {
    exporter: Arc<Exporter>,
    /// What is known of the request so far.
    pub request: Request,
    started: Instant,
    /// What the record says of a client that leaves now.
    pub(super) if_left: &'static str,
    /// Whether the caller showed a key that may do this.
    is_admitted: bool,
    is_recorded: bool,
    /// There until the record is somebody else's.
    place: Option<OwnedSemaphorePermit>,
    /// Keeps [`Exporter::settled`] waiting.
    unsettled: TaskTrackerToken,
}

pub(super) const LEFT: &str = "left before the answer";

impl Exporter {
    /// Begins with a request, which leaves exactly one record from now on.
    ///
    /// # Errors
    ///
    /// The store is so far behind with records that this one could not be kept in memory until it is written. Whoever leaves
    /// before that is known leaves no trace.
    pub async fn draft(self: &Arc<Self>, request: Request) -> Result<PendingRecord, StoreError> {
        let started = Instant::now();
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.drafts).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(StoreError::Behind) };
        Ok(PendingRecord {
            exporter: Arc::clone(self),
            request,
            started,
            if_left: LEFT,
            is_admitted: false,
            is_recorded: false,
            place: Some(place),
            unsettled: self.closing.token(),
        })
    }
}

impl PendingRecord {
    /// The caller showed a key that may do what is asked.
    pub fn admit(&mut self) {
        self.is_admitted = true;
    }

    /// Whether there is a record of the request, or one that is being written.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Records a request that got no export, even if nobody waits for that: as a denial where nobody was admitted.
    pub fn close(&mut self, outcome: Outcome, reason: Option<String>) -> JoinHandle<Result<(), StoreError>> {
        self.is_recorded = true;
        let closing = Closing {
            outcome: if self.is_admitted { outcome } else { Outcome::Denied },
            reason,
            rows: 0,
            bytes: 0,
            sha256: None,
            duration_ms: self.started.elapsed().as_millis() as u64,
            snapshot_at: None,
            ended_at: (self.exporter.clock)().max(self.request.time),
        };
        let (exporter, request, place) =
            (Arc::clone(&self.exporter), self.request.clone(), self.place.take());
        self.exporter.closing.spawn(async move {
            let written = exporter.audit.record(&request, &closing).await;
            if let Err(error) = &written {
                tracing::error!(id = request.id, %error, "a request without an export could not be recorded");
            }
            drop(place);
            written
        })
    }

    /// Opens the record of an export that is about to start. If it cannot be opened, that is what is recorded, as soon as the
    /// store takes it.
    pub(super) async fn begin(mut self) -> Result<Request, StoreError> {
        match self.exporter.audit.begin(&self.request).await {
            Ok(()) => {
                self.is_recorded = true;
                Ok(self.request.clone())
            }
            Err(error) => {
                let _ = self.close(Outcome::Failed, Some("store unavailable".to_owned())).await;
                Err(error)
            }
        }
    }

    /// Hands the duty to record on to the result.
    pub(super) fn hand_on(&mut self) -> Self {
        Self {
            exporter: Arc::clone(&self.exporter),
            request: self.request.clone(),
            started: self.started,
            if_left: LEFT,
            is_admitted: self.is_admitted,
            is_recorded: std::mem::replace(&mut self.is_recorded, true),
            place: self.place.take(),
            unsettled: self.unsettled.clone(),
        }
    }
}

impl Drop for PendingRecord {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let (outcome, reason) = if std::thread::panicking() {
            (Outcome::Failed, "internal")
        } else if self.exporter.breaking_off.is_cancelled() {
            (Outcome::Interrupted, "shutdown")
        } else {
            (Outcome::Disconnected, self.if_left)
        };
        self.close(outcome, Some(reason.to_owned()));
    }
}
