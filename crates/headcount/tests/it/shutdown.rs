//! Stopping well, stopping late, and not stopping but dying.

use std::net::TcpStream;

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, HEADCOUNT_STORE, MINIMAL, STANDARD_KEY, Server, Site, eventually,
};

both! {
    an_idle_server_stops_at_once_and_well,
    a_running_export_may_end_before_the_server_stops,
    what_outlives_the_grace_is_broken_off_and_recorded,
    an_export_cut_by_a_crash_is_interrupted_at_the_next_start,
}

fn an_idle_server_stops_at_once_and_well(db: Db) {
    let site = Site::with_people(db);
    for signal in ["TERM", "INT"] {
        let server = site.serve();
        assert_eq!(server.status_with(STANDARD_KEY, MINIMAL), 200);
        server.signal(signal);
        assert_eq!(server.exit().code(), Some(0), "{signal}");
    }
    let outcomes = site.audit();
    assert!(outcomes.iter().all(|record| record["outcome"] == "completed"));
}

fn eventually_accepts_nobody(server: &Server) {
    eventually("the server stops accepting", || TcpStream::connect(server.addr).is_err());
}

fn a_running_export_may_end_before_the_server_stops(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = running.export_id();
    server.signal("TERM");
    eventually_accepts_nobody(&server);
    let received = running.rest();
    assert!(received.complete);
    assert_eq!(server.exit().code(), Some(0));
    let record = site.audit_record(&export);
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["rows"], 3000);
}

fn what_outlives_the_grace_is_broken_off_and_recorded(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure("[limits]\nshutdown_grace = \"300ms\"\n");
    for signal in ["TERM", "INT"] {
        let server = site.serve();
        let http1 = Download::stalled(&server, FULL, EXPORT_KEY);
        let http2 = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
        let exports = [http1.export_id(), http2.headers()["x-export-id"].to_str().unwrap().to_owned()];
        server.signal(signal);
        server.exit();
        assert!(!http1.rest().complete, "{signal}");
        assert!(http2.bytes().is_err(), "{signal}");
        for export in exports {
            let record = site.audit_record(&export);
            assert_eq!(record["outcome"], "interrupted", "{signal}: {record}");
        }
    }
}

fn an_export_cut_by_a_crash_is_interrupted_at_the_next_start(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let before = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=1"));
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = running.export_id();
    site.settled(before.header("x-export-id"));
    server.kill();
    assert!(!running.rest().complete);
    if db == Db::Postgres {
        eventually("PostgreSQL knows that it is gone", || site.database().sessions(HEADCOUNT_STORE) == 0);
    }

    let server = site.serve();
    eventually("the record is interrupted", || site.audit_record(&export)["outcome"] == "interrupted");
    let completed = site.audit_record(before.header("x-export-id"));
    assert_eq!(completed["outcome"], "completed");
    let target = format!("{MINIMAL}?limit=1");
    assert_eq!(server.status_with(STANDARD_KEY, &target), 200);
}
