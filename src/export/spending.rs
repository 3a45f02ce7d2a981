//! What an export takes from the budget of its key, while it runs.

use super::Exporter;
use crate::store::budgets::Day;
use crate::store::{Store, StoreError};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// The most rows that are counted ahead of those that leave, so that not every chunk costs a write of the store.
const AHEAD: i64 = 100_000;

/// The budget of one export's key. Rows are counted before they leave, and what was counted ahead is given back at the
/// end, even if that comes early.
pub struct Spending {
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
    key_id: String,
    day: Day,
}

impl Exporter {
    /// The budget that the key has in this store on this day.
    pub fn spending(&self, store: &Store, key_id: &str, day: Day) -> Spending {
        let account = Account { store: store.clone(), key_id: key_id.to_owned(), day };
        Spending { account, spent: 0, left: 0, counting: None, closing: self.closing.clone() }
    }
}

impl Account {
    /// Counts `needed` rows and, if there are so many, some ahead; says how many, or 0 if not even those needed are left.
    async fn count(self, needed: i64, ahead: i64) -> Result<i64, StoreError> {
        for rows in [needed + ahead, needed] {
            if self.store.spend(&self.key_id, self.day, rows).await? {
                return Ok(rows);
            }
        }
        Ok(0)
    }

    async fn give_back(self, rows: i64) -> Result<i64, StoreError> {
        self.store.give_back(&self.key_id, self.day, rows).await?;
        Ok(0)
    }
}

impl Spending {
    /// Whether so many rows may leave. If so, they are counted.
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
        self.left -= rows;
        self.spent += rows;
        Poll::Ready(Ok(true))
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
