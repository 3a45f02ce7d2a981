use super::stream::ExportStream;
use super::writer::Message;
use super::*;
use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use headcount_model::database_url::DatabaseUrl;
use headcount_proof::signature::SigningKey;
use headcount_source::Mapping;
use headcount_store::audit::{AddressKey, Outcome, Record, Request};
use headcount_store::{Store, Waiting};
use rusqlite::Connection;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

fn request(id: &str) -> Request {
    Request::new(id.to_owned(), noon(), "/".to_owned(), "192.0.2.1".to_owned())
}

/// Three users, and an empty store.
struct Site {
    directory: TempDir,
    store: Store,
    exporter: Arc<Exporter>,
}

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT);
                     INSERT INTO users VALUES (1, 'a', 'A'), (2, 'b', 'B'), (3, 'c', 'C')";

impl Site {
    /// With so many places for drafts.
    async fn new(drafts: usize, clock: fn() -> Timestamp) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let users = directory.path().join("users.db");
        Connection::open(&users).and_then(|users| users.execute_batch(USERS)).expect("users");
        let mapping = Mapping::plain("users");
        let source = Source::new(&DatabaseUrl::Sqlite(users), mapping, 1, Duration::from_secs(600));
        let url = DatabaseUrl::Sqlite(directory.path().join("store.db"));
        let store = Store::open(&url, Waiting::Command).await.expect("a store");
        let pseudonyms = store.pseudonym_key(&[7; 32]).await.expect("a key");
        let addresses = AddressKey::new(&pseudonyms);
        let audit = AuditLog::open(store.clone(), 1, addresses).await.expect("an audit");
        let slots = SlotLimits { exports: 4, per_key: None, queue: 0, patience: Duration::ZERO };
        let spools = SpoolLimits { directory: directory.path().to_owned(), bytes: 0, hold: Duration::ZERO };
        let mut exporter = Exporter::new(source.expect("a source"), audit, pseudonyms, slots, spools, clock);
        exporter.drafts = Arc::new(Semaphore::new(drafts));
        Self { directory, store, exporter: Arc::new(exporter) }
    }

    async fn draft(&self, id: &str) -> PendingRecord {
        let mut draft = self.exporter.draft(request(id)).await.expect("a place");
        draft.admit();
        draft
    }

    async fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let all = headcount_store::audit::Selection::default();
        let read = self.store.for_each_record(&all, |record| {
            records.push(record);
            Ok::<_, StoreError>(())
        });
        read.await.expect("records");
        records.sort_by(|one, other| one.id.cmp(&other.id));
        records
    }

    /// Everything that was asked for is recorded, in a chain that is whole.
    async fn settled(&self) -> Vec<Record> {
        self.exporter.settled().await;
        self.store.verify_audit(None).await.expect("a whole chain");
        self.records().await
    }
}

fn noon() -> Timestamp {
    Timestamp::parse_rfc3339("2025-01-08T12:00:00Z").expect("a time")
}

#[tokio::test]
async fn requests_without_a_place_for_their_record_wait_for_one() {
    let site = Site::new(2, noon).await;
    let lock = Connection::open(site.directory.path().join("store.db")).expect("the store");
    lock.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    drop([site.draft("a").await, site.draft("b").await]);
    tokio::task::yield_now().await;
    let third = site.exporter.draft(request("c")).now_or_never();
    assert!(third.is_none(), "both places are taken by what the store has not taken");
    lock.execute_batch("ROLLBACK").expect("no lock");
    let mut third = site.draft("c").await;
    third.close(Outcome::Denied, None);
    drop(third);
    let outcomes: Vec<_> = site.settled().await.into_iter().map(|record| record.outcome).collect();
    let left = Some(Outcome::Disconnected);
    assert_eq!(outcomes, [left, left, Some(Outcome::Denied)]);
    assert_eq!(site.exporter.drafts.available_permits(), 2);
}

#[tokio::test]
async fn a_handler_that_panics_leaves_the_record_of_a_failure() {
    let site = Site::new(1, noon).await;
    let draft = site.draft("a").await;
    let handler = tokio::spawn(async move {
        let _draft = draft;
        panic!("as a bug would");
    });
    assert!(handler.await.is_err_and(|error| error.is_panic()));
    let records = site.settled().await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].outcome, records[0].reason.as_deref()), (Some(Outcome::Failed), Some("internal")));
}

#[tokio::test]
async fn a_scan_that_panics_breaks_the_export() {
    let site = Site::new(1, noon).await;
    let mut draft = site.draft("a").await;
    let profile = Arc::new(Profile::minimal());
    let opening = Arc::clone(&site.exporter).open(draft.hand_on(), profile, Stall::default());
    let (progress, parts) = mpsc::channel(1);
    let relay = Relay::new(parts, Arc::clone(&site.exporter.spools));
    let scan = tokio::spawn(async move {
        let (chunks, part) = mpsc::channel(1);
        progress.send(Progress::Part { assembler: None, messages: part }).await.expect("a stream");
        let header = Message::Chunk { bytes: Bytes::from_static(b"id\r\n"), rows: 0 };
        chunks.send(header).await.expect("a stream");
        panic!("as a bug would");
    });
    let account = opening.await.expect("an account");
    let stream = ExportStream::begin(account, relay, scan.abort_handle(), None).await.expect("an export");
    drop(draft);
    assert!(stream.try_collect::<Vec<_>>().await.is_err());
    let records = site.settled().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, Some(Outcome::Failed));
}

/// Every look at it is an hour earlier than the one before.
fn backwards() -> Timestamp {
    static HOURS: AtomicI64 = AtomicI64::new(0);
    let hours = HOURS.fetch_add(1, Ordering::Relaxed);
    Timestamp::from_micros(noon().micros() - hours * 3_600_000_000).expect("a time")
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_export_that_ends_before_it_begins() {
    let site = Site::new(8, backwards).await;
    for id in ["a", "b", "c"] {
        let mut draft = site.draft(id).await;
        draft.request.time = backwards();
        let plan = Plan::new(Arc::new(Profile::minimal()));
        let stream = site.exporter.start(plan, &mut draft, Terms::default()).await.expect("an export");
        let chunks: Vec<Bytes> = stream.try_collect().await.expect("all rows");
        assert!(chunks.concat().ends_with(b"3,c,C\r\n"));
    }
    drop(site.draft("d").await);
    let records = site.settled().await;
    assert_eq!(records.len(), 4);
    let key = SigningKey::from_seed(&[7; 32]).expect("a key");
    for record in records {
        assert!(record.duration_ms.is_some_and(|duration| (0..60_000).contains(&duration)));
        let ended = record.ended_at.expect("an end");
        assert!(
            ended >= record.time && record.snapshot_at.is_none_or(|at| (record.time..=ended).contains(&at))
        );
        record.receipt().issue(&key).expect("a receipt");
    }
}
