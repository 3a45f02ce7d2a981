//! A scan in parts: several connections read ranges of ids, from one snapshot (PostgreSQL manual, section 9.27.5, "Snapshot
//! Synchronization Functions").

mod bounds;
mod repeatable;

use super::answer::Answer;
use super::error::mismatch;
use super::session::Session;
use super::{PostgresSource, Query, holders};
use crate::readers::join_all;
use crate::{Parts, RowSink, SourceError};
use bounds::{Range, Ranges};
use headcount_model::plan::{Column, Plan};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinSet;
use tokio_postgres::Row;

/// A further connection that takes longer is done without.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

impl PostgresSource {
    pub(crate) async fn scan_in_parts(
        self: &Arc<Self>,
        plan: &Plan,
        mut parts: impl Parts,
    ) -> Result<(), SourceError> {
        let mut session = self.connector.open_for(plan).await?;
        let query = self.prepare(&mut session, plan).await?;
        parts.begin(&query.schema);
        if !query.avoided.is_empty() {
            tracing::warn!(
                "no index is used, because some are in an outdated order, and would leave users out: {}; REINDEX them, and \
                 see 'headcount check'",
                query.avoided.join("; ")
            );
        }
        let spare = self.spare_for(plan, &query);
        let division =
            if spare.is_empty() { Ok(None) } else { self.divide(&session, &query, parts.are_large()).await };
        let (ranges, snapshot) = match division {
            Ok(Some(division)) => division,
            Ok(None) => {
                drop(spare);
                return self.scan_alone(session, &query, parts).await;
            }
            Err(error) => {
                // Not every server shares snapshots and statistics; and after an error a transaction answers nothing more.
                tracing::warn!(%error, "the source cannot be divided: one connection reads it");
                drop((session, spare));
                let mut session = self.connector.open().await?;
                let query = self.prepare(&mut session, plan).await?;
                parts.begin(&query.schema);
                return self.scan_alone(session, &query, parts).await;
            }
        };
        let shared = Arc::new(Shared { source: Arc::clone(self), query, work: Mutex::new((ranges, parts)) });
        let mut readers = JoinSet::new();
        for _ in 0..=spare.len() {
            readers.spawn(Arc::clone(&shared).read(snapshot.clone()));
        }
        let has_read = join_all(readers).await?;
        if has_read.contains(&true) {
            session.finish().await;
            return Ok(());
        }
        drop(spare);
        tracing::warn!("the source has no further connection for this export: one connection reads it");
        let Some(Shared { query, work, .. }) = Arc::into_inner(shared) else {
            return Err(SourceError::Failed("a reading task did not end".to_owned()));
        };
        self.scan_alone(session, &query, work.into_inner().1).await
    }

    /// The further readers of a scan.
    fn spare_for(&self, plan: &Plan, query: &Query) -> Vec<OwnedSemaphorePermit> {
        let why = if !plan.is_whole() {
            // An index may find them, which a range of ids does not use.
            "a filter, a limit or 'after' chooses users".to_owned()
        } else if !query.elsewhere.is_empty() {
            format!("other servers hold rows, and share no snapshot: {}", query.elsewhere)
        } else if !query.avoided.is_empty() {
            "indexes in an outdated order are not used".to_owned()
        } else {
            let spare = self.spare.take();
            if !spare.is_empty() {
                return spare;
            }
            "other exports have all further readers".to_owned()
        };
        self.alone(&why).unwrap_or_default()
    }

    /// Nothing, and in the log why one connection reads what several could.
    fn alone<T>(&self, why: &str) -> Option<T> {
        if self.parallelism > 1 {
            tracing::info!("one connection reads the source: {why}");
        }
        None
    }

    /// What several connections should read, and what they see; `None` where one is enough.
    async fn divide(
        &self,
        session: &Session,
        query: &Query,
        are_large: bool,
    ) -> Result<Option<(Ranges, Snapshot)>, SourceError> {
        let Some(ranges) = self.ranges(session, query, are_large).await? else { return Ok(None) };
        Ok(Some((ranges, Snapshot::exported(session).await?)))
    }

    async fn scan_alone(
        &self,
        mut session: Session,
        query: &Query,
        parts: impl Parts,
    ) -> Result<(), SourceError> {
        let sink = self.push_all(&mut session, query, parts.only().await?).await?;
        holders::were_here(&session, &self.mapping).await?;
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
    async fn exported(session: &Session) -> Result<Self, SourceError> {
        let sql = format!("SELECT pg_export_snapshot(), {SEEN}");
        let row = one(session, &sql).await?;
        let id: String = row.get(0);
        // It becomes part of SQL, which takes no parameters there.
        match id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            true => Ok(Self { id, seen: row.get(1) }),
            false => Err(SourceError::Mismatch("the server's snapshot has an unknown form of id".to_owned())),
        }
    }

    async fn is_seen_by(&self, session: &Session) -> Result<bool, SourceError> {
        let row = one(session, &format!("SELECT {SEEN}")).await?;
        Ok(row.get::<_, String>(0) == self.seen)
    }
}

/// The row of a statement that always has one.
async fn one(session: &Session, sql: &str) -> Result<Row, SourceError> {
    let rows = session.ask(sql, &[]).await.map_err(|error| mismatch(&error))?;
    rows.into_iter().next().ok_or_else(|| SourceError::Failed("the server left a row out".to_owned()))
}

struct Shared<P> {
    source: Arc<PostgresSource>,
    query: Query,
    /// What is not handed out yet, and the sinks for it.
    work: Mutex<(Ranges, P)>,
}

impl<P: Parts> Shared<P> {
    /// Reads one range after the other on a connection of its own, until there is none left; `false` if there is no such
    /// connection. Then the others read what this one would have read.
    async fn read(self: Arc<Self>, snapshot: Snapshot) -> Result<bool, SourceError> {
        let opened = tokio::time::timeout(OPEN_TIMEOUT, self.open(&snapshot)).await;
        let opened = opened.unwrap_or_else(|_| Err(SourceError::Unreachable("it took too long".to_owned())));
        match opened {
            Ok(mut session) => {
                self.read_ranges(&mut session).await?;
                holders::were_here(&session, &self.source.mapping).await?;
                session.finish().await;
                Ok(true)
            }
            Err(error) => {
                tracing::info!(%error, "a further connection to the source could not be had");
                Ok(false)
            }
        }
    }

    /// A session that sees the snapshot, and that holds all the locks that it will want.
    async fn open(&self, snapshot: &Snapshot) -> Result<Session, SourceError> {
        let mut session = self.source.connector.open_on(&snapshot.id, &self.query.names).await?;
        session.set_busy(true);
        let client = session.client();
        // Asked at once, answered one after the other; what fails first says why.
        let (is_seen, probe, _) = tokio::try_join!(
            biased;
            snapshot.is_seen_by(&session),
            async { client.prepare(&self.query.probe).await.map_err(|error| mismatch(&error)) },
            // Planning it locks what the probe does not: the indexes.
            async { self.query.explain(client, "FORMAT TEXT").await.map_err(|error| mismatch(&error)) },
        )?;
        if !is_seen {
            return Err(SourceError::Unreachable("another server answered".to_owned()));
        }
        session.has_described(probe.columns());
        session.set_busy(false);
        Ok(session)
    }

    async fn read_ranges(&self, session: &mut Session) -> Result<(), SourceError> {
        session.take_any_text().await?;
        let (client, rows) = session.client_and_rows();
        while let Some((range, sink)) = self.take().await? {
            let (sql, texts) = self.rows_in(&range);
            let answer = Answer::to(&sql, &texts, client, rows).await;
            let answer = answer.map_err(|error| mismatch(&error))?;
            let sink = self.source.push_rows(answer, &self.query, sink).await?;
            sink.finish().await?;
        }
        Ok(())
    }

    /// The next range, and the sink for it.
    async fn take(&self) -> Result<Option<(Range, P::Sink)>, SourceError> {
        let mut work = self.work.lock().await;
        let (ranges, parts) = &mut *work;
        match ranges.next() {
            Some(range) => Ok(Some((range, parts.next().await?))),
            None => Ok(None),
        }
    }

    /// The rows of a range: a statement, and the values of its parameters.
    fn rows_in<'a>(&'a self, range: &'a Range) -> (String, Vec<&'a str>) {
        let id = self.source.mapping.sql(&Column::ID);
        let cast = self.query.id_type.cast().unwrap_or_default();
        let (mut texts, mut conditions) = (self.query.texts(), Vec::new());
        for (operator, end) in [(">", &range.after), ("<=", &range.last)] {
            if let Some(end) = end {
                texts.push(end);
                conditions.push(format!("{id} OPERATOR(pg_catalog.{operator}) ${}{cast}", texts.len()));
            }
        }
        let range = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        (self.query.statement.rows_in(range.as_deref()), texts)
    }
}
