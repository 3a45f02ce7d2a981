//! `export minimal|full`

mod content;
mod delivery;
mod parameters;

use super::terminal::tell;
use super::zone::Zone;
use super::{Usage, open_exporter, open_source, open_store, print_json, process, profile_named};
use crate::config::Config;
use crate::telemetry;
use anyhow::{Context, bail};
use clap::Args;
use content::{Ending, parse_compression};
use delivery::{Delivery, Expectation};
use headcount_export::{Exporter, StartError};
use headcount_files::owner;
use headcount_model::compression::Compression;
use headcount_model::plan::{Column, Filter, FormatName, Formats, Plan};
use headcount_model::text::fresh_id;
use headcount_model::timestamp::Timestamp;
use headcount_source::SourceError;
use headcount_store::Waiting;
use headcount_store::audit::{self, Outcome};
use parameters::{Parameters, Periods, TIMES, pairs, usage};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = TIMES)]
pub(super) struct Arguments {
    /// Which: 'minimal' is id, email, name; 'full' is all seven columns; others are declared in the configuration
    #[arg(value_name = "minimal|full|NAME")]
    profile: String,
    /// Write to FILE, which appears when it is complete; its end says the format, as in users.ndjson.gz [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compress with gzip or zstd [default: what the end of FILE says: .gz or .zst]
    #[arg(long, value_name = "HOW", value_parser = parse_compression)]
    compress: Option<Compression>,
    /// The permissions of FILE, and of its receipt [default: 0600]
    #[arg(long, value_name = "MODE", requires = "output", value_parser = parse_mode)]
    mode: Option<u32>,
    /// Say nothing but what goes wrong, as for cron
    #[arg(long)]
    quiet: bool,
    /// Also write the receipt, to FILE.receipt.json, once FILE is complete
    #[arg(long, requires = "output")]
    receipt: bool,
    /// Say what the export would be, as JSON, instead of exporting
    #[arg(long, conflicts_with = "output")]
    preflight: bool,
    #[command(flatten)]
    expectation: Expectation,
    #[command(flatten)]
    parameters: Parameters,
    #[command(flatten)]
    periods: Periods,
    #[command(flatten)]
    zone: Zone,
}

/// Permissions as chmod(1) takes them in octal. Whoever runs the command has to be able to read and replace the file.
fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| mode & !0o777 == 0 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| "expected permissions as in 0640 that let the owner read and write".to_owned())
}

/// Refuses to compress what is compressed already, and to write to a terminal what is no text.
fn check_compression(
    arguments: &Arguments,
    format: FormatName,
    compression: Option<Compression>,
) -> Result<(), Usage> {
    let (format, is_text) = (format.name(), format.is_text());
    let not_text = match compression.map(Compression::name) {
        Some(compression) if !is_text => {
            return Err(Usage(format!("a file of {format} is compressed already; leave {compression} out")));
        }
        None if is_text => return Ok(()),
        compressed => compressed.unwrap_or(format),
    };
    if arguments.output.is_none() && !arguments.preflight && std::io::stdout().is_terminal() {
        return Err(Usage(format!(
            "{not_text} is not for a terminal; write it to a file with --output FILE, or into a pipe"
        )));
    }
    Ok(())
}

const STOPPED: &str = "stopped by a signal; the export is not complete";
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    // What goes wrong is said once, by the error that ends the command.
    telemetry::start_logging(config.log_format, "off");
    let profile = profile_named(&config, &arguments.profile)?;
    let clock = arguments.zone.or(config.source.time_zone.clone())?;
    let ending = arguments.output.as_deref().map(Ending::of).transpose()?.unwrap_or_default();
    let formats = Formats::any(ending.format.unwrap_or(profile.format));
    let mut pairs = pairs(&arguments.parameters, &arguments.periods, &clock)?;
    if ending.has_tabs && pairs.iter().all(|(name, _)| *name != "delimiter") {
        pairs.push(("delimiter", "tab".to_owned()));
    }
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    let mut plan = Plan::parse(profile, formats, pairs).map_err(|error| usage(&error))?;
    plan.preflight = arguments.preflight;
    let is_null = |column: &Column| config.source.mapping.is_null(column);
    for column in plan.filters.iter().map(Filter::column).filter(is_null) {
        tell!("{} is NULL for everybody, so that a filter on it finds nobody", column.name());
    }
    let format = plan.format.name();
    if let Some(file) = &arguments.output {
        ending.check(file, format, arguments.compress)?;
    }
    let compression = arguments.compress.or(ending.compression);
    check_compression(&arguments, format, compression)?;
    // Caught before anything is begun.
    let mut stopped = std::pin::pin!(process::stop_or_hangup()?);
    // Without one, nothing is made for it.
    let source = open_source(&config)?;
    let opened = async {
        let store = open_store(&config, Waiting::Command).await?;
        let exporter = open_exporter(&config, source, &store).await?;
        anyhow::Ok((store, Arc::new(exporter)))
    };
    let (store, exporter) = tokio::select! {
        opened = opened => opened?,
        () = &mut stopped => bail!(STOPPED),
    };
    let delivery = Delivery {
        output: arguments.output,
        compression,
        receipts: arguments.receipt.then_some(store),
        mode: arguments.mode,
        is_quiet: arguments.quiet,
        expectation: arguments.expectation,
    };
    let mut running = tokio::spawn(perform(Arc::clone(&exporter), plan, delivery));
    let ended = tokio::select! {
        ended = &mut running => Some(ended),
        () = &mut stopped => None,
    };
    if ended.is_none() {
        exporter.break_off();
        running.abort();
    }
    let settling = async {
        if ended.is_none() {
            // With it goes the file that is not complete.
            let _ = running.await;
        }
        exporter.settled().await;
    };
    // An export that is stuck in writing to a pipe cannot be waited for; its record is settled by the next start.
    let _ = tokio::time::timeout(SETTLE_TIMEOUT, settling).await;
    match ended {
        Some(ended) => ended.context("the export died")?,
        None => bail!(STOPPED),
    }
}

/// Does what the plan asks for.
async fn perform(exporter: Arc<Exporter>, plan: Plan, delivery: Delivery) -> anyhow::Result<()> {
    if plan.preflight {
        return preflight(&exporter, &plan).await;
    }
    delivery::deliver(exporter, plan, delivery).await
}

async fn preflight(exporter: &Arc<Exporter>, plan: &Plan) -> anyhow::Result<()> {
    let mut draft = exporter.draft(audit_request(exporter, plan)).await?;
    draft.admit();
    match exporter.preflight(plan, &mut draft).await {
        Ok(described) => {
            draft.close(Outcome::Completed, Some("preflight".to_owned())).await??;
            print_json(&described)
        }
        Err(error) => {
            let _ = draft.close(Outcome::Failed, Some(error.to_string())).await;
            Err(refused(error))
        }
    }
}

/// A bad `--after`, or an address that the database cannot hold, only shows there; it is bad usage all the same.
fn refused(error: StartError) -> anyhow::Error {
    match error {
        StartError::Source(SourceError::Parameter(error)) => usage(&error).into(),
        // What it says is for the audit, which keeps it under a key.
        error => {
            let text = audit::hidden(&error.to_string());
            let remedy = if text.contains("permission denied") {
                "; 'headcount check' says what to GRANT"
            } else {
                ""
            };
            anyhow::anyhow!("{text}{remedy}")
        }
    }
}

fn audit_request(exporter: &Exporter, plan: &Plan) -> audit::Request {
    let time = Timestamp::now();
    let request = audit::Request::new(fresh_id(time), time, plan.profile.command(), "cli".to_owned());
    audit::Request {
        filters: plan.summary(),
        columns: plan.column_names(),
        scope: audit::Scope { system_user: Some(owner::this_user()), ..exporter.scope(plan) },
        ..request
    }
}
