//! Which processes are alive, so that an export that a dead one left open can be told from a running one.
//!
//! Every process that audits holds a lock that its death releases: a locked file beside a SQLite store, an advisory
//! lock of a session in PostgreSQL. Nobody is taken for dead because of a time that has passed.

use super::{Store, StoreError, beside, in_time, open_file};
use crate::database_url::DatabaseUrl;
use sqlx::{AnyConnection, Connection, Row};
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

/// How often a session in PostgreSQL is looked at: it may be lost without its process, as with the server.
const LOOK: Duration = Duration::from_secs(5);

/// This process, as long as it lives.
pub(super) struct Instance {
    pub(super) id: i64,
    lock: Lock,
}

enum Lock {
    File(LockedFile),
    // The mutex is never contended; it makes the connection shareable between threads.
    Session { url: String, session: Mutex<AnyConnection> },
}

pub(super) struct LockedFile {
    directory: PathBuf,
    path: PathBuf,
    _held: File,
}

/// What holds the lock for the rest of the process's life.
pub(super) enum Kept {
    File { _lock: LockedFile },
    Session { _task: AbortOnDropHandle<()> },
}

impl Instance {
    /// Takes the lock of the random `id`.
    pub(super) async fn register(store: &Store, id: i64) -> Result<Self, StoreError> {
        let lock = match &store.url {
            DatabaseUrl::Sqlite(path) => {
                let directory = beside(path, ".instances");
                let path = directory.join(file_name(id));
                let held = open_file(&path)?;
                held.lock().map_err(|cause| StoreError::File { path: path.clone(), cause })?;
                Lock::File(LockedFile { directory, path, _held: held })
            }
            DatabaseUrl::Postgres(url) => {
                let mut session = AnyConnection::connect(url).await?;
                sqlx::query("SELECT pg_advisory_lock($1)").bind(id).execute(&mut session).await?;
                Lock::Session { url: url.clone(), session: Mutex::new(session) }
            }
        };
        Ok(Self { id, lock })
    }

    /// Whether the process that registered as `id` is gone.
    ///
    /// # Errors
    ///
    /// That cannot be found out.
    pub(super) async fn is_dead(&mut self, id: i64) -> Result<bool, StoreError> {
        if id == self.id {
            return Ok(false);
        }
        match &mut self.lock {
            Lock::File(LockedFile { directory, .. }) => {
                let path = directory.join(file_name(id));
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
                    Err(cause) => return Err(StoreError::File { path, cause }),
                };
                let dead = file.try_lock().is_ok();
                if dead {
                    let _ = std::fs::remove_file(&path);
                }
                Ok(dead)
            }
            Lock::Session { session, .. } => {
                let session = session.get_mut();
                let dead = try_lock(session, id).await?;
                if dead {
                    sqlx::query("SELECT pg_advisory_unlock($1)").bind(id).execute(session).await?;
                }
                Ok(dead)
            }
        }
    }

    /// Keeps the lock from now on, and takes it again if its session is lost.
    pub(super) fn keep(self) -> Kept {
        match self.lock {
            Lock::File(lock) => Kept::File { _lock: lock },
            Lock::Session { url, session } => {
                let keeping = keep_session(url, self.id, session.into_inner());
                Kept::Session { _task: AbortOnDropHandle::new(tokio::spawn(keeping)) }
            }
        }
    }
}

/// Takes the lock of `id` unless another session holds it.
async fn try_lock(session: &mut AnyConnection, id: i64) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(id).fetch_one(session).await?;
    Ok(row.try_get(0)?)
}

/// Another session with the lock of `id`; `None` while the server has not noticed that the one before is lost. It does not
/// wait for that: of each try that gave up waiting the server would keep a session.
async fn lock_again(url: &str, id: i64) -> Result<Option<AnyConnection>, StoreError> {
    let mut session = AnyConnection::connect(url).await?;
    if try_lock(&mut session, id).await? {
        return Ok(Some(session));
    }
    session.close().await?;
    Ok(None)
}

async fn keep_session(url: String, id: i64, mut session: AnyConnection) {
    loop {
        tokio::time::sleep(LOOK).await;
        let answer = in_time(async { session.ping().await.map_err(StoreError::from) }).await;
        if answer.is_ok() {
            continue;
        }
        match in_time(lock_again(&url, id)).await {
            Ok(Some(again)) => {
                session = again;
                tracing::warn!(
                    "the session that shows others that this process lives was lost; there is another"
                );
            }
            Ok(None) => tracing::info!(
                "the session that shows others that this process lives does not answer; the server still has it"
            ),
            Err(error) => tracing::warn!(%error, "others may take this process for dead"),
        }
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn file_name(id: i64) -> String {
    format!("{:016x}", id.cast_unsigned())
}
