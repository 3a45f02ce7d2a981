//! A connection in its transaction, in which everything is read.

use super::connection::{Connection, Dialer};
use super::demultiplexer::Rows;
use super::error::mismatch;
use super::names::{self, Names};
use crate::SourceError;
use deadpool::managed::Object;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

/// How long a connection may take to answer what costs a server nothing, after it waited or at its end: its other end may be
/// gone without a word.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub(super) fn told(answers: &[SimpleQueryMessage]) -> Self {
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
pub(crate) struct Session {
    /// There until the end.
    connection: Option<Object<Dialer>>,
    dialer: Dialer,
    /// What names mean here.
    pub(crate) names: Arc<Names>,
    pub(super) database: About,
    /// Whether the connection is of no use to others.
    is_spent: bool,
    /// Whether the server may be busy with, or wait for, what nobody will want any more.
    is_busy: bool,
}

impl Session {
    /// That of a connection on which nothing was asked yet.
    pub(super) fn new(connection: Object<Dialer>, dialer: Dialer) -> Self {
        Self {
            connection: Some(connection),
            dialer,
            names: Arc::default(),
            database: About::default(),
            is_spent: false,
            is_busy: false,
        }
    }

    pub(crate) fn client(&self) -> &Client {
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
    pub(crate) async fn finish(mut self) {
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
