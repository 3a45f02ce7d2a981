//! Slow clients for whom there is no room, or no disk: they may hold the source for a while, and are then told the truth.

use crate::harness::{Db, Download, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, eventually};
use crate::spool::{busy_site, eventually_free, is_free, spooled};

both! {
    a_client_for_whom_there_is_no_room_is_waited_for_and_then_broken_off,
    one_client_has_at_most_half_of_the_room_and_one_key_three_quarters,
    without_a_spool_a_slow_client_is_waited_for_and_then_broken_off,
    without_a_spool_a_client_that_hesitates_gets_every_byte,
    a_file_that_cannot_grow_breaks_the_transfer,
}

fn assert_broken(site: &Site, slow: Download, reason: &str) {
    let export = slow.export_id();
    assert!(!slow.rest().complete);
    let record = site.settled(&export);
    assert_eq!(record["outcome"], "failed", "{record}");
    assert!(record["rows"].as_u64().unwrap() < 3000, "{record}");
    assert!(record["reason"].as_str().unwrap().contains(reason), "{record}");
}

fn assert_serves(server: &Server) {
    assert_eq!(server.get_with(STANDARD_KEY, &format!("{MINIMAL}?fields=id")).ids().len(), 3000);
}

fn a_client_for_whom_there_is_no_room_is_waited_for_and_then_broken_off(db: Db) {
    let site = busy_site(db);
    site.configure("[limits]\nspool_bytes = 67108864\nsource_hold = \"10s\"\n");
    let server = site.serve();
    let other = site.create_key(&["other", "--kind", "export"]);
    let others = [EXPORT_KEY, &other].map(|key| Download::stalled(&server, FULL, key));
    eventually_free(&site);
    eventually("what they have not taken waits on disk", || spooled(&server) > 34_000_000);

    let last = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually("it takes what is left", || spooled(&server) > 66_000_000);
    assert!(spooled(&server) <= 67_108_864);
    assert!(!is_free(&site));
    eventually_free(&site);
    // The others are of 30 MB each.
    eventually("its part of the disk is free", || spooled(&server) < 61_000_000);
    assert_broken(&site, last, "limits.source_hold");

    assert!(others.into_iter().all(|other| other.rest().complete));
    assert_serves(&server);
}

fn one_client_has_at_most_half_of_the_room_and_one_key_three_quarters(db: Db) {
    let site = busy_site(db);
    site.configure("[limits]\nspool_bytes = 33554432\n");
    let server = site.serve();
    let first = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually("it takes its half", || spooled(&server) > 15_000_000);
    let second = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually("there is half as much for another", || spooled(&server) > 24_000_000);
    assert!(spooled(&server) <= 25_165_824);
    let other = site.create_key(&["other", "--kind", "export"]);
    let third = Download::stalled(&server, FULL, &other);
    eventually("there is as much for another key", || spooled(&server) > 31_000_000);
    assert!(!is_free(&site));
    drop((second, third));
    eventually("that is free again", || spooled(&server) <= 16_777_216);
    assert!(first.rest().complete);
}

fn without_a_spool_a_slow_client_is_waited_for_and_then_broken_off(db: Db) {
    let site = busy_site(db);
    site.configure("[limits]\nspool_bytes = 0\nsource_hold = \"10s\"\n");
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    assert!(!is_free(&site));
    eventually("the source is free", || {
        assert_eq!(spooled(&server) + server.nameless_files_in(&site.data_dir()) as u64, 0);
        is_free(&site)
    });
    assert_broken(&site, slow, "limits.source_hold");
    assert_serves(&server);
}

fn without_a_spool_a_client_that_hesitates_gets_every_byte(db: Db) {
    let site = busy_site(db);
    site.configure("[limits]\nspool_bytes = 0\n");
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    // The pace of the client.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let received = slow.rest();
    assert!(received.complete);
    assert!(received.body == server.get_with(EXPORT_KEY, FULL).body);
}

/// The same that a full disk is, for one process alone.
fn a_file_that_cannot_grow_breaks_the_transfer(db: Db) {
    let site = busy_site(db);
    let server = site.serve();
    server.limit_files("8388608");
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually_free(&site);
    // Only a spool grows so large.
    assert_broken(&site, slow, "File too large");
    eventually("the disk is free", || spooled(&server) == 0);
    assert_serves(&server);
}

/// With its store elsewhere, a deployment may never have needed the directory.
#[test]
fn the_directory_is_made_where_it_is_missing() {
    let site = busy_site(Db::Postgres);
    let server = site.serve();
    assert!(!site.data_dir().exists());
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually_free(&site);
    assert!(spooled(&server) > 0);
    assert!(slow.rest().complete);
    assert_eq!(std::fs::read_dir(site.data_dir()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_done_without() {
    let site = busy_site(Db::Postgres);
    std::fs::write(site.data_dir(), "not a directory").unwrap();
    let server = site.serve();
    for _ in 0..2 {
        let slow = Download::stalled(&server, FULL, EXPORT_KEY);
        server.eventually_says("there is no spool");
        assert!(!is_free(&site));
        assert!(slow.rest().complete);
    }
    assert_eq!(server.said().matches("there is no spool").count(), 1);
    drop(server);

    site.configure("[limits]\nsource_hold = \"1s\"\n");
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    eventually_free(&site);
    assert_broken(&site, slow, "limits.source_hold");
    assert_serves(&server);
}
