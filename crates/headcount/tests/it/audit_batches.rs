//! Many exports at once, whose records are written together.

use std::sync::Barrier;

use reqwest::Method;

use crate::harness::{
    Answer, Db, Download, EXPORT_KEY, FULL, MINIMAL, PEOPLE_MINIMAL, STANDARD_KEY, Server, Site, eventually,
};

both! {
    exports_that_wait_for_the_store_are_all_recorded,
    a_record_that_the_store_refuses_spoils_no_other,
    a_record_that_was_settled_by_another_is_not_settled_again,
}

const AT_ONCE: usize = 24;

/// Asks for exports at the same time while nobody can write to the store, and returns what is answered afterwards.
fn at_once(site: &Site, server: &Server) -> Vec<(usize, Answer)> {
    let asking = Barrier::new(AT_ONCE + 1);
    std::thread::scope(|scope| {
        let export = |n: usize| {
            let request = server.request(Method::GET, FULL).bearer_auth(EXPORT_KEY);
            let request = request.header("x-request-id", format!("request-{n}"));
            asking.wait();
            (n, Answer::to(request))
        };
        let start = || (0..AT_ONCE).map(|n| scope.spawn(move || export(n))).collect::<Vec<_>>();
        let exports = site.while_locked("headcount_audit IN SHARE", || {
            let exports = start();
            asking.wait();
            exports
        });
        exports.into_iter().map(|export| export.join().unwrap()).collect()
    })
}

fn exports_that_wait_for_the_store_are_all_recorded(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", &AT_ONCE.to_string());
    let server = site.serve();
    let mut exports: Vec<String> = at_once(&site, &server)
        .into_iter()
        .map(|(_, answer)| {
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.header("x-export-id").to_owned()
        })
        .collect();
    let audit = site.audit();
    assert!(audit.iter().all(|record| record["outcome"] == "completed" && record["rows"] == 5), "{audit:?}");
    let mut recorded: Vec<_> = audit.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    exports.sort();
    recorded.sort();
    assert_eq!(recorded, exports);
}

/// Makes the store refuse the record of one request.
fn poison(site: &Site, request_id: &str) {
    let condition = format!("NEW.request_id = '{request_id}'");
    site.store_sql(&match site.db {
        Db::Sqlite => format!(
            "CREATE TRIGGER poison BEFORE INSERT ON headcount_audit WHEN {condition}
             BEGIN SELECT RAISE(ABORT, 'poison'); END"
        ),
        Db::Postgres => format!(
            "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE 'poison'; END $$;
             CREATE TRIGGER poison BEFORE INSERT ON headcount_audit FOR EACH ROW
             WHEN ({condition}) EXECUTE FUNCTION poison()"
        ),
    });
}

fn a_record_that_the_store_refuses_spoils_no_other(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", &AT_ONCE.to_string());
    let server = site.serve();
    poison(&site, "request-7");
    for (n, answer) in at_once(&site, &server) {
        assert_eq!(answer.status, if n == 7 { 503 } else { 200 }, "{n}: {}", answer.text());
    }
    let count = site.store_column("SELECT count(*) FROM headcount_audit");
    assert_eq!(count, [(AT_ONCE - 1).to_string()]);
    server.eventually_says("poison");
}

/// As it happens to a process that lost its session with PostgreSQL, and with it the lock by which others know that it
/// lives.
fn a_record_that_was_settled_by_another_is_not_settled_again(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = running.export_id();
    site.store_sql(&format!("UPDATE headcount_audit SET outcome = 'interrupted' WHERE id = '{export}'"));
    assert!(!running.rest().complete);
    assert_eq!(site.audit_record(&export)["outcome"], "interrupted");
    let target = format!("{MINIMAL}?limit=1");
    eventually("others go on", || server.status_with(STANDARD_KEY, &target) == 200);
}

/// Neither does an export end well without its record, nor does it wait for ever.
#[test]
fn an_export_is_broken_off_while_the_chain_is_locked() {
    let site = Site::with_people(Db::Postgres);
    let server = site.serve();
    let mut lock = site.database().connect();
    lock.batch_execute("BEGIN; SELECT * FROM headcount_audit_head FOR UPDATE").unwrap();
    let running = Download::stalled(&server, MINIMAL, STANDARD_KEY);
    assert!(!running.rest().complete);
    lock.batch_execute("ROLLBACK").unwrap();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    site.done(&["audit", "verify"]);
}

/// PostgreSQL ends its session, and with it the lock.
#[test]
fn an_instance_that_freezes_with_the_chain_locked_does_not_stop_others() {
    let site = Site::with_wide_users(Db::Postgres);
    let server = site.serve();
    let frozen = site.serve();
    while !is_frozen_with_the_chain_locked(&site, &frozen) {
        frozen.signal("CONT");
        eventually("nothing is open", || site.audit().iter().all(|record| !record["outcome"].is_null()));
    }
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=1")).csv();
    frozen.signal("CONT");
    frozen.eventually_says("could not be recorded");
    site.done(&["audit", "verify"]);
}

/// Stops an instance in the midst of a transaction that has locked the chain. On a busy machine it may be through with it before it
/// stops: then it is `false`.
fn is_frozen_with_the_chain_locked(site: &Site, frozen: &Server) -> bool {
    let running = Download::stalled(frozen, FULL, EXPORT_KEY);
    let mut table = site.database().connect();
    table.batch_execute("BEGIN; LOCK TABLE headcount_audit IN SHARE MODE").unwrap();
    drop(running);
    let holders = |condition: &str| {
        site.column(&format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition} \
             AND EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid \
                         AND relation = 'headcount_audit_head'::regclass AND granted)"
        ))
    };
    eventually("the chain is locked and the table waited for", || {
        !holders("wait_event_type = 'Lock'").is_empty()
    });
    frozen.signal("STOP");
    table.batch_execute("ROLLBACK").unwrap();
    let is_idle = || {
        let since =
            "state = 'idle in transaction' AND clock_timestamp() - state_change > interval '1 second'";
        !holders(since).is_empty()
    };
    eventually("the chain is locked by nobody or by one who does nothing", || {
        is_idle() || holders("true").is_empty()
    });
    is_idle()
}
