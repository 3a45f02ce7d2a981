//! Connections to PostgreSQL that can only read, and the words for what goes wrong on them.

use super::aside::Rows;
use super::connection::{Connection, DialError, Dialer};
use crate::database_url::encryption::remedy;
use crate::source::{SourceError, tls};
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use std::sync::Once;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Used where the URL sets no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection waits for the next export before it is given back to the server.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may take to answer what costs a server nothing, after it waited or at its end: its other end may be
/// gone without a word.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// More than servers allow: the slots for exports and their connections are the limit, not the pool.
const MAX_CONNECTIONS: usize = 4096;

/// With row security off, a policy that would hide users makes a statement fail instead of leaving them out. A transaction may
/// be idle while the source waits for a client. The rest makes texts the same whatever the server is set to; times without a
/// zone are UTC.
const SETTINGS: &str = "SET LOCAL row_security = off; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL TimeZone = 'UTC'; \
    SET LOCAL DateStyle = 'ISO, YMD'; \
    SET LOCAL IntervalStyle = 'postgres'; \
    SET LOCAL extra_float_digits = 1; \
    SHOW server_encoding";
/// Each statement sees what was committed before it. One snapshot for all of them would be taken by the first, before that
/// waits for a table that is being rewritten, and would find the new one empty.
const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY";
/// All statements see what another session sees (PostgreSQL manual, "SET TRANSACTION"). A table that somebody waits to alter lets
/// nobody pass who comes later, and who waits here would wait for the other session, which waits for this one.
const BEGIN_ON_SNAPSHOT: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL lock_timeout = '1s'; SET TRANSACTION SNAPSHOT";

/// Where and how to connect, and the connections that wait for the next export.
pub(in crate::source) struct Connector {
    pool: Pool<Dialer>,
    /// Started with the first connection, because a connector may be made outside of the runtime.
    reaper: Once,
}

impl Connector {
    pub(in crate::source) fn new(url: &str) -> Result<Self, String> {
        let (mut config, tls) = tls::connector(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if let [Host::Unix(_)] = config.get_hosts() {
            // As libpq has it (PostgreSQL manual, section 34.1.2, `sslmode`).
            config.ssl_mode(SslMode::Disable);
        }
        if config.get_application_name().is_none() {
            config.application_name("headcount");
        }
        let pool = Pool::builder(Dialer { config, tls }).max_size(MAX_CONNECTIONS);
        let pool = pool.queue_mode(QueueMode::Lifo).build().map_err(|error| error.to_string())?;
        Ok(Self { pool, reaper: Once::new() })
    }

    /// Connects, or takes a connection that waits, and opens the transaction in which everything is read. What a statement has
    /// looked at, even if it was only prepared, nobody can alter any more; each sees its own snapshot.
    pub(in crate::source) async fn open(&self) -> Result<Session, SourceError> {
        self.begin(&format!("{BEGIN}; {SETTINGS}")).await
    }

    /// As [`Connector::open`], on the snapshot that another session exported.
    pub(super) async fn open_on(&self, snapshot: &str) -> Result<Session, SourceError> {
        self.begin(&format!("{BEGIN_ON_SNAPSHOT} '{snapshot}'; {SETTINGS}")).await
    }

    async fn begin(&self, begin: &str) -> Result<Session, SourceError> {
        self.give_back_idle_connections();
        loop {
            let connection = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(DialError::Postgres(error)) => {
                    SourceError::Unreachable(error_text(&error) + remedy(&error).unwrap_or_default())
                }
                error => SourceError::Unreachable(error.to_string()),
            })?;
            let was_waiting = Object::metrics(&connection).recycle_count > 0;
            let dialer = self.pool.manager().clone();
            let mut session = Session {
                connection: Some(connection),
                dialer,
                is_utf8: false,
                is_spent: false,
                is_busy: false,
            };
            let limit = if was_waiting { ANSWER_TIMEOUT } else { Duration::MAX };
            match tokio::time::timeout(limit, session.client().simple_query(begin)).await {
                Ok(Ok(answers)) => {
                    session.is_utf8 = answers.iter().any(says_utf8);
                    return Ok(session);
                }
                Ok(Err(error)) if !was_waiting || is_answer(&error) => {
                    return Err(SourceError::Unreachable(error_text(&error)));
                }
                // What befell a connection while nobody used it, as a restart of the server, befell those that waited with it.
                _ => drop(self.pool.retain(|_, _| false)),
            }
        }
    }

    fn give_back_idle_connections(&self) {
        self.reaper.call_once(|| {
            let pool = self.pool.weak();
            tokio::spawn(async move {
                let mut interval = tokio::time::interval(IDLE / 2);
                loop {
                    interval.tick().await;
                    let Some(pool) = pool.upgrade() else { return };
                    pool.retain(|_, metrics| metrics.last_used() < IDLE);
                }
            });
        });
    }
}

/// Whether a server that is there says no: not that it, or the connection, goes away (classes 57 and 08; PostgreSQL manual,
/// appendix A).
fn is_answer(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| !code.code().starts_with("57") && !code.code().starts_with("08"))
}

/// Whether the server checks that its texts are UTF-8, which one whose encoding is `SQL_ASCII` does not (PostgreSQL manual,
/// section 24.3.1); from other encodings it converts.
fn says_utf8(answer: &SimpleQueryMessage) -> bool {
    matches!(answer, SimpleQueryMessage::Row(row) if row.get(0).is_some_and(|encoding| encoding != "SQL_ASCII"))
}

/// A connection in its transaction. Dropped before [`Session::finish`], it is closed, and a server that was asked for rows is
/// told to stop, because one in a long sort, or one that waits for a lock, would not notice a closed socket for a while.
pub(in crate::source) struct Session {
    /// There until the end.
    connection: Option<Object<Dialer>>,
    dialer: Dialer,
    /// Whether every text that comes is UTF-8.
    pub(super) is_utf8: bool,
    /// Whether the connection is of no use to others.
    is_spent: bool,
    /// Whether the server may be busy with, or wait for, what nobody will want any more.
    is_busy: bool,
}

impl Session {
    pub(in crate::source) fn client(&self) -> &Client {
        &self.connection.as_ref().expect(THERE).client
    }

    /// For a scan: the client, and the rows that do not come through it.
    pub(super) fn client_and_rows(&mut self) -> (&Client, &mut Rows) {
        self.is_busy = true;
        let Connection { client, rows, .. } = &mut **self.connection.as_mut().expect(THERE);
        (client, rows)
    }

    /// For what may have to wait for a lock: set before it, and taken back after it, unless the session is dropped meanwhile.
    pub(super) fn set_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// Says what the server described. For types that are not its own the driver keeps statements for good, which a
    /// pooler in between does not: it gives every transaction another connection.
    pub(super) fn has_described(&mut self, columns: &[tokio_postgres::Column]) {
        self.is_spent |= columns.iter().any(|column| Type::from_oid(column.type_().oid()).is_none());
    }

    /// Everything that was asked for was read: the connection waits for the next export.
    pub(in crate::source) async fn finish(mut self) {
        self.is_busy = false;
        let end = if self.is_spent { "DEALLOCATE ALL; COMMIT" } else { "COMMIT" };
        let is_ended = tokio::time::timeout(ANSWER_TIMEOUT, self.client().batch_execute(end)).await;
        if matches!(is_ended, Ok(Ok(()))) && !self.is_spent {
            self.connection = None;
        }
    }
}

const THERE: &str = "a session has its connection until it ends";

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let (token, connection) = (connection.client.cancel_token(), Object::take(connection));
        if self.is_busy
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let dialer = self.dialer.clone();
            runtime.spawn(async move {
                let _ = dialer.cancel(token).await;
                // Only now: a pooler forgets whom to cancel with the connection.
                drop(connection);
            });
        }
    }
}

/// An error before the first row: of the statement if the server answered, else of the connection.
pub(in crate::source) fn mismatch(error: &tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(_) => SourceError::Mismatch(error_text(error)),
        None => SourceError::Unreachable(error_text(error)),
    }
}

/// The server's message and code, or the driver's with its cause. What quotes data is left out: the server's `DETAIL`, and
/// the message of a data exception (class 22; PostgreSQL manual, appendix A).
pub(in crate::source) fn error_text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let code = error.code().code();
        let message = if code.starts_with("22") {
            "a value does not fit an expression or a filter"
        } else {
            error.message()
        };
        return format!("{message} (SQLSTATE {code})");
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
