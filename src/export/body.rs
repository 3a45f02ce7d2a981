//! The stream of an export's bytes. It ends cleanly if and only if every row was sent and recorded.

use super::account::Account;
use super::writer::Message;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::store::audit::Outcome;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

/// The export is not complete, and why: for the log, never for a client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// The bytes of one export. Dropped before its end, it stops the scan and records why.
pub struct ExportBody {
    state: State,
    receiver: mpsc::Receiver<Message>,
    account: Account,
    scan: AbortHandle,
}

enum State {
    First(Message),
    Streaming,
    /// The outcome is being recorded; how the body ends is known.
    Settling(JoinHandle<Result<(), StoreError>>, Result<(), Broken>),
    Ended,
}

impl ExportBody {
    /// Waits for the first message of the scan.
    pub(super) async fn begin(
        account: Account,
        receiver: mpsc::Receiver<Message>,
        scan: AbortHandle,
    ) -> Result<Self, SourceError> {
        let mut body = Self { state: State::Streaming, receiver, account, scan };
        match body.receiver.recv().await {
            Some(Message::End(Err(error))) => {
                let outcome = match error {
                    SourceError::After(_) => Outcome::Denied,
                    _ => Outcome::Failed,
                };
                let _ = body.account.settle(outcome, Some(error.to_string())).await;
                Err(error)
            }
            Some(first) => {
                body.state = State::First(first);
                Ok(body)
            }
            None => {
                let error = SourceError::Failed(NO_VERDICT.to_owned());
                let _ = body.account.settle(Outcome::Failed, Some(error.to_string())).await;
                Err(error)
            }
        }
    }

    /// Users sent so far.
    pub fn rows(&self) -> u64 {
        self.account.rows()
    }

    /// Uncompressed bytes sent so far.
    pub fn bytes(&self) -> u64 {
        self.account.bytes()
    }

    fn take(&mut self, message: Option<Message>) -> Option<Bytes> {
        match message {
            Some(Message::Chunk { bytes, rows }) => {
                self.account.add(&bytes, rows);
                return Some(bytes);
            }
            Some(Message::End(Ok(()))) => {
                self.state = State::Settling(self.account.settle(Outcome::Completed, None), Ok(()));
            }
            Some(Message::End(Err(error))) => self.fail(error.to_string()),
            None => self.fail(NO_VERDICT.to_owned()),
        }
        None
    }

    fn fail(&mut self, reason: String) {
        let settling = self.account.settle(Outcome::Failed, Some(reason.clone()));
        self.state = State::Settling(settling, Err(Broken(reason)));
    }
}

const NO_RECORD: &str = "its outcome could not be recorded";
const NO_VERDICT: &str = "the scan ended without a verdict";

impl Body for ExportBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let message = match &mut self.state {
                State::Settling(recording, _) => {
                    let recorded = matches!(ready!(Pin::new(recording).poll(context)), Ok(Ok(())));
                    let State::Settling(_, end) = std::mem::replace(&mut self.state, State::Ended) else {
                        return Poll::Ready(None);
                    };
                    // An export without its record is not complete either.
                    let end = if recorded { end } else { Err(Broken(NO_RECORD.to_owned())) };
                    return Poll::Ready(end.err().map(Err));
                }
                State::Ended => return Poll::Ready(None),
                State::Streaming => ready!(self.receiver.poll_recv(context)),
                State::First(_) => match std::mem::replace(&mut self.state, State::Streaming) {
                    State::First(message) => Some(message),
                    _ => None,
                },
            };
            if let Some(bytes) = self.take(message) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }
}

impl Drop for ExportBody {
    fn drop(&mut self) {
        self.scan.abort();
    }
}
