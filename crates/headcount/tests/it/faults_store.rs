//! A store that cannot be reached, or does not answer: no export without its record, and afterwards all is well.

use crate::faults_database::{assert_whole, serve};
use crate::harness::{
    Db, EXPORT_KEY, FULL, MINIMAL, Outage, PEOPLE_MINIMAL, Proxy, STANDARD_KEY, Server, Site, eventually,
};

const USERS: u32 = 70_000;

/// A site whose store, but not whose source, is behind a proxy.
fn with_a_store_behind_a_proxy(outage: &Outage) -> (Proxy, Site) {
    let proxy = Proxy::to(outage.port());
    let mut site = outage.site();
    site.set("HEADCOUNT_STORE_URL", &Outage::store_url(proxy.port()));
    (proxy, site)
}

fn assert_refuses(server: &Server) {
    for path in [FULL, MINIMAL, &format!("{FULL}?preflight=true")] {
        let refused = server.get_with(EXPORT_KEY, path);
        assert_eq!(refused.detail(503), "The store of keys, flags and audit is not available");
        assert!(refused.headers.contains_key("retry-after"));
    }
    server.eventually_lacks("store");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_store_that_is_cut_off_stops_exports_until_it_is_back() {
    let outage = Outage::with_users(USERS);
    let (proxy, site) = with_a_store_behind_a_proxy(&outage);
    let server = serve(&site, 1, "");
    assert_whole(&server);
    proxy.cut();
    assert_whole(&server);
    proxy.shut();
    assert_refuses(&server);
    proxy.open_again();
    assert_whole(&server);
    server.eventually_ready();
    // The refusals, too.
    eventually("all that was asked is recorded", || site.audit().len() == 6);
    let audit = site.audit();
    assert!([0, 4, 5].iter().all(|&whole| audit[whole]["outcome"] == "completed"), "{audit:?}");
    for refused in &audit[1..=3] {
        // What is known of a key counts for a second; nobody is admitted after it. Until then a look gets as far as its record.
        let reasons = ["store unavailable", "its outcome could not be recorded in time"];
        assert!(reasons.iter().any(|reason| refused["reason"] == *reason), "{audit:?}");
        assert!(refused["outcome"] == "failed" || refused["outcome"] == "denied", "{audit:?}");
    }
    site.done(&["audit", "verify"]);
}

#[test]
fn a_store_that_falls_silent_stops_exports_until_it_answers() {
    let outage = Outage::with_users(USERS);
    let (proxy, site) = with_a_store_behind_a_proxy(&outage);
    let server = serve(&site, 1, "");
    assert_whole(&server);
    proxy.fall_silent();
    assert_refuses(&server);
    proxy.cut();
    proxy.open_again();
    server.eventually_ready();
    assert_whole(&server);
    eventually("all that was asked is recorded", || site.audit().len() == 5);
    site.done(&["audit", "verify"]);
}

/// The server keeps a session whose client it does not hear any more, and with it the lock that shows that this process lives.
#[test]
fn a_session_that_falls_silent_leaves_nobody_waiting_for_its_lock() {
    let outage = Outage::with_users(1);
    let (proxy, site) = with_a_store_behind_a_proxy(&outage);
    let server = site.serve();
    proxy.fall_silent();
    proxy.answer_new_connections();
    server.eventually_says("does not answer; the server still has it");
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    assert_eq!(outage.connect().query_one(waiting, &[]).unwrap().get::<_, i64>(0), 0);
    assert!(!server.said().contains("others may take this process for dead"), "{}", server.said());
    proxy.cut();
    server.eventually_says("the session that shows others that this process lives was lost");
}

/// As beside an instance that froze while it wrote.
#[test]
fn a_turn_to_write_that_never_comes_is_an_error() {
    let site = Site::with_people(Db::Sqlite);
    let server = site.serve();
    let turn = std::fs::File::open(site.data_dir().join("headcount.db.turn")).unwrap();
    turn.lock().unwrap();
    let refused = server.get_with(STANDARD_KEY, MINIMAL);
    assert_eq!(refused.detail(503), "The store of keys, flags and audit is not available");
    let finished = site.run(&["flags", "enable", "users:export"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("the store did not answer within 10 s"), "{}", finished.stderr);
    // Who only reads needs none.
    assert_eq!(site.audit().len(), 0);
    turn.unlock().unwrap();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    eventually("both are recorded", || site.audit().len() == 2);
    let audit = site.audit();
    assert_eq!([&audit[0]["outcome"], &audit[1]["outcome"]], ["completed", "failed"]);
    site.done(&["audit", "verify"]);
}

/// A file that somebody locks, as a backup might.
#[test]
fn a_store_that_is_locked_stops_exports_until_it_is_free() {
    let site = Site::with_people(Db::Sqlite);
    let server = site.serve();
    let store = site.sqlite_store();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = server.get_with(STANDARD_KEY, MINIMAL);
    assert_eq!(refused.detail(503), "The store of keys, flags and audit is not available");
    store.execute_batch("ROLLBACK").unwrap();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    eventually("both are recorded", || site.audit().len() == 2);
    let audit = site.audit();
    assert_eq!([&audit[0]["outcome"], &audit[1]["outcome"]], ["completed", "failed"]);
    site.done(&["audit", "verify"]);
}

/// As on a machine that is overloaded.
#[test]
fn a_command_waits_for_a_server_that_is_slow_to_open_sessions() {
    let mut site = Site::bare(Db::Postgres);
    let slow = format!("{}?options=-c%20post_auth_delay=6s", site.variable("HEADCOUNT_STORE_URL"));
    site.set("HEADCOUNT_STORE_URL", &slow);
    site.done(&["flags", "enable", "users:export"]);
}
