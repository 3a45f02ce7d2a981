//! Receipts of exports, for those who made them and for auditors; and the key that they are signed with, for everybody.

use super::App;
use super::access::{Caller, authenticate};
use super::client;
use super::error::ApiError;
use crate::service::audit;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use headcount_store::audit::Record;
use headcount_store::keys::AUDIT_READ;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) const RECEIPT: &str = "/api/v1/users/exports/{id}";
pub(super) const PUBLIC_KEY: &str = "/.well-known/headcount-receipt-key";

/// Answers with the receipt of an export. What is not there and what is somebody else's look the same.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let client = client::address(&app, &request);
    let caller = admit_reader(&app, request.headers(), client, RECEIPT, |_| Ok(())).await?;
    let Ok(Path(id)) = id else { return Err(ApiError::NotFound) };
    let record = audit::find(&app.store, &id, |record| may_see(&caller, record)).await?;
    let receipt = record.ok_or(ApiError::NotFound)?.receipt().issue(&app.receipt_key).map_err(|error| {
        tracing::error!(%error, "receipt");
        ApiError::Internal
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], receipt).into_response())
}

/// Finds out who wants to read what was exported, and whether they may. No export is asked for, so that there is no record; guessed
/// keys should be seen all the same.
pub(super) async fn admit_reader(
    app: &App,
    headers: &HeaderMap,
    client: IpAddr,
    endpoint: &'static str,
    may: impl FnOnce(&Caller) -> Result<(), ApiError>,
) -> Result<Caller, ApiError> {
    let caller = authenticate(app, headers, client, &mut None).await;
    let caller = caller.and_then(|caller| may(&caller).map(|()| caller));
    if let Err(error) = &caller {
        app.exporter.metrics.refused(error.metric_reason());
        tracing::info!(endpoint, %client, reason = error.metric_reason(), "refused");
    }
    caller
}

fn may_see(caller: &Caller, record: &Record) -> bool {
    record.key_id.as_ref() == Some(&caller.key_id) || caller.require(AUDIT_READ).is_ok()
}

/// Answers with the public key, as `SubjectPublicKeyInfo` in PEM.
pub(super) async fn public_key(State(app): State<Arc<App>>) -> Response {
    let pem = app.receipt_key.public().to_pem();
    ([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response()
}
