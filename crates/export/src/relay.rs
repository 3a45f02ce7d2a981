//! What stands between a scan and its stream, so that a slow client never holds the database: the stream reads the scan itself as
//! long as it keeps up; then a spill task in the scan's task does, at the speed of the scan, and keeps what the stream has not taken.
//! So it does with what is left when the scan is done.

use super::reader::{Next, PartsReader, no_verdict};
use super::slots::Slot;
use super::spool::{Reservation, Spool, Spools, Stored, broken};
use super::writer::Progress;
use bytes::Bytes;
use headcount_source::SourceError;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often to look how the stream keeps up.
const TICK: Duration = Duration::from_millis(20);
/// Bytes that a stream should take in a tick, if they are there: 10 MB/s. Compressing for a fast client is faster.
const PACE: usize = 200_000;
/// Who is so far behind that pace is slow: after 160 ms, if it takes nothing at all.
const BEHIND: usize = 8 * PACE;

/// Shared by a scan and its stream.
pub(super) struct Relay {
    state: Mutex<State>,
    /// The stream has taken all that waited.
    emptied: Notify,
    /// The stream has the verdict.
    over: Notify,
    spools: Arc<Spools>,
}

struct State {
    /// `None`: the spill task has it.
    reader: Option<PartsReader>,
    /// What the spill task has read and the stream has not taken; or how the scan failed.
    waiting: VecDeque<Pending>,
    /// The stream's, where it waits.
    waker: Option<Waker>,
    /// Bytes that the stream took from the reader since the last tick.
    taken: usize,
    /// Whether the source is not read any more, and every row came.
    is_scanned: bool,
    /// Whether the stream has the verdict.
    is_over: bool,
    /// What the export holds, until its stream is gone: the right to read the source, or to wait for its client.
    slot: Option<Slot>,
}

/// What the stream takes.
pub(super) enum Pending {
    InMemory(Next),
    Spooled(Stored),
}

impl Relay {
    pub(super) fn new(parts: mpsc::Receiver<Progress>, spools: Arc<Spools>) -> Arc<Self> {
        let reader = Some(PartsReader::new(parts));
        let waiting = VecDeque::new();
        let state =
            State { reader, waiting, waker: None, taken: 0, is_scanned: false, is_over: false, slot: None };
        Arc::new(Self { state: Mutex::new(state), emptied: Notify::new(), over: Notify::new(), spools })
    }

    /// Keeps the export's slot until its stream is gone.
    pub(super) fn hold(&self, slot: Slot) {
        self.state().slot = Some(slot);
    }

    /// The source is not read any more, and nothing of it is in memory but the next chunk.
    pub(super) fn park(&self) {
        if let Some(slot) = &mut self.state().slot {
            slot.park();
        }
    }

    /// The stream is gone.
    pub(super) fn let_go(&self) {
        let slot = self.state().slot.take();
        drop(slot);
    }

    /// The next that the scan gave, for the stream.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Pending> {
        let mut state = self.state();
        let next = match &mut state.reader {
            Some(reader) => reader.poll_next(context).map(Pending::InMemory),
            None => Poll::Pending,
        };
        let next = match next {
            Poll::Ready(Pending::InMemory(Next::Chunk { .. })) => next,
            // A scan that failed may have left a part that never ends.
            _ => state.waiting.pop_front().map_or(next, Poll::Ready),
        };
        match &next {
            Poll::Pending => state.waker = Some(context.waker().clone()),
            Poll::Ready(Pending::InMemory(Next::Chunk { bytes, .. })) => state.taken += bytes.len(),
            Poll::Ready(Pending::InMemory(Next::Verdict(_))) => {
                state.is_over = true;
                self.over.notify_one();
            }
            Poll::Ready(Pending::Spooled(_)) => {}
        }
        if state.reader.is_none() && state.waiting.is_empty() {
            self.emptied.notify_one();
        }
        next
    }

    /// Runs a scan to its verdict, and until what is left of it is with the stream or in the spool. A good verdict follows the
    /// parts; a bad one does not wait for them.
    pub(super) async fn run(
        &self,
        scan: impl Future<Output = Result<(), SourceError>>,
        progress: mpsc::Sender<Progress>,
    ) {
        let mut scan = pin!(async {
            scan.await?;
            self.state().is_scanned = true;
            // Nobody listens after the stream is gone, and then nobody needs to.
            let _ = progress.send(Progress::End).await;
            self.over().await;
            Ok::<_, SourceError>(())
        });
        tokio::select! {
            biased;
            verdict = &mut scan => if let Err(error) = verdict {
                self.end(Err(error));
            },
            reader = self.slow_reader() => {
                let mut ending = Ending { relay: self, verdict: Err(no_verdict()) };
                ending.verdict = self.spill(scan, reader).await;
            }
        }
    }

    /// Waits, after the run, until of the scan nothing is in memory but the next chunk.
    pub(super) async fn handed_over(&self) {
        let is_spilled = self.state().reader.is_none();
        if !is_spilled {
            self.over().await;
        }
    }

    /// Waits until the stream has the verdict.
    async fn over(&self) {
        while !self.state().is_over {
            self.over.notified().await;
        }
    }

    /// Resolves when the stream is slow, with the reader that it had.
    async fn slow_reader(&self) -> PartsReader {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut behind = 0_usize;
        loop {
            ticks.tick().await;
            let mut state = self.state();
            let taken = std::mem::take(&mut state.taken);
            let is_ready = state.reader.as_ref().is_some_and(PartsReader::is_ready);
            behind = match is_ready {
                true => (behind + PACE).saturating_sub(taken),
                false => behind.saturating_sub(PACE),
            };
            if behind >= BEHIND
                && let Some(reader) = state.reader.take()
            {
                state.wake();
                return reader;
            }
        }
    }

    /// Reads for the stream until the verdict, which is also that the stream is too slow, or that the spool fails.
    async fn spill(
        &self,
        scan: Pin<&mut impl Future<Output = Result<(), SourceError>>>,
        reader: PartsReader,
    ) -> Result<(), SourceError> {
        let mut reading = pin!(self.read(reader));
        tokio::select! {
            verdict = &mut reading => verdict,
            scanned = scan => match scanned {
                Ok(()) => reading.await,
                Err(error) => Err(error),
            },
        }
    }

    async fn read(&self, mut reader: PartsReader) -> Result<(), SourceError> {
        let mut next = poll_fn(|context| reader.poll_next(context)).await;
        if let Next::Verdict(verdict) = next {
            return verdict;
        }
        let hold = self.spools.hold();
        let begun = Instant::now();
        let key = self.state().slot.as_ref().and_then(Slot::key).map(str::to_owned);
        let mut spool = Spool::open(&self.spools, key.as_deref(), hold).await;
        let mut left = hold.saturating_sub(begun.elapsed());
        loop {
            let (bytes, rows) = match next {
                Next::Chunk { bytes, rows } => (bytes, rows),
                Next::Verdict(verdict) => return verdict,
            };
            // The time that a chunk takes at the pace is free, for its client and for the disk.
            let time = left.saturating_add(TICK.mul_f64(bytes.len() as f64 / PACE as f64));
            let begun = Instant::now();
            tokio::select! {
                biased;
                kept = self.keep(bytes, rows, &mut spool) => kept?,
                () = self.held_for(time) => return Err(SourceError::Failed(HELD_TOO_LONG.to_owned())),
            }
            left = time.saturating_sub(begun.elapsed()).min(hold);
            next = poll_fn(|context| reader.poll_next(context)).await;
        }
    }

    /// Waits until the source was held for so long; for ever where it is not held any more.
    async fn held_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if self.state().is_scanned {
            pending::<()>().await;
        }
    }

    /// Keeps a chunk for the stream: in memory where nothing else waits, else in the spool.
    async fn keep(&self, bytes: Bytes, rows: u64, spool: &mut Option<Spool>) -> Result<(), SourceError> {
        let room = self.room(&bytes, spool.as_ref()).await;
        let next = match spool.as_mut().zip(room) {
            None => Pending::InMemory(Next::Chunk { bytes, rows }),
            Some((spool, room)) => {
                Pending::Spooled(spool.append(bytes, rows, room).await.map_err(|error| broken(&error))?)
            }
        };
        self.push(next);
        Ok(())
    }

    /// Waits for room in the spool; `None` as soon as nothing waits for the stream, because then none is needed.
    async fn room(&self, bytes: &Bytes, spool: Option<&Spool>) -> Option<Reservation> {
        let mut room = pin!(async {
            match spool {
                Some(spool) => spool.room(bytes).await,
                None => pending().await,
            }
        });
        loop {
            if self.state().waiting.is_empty() {
                return None;
            }
            tokio::select! {
                biased;
                room = &mut room => return Some(room),
                () = self.emptied.notified() => {}
            }
        }
    }

    fn push(&self, next: Pending) {
        let mut state = self.state();
        state.waiting.push_back(next);
        state.wake();
    }

    /// A good verdict comes last. Another one comes at once: what waits is of an export that is never whole.
    fn end(&self, verdict: Result<(), SourceError>) {
        if verdict.is_err() {
            self.state().waiting.clear();
        }
        self.push(Pending::InMemory(Next::Verdict(verdict)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

const HELD_TOO_LONG: &str = "its client was slow, and for longer than limits.source_hold there was no room for what it did not \
                             take (limits.spool_bytes), or its disk did not answer (data_dir)";

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Gives the stream its verdict, even where the spill task dies.
struct Ending<'a> {
    relay: &'a Relay,
    verdict: Result<(), SourceError>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.relay.end(std::mem::replace(&mut self.verdict, Ok(())));
    }
}

#[cfg(test)]
mod tests;
