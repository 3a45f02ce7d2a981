//! Receipts: what an export was, in a form that whoever got it can keep, show and verify without this service.

mod verify;

pub use verify::{Changed, Mark, NoReceipt, Packed, Presented, Unfit, Verdict};

use crate::canonical::{self, InexactNumber};
use crate::scope::Scope;
use crate::signature::SigningKey;
use headcount_model::timestamp::Timestamp;
use serde::Serialize;

/// Says what is signed, so that nothing else that this key may sign one day can be taken for a receipt.
pub const TYPE: &str = "headcount-receipt-v1";

/// What a receipt says of an export, in the words of `docs/receipts.md`.
#[derive(Debug, Serialize)]
pub struct Receipt {
    pub id: String,
    pub endpoint: String,
    pub columns: Option<Vec<String>>,
    pub filters: serde_json::Value,
    pub key_name: Option<String>,
    pub started_at: Timestamp,
    pub snapshot_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// `None` while the export runs.
    pub outcome: Option<&'static str>,
    /// Users, bytes and their digest; `None` where nothing was counted.
    pub rows: Option<i64>,
    pub bytes: Option<i64>,
    pub sha256: Option<String>,
    /// Not in receipts of records that never held it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Only in the receipt of a file.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredFile>,
}

/// What lies in a file, after any compression.
#[derive(Debug, Serialize)]
pub struct StoredFile {
    pub file_bytes: u64,
    /// In hexadecimal.
    pub file_sha256: String,
}

/// Everything that is signed.
#[derive(Serialize)]
struct Signed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    receipt: &'a Receipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
}

impl Receipt {
    /// The receipt as a line of canonical JSON; signed unless the export still runs. The same receipt and key always give the same
    /// text.
    ///
    /// # Errors
    ///
    /// It holds a fraction, which none does.
    pub fn issue(&self, key: &SigningKey) -> Result<String, InexactNumber> {
        let has_ended = self.outcome.is_some();
        let signed_by = has_ended.then(|| key.public().fingerprint());
        // A struct of texts, numbers and truth values always is a value.
        let value = serde_json::to_value(Signed { kind: TYPE, receipt: self, signed_by }).unwrap_or_default();
        let mut value = canonical::with_exact_integers(value);
        if has_ended {
            value["signature"] = key.sign(canonical::text(&value)?.as_bytes()).into();
        }
        Ok(canonical::text(&value)? + "\n")
    }
}

/// Whether a text has the form of an export's id, a ULID.
pub fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}
