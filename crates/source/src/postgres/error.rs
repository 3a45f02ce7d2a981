//! What a server or the driver says went wrong, without the data that it quotes.

use crate::SourceError;

/// An error before the first row: of the statement if the server answered, else of the connection.
pub(crate) fn mismatch(error: &tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(_) => SourceError::Mismatch(error_text(error)),
        None => SourceError::Unreachable(error_text(error)),
    }
}

/// Whether a server does not know what we ask, as those that only speak PostgreSQL's protocol may: its syntax (42601), a function
/// (42883), a setting (42704), an option (22023), a column of a catalogue (42703), a table of it (42P01), or all of it (0A000).
pub(super) fn is_unknown_to_server(error: &tokio_postgres::Error) -> bool {
    const UNKNOWN: [&str; 7] = ["42601", "42883", "42704", "22023", "42703", "42P01", "0A000"];
    error.code().is_some_and(|code| UNKNOWN.contains(&code.code()))
}

/// Starts a message that a statement of ours raises itself, see [`error_text`].
pub(super) const OURS: &str = "headcount: ";

/// The server's message and code, or the driver's with its cause. What quotes data is left out: the server's `DETAIL`, and
/// the message of a data exception (class 22; PostgreSQL manual, appendix A) unless it is one of ours.
pub(crate) fn error_text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let code = error.code().code();
        let message = match error.message().split_once(OURS) {
            Some((_, ours)) => ours.trim_end_matches('"'),
            // In a database whose encoding has bytes that mean nothing.
            None if matches!(code, "22021" | "22P05") => "a text cannot be converted to UTF-8",
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
