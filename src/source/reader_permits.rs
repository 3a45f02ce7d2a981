//! Threads and connections beyond the one that every scan has.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Further readers, which the scans of a source share: what many scans at once take from the machine and from the database is
/// bounded by their number and these.
#[derive(Clone)]
pub(super) struct ReaderPermits {
    readers: Arc<Semaphore>,
    count: usize,
}

impl ReaderPermits {
    /// As many as a scan that is alone may have beside its own reader.
    pub(super) fn new(parallelism: usize) -> Self {
        let count = parallelism.saturating_sub(1);
        Self { readers: Arc::new(Semaphore::new(count)), count }
    }

    /// Whether there are any, be they free or not.
    pub(super) fn exist(&self) -> bool {
        self.count > 0
    }

    /// All that no other scan has, until they are dropped.
    pub(super) fn take(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&self.readers).try_acquire_owned().ok()).collect()
    }
}
