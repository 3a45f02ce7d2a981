//! Which processes are alive, so that an export that a dead one left open can be told from a running one.
//!
//! Every process that audits holds a lock that its death releases: a locked file beside a SQLite store, an advisory
//! lock of a session in PostgreSQL. Nobody is taken for dead because of a time that has passed.

use super::{Store, StoreError, Waiting, beside, in_time, open_file};
use headcount_model::database_url::DatabaseUrl;
use sqlx::{AnyConnection, Connection, Row};
use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a process looks whether its session in PostgreSQL is there, which may be lost without it, as with the server, and
/// whether others live.
const LOOK: Duration = Duration::from_secs(5);
/// How soon a command looks again whether another lives.
const LOOK_OF_A_COMMAND: Duration = Duration::from_secs(1);
/// At how many looks in a row another must be dead: one that lost its session, and this one did not, takes another within two.
const LOOKS: u32 = 3;

/// This process, as long as it lives.
pub(super) struct Instance {
    pub(super) id: i64,
    locks: Locks,
    /// Who was dead at the last look, and at how many in a row.
    dead: HashMap<i64, u32>,
}

/// Where the locks of all processes are.
enum Locks {
    Files(PathBuf),
    /// This one's is held by its session.
    Sessions {
        url: String,
        session: AnyConnection,
    },
}

/// The lock of a process, with a SQLite store.
pub(super) struct LockedFile {
    path: PathBuf,
    _held: File,
}

impl Instance {
    /// Takes the lock of the random `id`, which is in the file, if there is one, and else in the instance.
    pub(super) async fn register(store: &Store, id: i64) -> Result<(Self, Option<LockedFile>), StoreError> {
        let (locks, file) = match &store.url {
            DatabaseUrl::Sqlite(path) => {
                let directory = beside(path, ".instances");
                let path = directory.join(file_name(id));
                let held = locked(&path)?;
                remove_files_of_the_dead(&directory);
                (Locks::Files(directory), Some(LockedFile { path, _held: held }))
            }
            DatabaseUrl::Postgres(url) => {
                let mut session = AnyConnection::connect(url).await?;
                sqlx::query("SELECT pg_advisory_lock($1)").bind(id).execute(&mut session).await?;
                (Locks::Sessions { url: url.clone(), session }, None)
            }
        };
        Ok((Self { id, locks, dead: HashMap::new() }, file))
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
        match &mut self.locks {
            Locks::Files(directory) => {
                let path = directory.join(file_name(id));
                match remove_if_dead(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
                    removed => removed.map_err(|cause| StoreError::File { path, cause }),
                }
            }
            Locks::Sessions { session, .. } => {
                let dead = try_lock(session, id).await?;
                if dead {
                    sqlx::query("SELECT pg_advisory_unlock($1)").bind(id).execute(session).await?;
                }
                Ok(dead)
            }
        }
    }

    /// Whether the process that registered as `id` is gone, asked at a start. In PostgreSQL a process that lives may have lost its
    /// session, and takes another soon: a command waits for that, and a server finds out at its later looks.
    ///
    /// # Errors
    ///
    /// That cannot be found out.
    pub(super) async fn is_left(&mut self, id: i64, waiting: Waiting) -> Result<bool, StoreError> {
        let since = Instant::now();
        while self.is_dead(id).await? {
            match (&self.locks, waiting) {
                (Locks::Files(_), _) => return Ok(true),
                (Locks::Sessions { .. }, Waiting::Clients) => return Ok(false),
                (Locks::Sessions { .. }, Waiting::Command) if since.elapsed() > 2 * LOOK => return Ok(true),
                (Locks::Sessions { .. }, Waiting::Command) => tokio::time::sleep(LOOK_OF_A_COMMAND).await,
            }
        }
        Ok(false)
    }

    /// Which of these processes are gone for good. Asked at every look.
    ///
    /// # Errors
    ///
    /// That cannot be found out.
    pub(super) async fn gone(&mut self, ids: Vec<i64>) -> Result<Vec<i64>, StoreError> {
        let mut dead = HashMap::new();
        for id in ids {
            if self.is_dead(id).await? {
                dead.insert(id, 1 + self.dead.get(&id).copied().unwrap_or_default());
            }
        }
        self.dead = dead;
        Ok(self.dead.iter().filter(|(_, looks)| **looks >= LOOKS).map(|(id, _)| *id).collect())
    }

    /// Keeps the lock until the next look, and takes it again if its session is lost; `false` if it was.
    pub(super) async fn keep(&mut self) -> bool {
        tokio::time::sleep(LOOK).await;
        let Locks::Sessions { url, session } = &mut self.locks else { return true };
        if in_time(async { session.ping().await.map_err(StoreError::from) }).await.is_ok() {
            return true;
        }
        // Others may have lost theirs with it.
        self.dead.clear();
        match in_time(lock_again(url, self.id)).await {
            Ok(Some(again)) => {
                *session = again;
                tracing::warn!(
                    "the session that shows others that this process lives was lost; there is another"
                );
            }
            Ok(None) => tracing::info!(
                "the session that shows others that this process lives does not answer; the server still has it"
            ),
            Err(error) => tracing::warn!(%error, "others may take this process for dead"),
        }
        false
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

/// Makes the file of this process and locks it. Who takes it for that of a dead one, before it is locked, removes it: then it is made
/// again.
fn locked(path: &Path) -> Result<File, StoreError> {
    let problem = |cause| StoreError::File { path: path.to_owned(), cause };
    loop {
        let held = open_file(path)?;
        held.lock().map_err(problem)?;
        let (is, was) = (path.metadata().ok(), held.metadata().map_err(problem)?);
        if is.is_some_and(|is| (is.dev(), is.ino()) == (was.dev(), was.ino())) {
            return Ok(held);
        }
    }
}

/// Removes the files of processes that died and left no open record, which nobody else would come across.
fn remove_files_of_the_dead(directory: &Path) {
    let Ok(files) = std::fs::read_dir(directory) else { return };
    for file in files.flatten() {
        let _ = remove_if_dead(&file.path());
    }
}

/// Removes the file of a process if that is dead, while nobody else can lock it; whether it is.
fn remove_if_dead(path: &Path) -> std::io::Result<bool> {
    let file = File::open(path)?;
    let is_dead = file.try_lock().is_ok();
    if is_dead {
        let _ = std::fs::remove_file(path);
    }
    Ok(is_dead)
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn file_name(id: i64) -> String {
    format!("{:016x}", id.cast_unsigned())
}
