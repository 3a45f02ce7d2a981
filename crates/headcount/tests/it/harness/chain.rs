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

/// What the second version adds.
const HASHED_SINCE_2: [&str; 8] =
    ["columns", "conditions", "ended_at", "masks", "snapshot_at", "system_user", "table", "version"];

/// The hash of a record of `audit list --json`.
pub(crate) fn hash_of_record(record: &Value) -> String {
    let further = if record["version"] == 1 { &[][..] } else { &HASHED_SINCE_2[..] };
    let hashed = HASHED.iter().chain(further).map(|name| ((*name).to_owned(), record[*name].clone()));
    let digest = Sha256::digest(Value::Object(hashed.collect()).to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
