//! The databases that users can be in.

/// Which database, where that decides how something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}
