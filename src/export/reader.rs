//! Reads a running scan: its parts, in their order, to their end. Why a scan failed comes past them (`relay.rs`).

use super::writer::{Message, Progress};
use crate::source::SourceError;
use bytes::Bytes;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

const NO_VERDICT: &str = "the scan ended without a verdict";

/// What comes next of a scan.
pub(super) enum Next {
    Chunk { bytes: Bytes, rows: u64 },
    Verdict(Result<(), SourceError>),
}

/// The one reader of a scan.
pub(super) struct PartsReader {
    parts: mpsc::Receiver<Progress>,
    part: Option<mpsc::Receiver<Message>>,
}

impl PartsReader {
    pub(super) fn new(parts: mpsc::Receiver<Progress>) -> Self {
        Self { parts, part: None }
    }

    /// Whether something waits to be read.
    pub(super) fn is_ready(&self) -> bool {
        self.part.as_ref().map_or(self.parts.len(), mpsc::Receiver::len) > 0
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(part) = &mut self.part {
                match ready!(part.poll_recv(context)) {
                    Some(Message::Chunk { bytes, rows }) => return Poll::Ready(Next::Chunk { bytes, rows }),
                    Some(Message::End) => self.part = None,
                    // Its worker failed. What other workers read does not matter any more.
                    None => return self.poll_failure(context).map(|error| Next::Verdict(Err(error))),
                }
            } else {
                match ready!(self.parts.poll_recv(context)) {
                    Some(Progress::Part(part)) => self.part = Some(part),
                    Some(Progress::End) => return Poll::Ready(Next::Verdict(Ok(()))),
                    None => return Poll::Ready(Next::Verdict(Err(no_verdict()))),
                }
            }
        }
    }

    /// Waits until a scan is over of which a part is not whole.
    fn poll_failure(&mut self, context: &mut Context<'_>) -> Poll<SourceError> {
        while let Some(Progress::Part(_)) = ready!(self.parts.poll_recv(context)) {}
        Poll::Ready(no_verdict())
    }
}

pub(super) fn no_verdict() -> SourceError {
    SourceError::Failed(NO_VERDICT.to_owned())
}
