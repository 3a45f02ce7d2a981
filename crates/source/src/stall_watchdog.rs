//! How long a database may give nothing while a scan waits for it. The time that it waits for us does not count: a client may
//! be as slow as it likes.

use super::{Parts, RowSink, SinkError, SourceError};
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
use parking_lot::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
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
    let watch = Arc::new(StallWatchdog::default());
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
struct StallWatchdog(Mutex<Vec<Weak<ReaderWait>>>);

/// One of them.
#[derive(Default)]
struct ReaderWait {
    /// Rows that it was given; read by whoever watches, now and then.
    rows: AtomicU64,
    /// Since when it waits, and how many rows it had then; `None`: it waits for its own reader.
    since: Mutex<Option<(Instant, u64)>>,
}

impl ReaderWait {
    fn begin(&self) {
        *self.since.lock() = Some((Instant::now(), self.rows.load(Relaxed)));
    }

    fn end(&self) {
        *self.since.lock() = None;
    }

    /// How long it has waited since the last row that a look found to have come.
    fn so_far(&self) -> Duration {
        let mut since = self.since.lock();
        let Some((since, had)) = since.as_mut() else { return Duration::ZERO };
        let rows = self.rows.load(Relaxed);
        if rows != *had {
            (*since, *had) = (Instant::now(), rows);
        }
        since.elapsed()
    }
}

impl StallWatchdog {
    fn begin(&self) -> Arc<ReaderWait> {
        let wait = Arc::new(ReaderWait::default());
        wait.begin();
        let mut waits = self.0.lock();
        waits.retain(|wait| wait.strong_count() > 0);
        waits.push(Arc::downgrade(&wait));
        wait
    }

    /// Resolves when a reader has waited for so long, or up to a quarter longer.
    async fn stalled(&self, limit: Duration) {
        while self.longest() < limit {
            tokio::time::sleep(limit / 4).await;
        }
    }

    fn longest(&self) -> Duration {
        let waits = self.0.lock();
        waits.iter().filter_map(Weak::upgrade).map(|wait| wait.so_far()).max().unwrap_or_default()
    }
}

/// Makes sinks that say when they wait.
pub(super) struct Watched<P> {
    parts: P,
    watch: Arc<StallWatchdog>,
    /// There until the first sink is wanted.
    before_rows: Option<Arc<ReaderWait>>,
}

impl<P: Parts> Parts for Watched<P> {
    type Sink = WatchedSink<P::Sink>;

    fn are_large(&self) -> bool {
        self.parts.are_large()
    }

    fn begin(&mut self, schema: &Schema) {
        self.parts.begin(schema);
    }

    async fn only(mut self) -> Result<Self::Sink, SinkError> {
        self.before_rows = None;
        let sink = self.parts.only().await?;
        Ok(WatchedSink { sink, wait: self.watch.begin(), rows: 0 })
    }

    async fn next(&mut self) -> Result<Self::Sink, SinkError> {
        self.before_rows = None;
        let sink = self.parts.next().await?;
        Ok(WatchedSink { sink, wait: self.watch.begin(), rows: 0 })
    }
}

pub(super) struct WatchedSink<S> {
    sink: S,
    wait: Arc<ReaderWait>,
    rows: u64,
}

impl<S: RowSink> RowSink for WatchedSink<S> {
    #[inline]
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        self.sink.row(values)?;
        self.rows += 1;
        // A plain write: there is one writer.
        self.wait.rows.store(self.rows, Relaxed);
        Ok(())
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.sink.is_full()
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.wait.end();
        self.sink.flush().await?;
        self.wait.begin();
        Ok(())
    }

    async fn finish(self) -> Result<(), SinkError> {
        self.wait.end();
        self.sink.finish().await
    }
}
