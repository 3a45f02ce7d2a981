use super::*;
use crate::Waiting;
use headcount_model::database_url::DatabaseUrl;
use tempfile::TempDir;

const TODAY: Day = Day(20_000);
const TOMORROW: Day = Day(20_001);

/// A store with a budget `a` of ten rows a day.
async fn with_ten() -> (TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let url = DatabaseUrl::Sqlite(directory.path().join("store.db"));
    let store = Store::open(&url, Waiting::Command).await.expect("a store");
    store.add_budget("a", 10).await.expect("a budget");
    (directory, store)
}

/// Runs an export that is expected to need so many rows.
async fn begin(store: &Store, id: &str, expected: Option<i64>) -> Option<Claim> {
    let sql = "INSERT INTO headcount_audit (id, time, endpoint, client, filters, row_count, byte_count, instance) \
               VALUES ($1, 0, '/', 'cli', '{}', 0, 0, 0)";
    store.write(sqlx::query(sql).bind(id)).await.expect("a record");
    claim(store, id, TODAY, expected).await
}

async fn claim(store: &Store, id: &str, day: Day, expected: Option<i64>) -> Option<Claim> {
    store.claim("a", id, day, expected).await.expect("an answer")
}

async fn end(store: &Store, id: &str) {
    let sql = "UPDATE headcount_audit SET outcome = 'completed' WHERE id = $1";
    store.write(sqlx::query(sql).bind(id)).await.expect("an outcome");
}

async fn spend(store: &Store, claim: &Claim, day: Day, rows: i64) -> bool {
    rows_of(store.spend(claim, day, rows, 0).await.expect("an answer")) == rows
}

fn rows_of(spent: Spent) -> i64 {
    match spent {
        Spent::Counted(counted) => counted.rows,
        Spent::Short(_) => 0,
    }
}

async fn used(store: &Store, day: Day) -> i64 {
    store.budget("a", day).await.expect("an answer").expect("a budget").rows_today
}

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
    let (_directory, store) = with_ten().await;
    let claim = begin(&store, "one", Some(0)).await.expect("a claim");
    assert!(spend(&store, &claim, TODAY, 7).await && !spend(&store, &claim, TODAY, 4).await);
    assert!(spend(&store, &claim, TODAY, 3).await);
    assert_eq!(used(&store, TODAY).await, 10);
    store.give_back("a", TODAY, 5).await.expect("an answer");
    assert_eq!((used(&store, TODAY).await, used(&store, TOMORROW).await), (5, 0));

    assert!(spend(&store, &claim, TOMORROW, 10).await && !spend(&store, &claim, TOMORROW, 1).await);
    assert!(!spend(&store, &claim, TODAY, 1).await, "yesterday's export counts for the day that has begun");
    store.give_back("a", TODAY, 5).await.expect("an answer");
    assert_eq!(used(&store, TOMORROW).await, 10);
}

#[tokio::test]
async fn those_who_come_first_get_what_they_are_expected_to_need() {
    let (_directory, store) = with_ten().await;
    let first = begin(&store, "first", Some(6)).await.expect("a claim");
    assert!(begin(&store, "too much", Some(9)).await.is_none());
    let second = begin(&store, "second", Some(5)).await.expect("a claim");
    assert!(spend(&store, &second, TODAY, 4).await && !spend(&store, &second, TODAY, 1).await);
    assert!(begin(&store, "third", Some(1)).await.is_none());
    assert!(begin(&store, "unknown", None).await.is_none());
    assert!(begin(&store, "nobody", Some(0)).await.is_some());
    assert!(spend(&store, &first, TODAY, 2).await);
    // It needed less, or left early.
    end(&store, "first").await;
    assert!(spend(&store, &second, TODAY, 1).await);
    let unknown = begin(&store, "what nobody knows", None).await.expect("a claim");
    let last = begin(&store, "last", Some(1)).await.expect("a claim");
    assert!(spend(&store, &last, TODAY, 2).await && !spend(&store, &last, TODAY, 1).await);
    assert!(spend(&store, &unknown, TODAY, 1).await && !spend(&store, &unknown, TODAY, 1).await);
    assert_eq!(used(&store, TODAY).await, 10);
}

#[tokio::test]
async fn more_than_is_left_may_be_tried_alone() {
    let (_directory, store) = with_ten().await;
    let alone = begin(&store, "alone", Some(i64::MAX)).await.expect("a claim");
    assert!(!spend(&store, &alone, TODAY, 11).await && spend(&store, &alone, TODAY, 10).await);
    assert!(begin(&store, "later", Some(1)).await.is_some(), "nothing is claimed any more");
}

#[tokio::test]
async fn what_is_counted_ahead_is_nobody_elses() {
    let (_directory, store) = with_ten().await;
    let first = begin(&store, "first", Some(4)).await.expect("a claim");
    let second = begin(&store, "second", Some(4)).await.expect("a claim");
    let spend = async |claim, needed, ahead| {
        rows_of(store.spend(claim, TODAY, needed, ahead).await.expect("an answer"))
    };
    assert_eq!(spend(&first, 1, 1).await, 2);
    assert_eq!(spend(&first, 1, 9).await, 4, "its own, and what nobody claims");
    assert_eq!(spend(&second, 1, 9).await, 4);
    assert_eq!((spend(&first, 1, 0).await, used(&store, TODAY).await), (0, 10));
}

#[tokio::test]
async fn what_was_counted_ahead_when_the_day_turned_is_given_back() {
    let (_directory, store) = with_ten().await;
    let old = begin(&store, "of today", Some(5)).await.expect("a claim");
    let new = begin(&store, "of tomorrow", Some(0)).await.expect("a claim");
    assert!(spend(&store, &new, TOMORROW, 1).await);
    let spent = store.spend(&old, TODAY, 1, 4).await.expect("an answer");
    let Spent::Counted(counted) = spent else { panic!("{spent:?}") };
    assert_eq!(counted, Counted { rows: 5, day: TOMORROW });
    store.give_back("a", counted.day, 4).await.expect("an answer");
    assert_eq!(used(&store, TOMORROW).await, 2);
}

#[tokio::test]
async fn claims_end_with_their_day() {
    let (_directory, store) = with_ten().await;
    let old = begin(&store, "of today", Some(10)).await.expect("a claim");
    assert!(begin(&store, "too late", Some(10)).await.is_none());
    let new = claim(&store, "too late", TOMORROW, Some(10)).await.expect("a claim");
    let other = claim(&store, "other", TOMORROW, Some(1)).await;
    assert!(other.is_none(), "what is claimed now counts");
    assert!(spend(&store, &new, TOMORROW, 4).await);
    let spent = store.spend(&old, TODAY, 1, 9).await.expect("an answer");
    assert_eq!(rows_of(spent), 1, "though both have the same number, what the new one claims is not its own");
}

#[tokio::test]
async fn who_gets_too_few_is_told_how_many_there_are() {
    let (_directory, store) = with_ten().await;
    let first = begin(&store, "first", Some(3)).await.expect("a claim");
    let second = begin(&store, "second", Some(7)).await.expect("a claim");
    assert_eq!(store.spend(&second, TODAY, 8, 0).await.expect("an answer"), Spent::Short(7));
    assert!(spend(&store, &first, TODAY, 3).await && spend(&store, &second, TODAY, 7).await);
    assert_eq!(store.spend(&first, TODAY, 1, 0).await.expect("an answer"), Spent::Short(0));
}
