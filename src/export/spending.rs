//! What an export takes from the budget of its key, while it runs.

use super::Exporter;
use crate::plan::Plan;
use crate::store::budgets::{Claim, Day};
use crate::store::{Store, StoreError};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// The most rows that are counted ahead of those that leave, so that not every chunk costs a write of the store.
const AHEAD: i64 = 100_000;
/// A page of no more rows is taken to be full: asking the database would cost more.
const PAGE: i64 = 1000;
/// How long the database may think about how many rows an export has.
const ESTIMATE_TIMEOUT: Duration = Duration::from_secs(3);

/// The budget that an export may draw on.
pub struct Allowance {
    pub store: Store,
    /// The id of the budget.
    pub budget: String,
    pub day: Day,
}

/// What one export takes from its budget. Rows are counted before they leave, and what was counted ahead is given back at the
/// end, even if that comes early.
pub(super) struct Spending {
    account: Account,
    /// Rows that left.
    spent: i64,
    /// Rows that are counted and have not left.
    left: i64,
    /// A task of its own: what it counts must be known, even if nobody waits for it any more.
    counting: Option<JoinHandle<Result<i64, StoreError>>>,
    closing: TaskTracker,
}

/// Where it is counted.
#[derive(Clone)]
struct Account {
    store: Store,
    claim: Claim,
    day: Day,
}

impl Exporter {
    /// Lets an export whose record is open draw on its budget. `None`: the rows that are left are those that running exports are
    /// expected to need.
    pub(super) async fn claim(
        &self,
        allowance: Allowance,
        plan: &Plan,
        export_id: &str,
    ) -> Result<Option<Spending>, StoreError> {
        let Allowance { store, budget, day } = allowance;
        let expected = self.expected_rows(plan).await;
        let Some(claim) = store.claim(&budget, export_id, day, expected).await? else { return Ok(None) };
        let account = Account { store, claim, day };
        Ok(Some(Spending { account, spent: 0, left: 0, counting: None, closing: self.closing.clone() }))
    }

    /// About how many rows the export has; `None` where the database cannot tell in time. If it does not answer at all, the
    /// scan will say so.
    async fn expected_rows(&self, plan: &Plan) -> Option<i64> {
        if let Some(limit) = plan.limit.filter(|limit| *limit <= PAGE) {
            return Some(limit);
        }
        let estimate = tokio::time::timeout(ESTIMATE_TIMEOUT, self.source.estimate(plan)).await;
        let rows = estimate.ok()?.ok()?.rows?;
        Some(i64::try_from(rows).unwrap_or(i64::MAX))
    }
}

impl Account {
    async fn count(self, needed: i64, ahead: i64) -> Result<i64, StoreError> {
        self.store.spend(&self.claim, self.day, needed, ahead).await
    }

    async fn give_back(self, rows: i64) -> Result<i64, StoreError> {
        self.store.give_back(&self.claim.budget, self.day, rows).await?;
        Ok(0)
    }
}

impl Spending {
    /// Whether so many rows may leave. If so, they are counted, and have to be [noted](Self::note_left) when they do.
    pub(super) fn poll_spend(
        &mut self,
        context: &mut Context<'_>,
        rows: u64,
    ) -> Poll<Result<bool, StoreError>> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        if self.left < rows {
            // Twice as much every time: few writes for many rows, and little ahead of few.
            let (needed, ahead) = (rows - self.left, self.spent.min(AHEAD));
            let (account, closing) = (&self.account, &self.closing);
            let counting =
                self.counting.get_or_insert_with(|| closing.spawn(account.clone().count(needed, ahead)));
            // A task that died counted nothing that is known.
            let counted = ready!(Pin::new(counting).poll(context)).unwrap_or(Ok(0));
            self.counting = None;
            let counted = counted?;
            if counted == 0 {
                return Poll::Ready(Ok(false));
            }
            self.left += counted;
        }
        Poll::Ready(Ok(true))
    }

    /// So many rows leave now.
    pub(super) fn note_left(&mut self, rows: u64) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.left -= rows;
        self.spent += rows;
    }

    /// Gives back what was counted ahead.
    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = std::mem::take(&mut self.left);
        if left > 0 {
            self.counting = Some(self.closing.spawn(self.account.clone().give_back(left)));
        }
        if let Some(giving) = &mut self.counting {
            let given = ready!(Pin::new(giving).poll(context));
            self.counting = None;
            if let Ok(Err(error)) = given {
                note(&error);
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        let (account, left, counting) = (self.account.clone(), self.left, self.counting.take());
        if left == 0 && counting.is_none() {
            return;
        }
        self.closing.spawn(async move {
            let counted = match counting {
                Some(counting) => counting.await.unwrap_or(Ok(0)).unwrap_or(0),
                None => 0,
            };
            if let Err(error) = account.give_back(left + counted).await {
                note(&error);
            }
        });
    }
}

fn note(error: &StoreError) {
    tracing::error!(%error, "rows that did not leave stay counted in the budget of their key");
}
