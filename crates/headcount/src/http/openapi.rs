//! The OpenAPI document (OpenAPI 3.1), made from the same tables that requests are read by.

mod preflight;
mod receipts;
mod records;
mod schemas;

use super::{App, probes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use headcount_model::plan::{Endpoint, FormatName, Formats, PARAMETERS, Parameter, ParameterKind, Profile};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Neither white space (Unicode, `White_Space`) nor control characters, nor three that have no width.
const NO_BLANKS: &str = concat!(
    r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f",
    r"\u205f\u2060\u3000\ufeff]+$"
);

/// What may stand for NULL: nothing that begins like a formula, is `\.`, or has a separator or a control character in it.
const NULL_TEXT: &str = concat!(
    r#"^(?!'*[=+@\uff1d\uff0b\uff0d\uff20-])(?!\\\.$)"#,
    r#"[^,;"\u0000-\u001f\u007f-\u009f]{0,16}$"#
);

/// The document as JSON text.
pub fn text(profiles: &[Arc<Profile>]) -> String {
    // A value made of maps with string keys always serialises.
    serde_json::to_string_pretty(&document(profiles)).unwrap_or_default() + "\n"
}

pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    let document = app.openapi.get_or_init(|| text(&app.config.profiles).into());
    ([(header::CONTENT_TYPE, "application/json")], document.clone()).into_response()
}

/// The document.
pub(super) fn document(profiles: &[Arc<Profile>]) -> Value {
    let mut paths = Map::new();
    for profile in profiles {
        for endpoint in profile.endpoints() {
            paths.insert(endpoint.path.clone(), export_path(profile, &endpoint));
        }
    }
    paths.extend(receipts::paths());
    paths.extend([records::path()]);
    let probes = [
        (
            probes::ALIVE,
            "Whether the exports are alive",
            json!({"status": "users export alive"}),
            &["403", "503"][..],
        ),
        (
            probes::SIMPLE,
            "A fixed answer, for trying things",
            json!({"users": "export simple status"}),
            &["403", "503"],
        ),
        ("/healthz", "The process lives", json!({"status": "ok"}), &[]),
        ("/readyz", "The store and the source answer", json!({"status": "ready"}), &["503"]),
    ];
    for (path, summary, answer, errors) in probes {
        paths.insert(path.to_owned(), probe_path(path, summary, &answer, errors));
    }
    for (path, summary, content_type) in [
        ("/metrics", "Metrics for Prometheus", "application/openmetrics-text"),
        ("/openapi.json", "This document", "application/json"),
        ("/docs", "This document as a page", "text/html"),
    ] {
        paths.insert(path.to_owned(), plain_path(path, summary, content_type));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Headcount",
            "description": "The user export service: all the users of an application, streamed.\n\n\
                A complete export ends with the transfer. If anything fails after the first byte, the transfer is broken \
                off (HTTP/1.1: within a chunk, and the connection is reset; HTTP/2: RST_STREAM): take a download for complete only if your client \
                reports no error.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["detail", "status_code"],
                    "properties": {
                        "detail": {"type": "string", "description": "What is wrong, for people."},
                        "status_code": {"type": "integer", "description": "The status of the response."},
                    },
                },
                "Preflight": preflight::schema(),
                "Receipt": receipts::schema(),
                "Record": records::schema(),
            },
        },
    })
}

fn export_path(profile: &Profile, endpoint: &Endpoint) -> Value {
    // Where ids are masked there is nothing to give as `after`.
    let taken = |parameter: &&Parameter| parameter.name != "after" || profile.takes_after();
    let schema = |parameter| schema(parameter, profile, endpoint.formats);
    let parameters: Vec<_> = PARAMETERS
        .iter()
        .filter(taken)
        .map(|parameter| {
            let mut described = json!({
                "name": parameter.name,
                "in": "query",
                "description": described(parameter, profile),
                "schema": schema(parameter),
            });
            if parameter.kind == ParameterKind::Columns {
                described["explode"] = false.into();
            }
            described
        })
        .collect();
    let properties: Map<_, _> = PARAMETERS
        .iter()
        .filter(taken)
        .map(|parameter| {
            let mut schema = schema(parameter);
            schema["description"] = described(parameter, profile).into();
            (parameter.name.to_owned(), schema)
        })
        .collect();
    let form = json!({
        "description": "The same parameters, for values that should not stand in an access log.",
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "properties": properties, "additionalProperties": false},
                // Between commas, as in the query (OpenAPI 3.1.0, section 4.8.15).
                "encoding": {"fields": {"style": "form", "explode": false}},
            },
        },
    });

    let mut get = export_operation(profile, endpoint, "get");
    get["parameters"] = parameters.into();
    let mut head = export_operation(profile, endpoint, "head");
    head["parameters"] = get["parameters"].clone();
    let mut post = export_operation(profile, endpoint, "post");
    post["requestBody"] = form;
    json!({"get": get, "head": head, "post": post})
}

/// What a parameter does, and who may give it.
fn described(parameter: &Parameter, profile: &Profile) -> String {
    let values = match parameter.kind {
        ParameterKind::Time => ": RFC 3339 with offset, or a date or month (UTC)",
        _ => "",
    };
    let description = format!("{}{values}.", parameter.description);
    match parameter.column.as_ref().filter(|column| !profile.answers_about(column)) {
        None => description,
        Some(column) => format!(
            "{description} Needs a key with the grant of an export that shows `{}` as it is.",
            column.name()
        ),
    }
}

fn export_operation(profile: &Profile, endpoint: &Endpoint, method: &str) -> Value {
    let name = &profile.name;
    let columns = profile.column_names();
    let text_header = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    let mut responses = json!({
        "200": {
            "description": format!("All matching users, ascending by id. The columns are {}.", columns.join(", ")),
            "headers": {
                "Content-Disposition": text_header("The name of the file (RFC 6266)."),
                "Trailer": text_header(receipts::TRAILERS),
                "X-Export-Id": text_header("The id of the audit record."),
                "X-Request-Id": text_header("The id under which the request stands in the log."),
            },
            "content": content(endpoint.formats),
        },
    });
    for (status, description) in [
        (
            "400",
            "A parameter is unknown, repeated or has a bad value, a `GET` has a body, or a part is asked for (Range).",
        ),
        ("401", "No key, or one that is unknown, malformed, expired or revoked."),
        (
            "403",
            "The feature is switched off, the key lacks the grant, or a parameter asks about a column that the key may not see.",
        ),
        (
            "429",
            "Too many failed keys from this address, too many requests or exports at a time with this key, or too few rows left for it today.",
        ),
        ("500", "Unexpected; the log has the cause under the request id."),
        ("503", "All export slots are busy, or the source or the store is not available."),
        ("505", "HTTP/1.0, in which a cut transfer would look complete."),
    ] {
        responses[status] = error_response(description);
    }
    let (summary, operation) = match method {
        "get" => (format!("Export users ({name})"), "export"),
        "head" => (format!("Check an export without running it ({name})"), "check"),
        _ => (format!("Export users, parameters as a form ({name})"), "exportByForm"),
    };
    // A built-in export is there twice.
    let of_path = if profile.csv_path.is_some_and(|path| path != endpoint.path) { "-profile" } else { "" };
    json!({
        "operationId": format!("{operation}-{name}{of_path}"),
        "summary": summary,
        "description": format!(
            "Needs the feature flag `{0}` and a key with the grant `{0}`.",
            profile.grant
        ),
        "tags": ["exports"],
        "security": [{"bearer": []}, {"apiKey": []}],
        "responses": responses,
    })
}

/// What an export is answered with: itself, or what it would be.
fn content(formats: Formats) -> Value {
    let preflight = json!({"$ref": "#/components/schemas/Preflight"});
    let mut content = Map::new();
    for format in formats.offered {
        let schema = match format {
            FormatName::Json => json!({"anyOf": [{"type": "array", "items": {"type": "object"}}, preflight]}),
            text if text.is_text() => json!({"type": "string"}),
            // Bytes (OpenAPI 3.1.0, section 4.8.14.1).
            _ => json!({}),
        };
        content.insert(format.media_type().to_owned(), json!({"schema": schema}));
    }
    content.entry("application/json").or_insert(json!({"schema": preflight}));
    content.into()
}

/// A name in any letter case, or nothing.
fn format_pattern(formats: Formats) -> String {
    let any_case = |letter: char| format!("[{letter}{}]", letter.to_ascii_uppercase());
    let names = formats.offered.iter().map(|format| format.name().chars().map(any_case).collect::<String>());
    format!("^({})?$", names.collect::<Vec<_>>().join("|"))
}

/// The JSON Schema of a parameter: as narrow as the parser.
fn schema(parameter: &Parameter, profile: &Profile, formats: Formats) -> Value {
    match parameter.kind {
        ParameterKind::Time => time_schema(),
        ParameterKind::Format => json!({
            "type": "string",
            "pattern": format_pattern(formats),
            "default": formats.default.name(),
        }),
        ParameterKind::Word(words) => json!({"type": "string", "enum": words, "default": words.first()}),
        ParameterKind::Text => json!({"type": "string", "pattern": NULL_TEXT}),
        ParameterKind::Columns => json!({
            "type": "array",
            "items": {"type": "string", "enum": profile.column_names()},
            "minItems": 1,
            "uniqueItems": true,
        }),
        ParameterKind::Count => {
            json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX})
        }
        ParameterKind::Address => json!({"type": "string", "pattern": NO_BLANKS}),
        // How ids look is the table's affair.
        ParameterKind::Id => json!({"type": "string", "minLength": 1}),
        ParameterKind::Boolean { default: None } => json!({"type": "boolean"}),
        ParameterKind::Boolean { default } => json!({"type": "boolean", "default": default}),
    }
}

/// A time, as a parameter.
fn time_schema() -> Value {
    let time = json!({"type": "string", "format": "date-time"});
    let date = json!({"type": "string", "format": "date"});
    let month = json!({"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"});
    json!({"anyOf": [time, date, month]})
}

/// Values of an enumeration of names that may be missing.
fn or_null<const N: usize>(names: [&str; N]) -> Vec<Value> {
    names.into_iter().map(Value::from).chain([Value::Null]).collect()
}

fn probe_path(path: &str, summary: &str, answer: &Value, errors: &[&str]) -> Value {
    let properties: Map<_, _> = answer
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), json!({"type": "string", "const": value})))
        .collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    let schema = json!({"type": "object", "required": required, "properties": properties});
    let mut responses = json!({
        "200": {"description": "Yes.", "content": {"application/json": {"schema": schema}}},
    });
    for error in errors {
        let description =
            if *error == "403" { "The feature is switched off." } else { "Something does not answer." };
        responses[*error] = error_response(description);
    }
    json!({"get": {"operationId": operation_id(path), "summary": summary, "tags": ["probes"], "responses": responses}})
}

fn plain_path(path: &str, summary: &str, content_type: &str) -> Value {
    let schema = if content_type == "application/json" { "object" } else { "string" };
    json!({"get": {
        "operationId": operation_id(path),
        "summary": summary,
        "tags": ["probes"],
        "responses": {"200": {
            "description": summary,
            "content": {content_type: {"schema": {"type": schema}}},
        }},
    }})
}

fn operation_id(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn error_response(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text(&[Profile::minimal(), Profile::full()].map(Arc::new)),
            "renew it with: cargo run -- openapi > openapi.json"
        );
    }
}
