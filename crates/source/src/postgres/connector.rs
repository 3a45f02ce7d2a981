//! Connections to PostgreSQL that can only read, and the transactions that are opened on them.

use super::connection::{DialError, Dialer};
use super::error::error_text;
use super::lookup::{self, Lookup};
use super::names::Names;
use super::session::{ANSWER_TIMEOUT, About, Session};
use crate::{SourceError, tls};
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use headcount_model::database_url::encryption::remedy;
use headcount_model::plan::Plan;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::config::{Host, SslMode};

/// Used where the URL sets no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection waits for the next export before it is given back to the server.
const IDLE: Duration = Duration::from_secs(30);
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
pub(crate) struct Connector {
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
    pub(crate) fn new(url: &str, lookup: Option<Lookup>, readers: usize) -> Result<Self, String> {
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
    pub(crate) async fn open(&self) -> Result<Session, SourceError> {
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
                self.begin(&format!("{begin}; {ABOUT}; {}", lookup::situation_and_ours())).await?;
            session.names = Arc::new(lookup::ours(&said));
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
            let mut session = Session::new(connection, dialer);
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
