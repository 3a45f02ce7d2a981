//! Runs exports: a slot, an audit record, a scan, a body that settles the record at its end.

mod account;
mod body;
mod preflight;
mod reader;
mod relay;
mod slots;
mod spending;
mod spool;
mod stall;
mod waiting;
mod writer;

pub use body::{Broken, ExportBody};
pub use preflight::Preflight;
pub use slots::SlotLimits;
pub use spending::Spending;
pub use spool::SpoolLimits;
pub use stall::Stall;

use crate::encode::mask::PseudonymKey;
use crate::plan::Plan;
use crate::source::{Source, SourceError};
use crate::store::StoreError;
use crate::store::audit::{AuditLog, Closing, Outcome, Request};
use crate::telemetry::Metrics;
use crate::timestamp::Timestamp;
use account::Account;
use relay::Relay;
use slots::Slots;
use spool::Spools;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use writer::{PartWriters, Progress};

/// Parts that wait for the one before them, beside the one that is being read.
const PARTS_AHEAD: usize = 2;

const OVER_BUDGET: &str = "the key has no rows left for today";

/// Everything that an export needs.
pub struct Exporter {
    pub source: Source,
    pub audit: AuditLog,
    pub metrics: Metrics,
    pseudonyms: PseudonymKey,
    /// Tells the time.
    clock: fn() -> Timestamp,
    slots: Arc<Slots>,
    spools: Arc<Spools>,
    closing: TaskTracker,
    breaking_off: CancellationToken,
}

/// Why no export started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("all export slots are busy")]
    Busy,
    #[error("the key runs as many exports as it may")]
    KeyBusy,
    #[error("{OVER_BUDGET}")]
    OverBudget,
    #[error("its rows could not be counted in the budget of the key: {0}")]
    Uncounted(StoreError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the task that starts exports died")]
    Died,
}

impl StartError {
    /// Whether the export had begun, so that there is a record of it.
    pub fn is_recorded(&self) -> bool {
        matches!(self, Self::Source(_) | Self::OverBudget | Self::Uncounted(_))
    }
}

/// Who gets an export.
#[derive(Default)]
pub struct Terms {
    /// Asked when the caller goes early: whether it was cut off.
    pub stall: Stall,
    /// What the export costs; `None`: nothing.
    pub spending: Option<Spending>,
}

impl Exporter {
    /// An exporter that runs so many exports at the same time, keeps so much for slow clients, and asks `clock` for the time.
    pub fn new(
        source: Source,
        audit: AuditLog,
        pseudonyms: PseudonymKey,
        slots: SlotLimits,
        spools: SpoolLimits,
        clock: fn() -> Timestamp,
    ) -> Self {
        let metrics = Metrics::default();
        Self {
            source,
            audit,
            pseudonyms,
            clock,
            slots: Slots::new(slots),
            spools: Spools::new(spools, metrics.spool.clone()),
            metrics,
            closing: TaskTracker::new(),
            breaking_off: CancellationToken::new(),
        }
    }

    /// Opens the audit record, starts the scan and waits for its first bytes, so that whatever fails before them can
    /// still be told from an export. Once it has begun it ends by itself, even if the caller is gone.
    ///
    /// # Errors
    ///
    /// There is no export. If [`StartError::is_recorded`] the record says so already; otherwise there is none.
    pub async fn start(
        self: &Arc<Self>,
        plan: Plan,
        request: Request,
        terms: Terms,
    ) -> Result<ExportBody, StartError> {
        let slot = self.slot(&request).await?;
        let exporter = Arc::clone(self);
        let starting = tokio::spawn(async move {
            exporter.audit.begin(&request).await?;
            let account =
                Account::open(Arc::clone(&exporter), Arc::clone(&plan.profile), request, slot, terms.stall);
            let (progress, parts) = mpsc::channel(PARTS_AHEAD);
            let relay = Relay::new(parts, Arc::clone(&exporter.spools));
            let scan = tokio::spawn(scan(exporter, plan, progress, Arc::clone(&relay)));
            ExportBody::begin(account, relay, scan.abort_handle(), terms.spending).await
        });
        starting.await.map_err(|_| StartError::Died)?
    }

    /// Does everything that [`Exporter::start`] does but the export: for `HEAD`.
    ///
    /// # Errors
    ///
    /// As an export would fail before its first row. Nothing is recorded then.
    pub async fn check(self: &Arc<Self>, plan: &Plan, request: &Request) -> Result<(), StartError> {
        let _slot = self.slot(request).await?;
        self.source.check(plan).await?;
        self.record_look(request, "head").await
    }

    /// Describes the export that a plan would be, instead of running it.
    ///
    /// # Errors
    ///
    /// As an export would fail before its first row. Nothing is recorded then.
    pub async fn preflight(
        self: &Arc<Self>,
        plan: &Plan,
        request: &Request,
    ) -> Result<Preflight, StartError> {
        let _slot = self.slot(request).await?;
        let described = self.describe(plan).await?;
        self.record_look(request, "preflight").await?;
        Ok(described)
    }

    /// Records a request that was answered without an export.
    async fn record_look(&self, request: &Request, reason: &str) -> Result<(), StartError> {
        let closing = Closing {
            outcome: Outcome::Completed,
            reason: Some(reason.to_owned()),
            rows: 0,
            bytes: 0,
            sha256: None,
            duration_ms: 0,
            snapshot_at: None,
            ended_at: (self.clock)(),
        };
        Ok(self.audit.record(request, &closing).await?)
    }

    /// Records a request that got no export, even if nobody waits for that.
    pub fn record(
        self: &Arc<Self>,
        request: Request,
        closing: Closing,
    ) -> JoinHandle<Result<(), StoreError>> {
        let exporter = Arc::clone(self);
        self.closing.spawn(async move { exporter.audit.record(&request, &closing).await })
    }

    /// From now on an export that is dropped was broken off by us, not by its client.
    pub fn break_off(&self) {
        self.breaking_off.cancel();
    }

    /// Waits until every export has ended and every record is written.
    pub async fn settled(&self) {
        self.closing.close();
        self.closing.wait().await;
        self.audit.flush().await;
    }
}

async fn scan(exporter: Arc<Exporter>, plan: Plan, progress: mpsc::Sender<Progress>, relay: Arc<Relay>) {
    let writers = PartWriters::new(plan.clone(), exporter.pseudonyms.clone(), progress.clone());
    relay.run(exporter.source.scan_in_parts(&plan, writers), progress).await;
}
