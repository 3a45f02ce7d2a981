//! How docs/audit.md says that a record is hashed.

use serde_json::Value;
use sha2::{Digest, Sha256};

const HASHED: [&str; 16] = [
    "bytes",
    "client",
    "duration_ms",
    "endpoint",
    "filters",
    "id",
    "key_id",
    "key_name",
    "outcome",
    "previous",
    "reason",
    "request_id",
    "rows",
    "sequence",
    "sha256",
    "time",
];

/// The hash of a record of `audit list --json`.
pub(crate) fn hash_of_record(record: &Value) -> String {
    let hashed = HASHED.map(|name| (name.to_owned(), record[name].clone()));
    let digest = Sha256::digest(Value::Object(hashed.into_iter().collect()).to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
