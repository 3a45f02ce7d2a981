//! Keys that may export so many rows on a day.

use reqwest::Method;

use crate::harness::{Answer, Db, Download, FULL, MINIMAL, Server, Site, eventually};

both! {
    an_export_within_the_budget_is_whole_and_counted,
    a_budget_that_is_used_up_is_429,
    an_export_over_the_budget_is_broken_off,
    an_export_that_is_over_at_once_is_429_with_one_record,
    what_did_not_leave_is_given_back,
    instances_share_a_budget,
    a_key_that_replaces_another_has_its_budget,
}

const USERS: u32 = 30_000;

fn with_budget(site: &Site, rows: u32) -> String {
    let rows = rows.to_string();
    site.create_key(&["frugal", "--kind", "export", "--rows-per-day", &rows])
}

/// The rows that the key has used today, and those it may.
fn budget(site: &Site) -> (u64, u64) {
    let keys = site.keys();
    let key = keys.iter().find(|key| key["name"] == "frugal" && key["revoked_at"].is_null()).unwrap();
    (key["rows_today"].as_u64().unwrap(), key["rows_per_day"].as_u64().unwrap())
}

fn assert_used_up(answer: &Answer) {
    assert!(answer.detail(429).contains("today"), "{}", answer.text());
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
}

fn an_export_within_the_budget_is_whole_and_counted(db: Db) {
    let site = Site::with_users(db, USERS);
    let key = with_budget(&site, 2 * USERS + 5);
    let server = site.serve();
    assert!(server.get_with(&key, FULL).csv() == Site::filled_full(USERS));
    assert_eq!(budget(&site), (u64::from(USERS), u64::from(2 * USERS + 5)));
    let other = server.request(Method::GET, MINIMAL).header("accept-encoding", "gzip").bearer_auth(&key);
    assert_eq!(Answer::to(other).status, 200);
    assert_eq!(server.get_with(&key, &format!("{MINIMAL}?limit=5")).ids().len(), 5);
    assert_eq!(budget(&site).0, u64::from(2 * USERS + 5));
    let listed = site.done(&["keys", "list"]);
    assert!(listed.contains("60005 of 60005"), "{listed}");
}

fn a_budget_that_is_used_up_is_429(db: Db) {
    let site = Site::with_users(db, 10);
    let key = with_budget(&site, 10);
    let server = site.serve();
    assert_eq!(server.status_with(&key, MINIMAL), 200);
    for method in [Method::GET, Method::POST] {
        assert_used_up(&Answer::to(server.request(method, MINIMAL).bearer_auth(&key)));
    }
    assert_eq!(Answer::to(server.request(Method::HEAD, MINIMAL).bearer_auth(&key)).status, 429);
    assert_used_up(&server.get_with(&key, &format!("{MINIMAL}?preflight=true")));
    let audit = site.audit_of(5);
    assert_eq!((&audit[0]["outcome"], &audit[0]["reason"]), (&"denied".into(), &"over budget".into()));
    assert!((server.metric("headcount_refused_total", &["over_budget"]) - 4.0).abs() < f64::EPSILON);
    let unlimited = site.create_key(&["other", "--kind", "standard"]);
    assert_eq!(server.status_with(&unlimited, MINIMAL), 200);
}

fn an_export_over_the_budget_is_broken_off(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let rows = (USERS - 1).to_string();
    for request in [server.request(Method::GET, MINIMAL), server.http2(MINIMAL)] {
        let key = site.create_key(&["short", "--kind", "standard", "--rows-per-day", &rows]);
        let response = request.bearer_auth(&key).send().unwrap();
        let export = response.headers()["x-export-id"].to_str().unwrap().to_owned();
        assert!(Answer::read(response).is_err());
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "over_budget", "{record}");
        assert!(record["rows"].as_u64().unwrap() < u64::from(USERS), "{record}");
        let receipt = server.get_with(&key, &format!("/api/v1/users/exports/{export}")).json();
        for member in ["outcome", "rows", "bytes", "sha256"] {
            assert_eq!(receipt[member], record[member], "{receipt}");
        }
        assert!(receipt["signature"].is_string(), "{receipt}");
    }
    assert!((server.metric("headcount_exports_total", &["over_budget"]) - 2.0).abs() < f64::EPSILON);
}

/// The first rows are counted before the response begins, and that record is in the chain.
fn an_export_that_is_over_at_once_is_429_with_one_record(db: Db) {
    let site = Site::with_users(db, 10);
    let key = with_budget(&site, 9);
    let server = site.serve();
    assert_used_up(&server.get_with(&key, MINIMAL));
    let audit = site.audit_of(1);
    assert_eq!((audit.len(), &audit[0]["outcome"], &audit[0]["rows"]), (1, &"over_budget".into(), &0.into()));
    assert_eq!(audit[0]["sequence"], 1);
    site.done(&["audit", "verify"]);
    assert_eq!(budget(&site).0, 0);
}

fn leave_early(site: &Site, server: &Server, key: &str) -> u64 {
    let mut leaving = Download::stalled(server, FULL, key);
    let export = leaving.export_id();
    leaving.first_chunk();
    drop(leaving);
    site.settled(&export)["rows"].as_u64().unwrap()
}

fn what_did_not_leave_is_given_back(db: Db) {
    let site = Site::with_wide_users(db);
    let key = with_budget(&site, 5000);
    let server = site.serve();
    let sent = leave_early(&site, &server, &key);
    assert!((1..3000).contains(&sent), "{sent}");
    eventually("the rest is given back", || budget(&site).0 == sent);
}

fn instances_share_a_budget(db: Db) {
    let site = Site::with_users(db, 100);
    let key = with_budget(&site, 250);
    let servers = [site.serve(), site.serve()];
    for server in &servers {
        assert_eq!(server.status_with(&key, MINIMAL), 200);
    }
    assert_used_up(&servers[0].get_with(&key, MINIMAL));
    assert_eq!(servers[1].get_with(&key, &format!("{MINIMAL}?limit=50")).ids().len(), 50);
    assert_eq!(budget(&site), (250, 250));
}

fn a_key_that_replaces_another_has_its_budget(db: Db) {
    let site = Site::with_users(db, 100);
    let old = with_budget(&site, 150);
    let server = site.serve();
    assert_eq!(server.status_with(&old, MINIMAL), 200);
    let new = site.done(&["keys", "rotate", &site.key_id("frugal")]);
    assert_eq!(budget(&site), (100, 150));
    assert_used_up(&server.get_with(new.trim_end(), MINIMAL));
    for nonsense in ["0", "-1", "many"] {
        let arguments = ["keys", "create", "x", "--kind", "standard", "--rows-per-day", nonsense];
        assert_eq!(site.run(&arguments).code, Some(2), "{nonsense}");
    }
}

#[test]
fn rows_that_cannot_be_counted_do_not_leave() {
    let site = Site::with_users(Db::Sqlite, 10);
    let key = with_budget(&site, 100);
    let server = site.serve();
    let store = rusqlite::Connection::open(site.data_dir().join("headcount.db")).unwrap();
    store
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE UPDATE ON headcount_budgets BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    server.get_with(&key, MINIMAL).detail(503);
    let audit = site.audit_of(1);
    assert_eq!((audit.len(), &audit[0]["outcome"], &audit[0]["rows"]), (1, &"failed".into(), &0.into()));
}
