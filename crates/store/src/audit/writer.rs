//! The one task that writes a process's audit: all that waits for it goes into one transaction, so that many small
//! exports at once share the cost of making their records safe.

mod retry_queue;

use super::Outcome;
use super::chain::Head;
use super::records::{self, Record};
use crate::{Store, StoreError, TIMEOUT, in_time};
use retry_queue::RetryQueue;
use sqlx::AnyConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Writes in one transaction, at most: few enough to be retried one by one.
const BATCH: usize = 128;
/// Writes that wait for the next transaction. Whoever wants to add one to them waits, too.
const QUEUE: usize = 1024;
/// How long what the store would not take waits for the next try, unless something else is written before.
const RETRY: Duration = Duration::from_secs(2);
/// How many records of denied requests are kept, and as many of others without an export: a flood of them pushes out older ones
/// of their kind, never an export.
const KEPT: i64 = 10_000;
/// Records of either kind between two clean-ups.
const BETWEEN_PRUNES: usize = 256;
/// The oldest denials.
const PRUNE_DENIALS: &str = "DELETE FROM headcount_audit WHERE outcome = 'denied' AND time < \
     (SELECT time FROM headcount_audit WHERE outcome = 'denied' ORDER BY time DESC LIMIT 1 OFFSET $1)";
/// The oldest of the others: `HEAD`, preflights, and those who left before there was an export.
const PRUNE_LOOKS: &str = "DELETE FROM headcount_audit \
     WHERE sequence IS NULL AND sha256 IS NULL AND outcome <> 'denied' AND time < \
     (SELECT time FROM headcount_audit WHERE sequence IS NULL AND sha256 IS NULL AND outcome <> 'denied' \
      ORDER BY time DESC LIMIT 1 OFFSET $1)";

/// One thing to write.
pub(super) enum Write {
    /// The record of an export that is about to start, or of a request that streamed nothing.
    New(Record),
    /// How an export ended whose record is there.
    Settled(Record),
    /// Nothing: for whoever only waits until everything before it is written, also what is owed.
    Nothing,
}

/// What a record is worth: how long it is kept, and what gives way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Anybody can be denied, as often as they like.
    Denial,
    /// A request with a good key that got no export, of which there can be as many.
    Look,
    /// A link of the chain. Others are pruned, and what may go without leaving a trace cannot be proved to be there.
    Export,
}

impl Write {
    /// `None`: nothing ended.
    fn rank(&self) -> Option<Rank> {
        let (Self::New(record) | Self::Settled(record)) = self else { return None };
        match (record.outcome?, self) {
            (Outcome::Denied, _) => Some(Rank::Denial),
            (_, Self::Settled(_)) => Some(Rank::Export),
            _ => Some(Rank::Look),
        }
    }

    fn is_chained(&self) -> bool {
        self.rank() == Some(Rank::Export)
    }
}

/// What whoever wanted something written is told.
type Answer = Result<(), StoreError>;

struct Job {
    write: Write,
    done: oneshot::Sender<Answer>,
}

/// The way to the task, which ends when this is dropped and everything that was sent is written.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the task of the process that is registered as `instance`.
    pub(super) fn start(store: Store, instance: i64) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Task { store, instance, owed: RetryQueue::default() }.run(queue));
        Self { jobs }
    }

    /// Returns when `write` is in the store. Once it is queued it is written, even if nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// It is not, or not known to be.
    pub(super) async fn write(&self, write: Write) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        self.jobs.send(Job { write, done }).await.map_err(|_| StoreError::WriterDied)?;
        written.await.map_err(|_| StoreError::WriterDied)?
    }
}

/// Why nothing of a transaction was kept.
enum Failure {
    /// The database would not take one of the records; the others may be good.
    Record(StoreError),
    /// The store does not answer, and it would not do so for any other record.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn of_store(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }

    fn of_record(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) => Self::Record(error.into()),
            error => Self::Store(error.into()),
        }
    }
}

struct Task {
    store: Store,
    instance: i64,
    owed: RetryQueue,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = Vec::new();
        // The first of a process prunes, for those that never live to see their 256th.
        let mut prunable = BETWEEN_PRUNES;
        loop {
            let received = tokio::select! {
                received = queue.recv_many(&mut waiting, BATCH) => received,
                () = tokio::time::sleep(RETRY), if !self.owed.is_empty() => {
                    self.write_owed().await;
                    continue;
                }
            };
            if received == 0 {
                let _ = tokio::time::timeout(TIMEOUT, self.write_owed()).await;
                return;
            }
            let (writes, callers): (Vec<_>, Vec<_>) =
                waiting.drain(..).map(|job| (job.write, job.done)).unzip();
            prunable +=
                writes.iter().filter(|write| write.rank().is_some_and(|rank| rank < Rank::Export)).count();
            let written = self.write_all(&writes).await;
            if prunable > BETWEEN_PRUNES {
                prunable = 0;
                if let Err(error) = in_time(self.prune()).await {
                    tracing::error!(%error, "old records without an export could not be removed from the audit");
                }
            }
            let is_answering = written.iter().any(Result::is_ok);
            let mut flushing = Vec::new();
            for ((write, caller), written) in writes.into_iter().zip(callers).zip(written) {
                if matches!(write, Write::Nothing) {
                    flushing.push((caller, written));
                    continue;
                }
                self.owed.add(write, &written);
                // Whoever left does not want to know.
                let _ = caller.send(written);
            }
            self.owed.log_lost();
            if is_answering {
                self.write_owed().await;
            }
            for (caller, written) in flushing {
                let _ = caller.send(written);
            }
        }
    }

    async fn write_owed(&mut self) {
        let mut left = RetryQueue::default();
        while !self.owed.is_empty() {
            let writes = self.owed.take(BATCH);
            let written = self.write_all(&writes).await;
            let is_answering = written.iter().any(Result::is_ok);
            for (write, written) in writes.into_iter().zip(written) {
                left.add(write, &written);
            }
            if !is_answering {
                break;
            }
        }
        left.extend(std::mem::take(&mut self.owed));
        self.owed = left;
    }

    /// Writes everything at once or, if one record spoils it, one by one; the answers are in the order of the writes.
    async fn write_all(&self, writes: &[Write]) -> Vec<Answer> {
        match self.transact(writes).await {
            Ok(written) => written,
            Err(Failure::Record(error)) if writes.len() == 1 => self.settle_instead(&writes[0], error).await,
            Err(Failure::Record(_)) => self.write_singly(writes).await,
            Err(Failure::Store(error)) => share(error, writes.len()).collect(),
        }
    }

    async fn write_singly(&self, writes: &[Write]) -> Vec<Answer> {
        let mut written = Vec::with_capacity(writes.len());
        for write in writes {
            match self.transact(std::slice::from_ref(write)).await {
                Ok(answers) => written.extend(answers),
                Err(Failure::Record(error)) => written.extend(self.settle_instead(write, error).await),
                Err(Failure::Store(error)) => {
                    written.extend(share(error, writes.len() - written.len()));
                    break;
                }
            }
        }
        written
    }

    /// Answers a write that the database would not take. The end of a request whose beginning is there, from a try that was not
    /// seen to succeed, settles that.
    async fn settle_instead(&self, write: &Write, error: StoreError) -> Vec<Answer> {
        match write {
            Write::New(record) if record.outcome.is_some() && is_there_already(&error) => {
                match self.transact(&[Write::Settled(record.clone())]).await {
                    Ok(written) => written,
                    Err(Failure::Record(error) | Failure::Store(error)) => vec![Err(error)],
                }
            }
            _ => vec![Err(error)],
        }
    }

    /// Writes everything in one transaction.
    async fn transact(&self, writes: &[Write]) -> Result<Vec<Answer>, Failure> {
        // A lone record is a transaction of its own, which is a third of the way to the store and back.
        if let [Write::New(record)] = writes {
            let write = self.store.write(records::insert(record, self.instance));
            return match in_time(write).await {
                Ok(_) => Ok(vec![Ok(())]),
                Err(error @ StoreError::Database(sqlx::Error::Database(_))) => Err(Failure::Record(error)),
                Err(error) => Err(Failure::Store(error)),
            };
        }
        let transaction = async {
            let (_guard, mut transaction) = self.store.begin_write().await?;
            let mut answers: Vec<_> = writes.iter().map(|_| Ok(())).collect();
            // The chain comes last: other processes wait for it.
            for (write, answer) in writes.iter().zip(&mut answers).filter(|(write, _)| !write.is_chained()) {
                *answer = self.write(&mut transaction, write, None).await?;
            }
            if writes.iter().any(Write::is_chained) {
                let mut head = Head::lock(&self.store, &mut transaction).await?;
                for (write, answer) in writes.iter().zip(&mut answers).filter(|(write, _)| write.is_chained())
                {
                    *answer = self.write(&mut transaction, write, Some(&mut head)).await?;
                }
                head.save(&mut transaction).await.map_err(Failure::of_store)?;
            }
            transaction.commit().await.map_err(Failure::of_store)?;
            Ok(answers)
        };
        in_time(transaction).await
    }

    /// Writes one thing, as the next link of the chain if there is a head. An error in the answer leaves the transaction
    /// as it was.
    async fn write(
        &self,
        connection: &mut AnyConnection,
        write: &Write,
        head: Option<&mut Head>,
    ) -> Result<Answer, Failure> {
        let (record, is_new) = match write {
            Write::New(record) => (record, true),
            Write::Settled(record) => (record, false),
            Write::Nothing => return Ok(Ok(())),
        };
        let linked = head.as_ref().map(|head| head.link(record));
        let record = linked.as_ref().unwrap_or(record);
        let is_written = if is_new {
            records::insert(record, self.instance).execute(connection).await.map(|_| true)
        } else {
            records::settle(connection, record).await
        };
        if !is_written.map_err(Failure::of_record)? {
            return Ok(Err(StoreError::NotOpen));
        }
        if let (Some(head), Some(linked)) = (head, linked) {
            head.follow(linked);
        }
        Ok(Ok(()))
    }

    async fn prune(&self) -> Result<(), StoreError> {
        for sql in [PRUNE_DENIALS, PRUNE_LOOKS] {
            self.store.write(sqlx::query(sql).bind(KEPT)).await?;
        }
        Ok(())
    }
}

fn is_there_already(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
}

/// The same error for all who waited.
fn share(error: StoreError, callers: usize) -> impl Iterator<Item = Answer> {
    let error = Arc::new(error);
    (0..callers).map(move |_| Err(StoreError::Shared(Arc::clone(&error))))
}

#[cfg(test)]
mod tests;
