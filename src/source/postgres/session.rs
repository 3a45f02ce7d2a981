//! Connections to PostgreSQL that can only read, and the words for what goes wrong on them.

use super::connection::{Connection, DialError, Dialer};
use super::demultiplexer::Rows;
use super::names::{self, Lookup, Names};
use crate::database_url::encryption::remedy;
use crate::plan::Plan;
use crate::source::{SourceError, tls};
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

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
/// be idle while the source waits for a client. The rest makes SQL mean the same, find the same rows and print the same texts
/// whatever the role and the database are set to; times without a zone are UTC. What an application's own SQL may mean to depend
/// on (`lc_monetary` and its like, `default_text_search_config`, `timezone_abbreviations`) stays as it is.
const SETTINGS: &str = "SET LOCAL row_security = off; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL TimeZone = 'UTC'; \
    SET LOCAL DateStyle = 'ISO, YMD'; \
    SET LOCAL IntervalStyle = 'postgres'; \
    SET LOCAL extra_float_digits = 1; \
    SET LOCAL bytea_output = 'hex'; \
    SET LOCAL xmlbinary = 'base64'; \
    SET LOCAL xmloption = 'content'; \
    SET LOCAL quote_all_identifiers = off; \
    SET LOCAL standard_conforming_strings = on; \
    SET LOCAL array_nulls = on; \
    SET LOCAL transform_null_equals = off; \
    SET LOCAL gin_fuzzy_search_limit = 0";
/// What [`About`] tells.
const ABOUT: &str = "SELECT pg_catalog.current_setting('server_encoding') AS server_encoding, \
        EXISTS (SELECT FROM pg_catalog.pg_foreign_table) AS has_foreign_tables, \
        pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS has_citus";
/// Each statement sees what was committed before it. One snapshot for all of them would be taken by the first, before that
/// waits for a table that is being rewritten, and would find the new one empty.
const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY";
/// All statements see what another session sees (PostgreSQL manual, "SET TRANSACTION").
const BEGIN_TO_SHARE: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// A table that somebody waits to alter lets nobody pass who comes later, and who waits here would wait for the other session,
/// which waits for this one.
const ON_SNAPSHOT: &str = "SET LOCAL lock_timeout = '1s'; SET TRANSACTION SNAPSHOT";

/// Where and how to connect, and the connections that wait for the next export.
pub(in crate::source) struct Connector {
    pool: Pool<Dialer>,
    /// `None` where nothing but the catalogue is read.
    lookup: Option<Lookup>,
    /// What is set before anything else.
    citus: String,
    /// Started with the first connection, because a connector may be made outside of the runtime.
    reaper: Once,
}

impl Connector {
    /// A connector for scans that have so many readers; without `lookup`, nothing but the catalogue is read.
    pub(in crate::source) fn new(url: &str, lookup: Option<Lookup>, readers: usize) -> Result<Self, String> {
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
        Ok(Self { pool, lookup, citus: for_citus(readers), reaper: Once::new() })
    }

    /// Connects, or takes a connection that waits, and opens the transaction in which everything is read. What a statement has
    /// looked at, even if it was only prepared, nobody can alter any more; each sees its own snapshot.
    pub(in crate::source) async fn open(&self) -> Result<Session, SourceError> {
        self.open_and_ask(true).await
    }

    /// As [`Connector::open`], for a plan: where it asks for a few users, what was seen of the database a moment ago is enough, and
    /// asking would take as long as finding them.
    pub(super) async fn open_for(&self, plan: &Plan) -> Result<Session, SourceError> {
        self.open_and_ask(plan.reads_to_the_end()).await
    }

    async fn open_and_ask(&self, asks: bool) -> Result<Session, SourceError> {
        let begin = format!("{BEGIN}; {}; {SETTINGS}", self.citus);
        let Some(lookup) = &self.lookup else {
            let (mut session, said) =
                self.begin(&format!("{begin}; {ABOUT}; {}", names::situation_and_ours())).await?;
            session.names = Arc::new(names::ours(&said));
            return Ok(session);
        };
        match lookup.known() {
            Some((names, _)) if asks => self.begin_with(&format!("{begin}; {ABOUT}"), &names).await,
            Some((names, database)) => {
                let mut session = self.begin_with(&begin, &names).await?;
                session.database = database;
                Ok(session)
            }
            None => {
                let (mut session, said) =
                    self.begin(&format!("{begin}; {ABOUT}; {}", lookup.question())).await?;
                session.names = lookup.find(&session, &said).await?;
                Ok(session)
            }
        }
    }

    /// As [`Connector::open`], on the snapshot that another session exported, with the names that it has.
    pub(super) async fn open_on(&self, snapshot: &str, names: &Arc<Names>) -> Result<Session, SourceError> {
        let begin =
            format!("{BEGIN_TO_SHARE}; {}; {ON_SNAPSHOT} '{snapshot}'; {SETTINGS}; {ABOUT}", self.citus);
        self.begin_with(&begin, names).await
    }

    async fn begin_with(&self, begin: &str, names: &Arc<Names>) -> Result<Session, SourceError> {
        let (mut session, _) = self.begin(&format!("{begin}; {}", names.set_path)).await?;
        session.names = Arc::clone(names);
        Ok(session)
    }

    /// Looks the names up again when the next session is opened.
    pub(super) fn forget_names(&self) {
        if let Some(lookup) = &self.lookup {
            lookup.forget();
        }
    }

    /// A session in its transaction, and what the server said to its beginning.
    async fn begin(&self, begin: &str) -> Result<(Session, Vec<SimpleQueryMessage>), SourceError> {
        self.give_back_idle_connections();
        loop {
            let connection = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(DialError::Postgres(error)) => {
                    SourceError::Unreachable(error_text(&error) + remedy(&error).unwrap_or_default())
                }
                PoolError::Backend(error) => SourceError::Unreachable(error.to_string()),
                error => SourceError::Unreachable(error.to_string()),
            })?;
            let was_waiting = Object::metrics(&connection).recycle_count > 0;
            let dialer = self.pool.manager().clone();
            let mut session = Session {
                connection: Some(connection),
                dialer,
                names: Arc::default(),
                database: About::default(),
                is_spent: false,
                is_busy: false,
            };
            let limit = if was_waiting { ANSWER_TIMEOUT } else { Duration::MAX };
            match tokio::time::timeout(limit, session.client().simple_query(begin)).await {
                Ok(Ok(answers)) => {
                    session.database = About::told(&answers);
                    return Ok((session, answers));
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

/// The coordinator of Citus keeps settings from its workers unless it is told first not to, and opens to each of them no more
/// connections than a scan has readers here. To any other server these are settings of nobody's (PostgreSQL manual, section
/// 20.16, "Customized Options").
fn for_citus(readers: usize) -> String {
    format!(
        "SET LOCAL citus.propagate_set_commands = local; \
         SET LOCAL citus.max_adaptive_executor_pool_size = {readers}"
    )
}

/// What a server says of the database.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    /// Whether every text that comes is UTF-8. A database whose encoding is `SQL_ASCII` does not check that (PostgreSQL manual,
    /// section 24.3.1); from other encodings the server converts.
    pub(super) is_utf8: bool,
    /// The encoding from which texts are converted, if they are, so that there may be some which it has no characters for, or UTF-8.
    pub(super) converted_from: Option<String>,
    pub(super) has_foreign_tables: bool,
    pub(super) has_citus: bool,
}

impl About {
    /// What stands in the answers.
    fn told(answers: &[SimpleQueryMessage]) -> Self {
        let cell = |name: &str| {
            answers.iter().find_map(|answer| match answer {
                SimpleQueryMessage::Row(row) => row.try_get(name).ok().flatten(),
                _ => None,
            })
        };
        let encoding = cell("server_encoding").unwrap_or("SQL_ASCII");
        Self {
            is_utf8: encoding != "SQL_ASCII",
            converted_from: (!matches!(encoding, "SQL_ASCII" | "UTF8")).then(|| encoding.to_owned()),
            has_foreign_tables: cell("has_foreign_tables") == Some("t"),
            has_citus: cell("has_citus") == Some("t"),
        }
    }
}

/// A connection in its transaction. Dropped before [`Session::finish`], it is closed, and a server that was asked for rows is
/// told to stop, because one in a long sort, or one that waits for a lock, would not notice a closed socket for a while.
pub(in crate::source) struct Session {
    /// There until the end.
    connection: Option<Object<Dialer>>,
    dialer: Dialer,
    /// What names mean here.
    pub(in crate::source) names: Arc<Names>,
    pub(super) database: About,
    /// Whether the connection is of no use to others.
    is_spent: bool,
    /// Whether the server may be busy with, or wait for, what nobody will want any more.
    is_busy: bool,
}

impl Session {
    pub(in crate::source) fn client(&self) -> &Client {
        &self.connection.as_ref().expect(THERE).client
    }

    /// Asks what we have written, in one round trip: it is looked up in our path, and what follows in the other one again.
    pub(super) async fn ask(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let client = self.client();
        // Sent at once, in this order.
        let (_, rows, _) = tokio::try_join!(
            biased;
            client.batch_execute(names::OURS),
            client.query_typed(sql, values),
            client.batch_execute(&self.names.set_path),
        )?;
        Ok(rows)
    }

    /// Lets texts come as they are stored where nobody knows what they are: the server would say that one of them is not
    /// UTF-8, but not which.
    pub(super) async fn take_any_text(&self) -> Result<(), SourceError> {
        if self.database.is_utf8 {
            return Ok(());
        }
        let set = self.client().batch_execute("SET LOCAL client_encoding = 'SQL_ASCII'");
        set.await.map_err(|error| mismatch(&error))
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

/// Starts a message that a statement of ours raises itself, see [`error_text`].
pub(super) const OURS: &str = "headcount: ";

/// The server's message and code, or the driver's with its cause. What quotes data is left out: the server's `DETAIL`, and
/// the message of a data exception (class 22; PostgreSQL manual, appendix A) unless it is one of ours.
pub(in crate::source) fn error_text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let code = error.code().code();
        let message = match error.message().split_once(OURS) {
            Some((_, ours)) => ours.trim_end_matches('"'),
            // In a database whose encoding has bytes that mean nothing.
            None if matches!(code, "22021" | "22P05") => "a text cannot be converted to UTF-8",
            None if code.starts_with("22") => "a value does not fit an expression or a filter",
            None => error.message(),
        };
        return format!("{message} (SQLSTATE {code})");
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
