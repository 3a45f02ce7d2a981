//! Where an export by command goes: to stdout, or to a file and its receipt.

use super::{audit_request, refused};
use crate::cli::terminal::{self, tell};
use crate::cli::{receipts, verify};
use anyhow::{Context, bail};
use clap::Args;
use headcount_export::destination::{Compressed, Destination, LocalFile, TransferError, transfer};
use headcount_export::{ExportStream, Exporter, PendingRecord, StartError, Summary, Terms};
use headcount_model::compression::Compression;
use headcount_model::plan::{FormatName, Plan};
use headcount_model::text::hex;
use headcount_proof::receipt::StoredFile;
use headcount_source::SourceError;
use headcount_store::Store;
use headcount_store::audit::Outcome;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Where an export goes, and what is said of it.
pub(super) struct Delivery {
    /// `None`: stdout.
    pub(super) output: Option<PathBuf>,
    pub(super) compression: Option<Compression>,
    /// Where to find the receipt, if one is wanted.
    pub(super) receipts: Option<Store>,
    /// Its permissions, unless it keeps those that the system gives to a temporary file.
    pub(super) mode: Option<u32>,
    pub(super) is_quiet: bool,
    pub(super) expectation: Expectation,
}

/// How many users there have to be.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Expectation {
    /// Let an export of no users replace a FILE that holds some
    #[arg(long)]
    allow_empty: bool,
    /// Fail, and leave FILE as it was, if there are fewer than N users
    #[arg(long, value_name = "N")]
    min_rows: Option<u64>,
}

impl Expectation {
    /// Looks at an export that is complete; `None` is stdout.
    fn check(self, rows: u64, format: FormatName, file: Option<&LocalFile>) -> anyhow::Result<()> {
        let name = file.map(|file| file.name().display().to_string());
        if let Some(least) = self.min_rows.filter(|least| rows < *least) {
            let left = name.map_or_else(String::new, |name| format!("; {name} is left as it was"));
            bail!("the export has {rows} users, and --min-rows wants {least}{left}");
        }
        let (Some(file), Some(name)) = (file, name) else { return Ok(()) };
        if rows > 0 || self.allow_empty {
            return Ok(());
        }
        // What nobody is in is the same every time; what is no text may say when it was made.
        let is_empty = match format.is_text() {
            true => file.is_as_before().with_context(|| format!("{name} cannot be read"))?,
            false => file.is_as_large_as_before(),
        };
        if !is_empty {
            bail!(
                "the export has no users, and {name} may hold some: it is left as it was; --allow-empty replaces it"
            );
        }
        Ok(())
    }
}

/// Writes the export, and its receipt if one is wanted.
pub(super) async fn deliver(exporter: Arc<Exporter>, plan: Plan, delivery: Delivery) -> anyhow::Result<()> {
    let format = plan.format.name();
    let Delivery { output, compression, receipts, mode, is_quiet, expectation } = delivery;
    let destination = match &output {
        Some(name) => Output::File(LocalFile::at(name, mode)?),
        None => Output::Stdout(terminal::stdout()),
    };
    // Both, before any user is read for a file that could not be kept.
    let receipt = match (receipts, &output) {
        (Some(store), Some(output)) => Some((store, LocalFile::at(&verify::beside(output), mode)?)),
        _ => None,
    };
    let bar = match is_quiet {
        true => ProgressBar::hidden(),
        false => progress_bar(&exporter, &plan, output.is_some()).await,
    };
    let mut destination = Compressed::new(destination, compression)?;
    let mut draft = exporter.draft(audit_request(&exporter, &plan)).await?;
    draft.admit();
    let stream = match exporter.start(plan, &mut draft, Terms::default()).await {
        Ok(stream) => stream,
        Err(error) => {
            record_refusal(draft, &error).await;
            return Err(refused(error));
        }
    };
    let written = write_out(stream, &mut destination, &bar).await;
    let file = destination.destination().file();
    let checked = written.and_then(|summary| expectation.check(summary.rows, format, file).map(|()| summary));
    let summary = match checked {
        Ok(summary) => summary,
        Err(error) => {
            destination.abort(&error.to_string()).await;
            return Err(error);
        }
    };
    let receipt = match receipt {
        Some((store, file)) => {
            let (bytes, sha256) = destination.written(&summary);
            let stored = StoredFile { file_bytes: bytes, file_sha256: hex(&sha256) };
            Some(write_receipt(&store, &summary.id, stored, file).await?)
        }
        None => None,
    };
    let is_told = destination.destination().file().is_some() && !is_quiet;
    let name = destination.destination().name();
    commit(destination, &name, &summary).await?;
    if is_told {
        tell!("wrote {} users to {name}", summary.rows);
    }
    if let Some(file) = receipt {
        let name = file.name().display().to_string();
        commit(file, &name, &summary).await?;
        if is_told {
            tell!("wrote the receipt of export {} to {name}", summary.id);
        }
    }
    Ok(())
}

/// Records an export that did not begin, unless that is recorded already.
async fn record_refusal(mut draft: PendingRecord, error: &StartError) {
    if draft.is_recorded() {
        return;
    }
    let outcome = match error {
        StartError::TooManyRows { .. } | StartError::Source(SourceError::Parameter(_)) => Outcome::Denied,
        _ => Outcome::Failed,
    };
    // If that fails, the log says so.
    let _ = draft.close(outcome, Some(error.to_string())).await;
}

async fn write_receipt(
    store: &Store,
    id: &str,
    stored: StoredFile,
    mut file: LocalFile,
) -> anyhow::Result<LocalFile> {
    let receipt = receipts::of_export(store, id, Some(stored)).await?;
    file.write(receipt.as_bytes()).await.context("the receipt cannot be written")?;
    Ok(file)
}

async fn commit(destination: impl Destination, name: &str, summary: &Summary) -> anyhow::Result<()> {
    destination.commit(summary).await.with_context(|| format!("{name} cannot be written"))
}

/// What a command writes an export to.
enum Output {
    /// What a program that reads a pipe gets. It cannot be taken back: whoever reads it has to look at how this command exits.
    Stdout(Box<dyn Write + Send>),
    File(LocalFile),
}

impl Output {
    /// What messages call it.
    fn name(&self) -> String {
        self.file().map_or_else(|| "stdout".to_owned(), |file| file.name().display().to_string())
    }

    fn file(&self) -> Option<&LocalFile> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => Some(file),
        }
    }
}

impl Destination for Output {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            // A slow reader must hold up neither the runtime nor a signal.
            Self::Stdout(stdout) => tokio::task::block_in_place(|| stdout.write_all(bytes)),
            Self::File(file) => file.write(bytes).await,
        }
    }

    async fn commit(self, summary: &Summary) -> std::io::Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush(),
            Self::File(file) => file.commit(summary).await,
        }
    }

    async fn abort(self, reason: &str) {
        if let Self::File(file) = self {
            file.abort(reason).await;
        }
    }
}

/// Writes an export out, and shows how far it is.
async fn write_out(
    stream: ExportStream,
    destination: &mut Compressed<Output>,
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
        TransferError::Unwritten(error) => {
            let name = destination.destination().name();
            anyhow::anyhow!("the export cannot be written to {name}: {error}")
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
