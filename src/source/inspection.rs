//! What a source says about itself, for those who run it.

use crate::timestamp::Timestamp;

/// What a plan would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Users that it would give: from the statistics of PostgreSQL; counted by SQLite, which has none. `None` where
    /// counting takes too long.
    pub rows: Option<u64>,
    /// Whether the rows are found by an index, rather than by looking at all of them.
    pub uses_index: bool,
    /// Whether they have to be sorted, because no index has the order of the ids: nothing leaves before all are read.
    pub sorts: bool,
}

/// What an administrator should know about a source.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Of the database: `PostgreSQL 17.2`.
    pub version: String,
    /// Whether what is read travels encrypted; `None` where it does not travel.
    pub is_encrypted: Option<bool>,
    /// Whether this session can write nothing.
    pub is_read_only: bool,
    /// What this role could do beyond reading the mapped columns, in words: `may write table users`.
    pub excess: Vec<String>,
    /// Columns of the table that this role can read though they look like credentials.
    pub readable_credentials: Vec<String>,
    /// The database's clock.
    pub clock: Option<Timestamp>,
}
