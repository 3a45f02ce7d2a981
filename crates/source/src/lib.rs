//! The users table, read-only. A source pushes rows, borrowed from the database's own buffers, into a [`RowSink`];
//! it knows neither format nor HTTP.

pub mod catalogue;
pub mod embedded;
mod epoch;
mod inspection;
mod mapping;
mod odd_times;
mod stall_watchdog;
mod postgres;
mod query;
mod readers;
mod sqlite;
mod table;
mod tls;

pub use epoch::Unit;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::plan::{ParameterError, Plan};
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
pub use inspection::{Elsewhere, Estimate, Inspection};
pub use mapping::{Consistency, Expression, Mapping, TimestampEncoding};
use postgres::PostgresSource;
use readers::ReaderPermits;
use sqlite::SqliteSource;
use stall_watchdog::{in_time, watched};
use std::sync::Arc;
use std::time::Duration;
pub use table::TableName;
pub use table::{names, quote};

/// How many columns an export may show.
pub const MAX_COLUMNS: usize = 63;
/// Room for the cells of a row where it shows no more than the contract's columns, and where it shows as many as it may; and
/// beside those for the id that error messages name, and the columns of four filters. Clearing the large one for every row would
/// be measurable.
const FEW_CELLS: usize = 8;
const MANY_CELLS: usize = MAX_COLUMNS + 5;

/// Takes the rows of a scan.
pub trait RowSink: Send {
    /// Takes one row, in the order of the plan's columns. Works in memory only.
    ///
    /// # Errors
    ///
    /// The format cannot hold it: the scan should fail.
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), Box<Misfit>>;

    /// Whether [`RowSink::flush`] should be called before the next row.
    fn is_full(&self) -> bool;

    /// Hands on what has been collected; waits while the reader is slower than the database.
    ///
    /// # Errors
    ///
    /// [`SinkError::Closed`] when nobody reads any more: the scan should stop.
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Hands on what is left: the rows are all there.
    ///
    /// # Errors
    ///
    /// As [`RowSink::flush`]; and where what is left cannot be written.
    fn finish(self) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// A sink that keeps what it makes of a few rows.
pub struct Gather<T, F> {
    pub gathered: T,
    take: F,
}

impl<T, F: FnMut(&mut T, &[Value<'_>]) -> Result<(), Box<Misfit>>> Gather<T, F> {
    /// Lets `take` add each row to what is gathered, which is this at first.
    pub fn into(gathered: T, take: F) -> Self {
        Self { gathered, take }
    }
}

impl<T: Send, F: FnMut(&mut T, &[Value<'_>]) -> Result<(), Box<Misfit>> + Send> RowSink for Gather<T, F> {
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        (self.take)(&mut self.gathered, values)
    }

    fn is_full(&self) -> bool {
        false
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn finish(self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Makes the sinks of a scan that several workers share. What is pushed into them is read in the order in which they were made.
pub trait Parts: Send + 'static {
    type Sink: RowSink + 'static;

    /// Whether parts should be large: 64 k rows or 8 MiB, roughly, instead of a fraction of that.
    fn are_large(&self) -> bool {
        false
    }

    /// Takes what the rows will be, before the first sink is made; again where the scan has to begin anew.
    fn begin(&mut self, schema: &Schema);

    /// The sink of a scan that is not divided.
    fn only(self) -> impl Future<Output = Result<Self::Sink, SinkError>> + Send;

    /// The sink of the part that follows those before it; waits while too many parts are unread.
    fn next(&mut self) -> impl Future<Output = Result<Self::Sink, SinkError>> + Send;
}

/// Why a sink takes no more rows.
#[derive(Debug)]
pub enum SinkError {
    /// Nobody reads them.
    Closed,
    /// Its format cannot hold those that it has, and why.
    Failed(String),
}

/// Why a source cannot give its users. The texts are for the log: they name tables, columns and ids, but never
/// a password or a user's data.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the source cannot be reached: {0}")]
    Unreachable(String),
    #[error("the users table does not fit: {0}")]
    Mismatch(String),
    #[error("table {table}, column {column}, id {id}: {problem}")]
    Value { table: String, column: String, id: String, problem: String },
    #[error("the scan failed: {0}")]
    Failed(String),
    #[error("no data from the source for {} (limits.source_stall)", humantime::format_duration(*.0))]
    Stalled(Duration),
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error("the reader went away")]
    Closed,
}

impl From<SinkError> for SourceError {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Closed => Self::Closed,
            SinkError::Failed(problem) => Self::Failed(problem),
        }
    }
}

/// What the ids of a table are, which decides how `after` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdKind {
    Integer,
    Uuid,
    Text,
}

/// A value for `after`, read as the table's ids are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    Integer(i64),
    Uuid([u8; 16]),
    Text(String),
}

impl IdKind {
    fn parse(self, after: &str) -> Result<Id, ParameterError> {
        match self {
            Self::Integer => after
                .parse()
                .map(Id::Integer)
                .map_err(|_| ParameterError::invalid("after", "must be an integer, as the ids here are")),
            Self::Uuid => parse_uuid(after.as_bytes())
                .map(Id::Uuid)
                .ok_or_else(|| ParameterError::invalid("after", "must be a UUID, as the ids here are")),
            Self::Text => Ok(Id::Text(after.to_owned())),
        }
    }
}

/// Which database, where that decides how something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// What a role needs for an export.
#[derive(Debug, Default)]
pub struct Grants {
    /// Statements for somebody who may run them, without their semicolons.
    pub statements: Vec<String>,
    /// Functions and views that read with the rights of the role, and nobody but who wrote them knows what.
    pub read_as_caller: Vec<String>,
}

/// The users table of an application.
pub struct Source {
    engine: Engine,
    stall: Duration,
    consistency: Consistency,
    table: TableName,
    condition: Option<String>,
}

enum Engine {
    Sqlite(SqliteSource),
    Postgres(Arc<PostgresSource>),
}

impl Source {
    /// A source at `url`, of which a large scan that is alone is shared by so many threads or connections, and which may keep
    /// whoever asks it waiting for `stall`. Nothing is opened yet: a database that is down now may be up when it is needed.
    ///
    /// # Errors
    ///
    /// A URL that the PostgreSQL driver cannot read, or TLS settings that cannot be met.
    pub fn new(
        url: &DatabaseUrl,
        mapping: Mapping,
        parallelism: usize,
        stall: Duration,
    ) -> Result<Self, String> {
        let (spare, consistency) = (ReaderPermits::new(parallelism), mapping.consistency);
        let (table, condition) = (mapping.table.clone(), mapping.filter.clone());
        let engine = match url {
            DatabaseUrl::Sqlite(path) => Engine::Sqlite(SqliteSource::new(path.clone(), mapping, spare)),
            DatabaseUrl::Postgres(url) => {
                Engine::Postgres(Arc::new(PostgresSource::new(url, mapping, parallelism, spare)?))
            }
        };
        Ok(Self { engine, stall, consistency, table, condition })
    }

    /// The table, as the configuration names it.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The SQL that makes a row a user, if there is any.
    pub fn condition(&self) -> Option<&str> {
        self.condition.as_deref()
    }

    /// Whether all rows of a scan are of one moment.
    pub fn is_of_one_moment(&self) -> bool {
        self.consistency == Consistency::Snapshot
    }

    /// Reads a SQLite file as one that nobody writes: nothing beside it has to be written, or is read.
    pub fn set_immutable(&mut self) {
        if let Engine::Sqlite(source) = &mut self.engine {
            source.set_immutable();
        }
    }

    /// Pushes every row of the plan, from one consistent snapshot, into the sink that is made for its schema; returns it when the last
    /// one is in.
    /// The last rows are not flushed. For a few rows, which have to come in the time that a source may take for an answer.
    /// Dropping the future stops the scan and frees the connection.
    ///
    /// # Errors
    ///
    /// Anything that kept even one row from being pushed.
    pub async fn scan<S: RowSink + 'static>(
        &self,
        plan: &Plan,
        sink: impl FnOnce(&Schema) -> S + Send + 'static,
    ) -> Result<S, SourceError> {
        match &self.engine {
            Engine::Sqlite(source) => in_time(self.stall, source.scan(plan, sink)).await,
            Engine::Postgres(source) => in_time(self.stall, source.scan(plan, sink)).await,
        }
    }

    /// Pushes every row of the plan, from one consistent snapshot unless [`Consistency`] says otherwise, into the sinks that `parts`
    /// makes and finishes them; where the table is large, several threads or connections do so. Dropping the future stops them
    /// all.
    ///
    /// # Errors
    ///
    /// Anything that kept even one row from being pushed. A sink whose part failed is not finished.
    pub async fn scan_in_parts(&self, plan: &Plan, parts: impl Parts) -> Result<(), SourceError> {
        if !self.is_of_one_moment() {
            tracing::warn!(
                "source.consistency is 'per_shard': the users of this export need not be of one moment"
            );
        }
        match &self.engine {
            Engine::Sqlite(source) => {
                watched(self.stall, parts, |parts| source.scan_in_parts(plan, parts)).await
            }
            Engine::Postgres(source) => {
                watched(self.stall, parts, |parts| source.scan_in_parts(plan, parts)).await
            }
        }
    }

    /// Checks that the plan can be answered, without reading a user: that the table is there, that its columns
    /// fit, and that `after` reads like its ids.
    ///
    /// # Errors
    ///
    /// As [`Source::scan`] would fail before its first row.
    pub async fn check(&self, plan: &Plan) -> Result<(), SourceError> {
        match &self.engine {
            Engine::Sqlite(source) => in_time(self.stall, source.check(plan)).await,
            Engine::Postgres(source) => in_time(self.stall, source.check(plan)).await,
        }
    }

    /// The statements that would let the role read what a plan names; none where nothing of that is missing, or where
    /// there are no roles.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    pub async fn missing_grants(&self, plan: &Plan) -> Result<Vec<String>, SourceError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Vec::new()),
            Engine::Postgres(source) => in_time(self.stall, source.missing_grants(plan)).await,
        }
    }

    /// What a role of this name needs to read what a plan reads; nothing where there are no roles.
    ///
    /// # Errors
    ///
    /// The database cannot be reached, or what the plan names is not there.
    pub async fn grants(&self, plan: &Plan, role: &str) -> Result<Grants, SourceError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Grants::default()),
            Engine::Postgres(source) => in_time(self.stall, source.grants(plan, role)).await,
        }
    }

    /// What the plan would cost, without running it.
    ///
    /// # Errors
    ///
    /// As [`Source::scan`] would fail before its first row.
    pub async fn estimate(&self, plan: &Plan) -> Result<Estimate, SourceError> {
        match &self.engine {
            Engine::Sqlite(source) => in_time(self.stall, source.estimate(plan)).await,
            Engine::Postgres(source) => in_time(self.stall, source.estimate(plan)).await,
        }
    }

    /// What an administrator should know about the database, the table, and what this role may do with it.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    pub async fn inspect(&self) -> Result<Inspection, SourceError> {
        match &self.engine {
            Engine::Sqlite(source) => in_time(self.stall, source.inspect()).await,
            Engine::Postgres(source) => in_time(self.stall, source.inspect()).await,
        }
    }
}

/// Reads a UUID with or without hyphens, in either case (RFC 9562 section 4).
fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut digits = [0; 32];
    match text.len() {
        32 => digits.copy_from_slice(text),
        36 => {
            let mut at = 0;
            for (index, &byte) in text.iter().enumerate() {
                if matches!(index, 8 | 13 | 18 | 23) {
                    if byte != b'-' {
                        return None;
                    }
                } else {
                    digits[at] = byte;
                    at += 1;
                }
            }
        }
        _ => return None,
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(uuid)
}
