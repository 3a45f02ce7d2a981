//! `export minimal|full`

mod parameters;

use super::terminal::{self, tell};
use super::zone::Zone;
use super::{
    Usage, open_exporter, open_source, open_store, print_json, process, profile_named, receipts, verify,
};
use crate::config::Config;
use crate::telemetry;
use anyhow::{Context, bail};
use clap::Args;
use headcount_export::destination::{Destination, LocalFile, TransferError, transfer};
use headcount_export::{ExportStream, Exporter, StartError, Summary, Terms};
use headcount_files::owner;
use headcount_model::plan::Plan;
use headcount_model::text::fresh_id;
use headcount_model::timestamp::Timestamp;
use headcount_source::SourceError;
use headcount_store::Store;
use headcount_store::audit::{self, Outcome};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use parameters::{Parameters, Periods, TIMES, pairs, usage};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = TIMES)]
pub(super) struct Arguments {
    /// Which: 'minimal' is id, email, name; 'full' is all seven columns; others are declared in the configuration
    #[arg(value_name = "minimal|full|NAME")]
    profile: String,
    /// Write to FILE, which appears when it is complete [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
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

/// How many users there have to be.
#[derive(Clone, Copy, Debug, Args)]
struct Expectation {
    /// Let an export of no users replace a FILE that holds some
    #[arg(long)]
    allow_empty: bool,
    /// Fail, and leave FILE as it was, if there are fewer than N users
    #[arg(long, value_name = "N")]
    min_rows: Option<u64>,
}

impl Expectation {
    /// Looks at an export that is complete; `None` is stdout.
    fn check(self, rows: u64, file: Option<&LocalFile>) -> anyhow::Result<()> {
        let name = file.map(|file| file.name().display().to_string());
        if let Some(least) = self.min_rows.filter(|least| rows < *least) {
            let left = name.map_or_else(String::new, |name| format!("; {name} is left as it was"));
            bail!("the export has {rows} users, and --min-rows wants {least}{left}");
        }
        let (Some(file), Some(name)) = (file, name) else { return Ok(()) };
        // Whatever the format is, one with users is larger than one without.
        if rows == 0 && !self.allow_empty && file.is_smaller_than_before() {
            bail!(
                "the export has no users, and {name} holds more than that: it is left as it was; --allow-empty replaces it"
            );
        }
        Ok(())
    }
}

/// Permissions as chmod(1) takes them in octal. Whoever runs the command has to be able to read and replace the file.
fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| mode & !0o777 == 0 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| "expected permissions as in 0640 that let the owner read and write".to_owned())
}

/// Endings of files that are no CSV.
const OTHER_FORMATS: [&str; 18] = [
    "xlsx", "xls", "xlsm", "ods", "json", "jsonl", "ndjson", "parquet", "xml", "html", "pdf", "db", "sqlite",
    "gz", "zst", "bz2", "xz", "zip",
];

/// Refuses a file whose name says that it is something else than what will be in it.
fn check_ending(file: &Path) -> Result<(), Usage> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.filter(|ending| OTHER_FORMATS.contains(&ending.as_str())) {
        Some(ending) => Err(Usage(format!(
            "{}: an export is CSV, and .{ending} is something else; name the file {}",
            file.display(),
            file.with_extension("csv").display()
        ))),
        None => Ok(()),
    }
}

const STOPPED: &str = "stopped by a signal; the export is not complete";
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    // What goes wrong is said once, by the error that ends the command.
    telemetry::start_logging(config.log_format, "off");
    let profile = profile_named(&config, &arguments.profile)?;
    let clock = arguments.zone.or(config.source.time_zone.clone())?;
    let pairs = pairs(&arguments.parameters, &arguments.periods, &clock)?;
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    let mut plan = Plan::parse(profile, pairs).map_err(|error| usage(&error))?;
    plan.preflight = arguments.preflight;
    arguments.output.as_deref().map(check_ending).transpose()?;
    // Caught before anything is begun.
    let mut stopped = std::pin::pin!(process::stop_or_hangup()?);
    // Without one, nothing is made for it.
    let source = open_source(&config)?;
    let opened = async {
        let store = open_store(&config).await?;
        let exporter = open_exporter(&config, source, &store).await?;
        anyhow::Ok((store, Arc::new(exporter)))
    };
    let (store, exporter) = tokio::select! {
        opened = opened => opened?,
        () = &mut stopped => bail!(STOPPED),
    };
    let delivery = Delivery {
        output: arguments.output,
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

/// Where an export goes, and what is said of it.
struct Delivery {
    /// `None`: stdout.
    output: Option<PathBuf>,
    /// Where to find the receipt, if one is wanted.
    receipts: Option<Store>,
    /// Its permissions, unless it keeps those that the system gives to a temporary file.
    mode: Option<u32>,
    is_quiet: bool,
    expectation: Expectation,
}

/// Does what the plan asks for.
async fn perform(exporter: Arc<Exporter>, plan: Plan, delivery: Delivery) -> anyhow::Result<()> {
    if plan.preflight {
        return preflight(&exporter, &plan).await;
    }
    export(exporter, plan, delivery).await
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

/// Writes the export, and its receipt if one is wanted.
async fn export(exporter: Arc<Exporter>, plan: Plan, delivery: Delivery) -> anyhow::Result<()> {
    let Delivery { output, receipts, mode, is_quiet, expectation } = delivery;
    let file = output.as_deref().map(|name| LocalFile::at(name, mode)).transpose()?;
    // Both, before any user is read for a file that could not be kept.
    let receipt = match (receipts, &output) {
        (Some(store), Some(output)) => Some((store, LocalFile::at(&verify::beside(output), mode)?)),
        _ => None,
    };
    let bar = match is_quiet {
        true => ProgressBar::hidden(),
        false => progress_bar(&exporter, &plan, file.is_some()).await,
    };
    let mut draft = exporter.draft(audit_request(&exporter, &plan)).await?;
    draft.admit();
    let stream = exporter.start(plan, &mut draft, Terms::default()).await.map_err(refused)?;
    let Some(mut file) = file else {
        let mut stdout = Stdout(terminal::stdout());
        let summary = write_out(stream, &mut stdout, &bar).await?;
        stdout.commit(&summary).await.context("the export cannot be written")?;
        return expectation.check(summary.rows, None);
    };
    let written = write_out(stream, &mut file, &bar).await;
    let checked = written.and_then(|summary| expectation.check(summary.rows, Some(&file)).map(|()| summary));
    let summary = match checked {
        Ok(summary) => summary,
        Err(error) => {
            file.abort(&error.to_string()).await;
            return Err(error);
        }
    };
    let receipt = match receipt {
        Some((store, file)) => Some(write_receipt(&store, &summary.id, file).await?),
        None => None,
    };
    let wrote = format!("wrote {} users to {}", summary.rows, file.name().display());
    commit(file, &summary).await?;
    if !is_quiet {
        tell!("{wrote}");
    }
    if let Some(file) = receipt {
        let wrote = format!("wrote the receipt of export {} to {}", summary.id, file.name().display());
        commit(file, &summary).await?;
        if !is_quiet {
            tell!("{wrote}");
        }
    }
    Ok(())
}

async fn write_receipt(store: &Store, id: &str, mut file: LocalFile) -> anyhow::Result<LocalFile> {
    let receipt = receipts::of_export(store, id).await?;
    file.write(receipt.as_bytes()).await.context("the receipt cannot be written")?;
    Ok(file)
}

async fn commit(file: LocalFile, summary: &Summary) -> anyhow::Result<()> {
    let name = file.name().to_owned();
    file.commit(summary).await.with_context(|| format!("{} cannot be written", name.display()))
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

/// What a program that reads a pipe gets. It cannot be taken back: whoever reads it has to look at how this command exits.
struct Stdout<W>(W);

impl<W: Write + Send> Destination for Stdout<W> {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // A slow reader must hold up neither the runtime nor a signal.
        tokio::task::block_in_place(|| self.0.write_all(bytes))
    }

    async fn commit(mut self, _: &Summary) -> std::io::Result<()> {
        self.0.flush()
    }

    async fn abort(self, _: &str) {}
}

/// Writes an export out, and shows how far it is.
async fn write_out(
    stream: ExportStream,
    destination: &mut impl Destination,
    bar: &ProgressBar,
) -> anyhow::Result<Summary> {
    let written = transfer(stream, destination, |rows, bytes| {
        bar.set_position(rows);
        bar.set_message(HumanBytes(bytes).to_string());
    });
    let summary = written.await.map_err(|error| match error {
        TransferError::Unwritten(error) if error.kind() == ErrorKind::BrokenPipe => {
            anyhow::anyhow!("the export is not complete: its reader went away")
        }
        error => error.into(),
    })?;
    bar.finish_and_clear();
    Ok(summary)
}

/// Rows, bytes, rate and, where the number of rows is known, the estimated end; hidden where nobody would see it.
async fn progress_bar(exporter: &Exporter, plan: &Plan, to_file: bool) -> ProgressBar {
    let would_mix = !to_file && std::io::stdout().is_terminal();
    if would_mix || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match exporter.source.estimate(plan).await.ok().and_then(|estimate| estimate.rows) {
        Some(rows) => (
            ProgressBar::new(rows),
            "{bar:30} {human_pos} of about {human_len} users, {msg}, {per_sec}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} users, {msg}, {per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
