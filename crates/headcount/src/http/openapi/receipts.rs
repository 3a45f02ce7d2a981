//! What the document says of receipts.

use super::schemas::{maybe_count, maybe_text, maybe_time, text, texts, time};
use super::{error_response, or_null};
use crate::http::receipts::{PUBLIC_KEY, RECEIPT};
use headcount_proof::receipt;
use headcount_store::audit::Outcome;
use headcount_store::keys::AUDIT_READ;
use serde_json::{Value, json};

/// What the `Trailer` header of an export announces.
pub(super) const TRAILERS: &str = "Sent after the last byte of a complete export, over HTTP/1.1 only to a request with `TE: \
    trailers`: `X-Export-Rows`, the users; `X-Export-Sha256`, the SHA-256 of the uncompressed content in hexadecimal; \
    `Repr-Digest`, that of the bytes as sent (RFC 9530).";

pub(super) fn paths() -> [(String, Value); 2] {
    [(RECEIPT.to_owned(), receipt_path()), (PUBLIC_KEY.to_owned(), public_key_path())]
}

fn receipt_path() -> Value {
    let mut responses = json!({
        "200": {
            "description": "The receipt, as a line of canonical JSON (RFC 8785).",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Receipt"}}},
        },
    });
    for (status, description) in [
        ("401", "No key, or one that is unknown, malformed, expired or revoked."),
        ("404", "There is no such export, or it was made with another key."),
        ("429", "Too many failed keys from this address, or too many requests with this key."),
        ("500", "Unexpected; the log has the cause under the request id."),
        ("503", "The store is not available."),
    ] {
        responses[status] = error_response(description);
    }
    json!({"get": {
        "operationId": "receipt",
        "summary": "The receipt of an export",
        "description": format!("Needs the key that made the export, or one with the grant `{AUDIT_READ}`."),
        "tags": ["receipts"],
        "security": [{"bearer": []}, {"apiKey": []}],
        "parameters": [{
            "name": "id",
            "in": "path",
            "required": true,
            "description": "The `X-Export-Id` of the export, a ULID.",
            "schema": {"type": "string", "pattern": "^[0-9A-Z]{26}$"},
        }],
        "responses": responses,
    }})
}

fn public_key_path() -> Value {
    json!({"get": {
        "operationId": "receiptKey",
        "summary": "The key that receipts are verified with",
        "description": "Ed25519, as SubjectPublicKeyInfo in PEM (RFC 8410).",
        "tags": ["receipts"],
        "responses": {"200": {
            "description": "The key.",
            "content": {"application/x-pem-file": {"schema": {"type": "string"}}},
        }},
    }})
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "required": [
            "type", "id", "endpoint", "columns", "filters", "key_name", "started_at", "snapshot_at", "ended_at", "outcome",
            "rows", "bytes", "sha256", "table", "masks", "conditions", "system_user"
        ],
        "properties": {
            "type": {"const": receipt::TYPE},
            "id": text("The X-Export-Id."),
            "endpoint": text("The path, or the command."),
            "columns": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "The names in the header.",
            },
            "filters": {"type": "object", "description": "What the audit keeps of the parameters."},
            "key_name": maybe_text("The name of the key."),
            "started_at": time("When the request came."),
            "snapshot_at": maybe_time("Just before the database's snapshot was taken."),
            "ended_at": maybe_time("When the export ended."),
            "outcome": {
                "enum": or_null(Outcome::NAMES),
                "description": "Null while the export runs.",
            },
            "rows": maybe_count("Users."),
            "bytes": maybe_count("Of the uncompressed content."),
            "sha256": maybe_text("Of the uncompressed content, in hexadecimal."),
            "table": maybe_text("As `source.table` names it."),
            "masks": texts("The mask of each column that has one, by its name in the header."),
            "conditions": texts("The administrator's SQL that every user met, or its hash, by the name of its setting."),
            "system_user": maybe_text("Who ran the command."),
            "signed_by": text("`sha256:` and the digest of the public key; not there while the export runs."),
            "signature": text("Ed25519 over all other members as canonical JSON, in Base64; not there while the export runs."),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_model::timestamp::Timestamp;
    use headcount_proof::receipt::Receipt;
    use headcount_proof::scope::Scope;
    use headcount_proof::signature::SigningKey;

    fn members(outcome: Option<Outcome>) -> Vec<String> {
        let key = SigningKey::from_seed(&[7; 32]).expect("a key");
        let receipt = Receipt {
            id: String::new(),
            endpoint: String::new(),
            columns: None,
            filters: json!({}),
            key_name: None,
            started_at: Timestamp::from_micros(0).expect("a time"),
            snapshot_at: None,
            ended_at: None,
            outcome: outcome.map(Outcome::name),
            rows: None,
            bytes: None,
            sha256: None,
            scope: Some(Scope::default()),
            stored: None,
        };
        let receipt = receipt.issue(&key).expect("a receipt");
        let receipt: Value = serde_json::from_str(&receipt).expect("JSON");
        receipt.as_object().expect("an object").keys().cloned().collect()
    }

    #[test]
    fn every_member_of_a_receipt_is_documented() {
        let schema = schema();
        let properties: Vec<_> =
            schema["properties"].as_object().expect("an object").keys().cloned().collect();
        assert_eq!(properties, members(Some(Outcome::Completed)));
        let mut required: Vec<_> =
            schema["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        required.sort_unstable();
        assert_eq!(required, members(None), "those of an export that runs");
    }
}
