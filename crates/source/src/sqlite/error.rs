//! What went wrong in SQLite, in its own words.

use crate::SourceError;
use rusqlite::ErrorCode;

pub(super) fn unreadable(error: &rusqlite::Error) -> SourceError {
    SourceError::Unreachable(unreadable_text(error))
}

/// Why a file cannot be read, and what may help.
pub(crate) fn unreadable_text(error: &rusqlite::Error) -> String {
    let hint = match error.sqlite_error_code() {
        // Readers of a file in WAL mode share an index beside it (SQLite manual, "Write-Ahead Logging", section 5).
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            "; the file must exist, and in WAL mode this user must be able to write its -shm file and directory; where nobody \
             writes it, as on a read-only mount, set source.immutable = true"
        }
        _ => "",
    };
    format!("{}{hint}", error_text(error))
}

pub(super) fn mismatch(error: &rusqlite::Error) -> SourceError {
    SourceError::Mismatch(error_text(error))
}

/// An error in reading the catalogue: of the schema if SQLite understood the file, as a view that names what is not there.
pub(super) fn unfit(error: &rusqlite::Error) -> SourceError {
    match error.sqlite_error_code() {
        Some(ErrorCode::Unknown) => mismatch(error),
        _ => unreadable(error),
    }
}

/// An error in reading, unless somebody else holds the file, who will let it go, or what is beside it cannot be opened.
pub(super) fn failed(error: &rusqlite::Error) -> SourceError {
    use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, ReadOnly};
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked | CannotOpen | ReadOnly) => unreadable(error),
        _ => SourceError::Failed(error_text(error)),
    }
}

/// SQLite's own message. The driver's would quote the statement.
pub(crate) fn error_text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        _ => error.to_string(),
    }
}
