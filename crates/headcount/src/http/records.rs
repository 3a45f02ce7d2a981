//! The audit as JSON, for auditors: a page of records, newest first.

use super::error::ApiError;
use super::receipts::admit_reader;
use super::{App, client, exports};
use crate::service::audit::{self, Page};
use axum::Json;
use axum::extract::{Request, State};
use headcount_model::plan::{ParameterError, Profile};
use headcount_model::timestamp::Timestamp;
use headcount_store::audit::{Ending, Selection};
use headcount_store::keys::AUDIT_READ;
use std::sync::Arc;

pub(super) const RECORDS: &str = "/api/v1/users/exports";

/// Records of a page, unless it says otherwise, and at most.
pub(super) const PAGE: i64 = 100;
pub(super) const MAX_PAGE: i64 = 1000;

/// The parameters, with what they are.
pub(super) const PARAMETERS: [(&str, &str); 7] = [
    ("since", "Only what began at this time or later: RFC 3339 with offset, or a date or month (UTC)."),
    ("until", "Only what began before this time."),
    ("key", "Only what was made with the key of this id or name."),
    ("profile", "Only this export: `minimal`, `full` or the name of a declared one."),
    ("outcome", "Only what ended like this; `running` is what has not ended."),
    ("limit", "At most so many records, from 1 to 1000; 100 where nothing is said."),
    ("before", "Only records older than the one with this id: the `next` of the page before."),
];

/// Answers a key with the grant.
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Json<Page>, ApiError> {
    let client = client::address(&app, &request);
    admit_reader(&app, request.headers(), client, RECORDS, |caller| caller.require(AUDIT_READ)).await?;
    let pairs = exports::decode(request.uri().query().unwrap_or_default().as_bytes())?;
    let selection = selection(&pairs)?;
    let limit = selection.limit.unwrap_or(PAGE);
    Ok(Json(audit::page(&app.store, selection, limit).await?))
}

fn selection(pairs: &[(String, String)]) -> Result<Selection, ParameterError> {
    let mut selection = Selection::default();
    let mut seen = Vec::new();
    for (name, value) in pairs {
        let Some((name, _)) = PARAMETERS.into_iter().find(|(known, _)| known == name) else {
            let names = PARAMETERS.map(|(name, _)| name);
            return Err(ParameterError::unknown(name, &names));
        };
        if seen.contains(&name) {
            return Err(ParameterError::Repeated(name));
        }
        seen.push(name);
        // PostgreSQL text cannot hold it.
        if value.contains('\0') {
            return Err(ParameterError::invalid(name, "must not contain a NUL character"));
        }
        let invalid = |problem| ParameterError::invalid(name, problem);
        match name {
            "since" => selection.since = Some(ParameterError::time(name, value)?),
            "until" => selection.until = Some(ParameterError::time(name, value)?),
            "key" => selection.key = Some(value.clone()),
            "profile" => selection.endpoints = Profile::recorded_as(value),
            "outcome" => selection.outcome = Some(Ending::parse(value).map_err(invalid)?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
                let limit =
                    limit.ok_or_else(|| invalid(format!("must be a whole number from 1 to {MAX_PAGE}")))?;
                selection.limit = Some(limit);
            }
            _ => selection.before = Some(value.clone()),
        }
    }
    if selection
        .since
        .zip(selection.until)
        .is_some_and(|(since, until): (Timestamp, Timestamp)| since >= until)
    {
        return Err(ParameterError::invalid("since", "must be earlier than 'until'"));
    }
    Ok(selection)
}
