//! The streams of HTTP/2 (RFC 9113 section 5). Each has a window of its own, which a client can leave shut while the
//! connection is fine: the kernel does not see that.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static WATCH: Arc<Watch>;
}

/// Since when a stream waits for its client.
#[derive(Default)]
pub(super) struct Watch {
    untaken_since: Mutex<Option<Instant>>,
    pub(super) is_cut_off: Arc<AtomicBool>,
}

impl Watch {
    /// That of the stream whose task this is; `None` in HTTP/1.1.
    pub(super) fn current() -> Option<Arc<Self>> {
        WATCH.try_with(Arc::clone).ok()
    }

    pub(super) fn set(&self, untaken_since: Option<Instant>) {
        *self.untaken_since.lock() = untaken_since;
    }

    /// Resolves when the client has not taken a piece for so long.
    async fn stall(&self, limit: Duration) {
        loop {
            let since = *self.untaken_since.lock();
            let left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return self.is_cut_off.store(true, Ordering::Release);
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Runs streams in tasks of their own, and resets (RFC 9113 section 6.4) one whose client takes nothing for so long, and all when
/// the server breaks off.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) stall: Duration,
    pub(super) break_off: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (limit, break_off) = (self.stall, self.break_off.clone());
        let watch = Arc::new(Watch::default());
        // In a box: where a future is moved within another there is room for it twice.
        let stream = Box::pin(stream);
        tokio::spawn(WATCH.scope(Arc::clone(&watch), async move {
            tokio::select! {
                () = stream => {}
                () = watch.stall(limit) => {}
                () = break_off.cancelled() => {}
            }
        }));
    }
}
