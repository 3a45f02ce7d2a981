//! How many rows a key may export on a day, and how many it has: counted here, so that all instances share it.

mod claims;

pub use claims::{Claim, Counted, Spent};

use super::{Statement, Store, StoreError, answered, in_time};
use headcount_model::timestamp::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;

const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// The day of this time.
    pub fn of(time: Timestamp) -> Self {
        Self(time.micros().div_euclid(DAY_MICROS))
    }

    /// Seconds from this time to the next day, rounded up: 1 to 86,400.
    pub fn seconds_left(time: Timestamp) -> u64 {
        let left = DAY_MICROS - time.micros().rem_euclid(DAY_MICROS);
        left.unsigned_abs().div_ceil(1_000_000)
    }
}

/// The budget of a key, as of a day.
#[derive(Clone, Debug)]
pub struct Budget {
    /// What it is called in the store: the id of the key that it was made for, whichever draws on it now.
    pub id: String,
    pub rows_per_day: i64,
    pub rows_today: i64,
}

impl Budget {
    /// Whether not one row is left.
    pub fn is_used_up(&self) -> bool {
        self.rows_today >= self.rows_per_day
    }
}

impl Store {
    /// Gives a key a budget: so many rows on each day, 1 or more.
    pub async fn add_budget(&self, key_id: &str, rows_per_day: i64) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO headcount_budgets (key_id, rows_per_day, day, row_count) VALUES ($1, $2, 0, 0)";
        self.write(sqlx::query(sql).bind(key_id).bind(rows_per_day)).await.map(drop)
    }

    /// The budget that a key draws on; `None` if it has none.
    pub async fn budget(&self, key_id: &str, today: Day) -> Result<Option<Budget>, StoreError> {
        let sql = "SELECT * FROM headcount_budgets \
                   WHERE key_id = COALESCE((SELECT budget FROM headcount_budget_heirs WHERE key_id = $1), $1)";
        let query = sqlx::query(sql).bind(key_id);
        let row = answered(query.fetch_optional(&self.pool)).await?;
        row.map(|row| read_budget(&row, today)).transpose()
    }

    /// The budgets of all keys that have one, by their ids. Keys that took each other's place have one together.
    pub async fn budgets(&self, today: Day) -> Result<HashMap<String, Budget>, StoreError> {
        let rows = sqlx::query("SELECT * FROM headcount_budgets").fetch_all(&self.pool).await?;
        let heirs =
            sqlx::query("SELECT key_id, budget FROM headcount_budget_heirs").fetch_all(&self.pool).await?;
        let mut budgets = HashMap::new();
        for row in &rows {
            let budget = read_budget(row, today)?;
            budgets.insert(budget.id.clone(), budget);
        }
        for heir in &heirs {
            let budget = budgets.get(&heir.try_get::<String, _>("budget")?).cloned();
            if let Some(budget) = budget {
                budgets.insert(heir.try_get("key_id")?, budget);
            }
        }
        Ok(budgets)
    }

    /// Takes back what was counted on this day and not exported.
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The rows may stay counted.
    pub async fn give_back(&self, budget: &str, day: Day, rows: i64) -> Result<(), StoreError> {
        let sql = "UPDATE headcount_budgets SET row_count = row_count - $1 \
                   WHERE key_id = $2 AND day = $3 AND row_count >= $1";
        in_time(self.write(sqlx::query(sql).bind(rows).bind(budget).bind(day.0))).await.map(drop)
    }

    /// Locks a budget until the end of the transaction of [`Store::begin_write`]; returns how many rows of it are left, on today
    /// or a later day that somebody has begun.
    async fn lock_budget(
        &self,
        connection: &mut AnyConnection,
        budget: &str,
        today: Day,
    ) -> Result<(i64, Day), StoreError> {
        // In SQLite that transaction is alone from its start.
        let sql = match self.is_sqlite() {
            true => "SELECT * FROM headcount_budgets WHERE key_id = $1",
            false => "SELECT * FROM headcount_budgets WHERE key_id = $1 FOR UPDATE",
        };
        let row = sqlx::query(sql).bind(budget).fetch_optional(connection).await?;
        let Some(row) = row else { return Ok((0, today)) };
        let budget = read_budget(&row, today)?;
        Ok((budget.rows_per_day - budget.rows_today, today.max(Day(row.try_get("day")?))))
    }
}

/// Lets the key `new` draw on the budget of `old`, if that has one.
pub(super) fn inheritance<'q>(old: &'q str, new: &'q str) -> Statement<'q> {
    let sql = "INSERT INTO headcount_budget_heirs (key_id, budget) SELECT $1, key_id FROM headcount_budgets \
               WHERE key_id = COALESCE((SELECT budget FROM headcount_budget_heirs WHERE key_id = $2), $2)";
    sqlx::query(sql).bind(new).bind(old)
}

fn read_budget(row: &AnyRow, today: Day) -> Result<Budget, StoreError> {
    // An export that goes on after its day counts for the next one as soon as somebody else has begun that.
    let is_today = row.try_get::<i64, _>("day")? >= today.0;
    let row_count: i64 = row.try_get("row_count")?;
    Ok(Budget {
        id: row.try_get("key_id")?,
        rows_per_day: row.try_get("rows_per_day")?,
        rows_today: if is_today { row_count } else { 0 },
    })
}

#[cfg(test)]
mod tests;
