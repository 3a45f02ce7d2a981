//! The readers of a scan: how many there may be beside the one that every scan has, and how they end.

use super::SourceError;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

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

/// What each reader gave, in no order. Dropping the future stops them.
///
/// # Errors
///
/// The first error of a reader, which stops the others; but one that found its sink closed is asked last, because that may be
/// what the error of another did.
pub(super) async fn join_all<T: 'static>(
    mut readers: JoinSet<Result<T, SourceError>>,
) -> Result<Vec<T>, SourceError> {
    let (mut given, mut is_closed) = (Vec::new(), false);
    while let Some(reader) = readers.join_next().await {
        match reader.map_err(|error| SourceError::Failed(format!("a reader died: {error}")))? {
            Ok(what) => given.push(what),
            Err(SourceError::Closed) => is_closed = true,
            Err(error) => return Err(error),
        }
    }
    if is_closed { Err(SourceError::Closed) } else { Ok(given) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_closed_the_sinks_is_said_whoever_ends_first() {
        let (open, close) = tokio::sync::oneshot::channel::<()>();
        let mut readers = JoinSet::new();
        readers.spawn(async {
            drop(open);
            Err::<(), _>(SourceError::Closed)
        });
        readers.spawn(async {
            let _ = close.await;
            tokio::task::yield_now().await;
            Err(SourceError::Failed("the disk".to_owned()))
        });
        let error = join_all(readers).await.expect_err("both failed");
        assert_eq!(error.to_string(), "the scan failed: the disk");
    }

    #[tokio::test]
    async fn a_closed_sink_is_an_error() {
        let mut readers = JoinSet::new();
        readers.spawn(async { Ok(1) });
        readers.spawn(async { Err(SourceError::Closed) });
        assert!(matches!(join_all(readers).await, Err(SourceError::Closed)));

        let mut readers = JoinSet::new();
        readers.spawn(async { Ok(1) });
        readers.spawn(async { Ok(2) });
        assert_eq!(join_all(readers).await.expect("both").iter().sum::<i32>(), 3);
    }
}
