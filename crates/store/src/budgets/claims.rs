//! Several exports that draw on one budget at the same time: the first ones get what they are expected to need, so that not all
//! of them run dry before their ends.

use super::Day;
use crate::{Store, StoreError, in_time};
use sqlx::{AnyConnection, Row};

/// The place of a running export among those that draw on the same budget.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The id of the budget.
    pub budget: String,
    export_id: String,
    /// Those with a lower one come first.
    number: i64,
}

/// What became of rows that were to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    Counted(Counted),
    /// Too few are left: so many that no running export is expected to need.
    Short(i64),
}

/// Rows that are counted, on which day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub rows: i64,
    pub day: Day,
}

/// Claims of exports that do not run any more, as their records are settled, and of days that are over.
const FORGET: &str = "DELETE FROM headcount_budget_claims WHERE budget = $1 AND (day < $2 OR NOT EXISTS \
                      (SELECT 1 FROM headcount_audit WHERE id = export_id AND outcome IS NULL))";

/// Rows that other running exports than $3, which has the number $2, are still expected to need on the day $4: those before it,
/// and all. One of a day that is over may have a number that was given again.
const CLAIMED: &str = "SELECT CAST(COALESCE(SUM(row_count), 0) AS BIGINT) AS by_all, \
                       CAST(COALESCE(SUM(CASE WHEN number < $2 THEN row_count ELSE 0 END), 0) AS BIGINT) AS earlier \
                       FROM headcount_budget_claims WHERE budget = $1 AND export_id <> $3 AND day >= $4 AND EXISTS \
                       (SELECT 1 FROM headcount_audit WHERE id = export_id AND outcome IS NULL)";

struct Claimed {
    earlier: i64,
    by_all: i64,
}

impl Store {
    /// Lets an export whose record is open draw on a budget, of which it is expected to need so many rows; `None`: nobody
    /// knows. What it is expected to need is kept for it from those that claim later. Returns `None` if those before it
    /// leave less than half of that, which may be more than there is without them, too.
    pub async fn claim(
        &self,
        budget: &str,
        export_id: &str,
        today: Day,
        expected: Option<i64>,
    ) -> Result<Option<Claim>, StoreError> {
        in_time(async {
            let (_guard, mut transaction) = self.begin_write().await?;
            let (left, day) = self.lock_budget(&mut transaction, budget, today).await?;
            sqlx::query(FORGET).bind(budget).bind(day.0).execute(&mut *transaction).await?;
            let number = 1 + highest(&mut transaction, budget).await?;
            let claim = Claim { budget: budget.to_owned(), export_id: export_id.to_owned(), number };
            let claimed = claimed(&mut transaction, &claim, day).await?.by_all;
            let free = (left - claimed).max(0);
            // Where nobody knows it leaves as much to others.
            let wanted = expected.unwrap_or((free / 2).max(1));
            if claimed > 0 && free < wanted - wanted / 2 {
                return Ok(None);
            }
            let sql = "INSERT INTO headcount_budget_claims (export_id, budget, number, row_count, day) \
                       VALUES ($1, $2, $3, $4, $5)";
            let insert = sqlx::query(sql).bind(export_id).bind(budget).bind(number).bind(wanted.min(free));
            insert.bind(day.0).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(Some(claim))
        })
        .await
    }

    /// Counts `needed` rows, and so many of `ahead` as no other export is expected to need, unless not even those needed are left,
    /// but for what exports before this one are expected to need. The day on which they count is today, or a later one that has
    /// begun.
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The rows may be counted or not.
    pub async fn spend(
        &self,
        claim: &Claim,
        today: Day,
        needed: i64,
        ahead: i64,
    ) -> Result<Spent, StoreError> {
        in_time(async {
            let (_guard, mut transaction) = self.begin_write().await?;
            let (left, day) = self.lock_budget(&mut transaction, &claim.budget, today).await?;
            let claimed = claimed(&mut transaction, claim, day).await?;
            if needed > left - claimed.earlier {
                return Ok(Spent::Short((left - claimed.by_all).max(0)));
            }
            let rows = needed + (left - claimed.by_all - needed).clamp(0, ahead);
            let sql = "UPDATE headcount_budgets SET row_count = CASE WHEN day < $1 THEN 0 ELSE row_count END + $2, \
                       day = CASE WHEN day < $1 THEN $1 ELSE day END WHERE key_id = $3";
            let count = sqlx::query(sql).bind(day.0).bind(rows).bind(&claim.budget);
            count.execute(&mut *transaction).await?;
            let sql = "UPDATE headcount_budget_claims \
                       SET row_count = CASE WHEN row_count > $1 THEN row_count - $1 ELSE 0 END WHERE export_id = $2";
            sqlx::query(sql).bind(rows).bind(&claim.export_id).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(Spent::Counted(Counted { rows, day }))
        })
        .await
    }
}

async fn highest(connection: &mut AnyConnection, budget: &str) -> Result<i64, sqlx::Error> {
    let sql = "SELECT COALESCE(MAX(number), 0) AS highest FROM headcount_budget_claims WHERE budget = $1";
    sqlx::query(sql).bind(budget).fetch_one(connection).await?.try_get("highest")
}

/// What other exports than that of this claim are expected to need.
async fn claimed(connection: &mut AnyConnection, claim: &Claim, day: Day) -> Result<Claimed, sqlx::Error> {
    let query = sqlx::query(CLAIMED).bind(&claim.budget).bind(claim.number).bind(&claim.export_id);
    let row = query.bind(day.0).fetch_one(connection).await?;
    Ok(Claimed { earlier: row.try_get("earlier")?, by_all: row.try_get("by_all")? })
}
