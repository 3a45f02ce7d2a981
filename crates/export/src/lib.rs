//! Runs exports: a slot, an audit record, a scan, a stream that settles the record at its end.

mod account;
pub mod destination;
mod formats;
mod stream;
pub mod metrics;
mod pending_record;
mod preflight;
mod reader;
mod relay;
mod sample;
mod scope;
mod slots;
mod spending;
mod spool;
mod writer;

pub use account::Stall;
pub use pending_record::PendingRecord;
pub use preflight::{DescribedColumn, Preflight};
pub use sample::row_bytes;
pub use slots::{IN_FLIGHT_PER_SLOT, SlotLimits};
pub use spending::Allowance;
pub use spool::SpoolLimits;
pub use stream::{Broken, ExportStream, Summary};

use account::Account;
use formats::{InFormat, in_format};
use headcount_format::Format;
use headcount_format::masks::Masks;
use headcount_model::mask::PseudonymKey;
use headcount_model::plan::{Plan, Profile};
use headcount_model::timestamp::Timestamp;
use headcount_source::{Source, SourceError};
use headcount_store::StoreError;
use headcount_store::audit::{AuditLog, Outcome};
use metrics::Metrics;
use pending_record::DRAFTS;
use relay::Relay;
use slots::Slots;
use spending::Spending;
use spool::Spools;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use writer::{PartWriters, Progress};

/// Parts that wait for the one before them, beside the one that is being read.
const PARTS_AHEAD: usize = 2;

const OVER_BUDGET: &str = "the key has too few rows left for today";
const CLAIMED: &str =
    "the rows that the key has left for today are those that its running exports are expected to need";

/// Everything that an export needs.
pub struct Exporter {
    pub source: Source,
    pub audit: AuditLog,
    pub metrics: Metrics,
    pseudonyms: PseudonymKey,
    /// Tells the time.
    clock: fn() -> Timestamp,
    /// The right to read the database.
    slots: Arc<Slots>,
    spools: Arc<Spools>,
    /// Places for drafts.
    drafts: Arc<Semaphore>,
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
    /// The rows that are left are fewer than it begins with.
    #[error("over budget")]
    OverBudget { left: i64 },
    #[error("{CLAIMED}")]
    Claimed,
    #[error("its rows could not be counted in the budget of the key: {0}")]
    Uncounted(StoreError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The format holds at most so many users.
    #[error("the format holds at most {most} users, and there are more")]
    TooManyRows { most: u64 },
    #[error("the task that starts exports died")]
    Died,
}

/// Who gets an export.
#[derive(Default)]
pub struct Terms {
    /// Asked when the caller goes early: whether it was cut off.
    pub stall: Stall,
    /// What the export costs; `None`: nothing.
    pub allowance: Option<Allowance>,
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
            slots: Slots::new(slots, metrics.slots.clone(), metrics.parked.clone()),
            spools: Spools::new(spools, metrics.spool.clone()),
            metrics,
            drafts: Arc::new(Semaphore::new(DRAFTS)),
            closing: TaskTracker::new(),
            breaking_off: CancellationToken::new(),
        }
    }

    /// Opens the audit record, starts the scan and waits for its first bytes, so that whatever fails before them can
    /// still be told from an export. Dropped, it stops the scan.
    ///
    /// # Errors
    ///
    /// There is no export. Where the draft is recorded the record says so already.
    pub async fn start(
        self: &Arc<Self>,
        plan: Plan,
        draft: &mut PendingRecord,
        terms: Terms,
    ) -> Result<ExportStream, StartError> {
        let slot = self.slot(draft).await?;
        self.check_room(&plan).await?;
        // In a task of its own, because half a write is none. An account that nobody takes any more is settled.
        let opening = Arc::clone(self).open(draft.hand_on(), Arc::clone(&plan.profile), terms.stall);
        let mut account = tokio::spawn(opening).await.map_err(|_| StartError::Died)??;
        let spending = self.spending(terms.allowance, &plan, &mut account).await?;
        let (progress, parts) = mpsc::channel(PARTS_AHEAD);
        let relay = Relay::new(parts, Arc::clone(&self.spools));
        relay.hold(slot);
        let about = account.about();
        let scan = tokio::spawn(scan(Arc::clone(self), plan, about, progress, Arc::clone(&relay)));
        ExportStream::begin(account, relay, scan.abort_handle(), spending).await
    }

    async fn open(
        self: Arc<Self>,
        draft: PendingRecord,
        profile: Arc<Profile>,
        stall: Stall,
    ) -> Result<Account, StoreError> {
        let request = draft.begin().await?;
        Ok(Account::open(self, profile, request, stall))
    }

    /// What the export takes from its budget, if it has one.
    async fn spending(
        &self,
        allowance: Option<Allowance>,
        plan: &Plan,
        account: &mut Account,
    ) -> Result<Option<Spending>, StartError> {
        let Some(allowance) = allowance else { return Ok(None) };
        let (outcome, error) = match self.claim(allowance, plan, account.id()).await {
            Ok(Some(spending)) => return Ok(Some(spending)),
            Ok(None) => (Outcome::Denied, StartError::Claimed),
            Err(error) => (Outcome::Failed, StartError::Uncounted(error)),
        };
        let _ = account.settle(outcome, Some(error.to_string())).await;
        Err(error)
    }

    /// Does everything that [`Exporter::start`] does but the export and its record: for `HEAD`.
    ///
    /// # Errors
    ///
    /// As an export would fail before its first row.
    pub async fn check(&self, plan: &Plan, draft: &mut PendingRecord) -> Result<(), StartError> {
        let _slot = self.slot(draft).await?;
        self.check_room(plan).await?;
        Ok(self.source.check(plan).await?)
    }

    /// Describes the export that a plan would be, instead of running and recording it.
    ///
    /// # Errors
    ///
    /// As an export would fail before its first row.
    pub async fn preflight(&self, plan: &Plan, draft: &mut PendingRecord) -> Result<Preflight, StartError> {
        let _slot = self.slot(draft).await?;
        self.check_room(plan).await?;
        Ok(self.describe(plan).await?)
    }

    /// A key of this deployment for another purpose than pseudonyms.
    pub fn derived_key(&self, purpose: &str) -> PseudonymKey {
        self.pseudonyms.derived(purpose)
    }

    /// The masks of the columns of a plan, if it has any.
    fn masks(&self, plan: &Plan) -> Option<Masks> {
        Masks::of(&self.pseudonyms, plan.columns.iter().map(|shown| shown.mask))
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

/// Reads the source for a stream in the format of the plan, and frees the slot when that is done and nothing is in memory of it but
/// the next chunk.
async fn scan(
    exporter: Arc<Exporter>,
    plan: Plan,
    about: Vec<(String, String)>,
    progress: mpsc::Sender<Progress>,
    relay: Arc<Relay>,
) {
    let scanning = Scanning { exporter: &exporter, plan: &plan, progress, relay: &relay };
    in_format(&plan, about, scanning).await;
    relay.handed_over().await;
    relay.park();
}

struct Scanning<'a> {
    exporter: &'a Exporter,
    plan: &'a Plan,
    progress: mpsc::Sender<Progress>,
    relay: &'a Relay,
}

impl InFormat for Scanning<'_> {
    type Output = ();

    async fn run(self, format: impl Format) {
        let Self { exporter, plan, progress, relay } = self;
        let writers = PartWriters::new(format, exporter.masks(plan), progress.clone());
        relay.run(exporter.source.scan_in_parts(plan, writers), progress).await;
    }
}

#[cfg(test)]
mod tests;
