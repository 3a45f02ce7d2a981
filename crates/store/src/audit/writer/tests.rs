use super::*;
use crate::Waiting;
use crate::audit::{Closing, Request};
use futures_util::future::join_all;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::timestamp::Timestamp;
use sqlx::Executor;
use tempfile::TempDir;

fn record(id: &str, outcome: Option<Outcome>) -> Record {
    let closing = |outcome| Closing {
        outcome,
        reason: None,
        rows: 0,
        bytes: 0,
        sha256: None,
        duration_ms: 0,
        snapshot_at: None,
        ended_at: Timestamp::from_micros(0).expect("a time"),
    };
    Record::of(&Request::sample(id), outcome.map(closing).as_ref())
}

fn begun(id: &str) -> Write {
    Write::New(record(id, None))
}

fn closed(id: &str) -> Write {
    Write::Settled(record(id, Some(Outcome::Completed)))
}

/// A request without an export.
fn answered(id: &str, outcome: Outcome) -> Write {
    Write::New(record(id, Some(outcome)))
}

async fn new_store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let url = DatabaseUrl::Sqlite(directory.path().join("store.db"));
    let store = Store::open(&url, Waiting::Command).await.expect("a store");
    (directory, store)
}

fn new_task(store: &Store) -> Task {
    Task { store: store.clone(), instance: 1, owed: RetryQueue::default() }
}

/// After this the store takes no records.
const HIDE: &str = "ALTER TABLE headcount_audit RENAME TO elsewhere";
/// After this it does again.
const SHOW: &str = "ALTER TABLE elsewhere RENAME TO headcount_audit";

/// What is in the store, in the order of the ids.
async fn records(store: &Store) -> Vec<(String, Option<Outcome>)> {
    let mut records = Vec::new();
    let all = crate::audit::Selection::default();
    let read = store.for_each_record(&all, |record| {
        records.push((record.id, record.outcome));
        Ok::<_, StoreError>(())
    });
    read.await.expect("records");
    store.verify_audit(None).await.expect("a whole chain");
    records.sort_by(|one, other| one.0.cmp(&other.0));
    records
}

/// Lets a task find all of these writes waiting and returns what it answers and what it leaves in the store.
async fn written(writes: Vec<Write>) -> (Vec<Result<(), String>>, Vec<(String, Option<Outcome>)>) {
    let (_directory, store) = new_store().await;
    let (jobs, queue) = mpsc::channel(writes.len());
    let mut answers = Vec::new();
    for write in writes {
        let (done, answer) = oneshot::channel();
        answers.push(answer);
        assert!(jobs.send(Job { write, done }).await.is_ok());
    }
    drop(jobs);
    new_task(&store).run(queue).await;
    let mut results = Vec::new();
    for answer in answers {
        results.push(answer.await.expect("an answer").map_err(|error| error.to_string()));
    }
    (results, records(&store).await)
}

#[tokio::test]
async fn what_waits_is_written_in_its_order() {
    let denial = Write::New(record("b", Some(Outcome::Denied)));
    let writes = vec![begun("a"), closed("a"), denial, begun("c")];
    let (results, records) = written(writes).await;
    assert_eq!(results, vec![Ok(()); 4]);
    let expected = [("a", Some(Outcome::Completed)), ("b", Some(Outcome::Denied)), ("c", None)];
    assert_eq!(records, expected.map(|(id, outcome)| (id.to_owned(), outcome)));
}

#[tokio::test]
async fn a_bad_record_spoils_no_other() {
    let ids = ["a", "b", "a", "c"];
    let (results, records) = written(ids.map(begun).into()).await;
    let is_good: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_good, [true, true, false, true], "{results:?}");
    assert_eq!(records.len(), 3);
}

#[tokio::test]
async fn a_record_is_closed_once() {
    let writes = vec![begun("a"), closed("a"), closed("a"), closed("never begun")];
    let (results, records) = written(writes).await;
    let is_good: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_good, [true, true, false, false], "{results:?}");
    assert_eq!(records.len(), 1);
}

#[tokio::test]
async fn more_than_a_transaction_takes_is_written_too() {
    let writes: Vec<_> = (0..3 * BATCH).map(|n| begun(&format!("{n:06}"))).collect();
    let (results, records) = written(writes).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(records.len(), 3 * BATCH);
}

/// As after the beginning of an export that was committed, but too late.
#[tokio::test]
async fn an_end_settles_the_beginning_that_is_there_already() {
    let failed = || answered("a", Outcome::Failed);
    let (results, records) = written(vec![begun("a"), failed(), failed()]).await;
    let is_good: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_good, [true, true, false], "{results:?}");
    assert_eq!(records, [("a".to_owned(), Some(Outcome::Failed))]);
}

#[tokio::test]
async fn what_is_owed_is_written_before_a_flush_or_the_end_and_as_it_looked() {
    for is_flushed in [true, false] {
        let (_directory, store) = new_store().await;
        let (jobs, queue) = mpsc::channel(1);
        let (task, writer) = (tokio::spawn(new_task(&store).run(queue)), Writer { jobs });
        writer.write(begun("a")).await.expect("a record");
        store.pool.execute(HIDE).await.expect("no table");
        for write in [closed("a"), answered("b", Outcome::Completed), answered("c", Outcome::Denied)] {
            assert!(writer.write(write).await.is_err());
        }
        store.pool.execute(SHOW).await.expect("a table");
        if is_flushed {
            writer.write(Write::Nothing).await.expect("a flush");
        } else {
            drop(writer);
            task.await.expect("its end");
        }
        let expected = [("a", Outcome::Failed), ("b", Outcome::Failed), ("c", Outcome::Denied)];
        assert_eq!(records(&store).await, expected.map(|(id, outcome)| (id.to_owned(), Some(outcome))));
    }
}

#[tokio::test]
async fn a_flood_of_denials_pushes_out_no_outcome() {
    let (_directory, store) = new_store().await;
    let writer = Writer::start(store.clone(), 1);
    writer.write(begun("a")).await.expect("a record");
    store.pool.execute(HIDE).await.expect("no table");
    let deny = |n: usize| writer.write(answered(&format!("denied {n:04}"), Outcome::Denied));
    assert!(join_all((0..retry_queue::ROOM).map(deny)).await.iter().all(Result::is_err));
    for write in [closed("a"), answered("b", Outcome::Failed)] {
        assert!(writer.write(write).await.is_err());
    }
    assert!(deny(retry_queue::ROOM).await.is_err());
    store.pool.execute(SHOW).await.expect("a table");
    writer.write(Write::Nothing).await.expect("a flush");
    let records = records(&store).await;
    assert_eq!(records.len(), retry_queue::ROOM);
    let failed = Some(Outcome::Failed);
    assert_eq!(records[..2], [("a".to_owned(), failed), ("b".to_owned(), failed)]);
}
