//! The audit as JSON, for auditors: a page of records, newest first.

use super::error::ApiError;
use super::receipts::admit_reader;
use super::{App, client, exports};
use crate::plan::{ParameterError, Profile};
use crate::store::audit::{Ending, Record, Selection};
use crate::store::keys::AUDIT_READ;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
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

#[derive(Serialize)]
pub(super) struct Page {
    exports: Vec<Record>,
    /// What `before` has to be for the next page; `null` after the last.
    next: Option<String>,
}

/// Answers a key with the grant.
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Json<Page>, ApiError> {
    let client = client::address(&app, &request);
    admit_reader(&app, request.headers(), client, RECORDS, |caller| caller.require(AUDIT_READ)).await?;
    let pairs = exports::decode(request.uri().query().unwrap_or_default().as_bytes())?;
    let mut selection = selection(&pairs)?;
    let limit = selection.limit.unwrap_or(PAGE);
    // One more, to know whether there is a next page.
    selection.limit = Some(limit + 1);
    let mut exports = app.store.records(&selection).await?;
    let is_last = exports.len() as i64 <= limit;
    exports.truncate(limit as usize);
    let next = exports.last().filter(|_| !is_last).map(|record| record.id.clone());
    Ok(Json(Page { exports, next }))
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
            "profile" => selection.endpoints = Profile::endpoints(value).into(),
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
