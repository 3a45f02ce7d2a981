//! What the document says of preflights.

use super::or_null;
use super::schemas::{maybe_count, texts};
use headcount_model::mask::Mask;
use headcount_model::sensitive::Sensitivity;
use serde_json::{Value, json};

/// What `preflight=true` answers.
pub(super) fn schema() -> Value {
    let truth = |description: &str| json!({"type": ["boolean", "null"], "description": description});
    json!({
        "type": "object",
        "required": [
            "export", "columns", "conditions", "filters", "estimated_rows", "estimated_bytes", "uses_index", "sorts"
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
                        "sensitivity": {"enum": Sensitivity::NAMES},
                        "mask": {"enum": or_null(Mask::NAMES)},
                    },
                },
            },
            "conditions": texts("The administrator's SQL that every user meets, or its hash, by the name of its setting."),
            "filters": {"type": "object", "description": "What the audit keeps of the parameters."},
            "estimated_rows": maybe_count("Null where the database cannot tell in time."),
            "estimated_bytes": maybe_count("Uncompressed, from the length of the first rows of the table."),
            "uses_index": truth("Whether an index finds the rows, so that not all of them are looked at. Null where the database does not tell."),
            "sorts": truth("Whether no index has the order of the ids: the first byte comes after the last row is read. Null where the database does not tell."),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_export::{DescribedColumn, Preflight};

    /// All that an object has, in order, is what its schema has.
    fn assert_documents(schema: &Value, object: &Value) {
        let names: Vec<_> = object.as_object().expect("an object").keys().collect();
        let documented: Vec<_> = schema["properties"].as_object().expect("an object").keys().collect();
        assert_eq!(documented, names);
        let mut required: Vec<_> =
            schema["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        required.sort_unstable();
        assert_eq!(required, names);
    }

    #[test]
    fn every_member_of_a_preflight_is_documented() {
        let column =
            DescribedColumn { name: "id".to_owned(), sensitivity: Sensitivity::Identifier, mask: None };
        let preflight = Preflight {
            export: "minimal".to_owned(),
            columns: vec![column],
            conditions: std::collections::BTreeMap::new(),
            filters: serde_json::Map::new(),
            estimated_rows: None,
            estimated_bytes: None,
            uses_index: Some(true),
            sorts: Some(false),
        };
        let preflight = serde_json::to_value(preflight).expect("JSON");
        assert_documents(&schema(), &preflight);
        assert_documents(&schema()["properties"]["columns"]["items"], &preflight["columns"][0]);
    }
}
