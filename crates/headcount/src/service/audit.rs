//! The audit: records, one or a page of them.

use super::ServiceError;
use headcount_proof::receipt;
use headcount_store::Store;
use headcount_store::audit::{Record, Selection};
use serde::Serialize;

/// Some records, newest first.
#[derive(Debug, Serialize)]
pub struct Page {
    pub exports: Vec<Record>,
    /// What `before` has to be for the next page; `None` after the last.
    pub next: Option<String>,
}

/// At most so many of the records that are asked for.
///
/// # Errors
///
/// The store cannot be reached.
pub async fn page(store: &Store, selection: Selection, limit: i64) -> Result<Page, ServiceError> {
    // One more, to know whether there is a next page.
    let mut exports = store.records(&Selection { limit: Some(limit + 1), ..selection }).await?;
    let is_last = exports.len() as i64 <= limit;
    exports.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = exports.last().filter(|_| !is_last).map(|record| record.id.clone());
    Ok(Page { exports, next })
}

/// The record of an export, of which a receipt can be issued; `None` if there is no such export, or whoever asks may not see it.
///
/// # Errors
///
/// The store cannot be reached.
pub async fn find(
    store: &Store,
    id: &str,
    may_see: impl Fn(&Record) -> bool,
) -> Result<Option<Record>, ServiceError> {
    if !receipt::is_id(id) {
        return Ok(None);
    }
    Ok(store.find_record(id).await?.filter(may_see))
}
