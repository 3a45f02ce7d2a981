//! Receipts: what an export was, in a form that whoever got it can keep, show and verify without this service.

mod verify;

pub use verify::{Changed, Mark, NoReceipt, Presented, Unfit, Verdict};

use crate::canonical::{self, InexactNumber};
use crate::signature::SigningKey;
use crate::store::audit::{Outcome, Record, Scope};
use crate::timestamp::Timestamp;
use serde::Serialize;

/// Says what is signed, so that nothing else that this key may sign one day can be taken for a receipt.
pub const TYPE: &str = "headcount-receipt-v1";

/// Everything that is signed, in the words of `docs/receipts.md`.
#[derive(Serialize)]
struct Receipt {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    endpoint: String,
    columns: Option<Vec<String>>,
    filters: serde_json::Value,
    key_name: Option<String>,
    started_at: Timestamp,
    snapshot_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    outcome: Option<Outcome>,
    rows: Option<i64>,
    bytes: Option<i64>,
    sha256: Option<String>,
    /// Not in receipts of records that never held it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
}

/// The receipt of a record as a line of canonical JSON; signed unless the export still runs. The same record and key always give the
/// same text.
///
/// # Errors
///
/// The record holds a fraction, which none does.
pub fn issue(record: Record, key: &SigningKey) -> Result<String, InexactNumber> {
    let has_ended = record.outcome.is_some();
    // Without a digest nothing was counted: the export runs, died with its process, or never began.
    let is_counted = record.sha256.is_some();
    let receipt = Receipt {
        kind: TYPE,
        id: record.id,
        endpoint: record.endpoint,
        columns: record.columns,
        filters: record.filters,
        key_name: record.key_name,
        started_at: record.time,
        snapshot_at: record.snapshot_at,
        ended_at: record.ended_at,
        outcome: record.outcome,
        rows: is_counted.then_some(record.rows),
        bytes: is_counted.then_some(record.bytes),
        sha256: record.sha256,
        scope: (record.version > 1).then_some(record.scope),
        signed_by: has_ended.then(|| key.public().fingerprint()),
    };
    // A struct of texts, numbers and truth values always is a value.
    let mut value = canonical::with_exact_integers(serde_json::to_value(receipt).unwrap_or_default());
    if has_ended {
        value["signature"] = key.sign(canonical::text(&value)?.as_bytes()).into();
    }
    Ok(canonical::text(&value)? + "\n")
}

/// Whether a text has the form of an export's id, a ULID.
pub fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}
