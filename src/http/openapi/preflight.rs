//! What the document says of preflights.

use serde_json::{Value, json};

/// What `preflight=true` answers.
pub(super) fn schema() -> Value {
    let maybe_count =
        |description: &str| json!({"type": ["integer", "null"], "minimum": 0, "description": description});
    let truth = |description: &str| json!({"type": "boolean", "description": description});
    json!({
        "type": "object",
        "required": [
            "export", "columns", "filters", "estimated_rows", "estimated_bytes", "uses_index", "sorts"
        ],
        "properties": {
            "export": {"type": "string", "description": "The name of the export."},
            "columns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "sensitivity", "mask"],
                    "properties": {
                        "name": {"type": "string"},
                        "sensitivity": {"enum": ["credential", "personal", "identifier", "other"]},
                        "mask": {"enum": ["pseudonym", "partial", "redact", null]},
                    },
                },
            },
            "filters": {"type": "object", "description": "What the audit keeps of the parameters."},
            "estimated_rows": maybe_count("Null where the database cannot tell in time."),
            "estimated_bytes": maybe_count("Uncompressed, from the length of the first rows of the table."),
            "uses_index": truth("Whether an index finds the rows, so that not all of them are looked at."),
            "sorts": truth("Whether no index has the order of the ids: the first byte comes after the last row is read."),
        },
    })
}
