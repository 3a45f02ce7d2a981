//! The first users in the format of an export, of whom none leaves.

use super::formats::{InFormat, in_format};
use headcount_format::masks::Masks;
use headcount_format::{Assembler, Encoder, Format};
use headcount_model::plan::Plan;
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
use headcount_source::{Gather, Source, SourceError};

/// Rows that are read.
const SAMPLE: i64 = 200;

/// The mean length in bytes of the first 200 records of the table, whatever the filters.
///
/// # Errors
///
/// The source cannot be read, or one of the records does not fit its column or the format.
pub async fn row_bytes(source: &Source, plan: &Plan, masks: Option<Masks>) -> Result<f64, SourceError> {
    in_format(plan, Vec::new(), Measuring { source, plan, masks }).await
}

struct Measuring<'a> {
    source: &'a Source,
    plan: &'a Plan,
    masks: Option<Masks>,
}

impl InFormat for Measuring<'_> {
    type Output = Result<f64, SourceError>;

    async fn run(self, format: impl Format) -> Self::Output {
        let Self { source, plan, masks } = self;
        let sample = Plan { filters: Vec::new(), after: None, limit: Some(SAMPLE), ..plan.clone() };
        let measure = move |schema: &Schema| {
            let empty = length(&mut *format.assembler(schema), Vec::new(), 0);
            let assembler = format.assembler(schema);
            let encoder = format.encoder(schema, masks);
            Gather::into(Measure { encoder, assembler, empty, buffer: Vec::new(), rows: 0 }, Measure::row)
        };
        let mut measured = source.scan(&sample, measure).await?.gathered;
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

/// The few rows, for their length.
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
