//! What an export would be, told before any of it leaves.

use super::Exporter;
use super::sample::row_bytes;
use headcount_model::mask::Mask;
use headcount_model::plan::{Plan, ProfileColumn};
use headcount_model::sensitive::{self, Sensitivity};
use headcount_source::SourceError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const SAMPLE_TIMEOUT: Duration = Duration::from_secs(2);

/// An export, described.
#[derive(Debug, Serialize)]
pub struct Preflight {
    pub export: String,
    pub columns: Vec<DescribedColumn>,
    /// The administrator's SQL that every user meets, by the name of its setting, as the audit keeps it.
    pub conditions: BTreeMap<String, String>,
    /// As the audit keeps them: an email is hashed.
    pub filters: serde_json::Map<String, serde_json::Value>,
    /// `null` where the database cannot tell in time.
    pub estimated_rows: Option<u64>,
    /// Of the content, from the length of the first rows of the table.
    pub estimated_bytes: Option<u64>,
    /// Whether the rows are found by an index, rather than by looking at all of them; `null` where the database does not tell.
    pub uses_index: Option<bool>,
    /// Whether the database has to sort them, so that the first comes only after all are read; `null` where it does not tell.
    pub sorts: Option<bool>,
}

/// A column of it.
#[derive(Debug, Serialize)]
pub struct DescribedColumn {
    pub name: String,
    pub sensitivity: Sensitivity,
    pub mask: Option<Mask>,
}

impl Exporter {
    /// Describes the export that a plan would be. The database is asked for its statistics, and a few rows are measured.
    ///
    /// # Errors
    ///
    /// As the export would fail before its first row.
    pub(super) async fn describe(&self, plan: &Plan) -> Result<Preflight, SourceError> {
        let estimate = self.source.estimate(plan).await?;
        let row_bytes =
            tokio::time::timeout(SAMPLE_TIMEOUT, row_bytes(&self.source, plan, self.masks(plan))).await;
        let bytes = match (estimate.rows, row_bytes) {
            (Some(rows), Ok(Ok(row_bytes))) => Some((rows as f64 * row_bytes) as u64),
            _ => None,
        };
        Ok(Preflight {
            export: plan.profile.name.clone(),
            columns: plan.columns.iter().map(described).collect(),
            conditions: self.conditions(plan),
            filters: self.audit.as_kept(plan.summary()),
            estimated_rows: estimate.rows,
            estimated_bytes: bytes,
            uses_index: estimate.uses_index,
            sorts: estimate.sorts,
        })
    }
}

fn described(shown: &ProfileColumn) -> DescribedColumn {
    DescribedColumn {
        name: shown.shown_name().to_owned(),
        sensitivity: sensitive::sensitivity(shown.column.name()),
        mask: shown.mask,
    }
}
