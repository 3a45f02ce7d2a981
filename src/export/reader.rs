//! Reads a running scan: its parts, in their order, and then the verdict on it.

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
                    // Its worker failed, and the verdict says why. What other workers read does not matter any more.
                    None => return self.poll_verdict(context).map(Next::Verdict),
                }
            } else {
                match ready!(self.parts.poll_recv(context)) {
                    Some(Progress::Part(part)) => self.part = Some(part),
                    Some(Progress::Verdict(verdict)) => return Poll::Ready(Next::Verdict(verdict)),
                    None => return Poll::Ready(Next::Verdict(Err(no_verdict()))),
                }
            }
        }
    }

    /// The verdict on a scan of which a part is not whole: never a good one.
    fn poll_verdict(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        loop {
            match ready!(self.parts.poll_recv(context)) {
                Some(Progress::Part(_)) => {}
                Some(Progress::Verdict(Err(error))) => return Poll::Ready(Err(error)),
                Some(Progress::Verdict(Ok(()))) | None => return Poll::Ready(Err(no_verdict())),
            }
        }
    }
}

pub(super) fn no_verdict() -> SourceError {
    SourceError::Failed(NO_VERDICT.to_owned())
}
