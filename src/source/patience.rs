//! How long a database may give nothing while a scan waits for it. The time that it waits for us does not count: a client may
//! be as slow as it likes.

use super::{Closed, Parts, RowSink, SourceError};
use crate::encode::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The answer to a question, if it comes in time.
pub(super) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    tokio::time::timeout(limit, answer).await.unwrap_or(Err(SourceError::Stalled(limit)))
}

/// Runs a scan into `parts` as long as none of its readers waits for the database for longer than `limit`.
pub(super) async fn watched<P: Parts, F>(
    limit: Duration,
    parts: P,
    scan: impl FnOnce(Watched<P>) -> F,
) -> Result<(), SourceError>
where
    F: Future<Output = Result<(), SourceError>>,
{
    let watch = Arc::new(Watch::default());
    let before_rows = Some(watch.begin());
    let scan = scan(Watched { parts, watch: Arc::clone(&watch), before_rows });
    tokio::select! {
        biased;
        verdict = scan => verdict,
        () = watch.stalled(limit) => Err(SourceError::Stalled(limit)),
    }
}

/// The readers of a scan that wait for the database.
#[derive(Default)]
struct Watch(Mutex<Vec<Weak<Wait>>>);

/// Since when one of them does; `None`: it waits for its own reader.
struct Wait(Mutex<Option<Instant>>);

impl Wait {
    fn begin(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    fn end(&self) {
        *lock(&self.0) = None;
    }
}

impl Watch {
    fn begin(&self) -> Arc<Wait> {
        let wait = Arc::new(Wait(Mutex::new(Some(Instant::now()))));
        let mut waits = lock(&self.0);
        waits.retain(|wait| wait.strong_count() > 0);
        waits.push(Arc::downgrade(&wait));
        wait
    }

    /// Resolves when a reader has waited for so long.
    async fn stalled(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.longest());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn longest(&self) -> Duration {
        let waits = lock(&self.0);
        let since = waits.iter().filter_map(|wait| *lock(&wait.upgrade()?.0)).min();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sinks that say when they wait.
pub(super) struct Watched<P> {
    parts: P,
    watch: Arc<Watch>,
    /// There until the first sink is wanted.
    before_rows: Option<Arc<Wait>>,
}

impl<P: Parts> Parts for Watched<P> {
    type Sink = WatchedSink<P::Sink>;

    async fn only(mut self) -> Result<Self::Sink, Closed> {
        self.before_rows = None;
        let sink = self.parts.only().await?;
        Ok(WatchedSink { sink, wait: self.watch.begin() })
    }

    async fn next(&mut self) -> Result<Self::Sink, Closed> {
        self.before_rows = None;
        let sink = self.parts.next().await?;
        Ok(WatchedSink { sink, wait: self.watch.begin() })
    }
}

pub(super) struct WatchedSink<S> {
    sink: S,
    wait: Arc<Wait>,
}

impl<S: RowSink> RowSink for WatchedSink<S> {
    #[inline]
    fn row(&mut self, values: &[Value<'_>]) {
        self.sink.row(values);
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.sink.is_full()
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        self.wait.end();
        self.sink.flush().await?;
        self.wait.begin();
        Ok(())
    }

    async fn finish(self) -> Result<(), Closed> {
        self.wait.end();
        self.sink.finish().await
    }
}
