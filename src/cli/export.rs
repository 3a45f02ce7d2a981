//! `export minimal|full`

use super::terminal::{self, tell};
use super::{
    Usage, open_exporter, open_source, open_store, print_json, profile_named, receipts, signals, verify,
};
use crate::config::Config;
use crate::export::{ExportBody, Exporter, StartError, Terms};
use crate::links;
use crate::plan::Plan;
use crate::source::SourceError;
use crate::store::Store;
use crate::store::audit::{self, Outcome};
use crate::telemetry;
use crate::timestamp::Timestamp;
use anyhow::{Context, bail};
use clap::Args;
use http_body_util::BodyExt;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which: 'minimal' is id, email, name; 'full' is all seven columns; others are declared in the configuration
    #[arg(value_name = "minimal|full|NAME")]
    profile: String,
    /// Write to FILE, which appears when it is complete [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    fn check(self, rows: u64, target: Option<&Target>) -> anyhow::Result<()> {
        let name = target.map(|target| target.name.display().to_string());
        if let Some(least) = self.min_rows.filter(|least| rows < *least) {
            let left = name.map_or_else(String::new, |name| format!("; {name} is left as it was"));
            bail!("the export has {rows} users, and --min-rows wants {least}{left}");
        }
        let (Some(target), Some(name)) = (target, name) else { return Ok(()) };
        // Whatever the format is, one with users is larger than one without.
        if rows == 0 && !self.allow_empty && size(&target.path) > size(target.file.path()) {
            bail!(
                "the export has no users, and {name} holds more than that: it is left as it was; --allow-empty replaces it"
            );
        }
        Ok(())
    }
}

/// In bytes; 0 of a file that is not there.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The parameters of the endpoints, as texts; the plan reads both the same way.
#[derive(Debug, Args)]
struct Parameters {
    /// The format: csv
    #[arg(long)]
    format: Option<String>,
    /// Only the users with exactly this address, case included
    #[arg(long)]
    email: Option<String>,
    /// Which columns, separated by commas, in the order wanted
    #[arg(long, value_name = "NAME,…")]
    fields: Option<String>,
    /// Only users created at this time or later, as in 2025-01-08T10:30:00Z, or from a day (2025-01-08) or month (2025-01) on, in
    /// UTC
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only users created before this time
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Only users last changed at this time or later
    #[arg(long, value_name = "TIME")]
    updated_after: Option<String>,
    /// Only users last changed before this time
    #[arg(long, value_name = "TIME")]
    updated_before: Option<String>,
    /// Only active (true) or only inactive (false) users
    #[arg(long, value_name = "BOOL")]
    is_active: Option<String>,
    /// Only administrators (true) or only others (false)
    #[arg(long, value_name = "BOOL")]
    is_admin: Option<String>,
    /// At most so many users
    #[arg(long, value_name = "N")]
    limit: Option<String>,
    /// Only users whose id is greater than this
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    after: Option<String>,
    /// Start with a byte order mark, for Excel [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bom: Option<String>,
    /// Put a ' before text that a spreadsheet would take for a formula [default: true]
    #[arg(long, value_name = "BOOL")]
    sanitize: Option<String>,
}

impl Parameters {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            ("format", &self.format),
            ("email", &self.email),
            ("fields", &self.fields),
            ("created_after", &self.created_after),
            ("created_before", &self.created_before),
            ("updated_after", &self.updated_after),
            ("updated_before", &self.updated_before),
            ("is_active", &self.is_active),
            ("is_admin", &self.is_admin),
            ("limit", &self.limit),
            ("after", &self.after),
            ("bom", &self.bom),
            ("sanitize", &self.sanitize),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

const UNWRITTEN: &str = "the export cannot be written";
const STOPPED: &str = "stopped by a signal; the export is not complete";
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    // What goes wrong is said once, by the error that ends the command.
    telemetry::start_logging(config.log_format, "off");
    let profile = profile_named(&config, &arguments.profile)?;
    let mut plan =
        Plan::parse(profile, arguments.parameters.pairs()).map_err(|error| Usage(error.to_string()))?;
    plan.preflight = arguments.preflight;
    // Caught before anything is begun.
    let mut stopped = std::pin::pin!(signals::stop_or_hangup()?);
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
    let destination = Destination {
        output: arguments.output,
        receipts: arguments.receipt.then_some(store),
        expectation: arguments.expectation,
    };
    let mut running = tokio::spawn(perform(Arc::clone(&exporter), plan, destination));
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

/// Where an export goes.
struct Destination {
    /// `None`: stdout.
    output: Option<PathBuf>,
    /// Where to find the receipt, if one is wanted.
    receipts: Option<Store>,
    expectation: Expectation,
}

/// Does what the plan asks for.
async fn perform(exporter: Arc<Exporter>, plan: Plan, destination: Destination) -> anyhow::Result<()> {
    if plan.preflight {
        return preflight(&exporter, &plan).await;
    }
    export(exporter, plan, destination).await
}

async fn preflight(exporter: &Arc<Exporter>, plan: &Plan) -> anyhow::Result<()> {
    let mut draft = exporter.draft(audit_request(plan)).await?;
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
async fn export(exporter: Arc<Exporter>, plan: Plan, destination: Destination) -> anyhow::Result<()> {
    let Destination { output, receipts, expectation } = destination;
    let target = output.as_deref().map(Target::beside).transpose()?;
    // Both, before any user is read for a file that could not be kept.
    let receipt = match (receipts, &output) {
        (Some(store), Some(output)) => Some((store, Target::beside(&verify::beside(output))?)),
        _ => None,
    };
    let bar = progress_bar(&exporter, &plan, target.is_some()).await;
    let mut draft = exporter.draft(audit_request(&plan)).await?;
    draft.admit();
    let id = draft.request.id.clone();
    let body = exporter.start(plan, &mut draft, Terms::default()).await.map_err(refused)?;
    let Some(mut target) = target else {
        let rows = copy(body, &mut terminal::stdout(), &bar).await?;
        return expectation.check(rows, None);
    };
    let rows = copy(body, target.file.as_file_mut(), &bar).await?;
    expectation.check(rows, Some(&target))?;
    let name = target.name.display().to_string();
    let receipt = match receipt {
        Some((store, target)) => Some(write_receipt(&store, &id, target).await?),
        None => None,
    };
    target.finish()?;
    tell!("wrote {rows} users to {name}");
    if let Some(receipt) = receipt {
        let name = receipt.name.display().to_string();
        receipt.finish()?;
        tell!("wrote the receipt of export {id} to {name}");
    }
    Ok(())
}

async fn write_receipt(store: &Store, id: &str, mut target: Target) -> anyhow::Result<Target> {
    let receipt = receipts::of_export(store, id).await?;
    target.file.write_all(receipt.as_bytes()).context("the receipt cannot be written")?;
    Ok(target)
}

/// A bad `--after`, or an address that the database cannot hold, only shows there; it is bad usage all the same.
fn refused(error: StartError) -> anyhow::Error {
    match error {
        StartError::Source(SourceError::Parameter(error)) => Usage(error.to_string()).into(),
        // What it says is for the audit, which keeps it under a key.
        error => anyhow::anyhow!(audit::hidden(&error.to_string())),
    }
}

fn audit_request(plan: &Plan) -> audit::Request {
    let time = Timestamp::now();
    audit::Request {
        id: crate::fresh_id(time),
        time,
        endpoint: format!("cli export {}", plan.profile.name),
        key_id: None,
        key_name: None,
        client: "cli".to_owned(),
        request_id: None,
        filters: plan.summary(),
        columns: plan.column_names(),
    }
}

/// Writes the body out and returns how many users it had.
async fn copy(mut body: ExportBody, out: &mut (impl Write + Send), bar: &ProgressBar) -> anyhow::Result<u64> {
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the export is not complete")?;
        if let Some(bytes) = frame.data_ref() {
            // A slow reader of a pipe must hold up neither the runtime nor a signal.
            if let Err(error) = tokio::task::block_in_place(|| out.write_all(bytes)) {
                // Whoever reads a pipe may go, though not with an export that looks whole; a full disk is a failure.
                if error.kind() == ErrorKind::BrokenPipe {
                    anyhow::bail!("the export is not complete: its reader went away");
                }
                body.give_up(format!("{UNWRITTEN}: {error}")).await;
                return Err(error).context(UNWRITTEN);
            }
            bar.set_position(body.rows());
            bar.set_message(HumanBytes(body.bytes()).to_string());
        }
    }
    out.flush().context(UNWRITTEN)?;
    bar.finish_and_clear();
    Ok(body.rows())
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

/// A file that appears under its name only when it is complete.
struct Target {
    file: NamedTempFile,
    /// As it was given.
    name: PathBuf,
    /// Where that leads.
    path: PathBuf,
}

impl Target {
    fn beside(name: &Path) -> anyhow::Result<Self> {
        if name.exists() && !name.is_file() {
            bail!(
                "{} is not a regular file, so it cannot be replaced; write to stdout instead",
                name.display()
            );
        }
        let unwritable = || format!("{} cannot be written", name.display());
        // To what a link of ours points at: the link should stay.
        let path = links::follow(name).with_context(unwritable)?;
        let file = tempfile::Builder::new()
            .prefix(".headcount-")
            .suffix(".part")
            .tempfile_in(path.parent().unwrap_or(Path::new("/")))
            .map_err(|error| anyhow::anyhow!("{}: {}", unwritable(), error.kind()))?;
        Ok(Self { file, name: name.to_owned(), path })
    }

    fn finish(self) -> anyhow::Result<()> {
        let problem = || format!("{} cannot be written", self.name.display());
        self.file.as_file().sync_all().with_context(problem)?;
        self.file.persist(&self.path).with_context(problem)?;
        Ok(())
    }
}
