//! Reads a running scan: its parts, in their order, to their end, and makes one file of them. Why a scan failed is told
//! by `relay.rs`, not through the parts.

use super::writer::{Message, Progress};
use bytes::Bytes;
use headcount_format::Assembler;
use headcount_source::SourceError;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

const NO_VERDICT: &str = "the scan ended without a verdict";

/// What comes next of a scan.
pub(super) enum Next {
    Chunk { bytes: Bytes, rows: u64 },
    Verdict(Result<(), SourceError>),
}

/// The one reader of a scan. A good verdict is never the first that it gives.
pub(super) struct PartsReader {
    parts: mpsc::Receiver<Progress>,
    part: Option<mpsc::Receiver<Message>>,
    /// There until it has made the end of the file.
    assembler: Option<Box<dyn Assembler>>,
    /// The beginning of the file, until something follows it.
    head: Vec<u8>,
    has_begun: bool,
    /// Whether every row has come, and the end of the file.
    is_complete: bool,
}

impl PartsReader {
    pub(super) fn new(parts: mpsc::Receiver<Progress>) -> Self {
        Self { parts, part: None, assembler: None, head: Vec::new(), has_begun: false, is_complete: false }
    }

    /// Whether something waits to be read.
    pub(super) fn is_ready(&self) -> bool {
        self.is_complete || self.part.as_ref().map_or(self.parts.len(), mpsc::Receiver::len) > 0
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            if self.is_complete {
                return Poll::Ready(Next::Verdict(Ok(())));
            }
            if let Some(part) = &mut self.part {
                match ready!(part.poll_recv(context)) {
                    Some(Message::Chunk { bytes, rows }) => {
                        return Poll::Ready(self.after_head(bytes, rows));
                    }
                    Some(Message::End) => {
                        self.part = None;
                        // Parts without rows may be long: the beginning of the file does not wait for the others.
                        if !self.head.is_empty() {
                            return Poll::Ready(self.after_head(Bytes::new(), 0));
                        }
                    }
                    // Its worker failed. What other workers read does not matter any more.
                    None => return self.poll_failure(context).map(|error| Next::Verdict(Err(error))),
                }
            } else {
                match ready!(self.parts.poll_recv(context)) {
                    Some(Progress::Part { assembler, messages }) => {
                        if let Some(mut assembler) = assembler {
                            if let Err(problem) = assembler.head(&mut self.head) {
                                return Poll::Ready(unassembled(problem));
                            }
                            self.assembler = Some(assembler);
                        }
                        self.part = Some(messages);
                    }
                    Some(Progress::End) => match self.end() {
                        Ok(end) => {
                            self.is_complete = true;
                            if let Some(bytes) = end {
                                return Poll::Ready(Next::Chunk { bytes, rows: 0 });
                            }
                        }
                        Err(problem) => return Poll::Ready(unassembled(problem)),
                    },
                    None => return Poll::Ready(Next::Verdict(Err(no_verdict()))),
                }
            }
        }
    }

    /// A fragment as it stands in the file, with its beginning if it is the first. That one is small.
    fn after_head(&mut self, fragment: Bytes, rows: u64) -> Next {
        self.has_begun = true;
        let fragment = match &mut self.assembler {
            Some(assembler) if !fragment.is_empty() => assembler.fragment(fragment, rows),
            _ => Ok(fragment),
        };
        let fragment = match fragment {
            Ok(fragment) => fragment,
            Err(problem) => return unassembled(problem),
        };
        if self.head.is_empty() {
            return Next::Chunk { bytes: fragment, rows };
        }
        let mut bytes = std::mem::take(&mut self.head);
        bytes.extend_from_slice(&fragment);
        Next::Chunk { bytes: bytes.into(), rows }
    }

    /// What ends the file, if anything does; an empty piece where nothing came before it, either.
    fn end(&mut self) -> Result<Option<Bytes>, String> {
        let mut bytes = std::mem::take(&mut self.head);
        if let Some(mut assembler) = self.assembler.take() {
            assembler.tail(&mut bytes)?;
        }
        Ok((!bytes.is_empty() || !self.has_begun).then(|| bytes.into()))
    }

    /// Waits until a scan is over of which a part is not whole.
    fn poll_failure(&mut self, context: &mut Context<'_>) -> Poll<SourceError> {
        while let Some(Progress::Part { .. }) = ready!(self.parts.poll_recv(context)) {}
        Poll::Ready(no_verdict())
    }
}

/// The export fails, because its rows make no file.
fn unassembled(problem: String) -> Next {
    Next::Verdict(Err(SourceError::Failed(problem)))
}

pub(super) fn no_verdict() -> SourceError {
    SourceError::Failed(NO_VERDICT.to_owned())
}
