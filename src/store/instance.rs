//! Which processes are alive, so that an export that a dead one left open can be told from a running one.
//!
//! Every process that audits holds a lock that its death releases: a locked file beside a SQLite store, an advisory
//! lock of a session in PostgreSQL. No clock and no time-out is involved.

use super::{Store, StoreError, beside, open_file};
use crate::database_url::DatabaseUrl;
use sqlx::{AnyConnection, Connection, Row};
use std::fs::File;
use std::path::PathBuf;
use tokio::sync::Mutex;

/// This process, as long as it lives.
pub(super) struct Instance {
    pub(super) id: i64,
    lock: Lock,
}

enum Lock {
    File { directory: PathBuf, path: PathBuf, _held: File },
    // The mutex is never contended; it makes the connection shareable between threads.
    Session(Mutex<AnyConnection>),
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
                Lock::File { directory, path, _held: held }
            }
            DatabaseUrl::Postgres(url) => {
                let mut session = AnyConnection::connect(url).await?;
                sqlx::query("SELECT pg_advisory_lock($1)").bind(id).execute(&mut session).await?;
                Lock::Session(Mutex::new(session))
            }
        };
        Ok(Self { id, lock })
    }

    /// Whether the process that registered as `id` is gone.
    pub(super) async fn is_dead(&mut self, id: i64) -> Result<bool, StoreError> {
        if id == self.id {
            return Ok(false);
        }
        match &mut self.lock {
            Lock::File { directory, .. } => {
                let path = directory.join(file_name(id));
                let Ok(file) = File::open(&path) else {
                    return Ok(true);
                };
                let dead = file.try_lock().is_ok();
                if dead {
                    let _ = std::fs::remove_file(&path);
                }
                Ok(dead)
            }
            Lock::Session(session) => {
                let session = session.get_mut();
                let row =
                    sqlx::query("SELECT pg_try_advisory_lock($1)").bind(id).fetch_one(&mut *session).await?;
                let dead = row.try_get(0)?;
                if dead {
                    sqlx::query("SELECT pg_advisory_unlock($1)").bind(id).execute(&mut *session).await?;
                }
                Ok(dead)
            }
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Lock::File { path, .. } = &self.lock {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn file_name(id: i64) -> String {
    format!("{:016x}", id.cast_unsigned())
}
