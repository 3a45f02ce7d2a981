//! A request that waits for a slot.

use super::pending_record::{LEFT, PendingRecord};
use super::slots::{Entry, NoSlot, Slot};
use super::{Exporter, StartError};
use crate::telemetry::Metrics;

impl Exporter {
    /// A slot, at once or after a short wait in the queue.
    ///
    /// # Errors
    ///
    /// There is none, or none for this key.
    pub(super) async fn slot(&self, draft: &mut PendingRecord) -> Result<Slot, StartError> {
        match self.slots.enter(draft.request.key_id.as_deref())? {
            Entry::Slot(slot) => Ok(slot),
            Entry::Queue(place) => {
                draft.if_left = "left while waiting for a slot";
                let _waiting = WaitingGauge::new(&self.metrics);
                let slot = place.wait().await;
                draft.if_left = LEFT;
                Ok(slot?)
            }
        }
    }
}

/// Counts a request that waits.
struct WaitingGauge<'a>(&'a Metrics);

impl<'a> WaitingGauge<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.waiting.inc();
        Self(metrics)
    }
}

impl Drop for WaitingGauge<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
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
