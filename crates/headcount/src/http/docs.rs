//! The OpenAPI document as a page: one response, no script, nothing loaded from elsewhere.

use super::{App, openapi};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    code,h2{font-family:ui-monospace,monospace}h2{font-size:1.1rem;margin-top:2.5rem;border-top:1px solid #8888}\
    h2 b{text-transform:uppercase}table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;\
    padding:.2rem 1rem .2rem 0}:root{color-scheme:light dark}";

pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    let page = app.docs.get_or_init(|| page(&openapi::document(&app.config.profiles)).into());
    (headers, page.clone()).into_response()
}

/// The page of a document.
pub(super) fn page(document: &Value) -> String {
    let info = &document["info"];
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Headcount API</title><style>{STYLE}</style><h1>{} {}</h1>",
        text(&info["title"]),
        text(&info["version"])
    );
    for paragraph in info["description"].as_str().unwrap_or_default().split("\n\n") {
        let _ = write!(html, "<p>{}</p>", escape(paragraph));
    }
    html.push_str("<p>For programs: <a href=\"/openapi.json\">openapi.json</a></p>");
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let _ = write!(html, "<h2><b>{}</b> {}</h2>", escape(method), escape(path));
            operation_section(&mut html, operation);
        }
    }
    html
}

fn operation_section(html: &mut String, operation: &Value) {
    let _ = write!(html, "<p>{}. {}</p>", text(&operation["summary"]), text(&operation["description"]));
    let parameters = operation["parameters"].as_array();
    let form = &operation["requestBody"];
    if let Some(parameters) = parameters {
        html.push_str("<table><tr><th>Parameter<th>Meaning");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code><td>{}",
                text(&parameter["name"]),
                text(&parameter["description"])
            );
        }
        html.push_str("</table>");
    } else if form.is_object() {
        let _ = write!(html, "<p>{}</p>", text(&form["description"]));
    }
    html.push_str("<table><tr><th>Status<th>Meaning");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let _ = write!(html, "<tr><td>{}<td>{}", escape(status), text(&response["description"]));
    }
    html.push_str("</table>");
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
