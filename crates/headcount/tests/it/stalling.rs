//! Clients that stay, and take nothing; and clients that take little.

use std::time::Duration;

use crate::harness::{APP_READER, Db, Download, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Site, eventually};

both! {
    a_client_that_takes_nothing_is_cut_off,
    an_http_2_stream_that_takes_nothing_is_cut_off,
    a_client_that_is_slow_is_not_cut_off,
}

fn impatient(db: Db, stall: &str) -> Site {
    let site = Site::with_wide_users(db);
    site.configure(&format!(
        "[limits]\nconcurrent_exports = 1\nspool_bytes = 0\nclient_stall = \"{stall}\"\n"
    ));
    site
}

fn assert_stalled(site: &Site, export: &str) {
    let record = site.settled(export);
    assert_eq!(record["outcome"], "disconnected", "{record}");
    assert_eq!(record["reason"], "client stalled", "{record}");
    assert!(record["rows"].as_u64().unwrap() < 3000, "{record}");
    if site.db == Db::Postgres {
        eventually("the transaction is over", || site.database().busy_sessions(APP_READER) == 0);
    }
}

fn a_client_that_takes_nothing_is_cut_off(db: Db) {
    let site = impatient(db, "1s");
    let server = site.serve();
    let stalled = Download::stalled(&server, FULL, EXPORT_KEY);
    assert_stalled(&site, &stalled.export_id());
    let target = format!("{MINIMAL}?fields=id");
    assert_eq!(server.get_with(STANDARD_KEY, &target).ids().len(), 3000);
    assert!(!stalled.rest().complete);
}

fn an_http_2_stream_that_takes_nothing_is_cut_off(db: Db) {
    let site = impatient(db, "1s");
    let server = site.serve();
    let stalled = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
    assert_stalled(&site, stalled.headers()["x-export-id"].to_str().unwrap());
    let target = format!("{MINIMAL}?fields=id");
    assert_eq!(server.get_with(STANDARD_KEY, &target).ids().len(), 3000);
    assert!(stalled.bytes().is_err());
}

/// Takes, for longer than a stall may last, less than makes the server's kernel ask for more.
fn a_client_that_is_slow_is_not_cut_off(db: Db) {
    let site = impatient(db, "6s");
    let server = site.serve();
    let mut slow = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = slow.export_id();
    let mut taken = 0;
    while taken < 6_000_000 {
        taken += slow.first_chunk().len();
    }
    for _ in 0..20 {
        // The pace of the client, not the patience of the test.
        std::thread::sleep(Duration::from_millis(400));
        taken += slow.first_chunk().len();
    }
    let rest = slow.rest();
    assert!(rest.complete);
    let record = site.settled(&export);
    assert_eq!(record["outcome"], "completed", "{record}");
    assert_eq!(record["bytes"], taken + rest.body.len());
}
