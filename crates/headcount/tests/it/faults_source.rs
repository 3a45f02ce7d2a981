//! A source that is cut off, falls silent, is locked, or computes for ever.

use std::time::Duration;

use crate::faults_database::{assert_whole, broken_by, serve};
use crate::faults_leaving::send;
use crate::harness::{
    APP_READER, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, Outage, PEOPLE_MINIMAL, Proxy, STANDARD_KEY,
    Server, Site, csv_records, eventually,
};

both! {
    a_row_that_never_comes_breaks_the_export,
    a_first_row_that_never_comes_is_an_error,
    a_slow_client_does_not_count,
}

const USERS: u32 = 70_000;
/// For `[limits]`.
const IMPATIENT: &str = "source_stall = \"5s\"\n";
const GAVE_NOTHING: &str = "no data from the source for 5s (limits.source_stall)";

fn behind_a_proxy(outage: &Outage) -> (Proxy, Site) {
    let proxy = Proxy::to(outage.port());
    let site = outage.site_through(proxy.port());
    (proxy, site)
}

#[test]
fn a_connection_that_is_cut_breaks_its_export_only() {
    let outage = Outage::with_users(USERS);
    let (proxy, site) = behind_a_proxy(&outage);
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, "");
        let export = broken_by(&server, || proxy.cut());
        assert_eq!(site.settled(&export)["outcome"], "failed");
        assert_whole(&server);
        // Idle ones are not noticed at all.
        proxy.cut();
        assert_whole(&server);
        proxy.shut();
        server.get_with(EXPORT_KEY, FULL).detail(503);
        server.eventually_lacks("source");
        proxy.open_again();
        assert_whole(&server);
        drop(server);
        eventually("no session is left", || outage.sessions(APP_READER) == 0);
    }
    site.done(&["audit", "verify"]);
}

/// The server says how many rows it has sent.
#[test]
fn a_row_that_is_lost_on_the_way_breaks_its_export_only() {
    let outage = Outage::with_users(USERS);
    let proxy = Proxy::to(outage.port());
    proxy.lose_the_row_with("user4321@");
    let site = outage.plain_site_through(proxy.port());
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, "");
        let download = Download::open(&server, FULL, EXPORT_KEY);
        let export = download.export_id();
        assert!(!download.rest().complete);
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "failed", "{record}");
        assert!(record["reason"].as_str().unwrap().contains("the server has sent"), "{record}");
        assert_eq!(server.status_with(EXPORT_KEY, &format!("{FULL}?after=4321&limit=10")), 200);
    }
    site.done(&["audit", "verify"]);
}

#[test]
fn a_connection_that_falls_silent_ends_the_export_in_time() {
    let outage = Outage::with_users(USERS);
    let (proxy, site) = behind_a_proxy(&outage);
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, IMPATIENT);
        let export = broken_by(&server, || proxy.fall_silent());
        let record = site.settled(&export);
        assert_eq!((&record["outcome"], &record["reason"]), (&"failed".into(), &GAVE_NOTHING.into()));
        let refused = server.get_with(EXPORT_KEY, FULL);
        assert_eq!(refused.detail(503), "The users source is not available");
        proxy.cut();
        proxy.open_again();
        assert_whole(&server);
        drop(server);
        eventually("no session is left", || outage.sessions(APP_READER) == 0);
    }
}

/// A connection that waits for the next export, and whose other end is gone without a word.
#[test]
fn an_idle_connection_that_fell_silent_fails_no_export() {
    let outage = Outage::with_users(USERS);
    let (proxy, site) = behind_a_proxy(&outage);
    let server = serve(&site, 1, "");
    assert_whole(&server);
    proxy.fall_silent();
    proxy.answer_new_connections();
    // It asks the old connection first.
    assert_whole(&server);
}

/// A name that one of the rows never gives.
pub(crate) fn with_an_endless_name(db: Db, id: u32, limits: &str) -> Site {
    let site = Site::with_users(db, 20_000);
    let endless = match db {
        Db::Sqlite => {
            "(WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up) SELECT max(i) FROM up)"
        }
        Db::Postgres => "pg_sleep(600)::text",
    };
    let wide = db.wide_text();
    site.configure(&format!(
        "[limits]\n{limits}concurrent_exports = 1\n[source]\nparallelism = 1\n[source.columns]\n\
         name = {{ sql = \"CASE WHEN id = {id} THEN {endless} ELSE {wide} END\" }}\n"
    ));
    site
}

fn goes_on(site: &Site, server: &Server) {
    assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids().len(), 20_000);
    if site.db == Db::Postgres {
        eventually("no statement runs", || site.database().busy_sessions(APP_READER) == 0);
    }
}

fn a_row_that_never_comes_breaks_the_export(db: Db) {
    let site = with_an_endless_name(db, 10_000, IMPATIENT);
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    assert!(!download.rest().complete);
    let record = site.settled(&export);
    assert_eq!((&record["outcome"], &record["reason"]), (&"failed".into(), &GAVE_NOTHING.into()));
    goes_on(&site, &server);
}

fn a_first_row_that_never_comes_is_an_error(db: Db) {
    let site = with_an_endless_name(db, 1, IMPATIENT);
    let server = site.serve();
    let refused = server.get_with(EXPORT_KEY, FULL);
    assert_eq!(refused.detail(503), "The users source is not available");
    assert_eq!(site.audit_of(1)[0]["reason"], GAVE_NOTHING);
    server.eventually_says(GAVE_NOTHING);
    goes_on(&site, &server);
    let finished = site.run(&["export", "full"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(GAVE_NOTHING), "{}", finished.stderr);
}

fn a_slow_client_does_not_count(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}source_stall = \"4s\"\n"));
    let server = site.serve();
    let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
    download.first_chunk();
    // The pace of the client, not the patience of the test.
    std::thread::sleep(Duration::from_secs(7));
    assert!(download.rest().complete);
}

/// Six seconds of rows of which none takes five.
#[test]
fn rows_that_come_slowly_are_waited_for() {
    let site = Site::with_users(Db::Postgres, 40);
    // PostgreSQL sends nothing before it has 8 KiB.
    let slow = "repeat('0', 10000) || pg_sleep(0.15 + id * 0)::text";
    site.configure(&format!(
        "[limits]\n{IMPATIENT}[source]\nparallelism = 1\n[source.columns]\nname = {{ sql = \"{slow}\" }}\n"
    ));
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).ids().len(), 40);
}

/// Somebody alters the table and does not come to an end.
#[test]
fn a_table_that_is_locked_for_too_long_is_an_error_and_leaves_nobody_waiting() {
    let site = Site::with_people(Db::Postgres);
    for parallelism in [1, 4] {
        site.configure(&format!("[limits]\n{IMPATIENT}[source]\nparallelism = {parallelism}\n"));
        let server = site.serve();
        let mut owner = site.database().connect();
        owner.batch_execute("BEGIN; LOCK TABLE users").unwrap();
        let refused = server.get_with(STANDARD_KEY, MINIMAL);
        assert_eq!(refused.detail(503), "The users source is not available");
        assert_eq!(site.audit()[0]["reason"], GAVE_NOTHING);
        let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                       AND datname = current_database()";
        eventually("nobody waits for the lock", || site.column(waiting).is_empty());
        owner.batch_execute("COMMIT").unwrap();
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    }
}

/// Nor is its slot kept.
#[test]
fn who_leaves_while_the_table_is_locked_leaves_nobody_waiting() {
    let site = Site::with_people(Db::Postgres);
    site.configure("[limits]\nconcurrent_exports = 1\nqueue = 0\n");
    let server = site.serve();
    let mut owner = site.database().connect();
    owner.batch_execute("BEGIN; LOCK TABLE users").unwrap();
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND datname = current_database()";
    let leaving = send(&server, MINIMAL, STANDARD_KEY);
    eventually("it waits for the lock", || !site.column(waiting).is_empty());
    drop(leaving);
    eventually("nobody waits for the lock", || site.column(waiting).is_empty());
    let export = site.audit_of(1)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(site.settled(&export)["outcome"], "disconnected");
    owner.batch_execute("COMMIT").unwrap();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
}

/// Whoever wants to drop or alter the table waits for the export, which has everybody.
#[test]
fn a_table_that_somebody_drops_is_read_to_its_end() {
    for statement in ["DROP TABLE users", "ALTER TABLE users DROP COLUMN name"] {
        let site = Site::with_wide_users(Db::Postgres);
        site.configure(HELD);
        let server = site.serve();
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        let export = download.export_id();
        let mut body = download.first_chunk();
        std::thread::scope(|scope| {
            let mut owner = site.database().connect();
            let altering = scope.spawn(move || owner.batch_execute(statement).unwrap());
            let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                           AND datname = current_database()";
            eventually("somebody waits", || !site.column(waiting).is_empty());
            let rest = download.rest();
            assert!(rest.complete);
            body.extend(rest.body);
            altering.join().unwrap();
        });
        assert_eq!(csv_records(&body).len(), 3001);
        assert_eq!(site.settled(&export)["outcome"], "completed");
        server.get_with(EXPORT_KEY, FULL).detail(503);
    }
}

/// A writer that keeps everybody out, as those of a file without a write-ahead log do.
#[test]
fn a_sqlite_file_that_is_locked_for_too_long_is_an_error() {
    let site = Site::with_users(Db::Sqlite, 100_000);
    let application = site.sqlite();
    for parallelism in [1, 4] {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        let server = site.serve();
        for target in [FULL.to_owned(), format!("{FULL}?preflight=true")] {
            application.execute_batch("BEGIN EXCLUSIVE").unwrap();
            let refused = server.get_with(EXPORT_KEY, &target);
            assert_eq!(refused.detail(503), "The users source is not available", "{target}");
            assert_eq!(site.audit()[0]["outcome"], "failed");
            application.execute_batch("COMMIT").unwrap();
            let ids = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids();
            assert_eq!(ids.len(), 100_000);
        }
    }
}

/// In a file with a write-ahead log readers keep what they began with.
#[test]
fn a_sqlite_table_that_is_dropped_or_altered_is_read_to_its_end() {
    for (parallelism, statement) in [
        (1, "DROP TABLE users"),
        (4, "DROP TABLE users"),
        (1, "ALTER TABLE users DROP COLUMN name"),
        (4, "ALTER TABLE users DROP COLUMN name"),
    ] {
        let site = Site::bare(Db::Sqlite);
        site.sql("PRAGMA journal_mode = WAL");
        site.sql(Db::Sqlite.users_table());
        site.sql(&format!(
            "INSERT INTO users (id, name) SELECT i, hex(zeroblob(1750)) FROM {}",
            Db::Sqlite.series(8000)
        ));
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        let server = site.serve();
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        let mut body = download.first_chunk();
        site.sql(statement);
        let rest = download.rest();
        assert!(rest.complete, "{parallelism}: {statement}");
        body.extend(rest.body);
        assert_eq!(csv_records(&body).len(), 8001);
        server.get_with(EXPORT_KEY, FULL).detail(503);
    }
}
