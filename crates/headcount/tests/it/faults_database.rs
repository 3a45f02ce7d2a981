//! A PostgreSQL that dies in the middle of an export, and comes back.

use crate::harness::{
    APP_READER, Db, Download, EXPORT_KEY, FULL, HELD, Outage, Replication, Server, Site, eventually,
};
use crate::parts_postgres_live::WIDE;

const USERS: u32 = 70_000;

/// With these lines for `[limits]`. Whatever befalls the source of an export that waits for its client, it is not read to its end.
pub(crate) fn serve(site: &Site, parallelism: u32, limits: &str) -> Server {
    site.configure(&format!("{HELD}{limits}[source]\nparallelism = {parallelism}\n{WIDE}"));
    site.serve()
}

/// An export in whose middle somebody does something.
pub(crate) fn broken_by(server: &Server, act: impl FnOnce()) -> String {
    let mut download = Download::stalled(server, FULL, EXPORT_KEY);
    let export = download.export_id();
    download.first_chunk();
    act();
    assert!(!download.rest().complete);
    export
}

pub(crate) fn assert_whole(server: &Server) {
    let ids = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids();
    assert!(ids.iter().map(|id| id.parse::<u32>().unwrap()).eq(1..=USERS), "{}", ids.len());
}

fn in_flight(server: &Server) -> f64 {
    server.metric("headcount_exports_in_flight", &[])
}

#[test]
fn a_source_that_is_killed_breaks_the_export_and_no_later_one() {
    let outage = Outage::with_users(USERS);
    let site = outage.site();
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, "concurrent_exports = 1\n");
        let export = broken_by(&server, || outage.kill());
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "failed", "{record}");
        let refused = server.get_with(EXPORT_KEY, FULL);
        assert_eq!(refused.detail(503), "The users source is not available");
        server.eventually_lacks("source");
        outage.start_again();
        assert_whole(&server);
        server.eventually_ready();
        assert!(in_flight(&server) < 0.5);
        let outcomes: Vec<_> = site.audit().iter().take(3).map(|record| record["outcome"].clone()).collect();
        assert_eq!(outcomes, ["completed", "failed", "failed"]);
        drop(server);
        eventually("no session is left", || outage.sessions(APP_READER) == 0);
    }
    site.done(&["audit", "verify"]);
}

/// What cannot be recorded at that moment is recorded later, without a restart.
#[test]
fn a_store_that_is_killed_with_its_source_says_afterwards_what_was() {
    let outage = Outage::with_users(USERS);
    let mut site = outage.site();
    site.set("HEADCOUNT_STORE_URL", &Outage::store_url(outage.port()));
    let server = serve(&site, 1, "");
    let export = broken_by(&server, || outage.kill());
    server.get_with(EXPORT_KEY, FULL).detail(503);
    server.eventually_lacks("store and source");
    outage.start_again();
    let record = site.settled(&export);
    assert_eq!(record["outcome"], "failed", "{record}");
    eventually("the refusal is recorded, too", || site.audit().len() == 2);
    assert_eq!(site.audit()[0]["reason"], "store unavailable");
    assert_whole(&server);
    server.eventually_ready();
    site.done(&["audit", "verify"]);
}

/// An instance whose session ended with the server shows the others again that it lives.
#[test]
fn an_instance_that_outlived_its_store_is_not_taken_for_dead() {
    let outage = Outage::with_users(USERS);
    let mut site = outage.site();
    site.set("HEADCOUNT_STORE_URL", &Outage::store_url(outage.port()));
    let server = serve(&site, 1, "");
    outage.kill();
    outage.start_again();
    server.eventually_says("the session that shows others that this process lives was lost");
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    let other = site.serve();
    assert!(site.audit_record(&export)["outcome"].is_null());
    assert!(download.rest().complete);
    assert_eq!(site.settled(&export)["outcome"], "completed");
    assert_whole(&other);
}

/// Before that one has shown it: its session ended a moment ago.
#[test]
fn a_command_right_after_a_start_of_the_store_leaves_running_exports_alone() {
    let outage = Outage::with_users(1);
    let mut site = Site::with_wide_users(Db::Sqlite);
    site.set("HEADCOUNT_STORE_URL", &Outage::store_url(outage.port()));
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    outage.kill();
    outage.start_again();
    site.done(&["export", "minimal", "--limit", "1"]);
    assert!(site.audit_record(&export)["outcome"].is_null());
    assert!(download.rest().complete);
    assert_eq!(site.settled(&export)["outcome"], "completed");
}

/// The address names both servers; the one that was the standby goes on.
#[test]
fn a_failover_breaks_the_export_and_no_later_one() {
    let mut replication = Replication::start(&[]);
    let (db, at) = (Db::Postgres, Db::Postgres.second_of_2025());
    let fill = format!(
        "{} INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, {at}, {at}, true, false
         FROM {}; ANALYZE users; GRANT SELECT ON users TO {APP_READER}",
        db.users_table(),
        db.series(USERS)
    );
    replication.primary().batch_execute(&fill).unwrap();
    replication.catch_up();
    let both = replication.url_of_both();
    let site = Replication::site(&format!("{both}?target_session_attrs=read-write"));
    let server = serve(&site, 4, "");
    assert_whole(&server);
    let export = broken_by(&server, || replication.kill_the_primary());
    assert_eq!(site.settled(&export)["outcome"], "failed");
    server.get_with(EXPORT_KEY, FULL).detail(503);
    replication.promote();
    assert_whole(&server);
    let outcomes: Vec<_> = site.audit().into_iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["completed", "failed", "failed", "completed"]);
}
