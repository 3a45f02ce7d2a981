//! A source that fails: the client can tell, and the audit is true.

use std::os::unix::fs::FileExt;

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::Value;

use crate::harness::{
    APP_READER, Answer, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, Received, STANDARD_KEY, Server, Site,
    eventually,
};

both! {
    a_bad_row_near_the_end_breaks_an_http_1_1_transfer,
    a_bad_row_near_the_end_breaks_an_http_2_stream,
    a_bad_row_near_the_end_breaks_a_compressed_transfer,
    a_bad_row_fails_the_command_and_leaves_no_file,
    a_bad_first_row_is_an_error_and_not_an_empty_export,
    an_export_is_refused_when_its_record_cannot_be_written,
    the_server_goes_on_after_a_failure,
}

pub(crate) const ROWS: u32 = 60_000;
pub(crate) const BAD_ROW: u32 = 59_990;

/// Users of whom one, at row `bad`, has an `is_admin` that is no boolean.
pub(crate) fn with_a_bad_row(db: Db, rows: u32, bad: u32) -> Site {
    let site = Site::bare(db);
    site.sql(&format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMP,
         updated_at TIMESTAMP, is_active BOOLEAN, is_admin INTEGER);
         INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, {at}, {at}, true,
         CASE WHEN i = {bad} THEN 2 ELSE 0 END FROM {series}",
        at = db.second_of_2025(),
        series = db.series(rows),
    ));
    site
}

/// What came is rows, from the first on, and nothing else.
fn assert_whole_rows_from_the_start(body: &[u8]) {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.starts_with("id,email,name,created_at,"));
    let rows = text.lines().skip(1);
    let mut count = 0;
    for (row, i) in rows.zip(1..) {
        let whole = format!("{i},user{i}@example.com,User {i},2025-01-01T");
        let part = &row[..row.len().min(whole.len())];
        assert_eq!(part, &whole[..part.len()]);
        count = i;
    }
    assert!((1..BAD_ROW).contains(&count), "{count}");
}

fn assert_failed(record: &Value, server: &Server) {
    assert_eq!(record["outcome"], "failed", "{record}");
    assert!(record["rows"].as_u64().unwrap() < u64::from(BAD_ROW), "{record}");
    assert!(record["reason"].is_string(), "{record}");
    let request_id = record["request_id"].as_str().unwrap();
    let parts = [request_id, "users", "is_admin", &BAD_ROW.to_string()];
    eventually("the log says what and why", || {
        server.said().lines().any(|line| parts.iter().all(|part| line.contains(part)))
    });
}

fn a_bad_row_near_the_end_breaks_an_http_1_1_transfer(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    let Received { body, complete, .. } = download.rest();
    assert!(!complete);
    assert_whole_rows_from_the_start(&body);
    assert_failed(&site.settled(&export), &server);

    let (_, outcome) = receive(server.request(Method::GET, FULL));
    assert!(outcome.is_err());
}

/// The export's id, and its body if it ended well in the eyes of an ordinary client.
fn receive(request: RequestBuilder) -> (String, reqwest::Result<Answer>) {
    let response = request.bearer_auth(EXPORT_KEY).send().unwrap();
    assert_eq!(response.status(), 200);
    let export = response.headers()["x-export-id"].to_str().unwrap();
    (export.to_owned(), Answer::read(response))
}

fn a_bad_row_near_the_end_breaks_an_http_2_stream(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    let (export, outcome) = receive(server.http2(FULL));
    assert!(outcome.is_err());
    assert_failed(&site.settled(&export), &server);
    let good = server.http2(MINIMAL).bearer_auth(STANDARD_KEY);
    assert!(Answer::to(good).csv() == Site::filled_minimal(ROWS));
}

fn a_bad_row_near_the_end_breaks_a_compressed_transfer(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    for encoding in ["gzip", "zstd"] {
        for request in [server.request(Method::GET, FULL), server.http2(FULL)] {
            let (export, outcome) = receive(request.header("accept-encoding", encoding));
            assert!(outcome.is_err(), "{encoding}");
            assert_failed(&site.settled(&export), &server);
        }
    }
}

fn a_bad_row_fails_the_command_and_leaves_no_file(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    std::fs::create_dir(site.path("out")).unwrap();
    let finished = site.run(&["export", "full", "-o", "out/users.csv"]);
    assert_eq!(finished.code, Some(1));
    for culprit in ["users", "is_admin", &BAD_ROW.to_string()] {
        assert!(finished.stderr.contains(culprit), "{}", finished.stderr);
    }
    assert_eq!(files_in(&site, "out"), Vec::<String>::new());

    std::fs::write(site.path("out/users.csv"), "yesterday's").unwrap();
    let finished = site.run(&["export", "full", "-o", "out/users.csv"]);
    assert_eq!(finished.code, Some(1));
    assert_eq!(files_in(&site, "out"), ["users.csv"]);
    let kept = std::fs::read(site.path("out/users.csv")).unwrap();
    assert_eq!(kept, b"yesterday's");

    assert_eq!(site.run(&["export", "full"]).code, Some(1));
    let outcomes: Vec<_> = site.audit().into_iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "failed", "failed"]);
}

fn files_in(site: &Site, dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(site.path(dir)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn a_bad_first_row_is_an_error_and_not_an_empty_export(db: Db) {
    let site = with_a_bad_row(db, 3, 1);
    let server = site.serve();
    let answer = server.get_with(EXPORT_KEY, FULL);
    assert_eq!(answer.detail(500), "Internal server error");
    assert_eq!(site.audit_of(1)[0]["outcome"], "failed");
    let finished = site.run(&["export", "full"]);
    assert_eq!(finished.code, Some(1));
}

fn an_export_is_refused_when_its_record_cannot_be_written(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    assert_eq!(server.status_with(EXPORT_KEY, FULL), 200);
    let lose_the_audit = |tables: Vec<String>, execute: &mut dyn FnMut(&str)| {
        assert!(!tables.is_empty());
        for table in tables {
            execute(&format!("ALTER TABLE {table} RENAME TO lost_{table}"));
        }
    };
    match db {
        Db::Sqlite => {
            let store = rusqlite::Connection::open(site.data_dir().join("headcount.db")).unwrap();
            let mut audit_tables = store
                .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%audit%'")
                .unwrap();
            let tables = audit_tables.query_map((), |row| row.get(0)).unwrap();
            lose_the_audit(tables.map(Result::unwrap).collect(), &mut |sql| {
                store.execute_batch(sql).unwrap();
            });
        }
        Db::Postgres => {
            let tables = site.column("SELECT tablename FROM pg_tables WHERE tablename LIKE '%audit%'");
            lose_the_audit(tables, &mut |sql| site.sql(sql));
        }
    }
    for path in [MINIMAL, FULL] {
        let (status, _) = server.get_with(EXPORT_KEY, path).refusal();
        assert!([500, 503].contains(&status), "{status}");
    }
    let finished = site.run(&["export", "minimal"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stdout.is_empty());
}

fn the_server_goes_on_after_a_failure(db: Db) {
    let mut site = with_a_bad_row(db, ROWS, BAD_ROW);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "1");
    let server = site.serve();
    for _ in 0..5 {
        let (_, outcome) = receive(server.request(Method::GET, FULL));
        assert!(outcome.is_err());
    }
    site.sql("UPDATE users SET is_admin = 1 WHERE is_admin = 2");
    let (_, outcome) = receive(server.request(Method::GET, FULL));
    assert_eq!(outcome.unwrap().ids().len(), ROWS as usize);
}

#[test]
fn a_postgres_session_that_is_ended_breaks_the_transfer() {
    let site = Site::with_wide_users(Db::Postgres);
    site.configure(HELD);
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    site.database().terminate(APP_READER);
    let received = download.rest();
    assert!(!received.complete);
    assert_eq!(site.settled(&export)["outcome"], "failed");
    let target = format!("{MINIMAL}?fields=id");
    assert_eq!(server.get_with(STANDARD_KEY, &target).ids().len(), 3000);
}

/// Rows come by the index; a sort would meet the error before the first row is sent.
#[test]
fn a_postgres_error_at_some_row_breaks_the_transfer() {
    let mut site = Site::with_users(Db::Postgres, ROWS);
    site.sql(&format!(
        "CREATE FUNCTION admin_or_error(id bigint, is_admin boolean) RETURNS boolean
         LANGUAGE plpgsql STABLE AS $$ BEGIN
             IF id = {BAD_ROW} THEN RAISE 'this row is not to be read'; END IF;
             RETURN is_admin;
         END $$;
         CREATE VIEW members AS SELECT id, email, name, created_at, updated_at, is_active,
         admin_or_error(id, is_admin) AS is_admin FROM users;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
         END $$"
    ));
    site.set("HEADCOUNT_SOURCE_TABLE", "members");
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    let received = download.rest();
    assert!(!received.complete);
    assert!(!String::from_utf8_lossy(&received.body).contains("not to be read"));
    assert_eq!(site.settled(&export)["outcome"], "failed");
    server.eventually_says("this row is not to be read");
}

#[test]
fn a_damaged_sqlite_page_breaks_the_transfer() {
    let site = Site::with_users(Db::Sqlite, ROWS);
    let file = std::fs::OpenOptions::new().write(true).open(site.sqlite_source()).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&[0xa5; 4096], length - 4096).unwrap();
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    let received = download.rest();
    assert!(!received.complete);
    assert_eq!(site.settled(&export)["outcome"], "failed");
}
