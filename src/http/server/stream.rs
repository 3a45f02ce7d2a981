//! The streams of HTTP/2 (RFC 9113 section 5). Each has a window of its own, which a client can leave shut while the
//! connection is fine: the kernel does not see that.

use super::activity::Task;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// What a client must take in `limits.client_stall`, in bytes: the largest frame that it takes unless it says otherwise
/// (RFC 9113 section 4.2).
const PIECE: usize = 16 * 1024;

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

    fn set(&self, untaken_since: Option<Instant>) {
        *self.untaken_since.lock().unwrap_or_else(PoisonError::into_inner) = untaken_since;
    }

    /// Resolves when the client has not taken a piece for so long.
    async fn stall(&self, limit: Duration) {
        loop {
            let since = *self.untaken_since.lock().unwrap_or_else(PoisonError::into_inner);
            let left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return self.is_cut_off.store(true, Ordering::Release);
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Runs streams in tasks of their own, and resets (RFC 9113 section 6.4) one whose client takes nothing for so long.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) stall: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let limit = self.stall;
        let watch = Arc::new(Watch::default());
        tokio::spawn(WATCH.scope(Arc::clone(&watch), async move {
            tokio::select! {
                () = stream => {}
                () = watch.stall(limit) => {}
            }
        }));
    }
}

/// An answer on its way: keeps its connection from being idle, and, on a stream, leaves in pieces that are watched.
pub(super) struct Answer {
    body: Body,
    rest: Bytes,
    watch: Option<Arc<Watch>>,
    _task: Task,
}

impl Answer {
    pub(super) fn new(body: Body, watch: Option<Arc<Watch>>, task: Task) -> Self {
        Self { body, rest: Bytes::new(), watch, _task: task }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        if let Some(watch) = &self.watch {
            watch.set(Some(Instant::now()));
            return Frame::data(self.rest.split_to(self.rest.len().min(PIECE)));
        }
        Frame::data(std::mem::take(&mut self.rest))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(watch) = &self.watch {
            watch.set(None);
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(self.piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
