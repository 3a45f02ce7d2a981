//! A scan in parts: several connections read ranges of ids, from one snapshot (PostgreSQL manual, section 9.27.5, "Snapshot
//! Synchronization Functions").

mod bounds;

use super::aside::CopyMessages;
use super::session::{Session, error_text, mismatch};
use super::{PostgresSource, Query};
use crate::plan::{Column, Plan};
use crate::source::{Parts, RowSink, SourceError};
use bounds::Ranges;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

/// The settings in which the ends of a range travel.
const AFTER: &str = "headcount.after";
const LAST: &str = "headcount.last";

impl PostgresSource {
    pub(in crate::source) async fn scan_in_parts(
        self: &Arc<Self>,
        plan: &Plan,
        parts: impl Parts,
    ) -> Result<(), SourceError> {
        let session = self.connector.open().await?;
        let query = self.prepare(&session, plan).await?;
        // With a filter an index may find the rows, which a range of ids does not use.
        let is_whole = plan.limit.is_none() && plan.filters.is_empty() && plan.after.is_none();
        let ranges = if is_whole { self.ranges(&session, &query).await? } else { None };
        let Some(ranges) = ranges else {
            return self.scan_alone(session, &query, parts).await;
        };
        let snapshot = match Snapshot::exported(session.client()).await {
            Ok(snapshot) => snapshot,
            Err(reason) => {
                // Not every standby can; and after an error a transaction answers nothing more.
                tracing::warn!(reason, "the source shares no snapshot: one connection reads it");
                drop(session);
                let session = self.connector.open().await?;
                let query = self.prepare(&session, plan).await?;
                return self.scan_alone(session, &query, parts).await;
            }
        };
        let shared = Arc::new(Shared { source: Arc::clone(self), query, work: Mutex::new((ranges, parts)) });
        let mut workers = JoinSet::new();
        for _ in 1..self.parallelism {
            workers.spawn(Arc::clone(&shared).follow(snapshot.clone()));
        }
        // The snapshot lives as long as the transaction that exported it.
        workers.spawn(Arc::clone(&shared).work(session));
        while let Some(worker) = workers.join_next().await {
            worker.map_err(|error| SourceError::Failed(format!("a reading task died: {error}")))??;
        }
        Ok(())
    }

    async fn scan_alone(
        &self,
        mut session: Session,
        query: &Query,
        parts: impl Parts,
    ) -> Result<(), SourceError> {
        let sink = self.push_all(&mut session, query, parts.only().await?).await?;
        session.finish().await;
        Ok(sink.finish().await?)
    }
}

/// What one session sees, for others to see the same.
#[derive(Clone)]
struct Snapshot {
    id: String,
    /// Tells servers apart, because the ids of snapshots do not: behind one address there may be several.
    seen: String,
}

/// What a session sees, and of which server.
const SEEN: &str = "pg_postmaster_start_time()::text || ' ' || txid_current_snapshot()::text";

impl Snapshot {
    async fn exported(client: &Client) -> Result<Self, String> {
        let sql = format!("SELECT pg_export_snapshot(), {SEEN}");
        let row = client.query_one(&sql, &[]).await.map_err(|error| error_text(&error))?;
        let id: String = row.get(0);
        // It becomes part of SQL, which takes no parameters there.
        match id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            true => Ok(Self { id, seen: row.get(1) }),
            false => Err("the server's snapshot has an unknown form of id".to_owned()),
        }
    }

    async fn is_seen_by(&self, client: &Client) -> Result<bool, SourceError> {
        let row = client.query_one(&format!("SELECT {SEEN}"), &[]).await.map_err(|error| mismatch(&error))?;
        Ok(row.get::<_, String>(0) == self.seen)
    }
}

struct Shared<P> {
    source: Arc<PostgresSource>,
    query: Query,
    /// What is not handed out yet, and the sinks for it.
    work: Mutex<(Ranges, P)>,
}

impl<P: Parts> Shared<P> {
    /// Reads ranges on a connection of its own. Without one the others read what this one would have read.
    async fn follow(self: Arc<Self>, snapshot: Snapshot) -> Result<(), SourceError> {
        let opened = async {
            let session = self.source.connector.open_on(&snapshot.id).await?;
            let is_shared = snapshot.is_seen_by(session.client()).await?;
            Ok::<_, SourceError>(is_shared.then_some(session))
        };
        match opened.await {
            Ok(Some(session)) => self.work(session).await,
            Ok(None) => {
                tracing::warn!("a further connection to the source reached another server");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "a further connection to the source failed");
                Ok(())
            }
        }
    }

    /// Reads one range after the other, until there is none left.
    async fn work(self: Arc<Self>, mut session: Session) -> Result<(), SourceError> {
        self.read_ranges(&mut session).await?;
        session.finish().await;
        Ok(())
    }

    async fn read_ranges(&self, session: &mut Session) -> Result<(), SourceError> {
        let (client, rows) = session.client_and_rows();
        let set = format!("SELECT set_config('{AFTER}', $1, true), set_config('{LAST}', $2, true)");
        let set = client.prepare(&set).await.map_err(|error| mismatch(&error))?;
        let mut copies: [Option<Statement>; 4] = Default::default();
        while let Some((range, sink)) = self.take().await? {
            let (after, last) = (range.after.as_deref(), range.last.as_deref());
            let copy = &mut copies[usize::from(after.is_some()) * 2 + usize::from(last.is_some())];
            let copy = match copy {
                Some(copy) => copy,
                None => copy.insert(self.prepare_copy(client, after.is_some(), last.is_some()).await?),
            };
            let ends: [&(dyn ToSql + Sync); 2] = [&after.unwrap_or_default(), &last.unwrap_or_default()];
            // Both are sent before the first is answered.
            let (set, stream) = tokio::join!(client.execute(&set, &ends), client.copy_out(copy));
            set.map_err(|error| mismatch(&error))?;
            let stream = stream.map_err(|error| mismatch(&error))?;
            let sink = self.source.push_rows(CopyMessages::new(stream, rows), &self.query, sink).await?;
            sink.finish().await?;
        }
        Ok(())
    }

    /// The next range, and the sink for it.
    async fn take(&self) -> Result<Option<(bounds::Range, P::Sink)>, SourceError> {
        let mut work = self.work.lock().await;
        let (ranges, parts) = &mut *work;
        match ranges.next() {
            Some(range) => Ok(Some((range, parts.next().await?))),
            None => Ok(None),
        }
    }

    /// A statement that copies a range, whose ends the session knows.
    async fn prepare_copy(
        &self,
        client: &Client,
        has_after: bool,
        has_last: bool,
    ) -> Result<Statement, SourceError> {
        let id = self.source.mapping.sql(&Column::ID);
        let cast = self.query.id_type.cast().unwrap_or_default();
        let mut conditions = Vec::new();
        if has_after {
            conditions.push(format!("{id} > current_setting('{AFTER}'){cast}"));
        }
        if has_last {
            conditions.push(format!("{id} <= current_setting('{LAST}'){cast}"));
        }
        let range = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        client.prepare(&self.query.copy(range.as_deref())).await.map_err(|error| mismatch(&error))
    }
}
