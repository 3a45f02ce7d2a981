//! Which records are asked for.

use super::Outcome;
use super::records::{Record, read_record};
use crate::{Store, StoreError, answered};
use futures_util::TryStreamExt;
use headcount_model::timestamp::Timestamp;
use sqlx::AssertSqlSafe;
use ulid::Ulid;

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
    /// What stands behind `WHERE`, with the texts that are bound.
    fn condition(&self, order: Order) -> (String, Vec<String>) {
        let (mut conditions, mut texts) = (Vec::new(), Vec::new());
        let mut bind = |text: &str| {
            texts.push(text.to_owned());
            format!("${}", texts.len())
        };
        // An index of times would be no help where all that it finds has to be sorted by their ids.
        let time = if order == Order::Ids { "+time" } else { "time" };
        for (comparison, moment) in [(">=", self.since), ("<", self.until)] {
            let Some(moment) = moment else { continue };
            conditions.push(format!("{time} {comparison} {}", moment.micros()));
            if order == Order::Ids {
                let (comparison, id) =
                    if comparison == "<" { ("<=", last_id(moment)) } else { (">=", first_id(moment)) };
                conditions.push(format!("id {comparison} {}", bind(&id)));
            }
        }
        if let Some(key) = &self.key {
            conditions.push(format!("(key_id = {} OR key_name = {})", bind(key), bind(key)));
        }
        if !self.endpoints.is_empty() {
            let places: Vec<_> = self.endpoints.iter().map(|endpoint| bind(endpoint)).collect();
            conditions.push(format!("endpoint IN ({})", places.join(", ")));
        }
        match self.outcome {
            None => {}
            Some(Ending::Running) => conditions.push("outcome IS NULL".to_owned()),
            Some(Ending::Settled(outcome)) => conditions.push(format!("outcome = {}", bind(outcome.name()))),
        }
        if let Some(id) = &self.before {
            conditions.push(format!("id < {}", bind(id)));
        }
        let condition = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        (condition, texts)
    }

    /// The statement that selects them in this order.
    fn query(&self, order: Order) -> sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments> {
        let (condition, texts) = self.condition(order);
        let limit = self.limit.unwrap_or(i64::MAX);
        let columns = order.columns();
        let sql = format!("SELECT * FROM headcount_audit WHERE {condition} ORDER BY {columns} LIMIT {limit}");
        // No text of anybody's is in it.
        texts.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), sqlx::query::Query::bind)
    }
}

/// The order of records, newest first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Times,
    /// As an index has them, so that a page costs no more than its records. Ids begin with the time.
    Ids,
}

impl Order {
    fn columns(self) -> &'static str {
        match self {
            Self::Times => "time DESC, id DESC",
            Self::Ids => "id DESC",
        }
    }
}

/// The first id that a record of this time can have, and the last.
fn first_id(time: Timestamp) -> String {
    Ulid::from_parts(milliseconds(time), 0).to_string()
}

fn last_id(time: Timestamp) -> String {
    Ulid::from_parts(milliseconds(time), u128::MAX).to_string()
}

/// Since 1970, as ULIDs count them; before that all records have the first.
fn milliseconds(time: Timestamp) -> u64 {
    time.micros().max(0).unsigned_abs() / 1000
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
        let mut rows = selection.query(Order::Times).fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            each(read_record(&row)?)?;
        }
        Ok(())
    }

    /// A page of records, by their ids, newest first.
    pub async fn records(&self, selection: &Selection) -> Result<Vec<Record>, StoreError> {
        let rows = answered(selection.query(Order::Ids).fetch_all(&self.pool)).await?;
        rows.iter().map(read_record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Waiting;
    use headcount_model::database_url::DatabaseUrl;
    use sqlx::Row;

    /// A page costs what its records do, and not what the audit has: its index has the order.
    #[tokio::test]
    async fn no_page_sorts_the_audit() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = DatabaseUrl::Sqlite(directory.path().join("store.db"));
        let store = Store::open(&url, Waiting::Command).await.expect("a store");
        let time = Timestamp::from_micros(1_800_000_000_123_456);
        for (since, until) in [(None, None), (time, None), (None, time), (time, time)] {
            let before = since.map(first_id);
            let selection = Selection { since, until, before, limit: Some(10), ..Selection::default() };
            for order in [Order::Times, Order::Ids] {
                let (condition, texts) = selection.condition(order);
                let columns = order.columns();
                let sql = format!(
                    "EXPLAIN QUERY PLAN SELECT * FROM headcount_audit WHERE {condition} ORDER BY {columns} LIMIT 10"
                );
                let query = texts.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), sqlx::query::Query::bind);
                let rows = query.fetch_all(&store.pool).await.expect("a plan");
                let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
                let sorts = plan.iter().any(|step| step == "USE TEMP B-TREE FOR ORDER BY");
                assert!(
                    !sorts && plan.iter().all(|step| step.contains("USING INDEX")),
                    "{condition}: {plan:?}"
                );
            }
        }
    }

    #[test]
    fn an_id_is_between_the_first_and_the_last_of_its_time() {
        let time = Timestamp::from_micros(1_800_000_000_123_456).expect("a time");
        let id = headcount_model::text::fresh_id(time);
        assert!(first_id(time) <= id && id <= last_id(time), "{id}");
    }
}
