//! Keys that may export so many rows on a day.

use reqwest::Method;

use crate::harness::{Answer, Db, Download, EXPORT_KEY, FULL, MINIMAL, Server, Site, eventually};

both! {
    an_export_within_the_budget_is_whole_and_counted,
    a_budget_that_is_used_up_is_429,
    parameters_are_looked_at_before_the_budget,
    an_export_over_the_budget_is_broken_off,
    an_export_that_is_over_at_once_is_429_with_one_record,
    what_did_not_leave_is_given_back,
    instances_share_a_budget,
    a_key_that_replaces_another_has_its_budget,
    what_runs_while_its_key_is_replaced_is_counted,
    a_large_row_lets_no_other_leave_uncounted,
    exports_that_come_first_get_what_they_need,
    an_instance_that_died_needs_no_rows,
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

fn parameters_are_looked_at_before_the_budget(db: Db) {
    let site = Site::with_users(db, 1);
    let key = with_budget(&site, 1);
    let server = site.serve();
    assert_eq!(server.status_with(&key, MINIMAL), 200);
    for bad in ["bogus=1", "limit=0", "format=xml"] {
        server.get_with(&key, &format!("{MINIMAL}?{bad}")).detail(400);
    }
    let range = server.request(Method::GET, MINIMAL).header("range", "bytes=5-");
    Answer::to(range.bearer_auth(&key)).detail(400);
    assert_used_up(&server.get_with(&key, &format!("{MINIMAL}?limit=7")));
    assert_eq!(site.audit_of(6)[0]["filters"], serde_json::json!({"limit": 7}));
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
        let document = server.get("/openapi.json").json();
        let outcomes = &document["components"]["schemas"]["Receipt"]["properties"]["outcome"]["enum"];
        assert!(outcomes.as_array().unwrap().contains(&receipt["outcome"]), "{outcomes}");
    }
    assert!((server.metric("headcount_exports_total", &["over_budget"]) - 2.0).abs() < f64::EPSILON);
}

/// The first rows are counted before the response begins. Its record is not in the chain, or a key could fill the store.
fn an_export_that_is_over_at_once_is_429_with_one_record(db: Db) {
    let site = Site::with_users(db, 10);
    let key = with_budget(&site, 9);
    let server = site.serve();
    let answer = server.get_with(&key, MINIMAL);
    assert_used_up(&answer);
    assert!(answer.detail(429).contains("limit=9"), "{}", answer.text());
    let audit = site.audit_of(1);
    assert_eq!((audit.len(), &audit[0]["outcome"], &audit[0]["rows"]), (1, &"denied".into(), &0.into()));
    assert_eq!(
        (&audit[0]["reason"], &audit[0]["sequence"]),
        (&"over budget".into(), &serde_json::Value::Null)
    );
    site.done(&["audit", "verify"]);
    assert_eq!(budget(&site).0, 0);
    assert_eq!(server.get_with(&key, &format!("{MINIMAL}?limit=9")).ids().len(), 9);
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

fn what_runs_while_its_key_is_replaced_is_counted(db: Db) {
    let site = Site::with_wide_users(db);
    let old = with_budget(&site, 5000);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, &old);
    site.done(&["keys", "rotate", &site.key_id("frugal")]);
    assert!(running.rest().complete);
    eventually("what left is counted", || budget(&site) == (3000, 5000));
    let new = site.done(&["keys", "rotate", &newest(&site)]).trim_end().to_owned();
    assert_eq!(server.get_with(&new, &format!("{MINIMAL}?fields=id&limit=2000")).ids().len(), 2000);
    assert_eq!(budget(&site), (5000, 5000));
    assert_used_up(&server.get_with(&new, MINIMAL));
}

/// The id of the key that replaced the others.
fn newest(site: &Site) -> String {
    let keys = site.keys();
    let key = keys.iter().find(|key| key["revoked_at"].is_null()).unwrap();
    key["id"].as_str().unwrap().to_owned()
}

fn a_large_row_lets_no_other_leave_uncounted(db: Db) {
    let site = Site::with_users(db, 6000);
    let large = match db {
        Db::Sqlite => "hex(zeroblob(500000))",
        Db::Postgres => "repeat('0', 1000000)",
    };
    site.sql(&format!("UPDATE users SET name = {large} WHERE id = 6000"));
    let key = with_budget(&site, 500);
    let server = site.serve();
    let cut = Download::stalled(&server, MINIMAL, &key);
    let export = cut.export_id();
    let received = cut.rest();
    assert!(!received.complete);
    let left = received.body.iter().filter(|byte| **byte == b'\n').count() as u64;
    let record = site.settled(&export);
    assert_eq!(record["outcome"], "over_budget", "{record}");
    let counted = record["rows"].as_u64().unwrap();
    // One line is the header.
    assert!((1..=500).contains(&counted) && left <= counted + 1, "{left}: {record}");
    eventually("what did not leave is given back", || budget(&site).0 == counted);
    let receipt = server.get_with(&key, &format!("/api/v1/users/exports/{export}")).json();
    assert_eq!(receipt["rows"], counted);
}

fn exports_that_come_first_get_what_they_need(db: Db) {
    let site = Site::with_wide_users(db);
    if db == Db::Postgres {
        site.sql("ANALYZE users");
    }
    let key = with_budget(&site, 7000);
    let servers = [site.serve(), site.serve()];
    let first = [0, 1].map(|n| Download::stalled(&servers[n], FULL, &key));
    for server in &servers {
        let refused = server.get_with(&key, FULL);
        assert!(refused.detail(429).contains("running exports"), "{}", refused.text());
        let seconds: u32 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    assert_eq!(servers[0].get_with(&key, &format!("{MINIMAL}?fields=id&limit=1000")).ids().len(), 1000);
    for export in first {
        assert!(export.rest().complete);
    }
    eventually("what left is counted", || budget(&site) == (7000, 7000));
    let denied = site.audit().into_iter().filter(|record| record["outcome"] == "denied");
    assert!(denied.inspect(|record| assert!(record["sequence"].is_null(), "{record}")).count() == 2);
}

fn an_instance_that_died_needs_no_rows(db: Db) {
    let site = Site::with_wide_users(db);
    if db == Db::Postgres {
        site.sql("ANALYZE users");
    }
    let key = with_budget(&site, 3400);
    let [dying, living, other] = [(); 3].map(|()| site.serve());
    let alive = Download::stalled(&other, FULL, EXPORT_KEY);
    let dead = Download::stalled(&dying, FULL, &key);
    let exports = [alive.export_id(), dead.export_id()];
    let page = format!("{MINIMAL}?fields=id&limit=1000");
    assert!(living.get_with(&key, &page).detail(429).contains("running exports"));
    dying.kill();
    assert_eq!(site.settled(&exports[1])["outcome"], "interrupted");
    assert_eq!(living.get_with(&key, &page).ids().len(), 1000);
    assert!(site.audit_record(&exports[0])["outcome"].is_null(), "it was taken for dead");
    assert!(alive.rest().complete);
    assert_eq!(site.settled(&exports[0])["outcome"], "completed");
    site.done(&["audit", "verify"]);
}

#[test]
fn a_key_that_cannot_be_replaced_leaves_no_budget() {
    let site = Site::with_people(Db::Sqlite);
    with_budget(&site, 10);
    let id = site.key_id("frugal");
    site.done(&["keys", "revoke", &id]);
    assert_eq!(site.run(&["keys", "rotate", &id]).code, Some(1));
    let budgets =
        "SELECT (SELECT count(*) FROM headcount_budgets) + (SELECT count(*) FROM headcount_budget_heirs)";
    assert_eq!(site.store_column(budgets), ["1"]);
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
