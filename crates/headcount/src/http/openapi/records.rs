//! What the document says of the audit.

use super::schemas::{count, maybe_count, maybe_text, maybe_time, text, texts, time};
use super::{error_response, or_null};
use crate::http::records::{MAX_PAGE, PAGE, PARAMETERS, RECORDS};
use headcount_store::audit::{Ending, Outcome};
use headcount_store::keys::AUDIT_READ;
use serde_json::{Value, json};

pub(super) fn path() -> (String, Value) {
    let mut responses = json!({
        "200": {
            "description": "Records, newest first.",
            "content": {"application/json": {"schema": {
                "type": "object",
                "required": ["exports", "next"],
                "properties": {
                    "exports": {"type": "array", "items": {"$ref": "#/components/schemas/Record"}},
                    "next": {
                        "type": ["string", "null"],
                        "description": "What `before` has to be for the next page; null after the last.",
                    },
                },
            }}},
        },
    });
    for (status, description) in [
        ("400", "A parameter is unknown, repeated or has a bad value."),
        ("401", "No key, or one that is unknown, malformed, expired or revoked."),
        ("403", "The key lacks the grant."),
        ("429", "Too many failed keys from this address, or too many requests with this key."),
        ("500", "Unexpected; the log has the cause under the request id."),
        ("503", "The store is not available."),
    ] {
        responses[status] = error_response(description);
    }
    let parameters = PARAMETERS.map(|(name, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": parameter(name)})
    });
    let operation = json!({
        "operationId": "records",
        "summary": "The audit: who exported what",
        "description": format!("Needs a key with the grant `{AUDIT_READ}`. It leaves no record."),
        "tags": ["audit"],
        "security": [{"bearer": []}, {"apiKey": []}],
        "parameters": parameters,
        "responses": responses,
    });
    (RECORDS.to_owned(), json!({"get": operation}))
}

fn parameter(name: &str) -> Value {
    match name {
        "since" | "until" => super::time_schema(),
        "outcome" => json!({"enum": Ending::names()}),
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE}),
        _ => json!({"type": "string", "pattern": "^[^\\u0000]*$"}),
    }
}

pub(super) fn schema() -> Value {
    let properties = json!({
        "id": text("The X-Export-Id, a ULID."),
        "time": time("When the request came."),
        "endpoint": text("The path, or the command."),
        "key_id": maybe_text("The id of the key."),
        "key_name": maybe_text("The name of the key."),
        "client": text("The client's address, or `cli`."),
        "request_id": maybe_text("The id under which the request stands in the log."),
        "filters": {"type": "object", "description": "The parameters that differ from their default; an address only hashed."},
        "outcome": {"enum": or_null(Outcome::NAMES), "description": "Null while the export runs."},
        "reason": maybe_text("Why it ended so."),
        "rows": count("Users."),
        "bytes": count("Of the uncompressed content."),
        "sha256": maybe_text("Of the uncompressed content, in hexadecimal."),
        "duration_ms": maybe_count("Milliseconds from the first byte to the end."),
        "sequence": maybe_count("Its number in the chain, from 1 on; null of what is not part of it."),
        "previous": maybe_text("The hash of the record before it."),
        "hash": maybe_text("Its own hash."),
        "version": count("Of the record's form."),
        "columns": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "The names in the header.",
        },
        "snapshot_at": maybe_time("Just before the database's snapshot was taken."),
        "ended_at": maybe_time("When the export ended."),
        "table": maybe_text("As `source.table` names it."),
        "masks": texts("The mask of each column that has one, by its name in the header."),
        "conditions": texts("The administrator's SQL that every user met, or its hash, by the name of its setting."),
        "system_user": maybe_text("Who ran the command."),
    });
    let required: Vec<_> =
        properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_model::timestamp::Timestamp;
    use headcount_store::audit::{Record, Request};

    #[test]
    fn every_member_of_a_record_is_documented() {
        let time = Timestamp::from_micros(0).expect("a time");
        let request = Request::new(String::new(), time, String::new(), String::new());
        let record = serde_json::to_value(Record::of(&request, None)).expect("JSON");
        let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&schema()["properties"]), names(&record));
    }
}
