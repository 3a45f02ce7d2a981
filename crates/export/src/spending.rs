//! What an export takes from the budget of its key, while it runs.

use super::Exporter;
use headcount_model::plan::Plan;
use headcount_store::budgets::{Claim, Counted, Day, Spent};
use headcount_store::{Store, StoreError};
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
    account: OpenClaim,
    /// Rows that left.
    spent: i64,
    ahead: Ahead,
    /// A task of its own: what it counts must be known, even if nobody waits for it any more.
    counting: Option<JoinHandle<Result<Spent, StoreError>>>,
    closing: TaskTracker,
}

/// Whether rows may leave.
pub(super) enum Paid {
    Yes,
    /// So many are left of the budget that no other export is expected to need.
    No {
        left: i64,
    },
}

/// Rows that are counted and have not left.
#[derive(Clone, Copy)]
struct Ahead {
    rows: i64,
    /// The last day on which some were counted.
    day: Day,
    /// Those of days before, which leave first, and which nobody can give back: their day is over.
    of_days_before: i64,
}

impl Ahead {
    fn add(&mut self, counted: Counted) {
        if counted.day != self.day {
            (self.day, self.of_days_before) = (counted.day, self.rows);
        }
        self.rows += counted.rows;
    }

    fn leave(&mut self, rows: i64) {
        self.rows -= rows;
        self.of_days_before = (self.of_days_before - rows).max(0);
    }

    /// Takes what is to be given back.
    fn take(&mut self) -> Counted {
        let rows = self.rows - self.of_days_before;
        (self.rows, self.of_days_before) = (0, 0);
        Counted { rows, day: self.day }
    }
}

/// Where it is counted.
#[derive(Clone)]
struct OpenClaim {
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
        let account = OpenClaim { store, claim, day };
        let ahead = Ahead { rows: 0, day, of_days_before: 0 };
        Ok(Some(Spending { account, spent: 0, ahead, counting: None, closing: self.closing.clone() }))
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

/// Of a task that counted nothing that is known.
const NOTHING: Spent = Spent::Short(0);

impl OpenClaim {
    async fn count(self, needed: i64, ahead: i64) -> Result<Spent, StoreError> {
        self.store.spend(&self.claim, self.day, needed, ahead).await
    }

    async fn give_back(self, Counted { rows, day }: Counted) -> Result<Spent, StoreError> {
        self.store.give_back(&self.claim.budget, day, rows).await?;
        Ok(NOTHING)
    }
}

impl Spending {
    /// Whether so many rows may leave. If so, they are counted, and have to be [noted](Self::note_left) when they do.
    pub(super) fn poll_spend(
        &mut self,
        context: &mut Context<'_>,
        rows: u64,
    ) -> Poll<Result<Paid, StoreError>> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        if self.ahead.rows < rows {
            // Twice as much every time: few writes for many rows, and little ahead of few.
            let (needed, ahead) = (rows - self.ahead.rows, self.spent.min(AHEAD));
            let (account, closing) = (&self.account, &self.closing);
            let counting =
                self.counting.get_or_insert_with(|| closing.spawn(account.clone().count(needed, ahead)));
            let spent = ready!(Pin::new(counting).poll(context)).unwrap_or(Ok(NOTHING));
            self.counting = None;
            match spent? {
                Spent::Counted(counted) => self.ahead.add(counted),
                Spent::Short(left) => return Poll::Ready(Ok(Paid::No { left })),
            }
        }
        Poll::Ready(Ok(Paid::Yes))
    }

    /// So many rows leave now.
    pub(super) fn note_left(&mut self, rows: u64) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.ahead.leave(rows);
        self.spent += rows;
    }

    /// Gives back what was counted ahead.
    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.ahead.take();
        if left.rows > 0 {
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
        let (account, mut ahead, counting) = (self.account.clone(), self.ahead, self.counting.take());
        if ahead.rows == 0 && counting.is_none() {
            return;
        }
        self.closing.spawn(async move {
            if let Some(counting) = counting
                && let Ok(Ok(Spent::Counted(counted))) = counting.await
            {
                ahead.add(counted);
            }
            if let Err(error) = account.give_back(ahead.take()).await {
                note(&error);
            }
        });
    }
}

fn note(error: &StoreError) {
    tracing::error!(%error, "rows that did not leave stay counted in the budget of their key");
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_model::timestamp::Timestamp;

    fn day(number: i64) -> Day {
        Day::of(Timestamp::from_micros(number * 86_400 * 1_000_000).expect("a time"))
    }

    #[test]
    fn what_is_given_back_is_of_the_day_on_which_it_was_counted() {
        let (today, tomorrow) = (day(20_000), day(20_001));
        let unused = |mut ahead: Ahead| ahead.take();
        let mut ahead = Ahead { rows: 0, day: today, of_days_before: 0 };
        ahead.add(Counted { rows: 10, day: today });
        ahead.leave(4);
        assert_eq!(unused(ahead), Counted { rows: 6, day: today });
        ahead.add(Counted { rows: 10, day: tomorrow });
        assert_eq!(unused(ahead), Counted { rows: 10, day: tomorrow });
        ahead.leave(5);
        assert_eq!(unused(ahead), Counted { rows: 10, day: tomorrow });
        ahead.leave(2);
        assert_eq!(ahead.take(), Counted { rows: 9, day: tomorrow });
        assert_eq!(ahead.take(), Counted { rows: 0, day: tomorrow });
    }
}
