//! Which type of `format` writes the format of a plan, and whether the rows fit it.

use super::{Exporter, StartError};
use headcount_format::Format;
use headcount_format::csv::Csv;
use headcount_format::json::Json;
use headcount_format::parquet::Parquet;
use headcount_format::xlsx::{self, Xlsx};
use headcount_model::plan::{Column, OutputFormat, Plan};
use headcount_model::value::Value;
use headcount_source::Gather;

/// Something that is done in a format, whichever it is.
pub(super) trait InFormat {
    type Output;

    fn run(self, format: impl Format) -> impl Future<Output = Self::Output> + Send;
}

/// Does it in the format of a plan. `about` is what a file says of itself, where its format has a place for that.
pub(super) async fn in_format<W: InFormat>(plan: &Plan, about: Vec<(String, String)>, work: W) -> W::Output {
    match &plan.format {
        OutputFormat::Csv(options) => work.run(Csv(options.clone())).await,
        OutputFormat::Ndjson => work.run(Json::Lines).await,
        OutputFormat::Json => work.run(Json::Array).await,
        OutputFormat::Parquet => work.run(Parquet::new(about, sorted_by(plan))).await,
        OutputFormat::Xlsx => work.run(Xlsx::default()).await,
    }
}

/// Where among the columns the ids are, in whose order the rows are.
fn sorted_by(plan: &Plan) -> Option<usize> {
    plan.columns.iter().position(|shown| shown.column == Column::ID && shown.mask.is_none())
}

/// Fewer users than this by the database's own statistics are taken for fewer than fit a sheet.
const SURELY_FEW: u64 = 900_000;

impl Exporter {
    /// Whether the format has room for the rows of a plan: asked for the one that is limited.
    ///
    /// # Errors
    ///
    /// It has not, or they cannot be counted.
    pub(super) async fn check_room(&self, plan: &Plan) -> Result<(), StartError> {
        let most = xlsx::MAX_ROWS;
        let is_limited = plan.limit.is_some_and(|limit| limit.cast_unsigned() <= most);
        if plan.format != OutputFormat::Xlsx || is_limited {
            return Ok(());
        }
        let estimate = self.source.estimate(plan).await?;
        if estimate.rows.is_some_and(|rows| rows <= SURELY_FEW) {
            return Ok(());
        }
        let counted =
            Plan { columns: vec![Column::ID.into()], limit: Some(most.cast_signed() + 1), ..plan.clone() };
        let count = |count: &mut u64, _: &[Value<'_>]| {
            *count += 1;
            Ok(())
        };
        let counted = self.source.scan(&counted, move |_| Gather::into(0, count)).await?;
        if counted.gathered > most { Err(StartError::TooManyRows { most }) } else { Ok(()) }
    }
}
