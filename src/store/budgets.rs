//! How many rows a key may export on a day, and how many it has: counted here, so that all instances share it.

use super::{Store, StoreError, answered, in_time};
use crate::timestamp::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::HashMap;

const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Budget {
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
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn add_budget(&self, key_id: &str, rows_per_day: i64) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO headcount_budgets (key_id, rows_per_day, day, row_count) VALUES ($1, $2, 0, 0)";
        self.write(sqlx::query(sql).bind(key_id).bind(rows_per_day)).await.map(drop)
    }

    /// Gives a key the budget of another, with what that one has used of it, if it has one.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn copy_budget(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO headcount_budgets (key_id, rows_per_day, day, row_count) \
                   SELECT $1, rows_per_day, day, row_count FROM headcount_budgets WHERE key_id = $2";
        self.write(sqlx::query(sql).bind(to).bind(from)).await.map(drop)
    }

    /// The budget of a key; `None` if it has none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn budget(&self, key_id: &str, today: Day) -> Result<Option<Budget>, StoreError> {
        let query = sqlx::query("SELECT * FROM headcount_budgets WHERE key_id = $1").bind(key_id);
        let row = answered(query.fetch_optional(&self.pool)).await?;
        row.map(|row| read_budget(&row, today)).transpose()
    }

    /// The budgets of all keys that have one, by their ids.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn budgets(&self, today: Day) -> Result<HashMap<String, Budget>, StoreError> {
        let rows = sqlx::query("SELECT * FROM headcount_budgets").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("key_id")?, read_budget(row, today)?))).collect()
    }

    /// Counts rows, all or none; `false` if so many are not left. An export that goes on after its day counts for the
    /// next one as soon as somebody else has begun that.
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The rows may be counted or not.
    pub async fn spend(&self, key_id: &str, day: Day, rows: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE headcount_budgets \
                   SET row_count = CASE WHEN day < $1 THEN 0 ELSE row_count END + $2, \
                       day = CASE WHEN day < $1 THEN $1 ELSE day END \
                   WHERE key_id = $3 AND CASE WHEN day < $1 THEN 0 ELSE row_count END + $2 <= rows_per_day";
        let spend = sqlx::query(sql).bind(day.0).bind(rows).bind(key_id);
        Ok(in_time(self.write(spend)).await? == 1)
    }

    /// Takes back what was counted and not exported.
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The rows may stay counted.
    pub async fn give_back(&self, key_id: &str, day: Day, rows: i64) -> Result<(), StoreError> {
        let sql = "UPDATE headcount_budgets SET row_count = row_count - $1 \
                   WHERE key_id = $2 AND day = $3 AND row_count >= $1";
        in_time(self.write(sqlx::query(sql).bind(rows).bind(key_id).bind(day.0))).await.map(drop)
    }
}

fn read_budget(row: &AnyRow, today: Day) -> Result<Budget, StoreError> {
    let is_today = row.try_get::<i64, _>("day")? >= today.0;
    let row_count: i64 = row.try_get("row_count")?;
    Ok(Budget {
        rows_per_day: row.try_get("rows_per_day")?,
        rows_today: if is_today { row_count } else { 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_utc() {
        let time = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).expect("a time");
        assert_eq!(Day::of(time(0)), Day::of(time(86_399)));
        assert_ne!(Day::of(time(86_399)), Day::of(time(86_400)));
        assert_eq!(Day::of(time(-1)), Day(-1));
        assert_eq!(Day::seconds_left(time(0)), 86_400);
        assert_eq!(Day::seconds_left(time(86_399)), 1);
    }

    #[tokio::test]
    async fn what_is_left_is_shared_and_comes_back_the_next_day() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = crate::database_url::DatabaseUrl::Sqlite(directory.path().join("store.db"));
        let store = Store::open(&url).await.expect("a store");
        let (today, tomorrow) = (Day(20_000), Day(20_001));
        store.add_budget("a", 10).await.expect("a budget");
        let used = async |day| store.budget("a", day).await.expect("an answer").expect("a budget").rows_today;
        let spend = async |day, rows| store.spend("a", day, rows).await.expect("an answer");

        assert!(spend(today, 7).await && !spend(today, 4).await && spend(today, 3).await);
        assert_eq!(used(today).await, 10);
        store.give_back("a", today, 5).await.expect("an answer");
        assert_eq!((used(today).await, used(tomorrow).await), (5, 0));

        store.copy_budget("a", "b").await.expect("an answer");
        assert!(spend(tomorrow, 10).await && !spend(tomorrow, 1).await);
        assert!(!spend(today, 1).await, "yesterday's export counts for the day that has begun");
        store.give_back("a", today, 5).await.expect("an answer");
        assert_eq!(used(tomorrow).await, 10);
        let copy = store.budget("b", today).await.expect("an answer").expect("a budget");
        assert_eq!((copy.rows_per_day, copy.rows_today), (10, 5));
        assert!(!store.spend("c", today, 1).await.expect("an answer"));
    }
}
