//! The users table that Headcount makes itself where no source is configured: the only one it ever writes.

use super::TableName;
use super::table::quote;
use headcount_files::links;
use headcount_model::timestamp::Timestamp;
use rusqlite::{Connection, ErrorCode, Transaction, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Bytes in a page of a new file: a power of two from 512 to 65,536.
const PAGE_SIZE: u32 = 16_384;

/// The embedded table, open for writing.
pub struct EmbeddedUsers {
    connection: Connection,
    table: TableName,
}

/// A row of the embedded table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    pub id: i64,
    pub email: Option<&'a str>,
    pub name: Option<&'a str>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub is_active: Option<bool>,
    pub is_admin: Option<bool>,
}

/// Why the embedded table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl EmbeddedUsers {
    /// Opens the file, and creates it and the table where they are missing.
    ///
    /// # Errors
    ///
    /// The file cannot be made, opened or written.
    pub fn open(path: &Path, table: &TableName) -> Result<Self, EmbeddedError> {
        let file = links::own_file(path)?;
        // Made here for its mode, which SQLite then gives to the files beside it.
        OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(file)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // A scan reads the whole file: larger pages are fewer reads. Has no effect on a file that has pages.
        connection.pragma_update(None, "page_size", PAGE_SIZE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                 id INTEGER PRIMARY KEY,
                 email TEXT,
                 name TEXT,
                 created_at TEXT,
                 updated_at TEXT,
                 is_active INTEGER,
                 is_admin INTEGER
             );
             CREATE INDEX IF NOT EXISTS {index} ON {table} (email);",
            table = table.quoted(),
            index = quote(&format!("{}_email", table.name())),
        ))?;
        Ok(Self { connection, table: table.clone() })
    }

    /// Whether there is nobody in it.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn is_empty(&self) -> Result<bool, EmbeddedError> {
        let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", self.table.quoted());
        Ok(self.connection.query_row(&sql, [], |row| row.get(0))?)
    }

    /// Starts to add users: all of them, or, unless [`Loading::commit`] is reached, none.
    ///
    /// # Errors
    ///
    /// Somebody else is writing.
    pub fn load(&mut self) -> Result<Loading<'_>, EmbeddedError> {
        let sql = format!(
            "INSERT INTO {} (id, email, name, created_at, updated_at, is_active, is_admin) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            self.table.quoted()
        );
        let transaction = self.connection.transaction()?;
        Ok(Loading { transaction, sql })
    }
}

/// A transaction that adds users.
pub struct Loading<'a> {
    transaction: Transaction<'a>,
    sql: String,
}

impl Loading<'_> {
    /// Adds one user; `false` if the id is taken.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn add(&self, user: &User<'_>) -> Result<bool, EmbeddedError> {
        let mut statement = self.transaction.prepare_cached(&self.sql)?;
        let added = statement.execute(params![
            user.id,
            user.email,
            user.name,
            user.created_at.map(|time| time.to_string()),
            user.updated_at.map(|time| time.to_string()),
            user.is_active,
            user.is_admin,
        ]);
        match added {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes all of it visible at once.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn commit(self) -> Result<(), EmbeddedError> {
        Ok(self.transaction.commit()?)
    }
}
