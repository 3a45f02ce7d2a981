//! The bytes of an export, as they leave: counted, hashed, paid for. They end cleanly if and only if every row was sent and recorded.

use super::account::Account;
use super::reader::{Next, no_verdict};
use super::relay::{Pending, Relay};
use super::spending::{Paid, Spending};
use super::{OVER_BUDGET, StartError};
use bytes::Bytes;
use futures_util::Stream;
use headcount_source::SourceError;
use headcount_store::StoreError;
use headcount_store::audit::{Outcome, hidden};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::{AbortHandle, JoinHandle};

/// The export is not complete, and why: for the log, never for a client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// What an export was, so far or at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// That of its record.
    pub id: String,
    pub rows: u64,
    /// Uncompressed, as is their digest.
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// The bytes of one export, in chunks. Dropped before its end, it stops the scan and records why.
pub struct ExportStream {
    state: State,
    scan: Scan,
    account: Account,
    /// `None`: as many rows as there are.
    spending: Option<Spending>,
}

enum State {
    /// What the scan gave at first, with its rows, which are counted in the budget.
    First(Bytes, u64),
    Streaming,
    /// These rows are being counted in the budget.
    Spending {
        bytes: Bytes,
        rows: u64,
    },
    /// What was counted ahead is being given back.
    Closing(Result<(), SourceError>),
    /// The outcome is being recorded; how the stream ends is known.
    Settling(JoinHandle<Result<(), StoreError>>, Result<(), Broken>),
    Ended,
}

/// The running scan.
struct Scan {
    relay: Arc<Relay>,
    /// A chunk on its way from the spool.
    fetching: Option<JoinHandle<Next>>,
    task: AbortHandle,
}

impl Scan {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let fetching = match &mut self.fetching {
            Some(fetching) => fetching,
            None => match ready!(self.relay.poll_take(context)) {
                Pending::InMemory(next) => return Poll::Ready(next),
                Pending::Spooled(chunk) => self.fetching.insert(chunk.fetch()),
            },
        };
        let fetched = ready!(Pin::new(fetching).poll(context));
        self.fetching = None;
        Poll::Ready(fetched.unwrap_or_else(|_| Next::Verdict(Err(no_verdict()))))
    }
}

impl ExportStream {
    /// Waits for the first bytes of the scan.
    pub(super) async fn begin(
        account: Account,
        relay: Arc<Relay>,
        task: AbortHandle,
        spending: Option<Spending>,
    ) -> Result<Self, StartError> {
        let scan = Scan { relay, fetching: None, task };
        let mut stream = Self { state: State::Streaming, scan, account, spending };
        match poll_fn(|context| stream.scan.poll_next(context)).await {
            Next::Chunk { bytes, rows } => {
                let (outcome, error) = match poll_fn(|context| stream.poll_spend(context, rows)).await {
                    Ok(Paid::Yes) => {
                        stream.state = State::First(bytes, rows);
                        return Ok(stream);
                    }
                    // Nothing has left: it may be asked for as often as anybody likes, and must not be kept for good.
                    Ok(Paid::No { left }) => (Outcome::Denied, StartError::OverBudget { left }),
                    Err(error) => (Outcome::Failed, StartError::Uncounted(error)),
                };
                let _ = stream.account.settle(outcome, Some(error.to_string())).await;
                Err(error)
            }
            // A good one never comes first (`reader.rs`).
            Next::Verdict(verdict) => {
                let error = verdict.err().unwrap_or_else(no_verdict);
                let outcome = match error {
                    SourceError::Parameter(_) => Outcome::Denied,
                    _ => Outcome::Failed,
                };
                let _ = stream.account.settle(outcome, Some(error.to_string())).await;
                Err(error.into())
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

    /// SHA-256 of the uncompressed bytes sent so far.
    pub fn digest(&self) -> [u8; 32] {
        self.account.digest()
    }

    /// What was sent so far; at the end, what the export was.
    pub fn summary(&self) -> Summary {
        let account = &self.account;
        Summary {
            id: account.id().to_owned(),
            rows: account.rows(),
            bytes: account.bytes(),
            sha256: account.digest(),
        }
    }

    /// Ends the export before its end, because what came of it cannot be kept.
    pub async fn give_up(mut self, reason: String) {
        // If that fails the log says so.
        let _ = self.account.settle(Outcome::Failed, Some(reason)).await;
    }

    fn settle(&mut self, verdict: Result<(), SourceError>) {
        match verdict {
            Ok(()) => self.state = State::Settling(self.account.settle(Outcome::Completed, None), Ok(())),
            Err(error) => self.fail(Outcome::Failed, error.to_string()),
        }
    }

    fn fail(&mut self, outcome: Outcome, reason: String) {
        let broken = Broken(hidden(&reason));
        self.state = State::Settling(self.account.settle(outcome, Some(reason)), Err(broken));
    }

    /// Lets bytes go, with the rows that begin in them.
    fn hand_out(&mut self, bytes: Bytes, rows: u64) -> Bytes {
        self.account.add(&bytes, rows);
        if let Some(spending) = &mut self.spending {
            spending.note_left(rows);
        }
        bytes
    }

    fn poll_spend(&mut self, context: &mut Context<'_>, rows: u64) -> Poll<Result<Paid, StoreError>> {
        match &mut self.spending {
            Some(spending) => spending.poll_spend(context, rows),
            None => Poll::Ready(Ok(Paid::Yes)),
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.spending.as_mut().map_or(Poll::Ready(()), |spending| spending.poll_close(context))
    }
}

const NO_RECORD: &str = "its outcome could not be recorded";

impl Stream for ExportStream {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match &mut self.state {
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
                State::First(bytes, rows) => {
                    let (bytes, rows) = (std::mem::take(bytes), *rows);
                    self.state = State::Streaming;
                    return Poll::Ready(Some(Ok(self.hand_out(bytes, rows))));
                }
                State::Streaming => match ready!(self.scan.poll_next(context)) {
                    Next::Chunk { bytes, rows } => self.state = State::Spending { bytes, rows },
                    Next::Verdict(verdict) => self.state = State::Closing(verdict),
                },
                State::Spending { rows, .. } => {
                    let rows = *rows;
                    let is_paid = ready!(self.poll_spend(context, rows));
                    let State::Spending { bytes, .. } = std::mem::replace(&mut self.state, State::Streaming)
                    else {
                        return Poll::Ready(None);
                    };
                    match is_paid {
                        Ok(Paid::Yes) => return Poll::Ready(Some(Ok(self.hand_out(bytes, rows)))),
                        Ok(Paid::No { .. }) => self.fail(Outcome::OverBudget, OVER_BUDGET.to_owned()),
                        Err(error) => self.fail(Outcome::Failed, error.to_string()),
                    }
                }
                State::Closing(_) => {
                    ready!(self.poll_close(context));
                    let State::Closing(verdict) = std::mem::replace(&mut self.state, State::Ended) else {
                        return Poll::Ready(None);
                    };
                    self.settle(verdict);
                }
            }
        }
    }
}

impl Drop for ExportStream {
    fn drop(&mut self) {
        self.scan.task.abort();
        self.scan.relay.let_go();
    }
}
