//! Exports of slow clients that do not end well: each way out is the same as without a spool, and nothing of it stays.

use crate::harness::{Db, Download, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, eventually};
use crate::spool::{busy_site, eventually_free, spooled};

both! {
    what_leaves_the_spool_is_counted_in_the_budget,
    a_client_that_leaves_leaves_nothing_behind,
    a_source_that_fails_late_breaks_the_transfer_at_once,
    a_client_that_takes_nothing_is_cut_off,
    a_shutdown_breaks_off_what_waits,
}

fn what_leaves_the_spool_is_counted_in_the_budget(db: Db) {
    let site = busy_site(db);
    let key = site.create_key(&["frugal", "--kind", "export", "--rows-per-day", "2000"]);
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, &key);
    let export = slow.export_id();
    eventually_free(&site);
    assert!(!slow.rest().complete);
    let record = site.settled(&export);
    assert_eq!(record["outcome"], "over_budget", "{record}");
    let rows = record["rows"].as_u64().unwrap();
    assert!((1500..=2000).contains(&rows), "{record}");
    eventually("the rest is given back", || {
        site.keys().iter().any(|key| key["name"] == "frugal" && key["rows_today"] == rows)
    });
    eventually("the disk is free", || spooled(&server) == 0);
}

fn a_client_that_leaves_leaves_nothing_behind(db: Db) {
    let mut site = busy_site(db);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "1");
    let server = site.serve();
    for _ in 0..2 {
        let slow = Download::stalled(&server, FULL, EXPORT_KEY);
        let export = slow.export_id();
        eventually("a spool is used", || spooled(&server) > 0);
        eventually("its file is there", || server.nameless_files_in(&site.data_dir()) == 1);
        drop(slow);
        eventually("the disk is free", || spooled(&server) == 0);
        eventually("the file is gone", || server.nameless_files_in(&site.data_dir()) == 0);
        eventually_free(&site);
        assert_eq!(site.settled(&export)["outcome"], "disconnected");
    }
    assert_eq!(server.get_with(STANDARD_KEY, &format!("{MINIMAL}?fields=id")).ids().len(), 3000);
}

fn a_source_that_fails_late_breaks_the_transfer_at_once(db: Db) {
    let site = busy_site(db);
    if db == Db::Postgres {
        site.sql("ALTER TABLE users ALTER is_admin TYPE INT USING is_admin::int");
    }
    site.sql("UPDATE users SET is_admin = 2 WHERE id = 2990");
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = slow.export_id();
    eventually_free(&site);
    // Nobody has to read what is of no use any more.
    eventually("the disk is free", || spooled(&server) == 0);
    let received = slow.rest();
    assert!(!received.complete && received.body.starts_with(b"id,email,name"));
    let record = site.settled(&export);
    assert_eq!(record["outcome"], "failed", "{record}");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("is_admin") && reason.contains("2990"), "{reason}");
}

fn a_client_that_takes_nothing_is_cut_off(db: Db) {
    let site = busy_site(db);
    site.configure("[limits]\nclient_stall = \"5s\"\n");
    let server = site.serve();
    let stalled = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually("a spool is used", || spooled(&server) > 0);
    let record = site.settled(&stalled.export_id());
    assert_eq!((&record["outcome"], &record["reason"]), (&"disconnected".into(), &"client stalled".into()));
    eventually("the disk is free", || spooled(&server) == 0);
    assert!(!stalled.rest().complete);
}

fn a_shutdown_breaks_off_what_waits(db: Db) {
    let site = busy_site(db);
    site.configure("[limits]\nshutdown_grace = \"300ms\"\n");
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually_free(&site);
    server.signal("TERM");
    assert_eq!(server.exit().code(), Some(0));
    assert_eq!(site.audit_record(&slow.export_id())["outcome"], "interrupted");
    assert!(!slow.rest().complete);
}
