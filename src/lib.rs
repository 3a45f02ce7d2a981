//! Headcount: the user export service. All the users of an application, streamed, guarded, audited, and never half of
//! them under a success.
//!
//! The modules, in the order in which a request meets them:

// `headcount COMMAND`: parses, dispatches, prints.
pub mod cli;
// From the catalogue of a database to a configuration.
pub mod init;
// What is wrong, why it matters, what to do.
pub mod doctor;
// File, environment and arguments become one validated configuration.
pub mod config;
// Where a database is, without its password.
pub mod database_url;
// The certificate that clients are shown.
pub mod tls;
// The web: endpoints, keys, errors, and the server.
pub mod http;
// What is to be exported, validated once.
pub mod plan;
// Runs an export from its slot to its audit record.
pub mod export;
// What an export was, signed; and files compared with it.
pub mod receipt;
// The users table, read-only, on SQLite and PostgreSQL.
pub mod source;
// What looks like a credential, and what is personal.
pub mod sensitive;
// Ed25519.
pub mod signature;
// The one text of a JSON value.
pub mod canonical;
// Rows to bytes.
pub mod encode;
// Keys, flags and the audit.
pub mod store;
// Loads a CSV into the embedded users table.
pub mod import;
// Deterministic users to try things with.
pub mod sample;
// Logs and metrics.
pub mod telemetry;
// Instants, read and written as databases and RFC 3339 do.
pub mod timestamp;
// Times as people write them, in a time zone.
pub mod moment;
// Enums with names.
mod named;
// Who runs this, and whose a file is.
mod owner;
// Where a path leads that is to be written.
mod links;

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A text from elsewhere that stays on its line and cannot steer a terminal, nor turn its letters around.
fn visible(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// The same for JSON, which stays what it is: only what ends its lines is no part of a text, and is left.
fn visible_json(json: &str) -> String {
    use std::fmt::Write;
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if steers(c) && c != '\n' {
            // All of them have four digits at most.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
        text
    })
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A fresh ULID of this time: sorts by time, 80 random bits.
fn fresh_id(now: timestamp::Timestamp) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(now.micros().max(0).unsigned_abs());
    ulid::Ulid::from_datetime(time).to_string()
}
