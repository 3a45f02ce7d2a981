//! Whether the store and the source answer: anybody may ask, and one looks for all.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinError;
use tracing::Instrument;

/// How long what was seen counts.
const LIFETIME: Duration = Duration::from_secs(1);

/// What was last seen. Who asks meanwhile waits for it.
#[derive(Default)]
pub(super) struct Readiness {
    last: Arc<Mutex<Option<Seen>>>,
}

struct Seen {
    at: Instant,
    unready: Vec<&'static str>,
}

impl Readiness {
    /// What is not ready: as it was seen within the last second, or as `look` sees it.
    ///
    /// # Errors
    ///
    /// `look` panicked.
    pub(super) async fn unready<F>(&self, look: impl FnOnce() -> F) -> Result<Vec<&'static str>, JoinError>
    where
        F: Future<Output = Vec<&'static str>> + Send + 'static,
    {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some(seen) = last.as_ref().filter(|seen| seen.at.elapsed() < LIFETIME) {
            return Ok(seen.unready.clone());
        }
        let look = look();
        // In a task of its own: whoever asked may leave, and the next one must not look beside this one.
        let looking = async move {
            let unready = look.await;
            *last = Some(Seen { at: Instant::now(), unready: unready.clone() });
            unready
        };
        tokio::spawn(looking.in_current_span()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn one_looks_for_all_even_if_who_asked_first_leaves() {
        let (readiness, gate) = (Readiness::default(), Arc::new(Semaphore::new(0)));
        let looks = Arc::new(AtomicU32::new(0));
        let ask = || {
            readiness.unready(|| {
                let (looks, gate) = (Arc::clone(&looks), Arc::clone(&gate));
                async move {
                    looks.fetch_add(1, Ordering::Relaxed);
                    let _open = gate.acquire().await;
                    vec!["source"]
                }
            })
        };
        assert!(ask().now_or_never().is_none());
        let mut both = std::pin::pin!(async { tokio::join!(ask(), ask()) });
        assert!(both.as_mut().now_or_never().is_none());
        gate.add_permits(1);
        let (one, other) = both.await;
        assert_eq!((one.expect("an answer"), other.expect("an answer")), (vec!["source"], vec!["source"]));
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_look_that_panics_does_not_keep_the_next_from_looking() {
        fn bug() -> Vec<&'static str> {
            panic!("as a bug would")
        }
        let readiness = Readiness::default();
        assert!(readiness.unready(|| async { bug() }).await.is_err());
        assert!(readiness.unready(|| async { Vec::new() }).await.expect("an answer").is_empty());
    }
}
