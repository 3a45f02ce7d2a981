//! A connection to PostgreSQL that can only read, and the words for what goes wrong on it.

use crate::source::{SourceError, tls};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Used where the URL sets no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One snapshot, no writing. With row security off, a policy that would hide users makes a statement fail instead of leaving
/// them out. The rest makes texts the same whatever the server is set to; times without a zone are UTC.
const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL row_security = off; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; \
    SET LOCAL IntervalStyle = 'postgres'; SET LOCAL extra_float_digits = 1";

/// Where and how to connect.
pub(in crate::source) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Connector {
    pub(in crate::source) fn new(url: &str) -> Result<Self, String> {
        let (mut config, tls) = tls::connector(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("headcount");
        }
        Ok(Self { config, tls })
    }

    /// Connects and opens the transaction in which everything is read.
    pub(in crate::source) async fn open(&self) -> Result<Session, SourceError> {
        let unreachable = |error: tokio_postgres::Error| SourceError::Unreachable(error_text(&error));
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(unreachable)?;
        let connection = tokio::spawn(async move {
            // Its error reaches whoever uses the client.
            let _ = connection.await;
        });
        let session = Session { cancel: Some((client.cancel_token(), self.tls.clone())), client, connection };
        session.client.batch_execute(BEGIN).await.map_err(unreachable)?;
        Ok(session)
    }
}

/// A connection in its transaction. Dropped before [`Session::finish`], it asks the server to stop what it is doing,
/// because a server in a long sort would not notice a closed socket for a while.
pub(in crate::source) struct Session {
    pub(in crate::source) client: Client,
    connection: JoinHandle<()>,
    cancel: Option<(CancelToken, MakeRustlsConnect)>,
}

impl Session {
    /// Everything that was asked for was read.
    pub(in crate::source) fn finish(mut self) {
        self.cancel = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((token, tls)) = self.cancel.take() else {
            return; // The connection task ends by itself, after saying goodbye to the server.
        };
        self.connection.abort();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = token.cancel_query(tls).await;
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
