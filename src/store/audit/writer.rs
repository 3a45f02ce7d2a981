//! The one task that writes a process's audit: all that waits for it goes into one transaction, so that many small
//! exports at once share the cost of making their records safe.

use super::{Closing, Outcome, Request};
use crate::store::{Store, StoreError};
use sqlx::AnyConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Writes in one transaction, at most: few enough to be retried one by one.
const BATCH: usize = 128;
/// Writes that wait for the next transaction. Whoever wants to add one to them waits, too.
const QUEUE: usize = 1024;
/// How long a transaction may take, if the store hangs: longer than SQLite waits for another writer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many records of denied requests are kept: a flood of them pushes out older denials, never an export.
const DENIED_KEPT: i64 = 10_000;
/// Denials between two clean-ups.
const DENIED_BETWEEN_PRUNES: usize = 256;

/// One thing to write.
pub(super) enum Write {
    /// The record of an export that is about to start.
    Begin(Request),
    /// How that export ended.
    Close(Request, Closing),
    /// The whole record of a request that streamed nothing.
    Whole(Request, Closing),
    /// Nothing: for whoever only waits until everything before it is written.
    Nothing,
}

struct Job {
    write: Write,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The way to the task, which ends when this is dropped and everything that was sent is written.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the task of the process that is registered as `instance`.
    pub(super) fn start(store: Store, instance: i64) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Task { store, instance }.run(queue));
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
}

impl Task {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = Vec::new();
        // The first denial of a process prunes, for those that never live to see their 256th.
        let mut denied = DENIED_BETWEEN_PRUNES;
        while queue.recv_many(&mut waiting, BATCH).await > 0 {
            let (writes, callers): (Vec<_>, Vec<_>) =
                waiting.drain(..).map(|job| (job.write, job.done)).unzip();
            denied += writes.iter().filter(|write| write.is_denial()).count();
            let written = self.write_all(&writes).await;
            if denied > DENIED_BETWEEN_PRUNES {
                denied = 0;
                if let Err(error) = in_time(self.prune_denied()).await {
                    tracing::error!(%error, "old denials could not be removed from the audit");
                }
            }
            for (caller, written) in callers.into_iter().zip(written) {
                // Whoever left does not want to know.
                let _ = caller.send(written);
            }
        }
    }

    /// Writes everything at once or, if one record spoils it, one by one; the answers are in the order of the writes.
    async fn write_all(&self, writes: &[Write]) -> Vec<Result<(), StoreError>> {
        match self.transact(writes).await {
            Ok(written) => written,
            Err(Failure::Record(error)) if writes.len() == 1 => vec![Err(error)],
            Err(Failure::Record(_)) => self.write_singly(writes).await,
            Err(Failure::Store(error)) => share(error, writes.len()).collect(),
        }
    }

    async fn write_singly(&self, writes: &[Write]) -> Vec<Result<(), StoreError>> {
        let mut written = Vec::with_capacity(writes.len());
        for write in writes {
            match self.transact(std::slice::from_ref(write)).await {
                Ok(answers) => written.extend(answers),
                Err(Failure::Record(error)) => written.push(Err(error)),
                Err(Failure::Store(error)) => {
                    written.extend(share(error, writes.len() - written.len()));
                    break;
                }
            }
        }
        written
    }

    /// Writes everything in one transaction.
    async fn transact(&self, writes: &[Write]) -> Result<Vec<Result<(), StoreError>>, Failure> {
        let transaction = async {
            let mut transaction = self.store.begin_write().await.map_err(Failure::of_store)?;
            let mut written = Vec::with_capacity(writes.len());
            for write in writes {
                written.push(self.write(&mut transaction, write).await?);
            }
            transaction.commit().await.map_err(Failure::of_store)?;
            Ok(written)
        };
        in_time(transaction).await
    }

    /// Writes one thing. The inner error leaves the transaction as it was.
    async fn write(
        &self,
        connection: &mut AnyConnection,
        write: &Write,
    ) -> Result<Result<(), StoreError>, Failure> {
        match write {
            Write::Nothing => Ok(Ok(())),
            Write::Begin(request) => {
                self.insert(connection, request, None).await.map_err(Failure::of_record)?;
                Ok(Ok(()))
            }
            Write::Whole(request, closing) => {
                self.insert(connection, request, Some(closing)).await.map_err(Failure::of_record)?;
                Ok(Ok(()))
            }
            Write::Close(request, closing) => {
                let is_closed = close(connection, &request.id, closing).await.map_err(Failure::of_record)?;
                Ok(if is_closed { Ok(()) } else { Err(StoreError::NotOpen) })
            }
        }
    }

    async fn insert(
        &self,
        connection: &mut AnyConnection,
        request: &Request,
        closing: Option<&Closing>,
    ) -> Result<(), sqlx::Error> {
        let sql = "INSERT INTO headcount_audit (id, time, endpoint, key_id, key_name, client, request_id, filters, \
                   outcome, reason, row_count, byte_count, sha256, duration_ms, instance) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        sqlx::query(sql)
            .bind(&request.id)
            .bind(request.time.micros())
            .bind(&request.endpoint)
            .bind(request.key_id.as_deref())
            .bind(request.key_name.as_deref())
            .bind(&request.client)
            .bind(request.request_id.as_deref())
            .bind(serde_json::Value::from(request.filters.clone()).to_string())
            .bind(closing.map(|closing| closing.outcome.name()))
            .bind(closing.and_then(|closing| closing.reason.as_deref()))
            .bind(closing.map_or(0, |closing| closing.rows.cast_signed()))
            .bind(closing.map_or(0, |closing| closing.bytes.cast_signed()))
            .bind(closing.and_then(|closing| closing.sha256.as_deref()))
            .bind(closing.map(|closing| closing.duration_ms.cast_signed()))
            .bind(self.instance)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn prune_denied(&self) -> Result<(), StoreError> {
        let sql = "DELETE FROM headcount_audit WHERE outcome = 'denied' AND time < \
                   (SELECT time FROM headcount_audit WHERE outcome = 'denied' ORDER BY time DESC LIMIT 1 OFFSET $1)";
        sqlx::query(sql).bind(DENIED_KEPT).execute(&self.store.pool).await?;
        Ok(())
    }
}

/// Writes how an export ended; `false` if its record is not open any more: another process took this one for dead.
async fn close(connection: &mut AnyConnection, id: &str, closing: &Closing) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE headcount_audit SET outcome = $1, reason = $2, row_count = $3, byte_count = $4, \
               sha256 = $5, duration_ms = $6 WHERE id = $7 AND outcome IS NULL";
    let closed = sqlx::query(sql)
        .bind(closing.outcome.name())
        .bind(closing.reason.as_deref())
        .bind(closing.rows.cast_signed())
        .bind(closing.bytes.cast_signed())
        .bind(closing.sha256.as_deref())
        .bind(closing.duration_ms.cast_signed())
        .bind(id)
        .execute(connection)
        .await?;
    Ok(closed.rows_affected() == 1)
}

impl Write {
    fn is_denial(&self) -> bool {
        matches!(self, Self::Whole(_, closing) if closing.outcome == Outcome::Denied)
    }
}

/// What a store that hangs would keep everybody waiting for.
async fn in_time<T, E: From<StoreError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| Err(StoreError::Hangs(TIMEOUT).into()))
}

/// The same error for all who waited.
fn share(error: StoreError, callers: usize) -> impl Iterator<Item = Result<(), StoreError>> {
    let error = Arc::new(error);
    (0..callers).map(move |_| Err(StoreError::Shared(Arc::clone(&error))))
}

#[cfg(test)]
mod tests;
