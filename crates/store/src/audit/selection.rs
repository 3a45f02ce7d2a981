//! Which records are asked for.

use super::Outcome;
use super::records::{Record, read_record};
use crate::{Store, StoreError, answered};
use futures_util::TryStreamExt;
use headcount_model::timestamp::Timestamp;
use sqlx::AssertSqlSafe;

/// What records have to be; where nothing is said, all are meant.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Begun at this time or later.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// Made with the key of this id or name.
    pub key: Option<String>,
    /// Of one of these endpoints.
    pub endpoints: Vec<String>,
    pub outcome: Option<Ending>,
    /// At most so many.
    pub limit: Option<i64>,
    /// Older than the record with this id, by their ids, which begin with the time.
    pub before: Option<String>,
}

/// How a record ended, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not yet.
    Running,
    Settled(Outcome),
}

/// What stands for [`Ending::Running`].
const RUNNING: &str = "running";

impl Ending {
    /// Every name that [`Ending::parse`] knows.
    pub fn names() -> Vec<&'static str> {
        Outcome::NAMES.into_iter().chain([RUNNING]).collect()
    }

    /// The ending of this name.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn parse(name: &str) -> Result<Self, String> {
        let settled = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name).map(Self::Settled);
        settled
            .or((name == RUNNING).then_some(Self::Running))
            .ok_or_else(|| format!("must be one of {}", Self::names().join(", ")))
    }
}

impl Selection {
    /// What stands behind `WHERE`, with the texts that are bound from `$3` on.
    fn condition(&self) -> (String, Vec<&str>) {
        let mut texts: Vec<&str> = Vec::new();
        let mut sql = "time >= $1 AND time < $2".to_owned();
        let mut bind = |text| {
            texts.push(text);
            format!("${}", texts.len() + 2)
        };
        if let Some(key) = &self.key {
            sql += &format!(" AND (key_id = {} OR key_name = {})", bind(key), bind(key));
        }
        if !self.endpoints.is_empty() {
            let places: Vec<_> = self.endpoints.iter().map(|endpoint| bind(endpoint)).collect();
            sql += &format!(" AND endpoint IN ({})", places.join(", "));
        }
        match self.outcome {
            None => {}
            Some(Ending::Running) => sql += " AND outcome IS NULL",
            Some(Ending::Settled(outcome)) => sql += &format!(" AND outcome = {}", bind(outcome.name())),
        }
        if let Some(id) = &self.before {
            sql += &format!(" AND id < {}", bind(id));
        }
        (sql, texts)
    }

    /// The statement that selects them in this order.
    fn query(&self, order: &str) -> sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments> {
        let (condition, texts) = self.condition();
        let limit = self.limit.unwrap_or(i64::MAX);
        let sql = format!("SELECT * FROM headcount_audit WHERE {condition} ORDER BY {order} LIMIT {limit}");
        // No text of anybody's is in it.
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(self.since.map_or(i64::MIN, Timestamp::micros))
            .bind(self.until.map_or(i64::MAX, Timestamp::micros));
        texts.into_iter().fold(query, sqlx::query::Query::bind)
    }
}

impl Store {
    /// Hands every record of a selection to `each`, newest first.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or `each` failed.
    pub async fn for_each_record<E: From<StoreError>>(
        &self,
        selection: &Selection,
        mut each: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rows = selection.query("time DESC, id DESC").fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            each(read_record(&row)?)?;
        }
        Ok(())
    }

    /// A page of records, by their ids, newest first.
    pub async fn records(&self, selection: &Selection) -> Result<Vec<Record>, StoreError> {
        let rows = answered(selection.query("id DESC").fetch_all(&self.pool)).await?;
        rows.iter().map(read_record).collect()
    }
}
