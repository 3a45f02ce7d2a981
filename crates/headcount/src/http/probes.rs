//! Is it there, can it work, what has it done.

use super::App;
use super::access::is_enabled;
use super::error::ApiError;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use headcount_model::plan::Plan;
use headcount_store::flags;
use std::sync::Arc;
use std::time::Duration;

pub(super) const ALIVE: &str = "/api/v1/users/export-alive";
pub(super) const SIMPLE: &str = "/api/v1/users/export-simple";

/// Long enough for a database that is busy, short enough for a load balancer.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn export_alive(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    flagged(&app, flags::ALIVE, serde_json::json!({"status": "users export alive"})).await
}

pub(super) async fn export_simple(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    flagged(&app, flags::SIMPLE, serde_json::json!({"users": "export simple status"})).await
}

async fn flagged(app: &App, flag: &str, answer: serde_json::Value) -> Result<Response, ApiError> {
    if is_enabled(app, flag).await? { Ok(json(&answer)) } else { Err(ApiError::FlagOff(flag.to_owned())) }
}

/// The process lives.
pub(super) async fn healthz() -> Response {
    json(&serde_json::json!({"status": "ok"}))
}

/// The store and the source answer, and the users table fits.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let unready = app.readiness.unready(|| look(Arc::clone(&app))).await.map_err(|_| ApiError::Internal)?;
    match unready.is_empty() {
        true => Ok(json(&serde_json::json!({"status": "ready"}))),
        false => Err(ApiError::NotReady(unready)),
    }
}

/// Looks at the store and the source, at each with one connection, and says which of them is not ready.
async fn look(app: Arc<App>) -> Vec<&'static str> {
    let store = tokio::time::timeout(READY_TIMEOUT, app.store.ping());
    let plan = Plan::covering(&app.config.profiles);
    let source = tokio::time::timeout(READY_TIMEOUT, app.exporter.source.check(&plan));
    let (store, source) = tokio::join!(store, source);
    let mut unready = Vec::new();
    for (what, problem) in [("store", problem(store)), ("source", problem(source))] {
        if let Some(problem) = problem {
            tracing::warn!(problem, "the {what} is not ready");
            unready.push(what);
        }
    }
    unready
}

/// What is wrong with an answer, if anything.
fn problem<E: std::fmt::Display>(
    answer: Result<Result<(), E>, tokio::time::error::Elapsed>,
) -> Option<String> {
    match answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", READY_TIMEOUT.as_secs())),
    }
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], app.scrapes.text(|| app.exporter.metrics.encode()))
        .into_response()
}

fn json(body: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
