//! `export minimal|full`

mod parameters;

use super::terminal::{self, tell};
use super::zone::Zone;
use super::{
    Usage, open_exporter, open_source, open_store, print_json, profile_named, receipts, signals, verify,
};
use crate::config::Config;
use crate::export::{ExportBody, Exporter, StartError, Terms};
use crate::links;
use crate::owner;
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
use parameters::{Parameters, Periods, TIMES, pairs, usage};
use std::fs::Permissions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;

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

const UNWRITTEN: &str = "the export cannot be written";
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
        mode: arguments.mode,
        is_quiet: arguments.quiet,
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
    /// Its permissions, unless it keeps those that the system gives to a temporary file.
    mode: Option<u32>,
    is_quiet: bool,
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
async fn export(exporter: Arc<Exporter>, plan: Plan, destination: Destination) -> anyhow::Result<()> {
    let Destination { output, receipts, mode, is_quiet, expectation } = destination;
    let target = output.as_deref().map(|name| Target::beside(name, mode)).transpose()?;
    // Both, before any user is read for a file that could not be kept.
    let receipt = match (receipts, &output) {
        (Some(store), Some(output)) => Some((store, Target::beside(&verify::beside(output), mode)?)),
        _ => None,
    };
    let bar = match is_quiet {
        true => ProgressBar::hidden(),
        false => progress_bar(&exporter, &plan, target.is_some()).await,
    };
    let mut draft = exporter.draft(audit_request(&exporter, &plan)).await?;
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
    if !is_quiet {
        tell!("wrote {rows} users to {name}");
    }
    if let Some(receipt) = receipt {
        let name = receipt.name.display().to_string();
        receipt.finish()?;
        if !is_quiet {
            tell!("wrote the receipt of export {id} to {name}");
        }
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
    audit::Request {
        id: crate::fresh_id(time),
        time,
        endpoint: plan.profile.command(),
        key_id: None,
        key_name: None,
        client: "cli".to_owned(),
        request_id: None,
        filters: plan.summary(),
        columns: plan.column_names(),
        scope: audit::Scope { system_user: Some(owner::this_user()), ..exporter.scope(plan) },
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
    fn beside(name: &Path, mode: Option<u32>) -> anyhow::Result<Self> {
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
            .map_err(|error| anyhow::anyhow!("{}: {}", unwritable(), why_unwritable(&path, &error)))?;
        if let Some(mode) = mode {
            // Whatever the umask is.
            file.as_file().set_permissions(Permissions::from_mode(mode)).with_context(unwritable)?;
        }
        Ok(Self { file, name: name.to_owned(), path })
    }

    fn finish(self) -> anyhow::Result<()> {
        let problem = || format!("{} cannot be written", self.name.display());
        self.file.as_file().sync_all().with_context(problem)?;
        self.file.persist(&self.path).with_context(problem)?;
        Ok(())
    }
}

/// Why there can be no file; without the name that it would have had until it is complete.
fn why_unwritable(path: &Path, error: &std::io::Error) -> String {
    let directory = path.parent().unwrap_or(Path::new("/"));
    match error.kind() {
        ErrorKind::NotFound => format!("there is no directory {}", directory.display()),
        ErrorKind::PermissionDenied => {
            let whose = owner::foreign(directory);
            whose.map_or_else(String::new, |of| {
                format!("{} belongs to {}, and this runs as {}; ", of.place.display(), of.owner, of.user)
            }) + "permission denied"
        }
        kind => kind.to_string(),
    }
}
