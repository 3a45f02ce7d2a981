//! A request that waits for a slot, and leaves its record if its client does not wait with it.

use super::slots::{Entry, NoSlot, Slot};
use super::{Exporter, StartError};
use crate::store::audit::{Closing, Outcome, Request};
use std::sync::Arc;
use std::time::Instant;

impl Exporter {
    /// A slot, at once or after a short wait in the queue.
    ///
    /// # Errors
    ///
    /// There is none, or none for this key.
    pub(super) async fn slot(self: &Arc<Self>, request: &Request) -> Result<Slot, StartError> {
        match self.slots.enter(request.key_id.as_deref())? {
            Entry::Slot(slot) => Ok(slot),
            Entry::Queue(place) => {
                let mut waiting = Waiting::new(self, request);
                let slot = place.wait().await;
                waiting.is_over = true;
                Ok(slot?)
            }
        }
    }
}

/// Counts a request that waits. Dropped before the wait is over, it records that the client left, or that we did.
struct Waiting<'a> {
    exporter: &'a Arc<Exporter>,
    request: &'a Request,
    started: Instant,
    is_over: bool,
}

impl<'a> Waiting<'a> {
    fn new(exporter: &'a Arc<Exporter>, request: &'a Request) -> Self {
        exporter.metrics.waiting.inc();
        Self { exporter, request, started: Instant::now(), is_over: false }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.exporter.metrics.waiting.dec();
        if self.is_over {
            return;
        }
        let (outcome, reason) = if self.exporter.breaking_off.is_cancelled() {
            (Outcome::Interrupted, "shutdown")
        } else {
            (Outcome::Disconnected, "left while waiting for a slot")
        };
        let closing = Closing {
            outcome,
            reason: Some(reason.to_owned()),
            rows: 0,
            bytes: 0,
            sha256: None,
            duration_ms: self.started.elapsed().as_millis() as u64,
            snapshot_at: None,
            ended_at: (self.exporter.clock)(),
        };
        let (exporter, request) = (Arc::clone(self.exporter), self.request.clone());
        self.exporter.closing.spawn(async move {
            if let Err(error) = exporter.audit.record(&request, &closing).await {
                tracing::error!(%error, "a request that left the queue could not be recorded");
            }
        });
    }
}

impl From<NoSlot> for StartError {
    fn from(reason: NoSlot) -> Self {
        match reason {
            NoSlot::Busy => Self::Busy,
            NoSlot::KeyBusy => Self::KeyBusy,
        }
    }
}
