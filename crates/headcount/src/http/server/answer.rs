//! An answer on its way: what it keeps busy, in which pieces it leaves, and how it ends if it cannot be whole.

use super::activity::Task;
use super::stream::Watch;
use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// What a client must take of a stream in `limits.client_stall`, in bytes: the largest frame that it takes unless it says
/// otherwise (RFC 9113 section 4.2).
const PIECE: usize = 16 * 1024;
/// How long the chunk is said to be that never comes.
const TORN: usize = 32 * 1024;

/// The body of an answer. Keeps its connection from being idle.
pub(super) struct WatchedBody {
    body: Body,
    rest: Bytes,
    /// `None`: HTTP/1.1.
    watch: Option<Arc<Watch>>,
    /// In HTTP/1.1, of a length that nobody knows, so that only its last chunk says that it is whole.
    is_chunked: bool,
    is_torn: bool,
    task: Arc<Task>,
}

impl WatchedBody {
    pub(super) fn new(body: Body, watch: Option<Arc<Watch>>, task: Arc<Task>) -> Self {
        let is_long = body.size_hint().exact().is_none();
        if !is_long {
            // It is all here, and whoever wants it takes it at once.
            task.set_kept(false);
        }
        let is_chunked = is_long && watch.is_none();
        Self { body, rest: Bytes::new(), watch, is_chunked, is_torn: false, task }
    }

    fn piece(&mut self) -> Piece {
        if let Some(watch) = &self.watch {
            watch.set(Some(Instant::now()));
            return Piece::Bytes(self.rest.split_to(self.rest.len().min(PIECE)));
        }
        Piece::Bytes(std::mem::take(&mut self.rest))
    }

    fn set_midway(&self, is_midway: bool) {
        if self.is_chunked {
            self.task.activity.is_midway.store(is_midway, Ordering::Relaxed);
        }
    }

    /// Ends the answer within a chunk: many clients take a connection that ends between two for the end of the file.
    fn tear(&mut self) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        self.is_torn = true;
        self.body = Body::empty();
        self.rest = Bytes::new();
        Poll::Ready(Some(Ok(Frame::data(Piece::Torn))))
    }
}

impl http_body::Body for WatchedBody {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        if let Some(watch) = &self.watch {
            watch.set(None);
        }
        if self.is_torn {
            // The connection ends without this, when all before it is written.
            return Poll::Pending;
        }
        self.set_midway(true);
        if self.is_chunked && self.task.activity.is_torn.load(Ordering::Relaxed) {
            return self.tear();
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    Err(frame) => {
                        self.set_midway(false);
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                },
                Some(Err(error)) if self.is_chunked => {
                    tracing::debug!(%error, "a transfer is broken off");
                    return self.tear();
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.set_midway(false);
                    return Poll::Ready(None);
                }
            }
        }
        let piece = self.piece();
        if self.is_end_stream() {
            self.set_midway(false);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.is_torn && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an answer hands on at a time.
pub(super) enum Piece {
    Bytes(Bytes),
    /// Says that there are bytes, and has none. hyper writes the head of a chunk, finds that it can write no more, and gives
    /// the connection up: it has no way of its own to end within a chunk.
    Torn,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Torn => TORN,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Torn => &[],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
            // All of them, so that what follows the chunk has no room.
            Self::Torn => {
                slices.fill(IoSlice::new(&[]));
                slices.len()
            }
        }
    }

    fn advance(&mut self, count: usize) {
        if let Self::Bytes(bytes) = self {
            bytes.advance(count);
        }
    }
}
