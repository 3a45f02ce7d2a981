//! What Headcount keeps for itself: keys, flags, the audit and its secrets, in SQLite or PostgreSQL by the same SQL.

mod address;
pub mod audit;
pub mod budgets;
pub mod flags;
mod instance;
pub mod keys;
mod migrations;
mod secrets;
mod write_lock;

use headcount_files::links::{self, beside};
use headcount_files::owner::{Foreign, foreign};
use headcount_model::database_url::encryption::remedy;
use headcount_model::database_url::{DatabaseUrl, percent_encoded};
use sqlx::any::{AnyArguments, AnyPoolOptions, install_default_drivers};
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, Row, Transaction};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use write_lock::{WriteGuard, WriteLock};

/// How long whoever opens the store waits for its first session.
const OPENING: Duration = Duration::from_secs(30);
/// How long the first session may take before it is asked why there is none.
const BEFORE_ASKING_WHY: Duration = Duration::from_millis(200);
/// How long a store that hangs may keep a request, or all that wait for a transaction: longer than SQLite waits for another
/// writer, and PostgreSQL for an instance that froze.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Who waits for a session of the store.
#[derive(Clone, Copy)]
pub enum Waiting {
    /// Clients, who are rather refused soon.
    Clients,
    /// A command, which may be a nightly one: a machine that is overloaded, or was just woken, may take its time.
    Command,
}

impl Waiting {
    /// Long enough for a writer in the queue.
    const fn patience(self) -> Duration {
        match self {
            Self::Clients => Duration::from_secs(5),
            Self::Command => OPENING,
        }
    }
}

/// A statement with the values of its parameters.
type Statement<'q> = Query<'q, Any, AnyArguments>;

/// Why the store cannot answer. For the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It says all of its cause itself.
    #[error("the store cannot be reached: {0}{remedy}", remedy = remedy(.0).unwrap_or_default())]
    Database(sqlx::Error),
    #[error("store.url: {0}")]
    Address(String),
    #[error("the store cannot be brought up to date: {0}")]
    Migration(MigrateError),
    #[error(
        "a newer version of Headcount has changed the store (step {0}): run that version, or put the backup back that was made \
         before the upgrade (docs/upgrade.md)"
    )]
    Newer(i64),
    #[error("there is no store yet: {0}; it is made by 'headcount serve', 'export' and 'keys create'")]
    Missing(String),
    #[error("the store's file {path}: {cause}{owner}", owner = owner(path, cause))]
    File { path: PathBuf, cause: std::io::Error },
    #[error("the store holds {0}, which this version does not know")]
    Unreadable(String),
    #[error(
        "the store did not answer within {} s: its disk or its network hangs, or a process that was stopped while it wrote \
         keeps it locked",
        .0.as_secs()
    )]
    Hangs(Duration),
    #[error("the record is not open any more: this process was taken for dead")]
    NotOpen,
    #[error("the head of the audit's chain is not there")]
    NoHead,
    #[error("the store is too far behind with the records of requests")]
    Behind,
    #[error("the task that writes the audit died")]
    WriterDied,
    /// Of a transaction that several wanted.
    #[error(transparent)]
    Shared(Arc<StoreError>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Whose a file is that may not be opened, and what to do.
fn owner(path: &Path, cause: &std::io::Error) -> String {
    let is_denied = cause.kind() == std::io::ErrorKind::PermissionDenied;
    let Some(Foreign { place, owner, user }) = is_denied.then(|| foreign(path)).flatten() else {
        return String::new();
    };
    let directory = path.parent().unwrap_or(path).display();
    if owner != "root" {
        // It may be the service's, which would be locked out.
        return format!(
            "; {} belongs to {owner}, and this runs as {user}: run it as {owner} (sudo -u {owner} …)",
            place.display()
        );
    }
    // What is above it is not ours to give away.
    let remedy = match place == path || Some(&*place) == path.parent() {
        true => format!("chown -R {user} {directory}"),
        false => format!("install -d -m 700 -o {user} {directory}"),
    };
    format!("; {} belongs to {owner}, and this runs as {user}: as root, {remedy}", place.display())
}

/// What to do where there is no store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    Make,
    Refuse,
}

/// The store. Cheap to clone.
///
/// # Errors
///
/// Whatever is asked of it fails where it cannot be reached, or does not answer in time. What else can go wrong a function says
/// itself.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    url: DatabaseUrl,
    waiting: Waiting,
    /// `None` in PostgreSQL, whose writers wait for rows, not for each other.
    write_lock: Option<WriteLock>,
}

impl Store {
    /// Opens the store, creates it if it is a SQLite file that is missing, and brings its tables up to date. Several
    /// instances may do so at the same time.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or was made by a newer version.
    pub async fn open(url: &DatabaseUrl, waiting: Waiting) -> Result<Self, StoreError> {
        Self::open_or(url, waiting, IfMissing::Make).await
    }

    /// Opens the store for a command that wants nothing but what is in it: as [`Store::open`], and makes none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], or as for [`Store::open`].
    pub async fn open_existing(url: &DatabaseUrl) -> Result<Self, StoreError> {
        Self::open_or(url, Waiting::Command, IfMissing::Refuse).await
    }

    async fn open_or(url: &DatabaseUrl, waiting: Waiting, missing: IfMissing) -> Result<Self, StoreError> {
        install_default_drivers();
        let options = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(waiting.patience())
            .before_acquire(|connection, _| Box::pin(is_clean(connection)));
        let url = match url {
            DatabaseUrl::Sqlite(_) => url.clone(),
            DatabaseUrl::Postgres(url) => {
                DatabaseUrl::Postgres(address::for_driver(url).map_err(StoreError::Address)?)
            }
        };
        let (pool, mut session, write_lock) = match &url {
            DatabaseUrl::Sqlite(path) => {
                if missing == IfMissing::Refuse && is_missing(path)? {
                    return Err(StoreError::Missing(format!("no file {}", path.display())));
                }
                // SQLite has no lock of its own that spans the first look and the last migration.
                let _alone = lock_file(&beside(path, ".lock"))?;
                // Made here for its mode, which SQLite then gives to the files beside it.
                open_file(path)?;
                let pool = options.after_connect(|connection, _| Box::pin(durable(connection)));
                let address = sqlite_url(path);
                let pool = pool.connect_lazy(&address)?;
                let mut session = open_session(&pool, &address, durable).await?;
                session.execute("PRAGMA journal_mode = WAL").await?;
                migrations::run(&mut session).await?;
                (pool, session, Some(WriteLock::of(path)?))
            }
            DatabaseUrl::Postgres(address) => {
                let pool = options.after_connect(|connection, _| Box::pin(lively(connection)));
                let pool = pool.connect_lazy(address)?;
                let mut session = open_session(&pool, address, lively).await?;
                if missing == IfMissing::Refuse && !migrations::were_run(&mut session).await? {
                    return Err(StoreError::Missing(format!("{url} has no tables of it")));
                }
                migrations::run(&mut session).await?;
                (pool, session, None)
            }
        };
        let store = Self { pool, url, waiting, write_lock };
        store.adopt_old_records(&mut session).await?;
        // One that is dropped is back a little later, and who asks meanwhile opens another.
        session.return_to_pool().await;
        Ok(store)
    }

    /// Why no store can be made in PostgreSQL, and what helps; `None` where nothing stands in its way, and of a file.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub async fn obstacle(url: &DatabaseUrl) -> Result<Option<String>, StoreError> {
        let DatabaseUrl::Postgres(url) = url else { return Ok(None) };
        install_default_drivers();
        let url = address::for_driver(url).map_err(StoreError::Address)?;
        let mut session = AnyConnection::connect(&url).await?;
        let row = sqlx::query(
            "SELECT CAST(current_schema() AS TEXT) AS name, CAST(current_user AS TEXT) AS who, \
             COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, \
             current_setting('transaction_read_only') = 'on' AS is_read_only",
        );
        let row = row.fetch_one(&mut session).await?;
        let (schema, role): (Option<String>, String) = (row.try_get("name")?, row.try_get("who")?);
        let (may_create, is_read_only): (bool, bool) =
            (row.try_get("may_create")?, row.try_get("is_read_only")?);
        session.close().await?;
        Ok(match schema {
            _ if is_read_only => {
                Some(format!("{role} can only read there (default_transaction_read_only, or a standby)"))
            }
            Some(schema) if !may_create => {
                Some(format!("{role} may make no tables there: GRANT CREATE ON SCHEMA {schema} TO {role}"))
            }
            None => Some(format!("no schema of the search_path of {role} is there, or it may use none")),
            Some(_) => None,
        })
    }

    /// Asks the store for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.execute("SELECT 1").await?;
        Ok(())
    }
}

impl Store {
    /// Begins a transaction that writes, and holds the write lock until its end. In SQLite it is exclusive from its start: one that
    /// reads first and then finds that another has written cannot wait.
    async fn begin_write(&self) -> Result<(Option<WriteGuard>, Transaction<'static, Any>), StoreError> {
        let guard = self.write_lock().await?;
        let begin = if self.is_sqlite() { "BEGIN IMMEDIATE" } else { "BEGIN" };
        Ok((guard, self.pool.begin_with(begin).await?))
    }

    /// Runs one statement that writes; returns how many rows it changed.
    async fn write(&self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let _guard = self.write_lock().await?;
        Ok(statement.execute(&self.pool).await?.rows_affected())
    }

    async fn write_lock(&self) -> Result<Option<WriteGuard>, StoreError> {
        match &self.write_lock {
            Some(lock) => in_time(lock.acquire()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Begins a transaction that reads and sees the store as it is at its first statement.
    async fn begin_read(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let postgres = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        self.pool.begin_with(if self.is_sqlite() { "BEGIN" } else { postgres }).await
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.url, DatabaseUrl::Sqlite(_))
    }
}

/// Opens the first session of a pool, which prepares each like this.
async fn open_session(
    pool: &AnyPool,
    address: &str,
    prepare: impl AsyncFn(&mut AnyConnection) -> Result<(), sqlx::Error>,
) -> Result<PoolConnection<Any>, sqlx::Error> {
    let deadline = Instant::now() + OPENING;
    let opened = async {
        loop {
            match pool.acquire().await {
                Err(sqlx::Error::PoolTimedOut) if Instant::now() < deadline => {}
                opened => return opened,
            }
        }
    };
    tokio::select! {
        opened = opened => opened,
        reason = why_not(address, prepare) => Err(reason),
    }
}

/// Returns when no session can be opened, and says why: a pool hides that behind its time-out.
async fn why_not(
    address: &str,
    prepare: impl AsyncFn(&mut AnyConnection) -> Result<(), sqlx::Error>,
) -> sqlx::Error {
    tokio::time::sleep(BEFORE_ASKING_WHY).await;
    let opened = async {
        let mut session = AnyConnection::connect(address).await?;
        prepare(&mut session).await?;
        session.close().await
    };
    match opened.await {
        Ok(()) => std::future::pending().await,
        Err(reason) => reason,
    }
}

/// Whether nothing is left on a connection of what was before. SQLite may roll a transaction back by itself, as on a full
/// disk, and then the driver takes it for open for ever.
async fn is_clean(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    Ok(!connection.is_in_transaction())
}

/// Makes every commit wait for the disk. In WAL mode `NORMAL` would outlive a crash of the process, too, but a power cut
/// would take all commits since the last checkpoint with it, and with them the only trace of exports that clients have.
/// It would make single exports, one after the other, 1.8 times as fast, and 16 at a time, which share commits, 1.15 times
/// (<https://sqlite.org/pragma.html#pragma_synchronous>). In PostgreSQL it is its `synchronous_commit` that decides.
async fn durable(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    connection.execute("PRAGMA synchronous = FULL").await?;
    Ok(())
}

/// Lets PostgreSQL end the session of an instance that stops in the middle of a transaction, as a suspended machine does:
/// the others wait for its lock on the chain of the audit.
async fn lively(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    connection.execute("SET idle_in_transaction_session_timeout = '5s'").await?;
    Ok(())
}

/// What a store that hangs would keep everybody waiting for.
async fn in_time<T, E: From<StoreError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| Err(StoreError::Hangs(TIMEOUT).into()))
}

/// The same for one question of a request.
async fn answered<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    in_time(async { question.await.map_err(StoreError::from) }).await
}

/// Whether nothing has this name; a link that leads nowhere has it.
fn is_missing(path: &Path) -> Result<bool, StoreError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(cause) => Err(StoreError::File { path: path.to_owned(), cause }),
    }
}

/// Opens a file beside the store, for its owner only, and waits until nobody else holds it.
fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = open_file(path)?;
    let problem = |cause| StoreError::File { path: path.to_owned(), cause };
    file.lock().map_err(problem)?;
    Ok(file)
}

/// Opens a file, and makes it, for its owner only, where it is missing.
fn open_file(path: &Path) -> Result<File, StoreError> {
    let problem = |cause| StoreError::File { path: path.to_owned(), cause };
    let path = links::own_file(path).map_err(problem)?;
    OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path).map_err(problem)
}

/// The path as the driver's URL wants it: everything that means something in a URL percent-encoded.
fn sqlite_url(path: &Path) -> String {
    format!("sqlite://{}?mode=rwc", percent_encoded(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    #[test]
    fn whose_a_file_is_that_may_not_be_opened_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("headcount.db");
        std::fs::write(&path, "").expect("a file");
        let error = || {
            let cause = std::io::ErrorKind::PermissionDenied.into();
            StoreError::File { path: path.clone(), cause }.to_string()
        };
        assert!(error().ends_with("permission denied"), "{}", error());
        // Only root can give a file away.
        if chown(&path, Some(65_534), None).is_ok() {
            assert!(
                error().ends_with("this runs as root: run it as nobody (sudo -u nobody …)"),
                "{}",
                error()
            );
        }
    }
}
