//! What an export would be, told before any of it leaves.

use super::Exporter;
use super::formats::{InFormat, in_format};
use headcount_format::{Assembler, Encoder, Format};
use headcount_model::mask::Mask;
use headcount_model::plan::{Plan, ProfileColumn};
use headcount_model::schema::Schema;
use headcount_model::sensitive::{self, Sensitivity};
use headcount_model::value::{Misfit, Value};
use headcount_source::{Gather, SourceError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows whose length is measured; none of them leaves.
const SAMPLE: i64 = 200;
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
        let row_bytes = tokio::time::timeout(SAMPLE_TIMEOUT, self.row_bytes(plan)).await;
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

    /// The mean length of the first records of the table, whatever the filters.
    async fn row_bytes(&self, plan: &Plan) -> Result<f64, SourceError> {
        in_format(plan, Vec::new(), Measuring { exporter: self, plan }).await
    }
}

struct Measuring<'a> {
    exporter: &'a Exporter,
    plan: &'a Plan,
}

impl InFormat for Measuring<'_> {
    type Output = Result<f64, SourceError>;

    async fn run(self, format: impl Format) -> Self::Output {
        let Self { exporter, plan } = self;
        let sample = Plan { filters: Vec::new(), after: None, limit: Some(SAMPLE), ..plan.clone() };
        let masks = exporter.masks(plan);
        let measure = move |schema: &Schema| {
            let empty = length(&mut *format.assembler(schema), Vec::new(), 0);
            let assembler = format.assembler(schema);
            let encoder = format.encoder(schema, masks);
            Gather::into(Measure { encoder, assembler, empty, buffer: Vec::new(), rows: 0 }, Measure::row)
        };
        let mut measured = exporter.source.scan(&sample, measure).await?.gathered;
        let ended = measured.encoder.finish(&mut measured.buffer);
        ended.map_err(|misfit| SourceError::Failed(misfit.problem))?;
        let Measure { mut assembler, empty, buffer, rows, .. } = measured;
        let whole = length(&mut *assembler, buffer, rows.into()).map_err(SourceError::Failed)?;
        let empty = empty.map_err(SourceError::Failed)?;
        Ok(whole.saturating_sub(empty) as f64 / f64::from(rows.max(1)))
    }
}

/// Of a file of one fragment.
fn length(assembler: &mut dyn Assembler, fragment: Vec<u8>, rows: u64) -> Result<usize, String> {
    let mut file = Vec::new();
    assembler.head(&mut file)?;
    if !fragment.is_empty() {
        file.extend_from_slice(&assembler.fragment(fragment.into(), rows)?);
    }
    assembler.tail(&mut file)?;
    Ok(file.len())
}

fn described(shown: &ProfileColumn) -> DescribedColumn {
    DescribedColumn {
        name: shown.shown_name().to_owned(),
        sensitivity: sensitive::sensitivity(shown.column.name()),
        mask: shown.mask,
    }
}

/// The few rows of a sample, for their length.
struct Measure<E> {
    encoder: E,
    assembler: Box<dyn Assembler>,
    /// The length of a file without rows.
    empty: Result<usize, String>,
    buffer: Vec<u8>,
    rows: u32,
}

impl<E: Encoder> Measure<E> {
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        self.encoder.row(&mut self.buffer, values)?;
        self.rows += 1;
        Ok(())
    }
}
