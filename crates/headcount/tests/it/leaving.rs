//! Clients that go away before the end.

use crate::harness::{
    APP_READER, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, STANDARD_KEY, Server, Site, eventually,
};

both! {
    a_client_that_leaves_is_recorded_as_disconnected,
    an_http_2_client_that_leaves_is_recorded_as_disconnected,
    a_client_that_leaves_a_compressed_export_is_recorded_as_disconnected,
    a_client_that_leaves_frees_the_source,
    clients_that_leave_do_not_use_up_the_slots,
}

fn assert_disconnected(site: &Site, export: &str) {
    let record = site.settled(export);
    assert_eq!(record["outcome"], "disconnected", "{record}");
    assert!(record["rows"].as_u64().unwrap() < 3000, "{record}");
}

fn a_client_that_leaves_is_recorded_as_disconnected(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    download.first_chunk();
    drop(download);
    assert_disconnected(&site, &export);
}

fn an_http_2_client_that_leaves_is_recorded_as_disconnected(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let response = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
    let export = response.headers()["x-export-id"].to_str().unwrap().to_owned();
    drop(response);
    assert_disconnected(&site, &export);
}

fn a_client_that_leaves_a_compressed_export_is_recorded_as_disconnected(db: Db) {
    let site = Site::with_empty_table(db);
    site.sql(&format!("INSERT INTO users (id, name) SELECT i, {} FROM {}", db.noise(), db.series(2999)));
    let server = site.serve();
    let headers = format!("X-API-Key: {EXPORT_KEY}\r\nAccept-Encoding: gzip\r\n");
    let mut download = Download::open_with(&server, FULL, &headers);
    assert_eq!(download.header("content-encoding"), "gzip");
    let export = download.export_id();
    download.first_chunk();
    drop(download);
    assert_disconnected(&site, &export);
}

fn source_is_busy(site: &Site) -> bool {
    match site.db {
        Db::Postgres => site.database().busy_sessions(APP_READER) > 0,
        Db::Sqlite => {
            let connection = site.sqlite();
            connection.busy_timeout(std::time::Duration::ZERO).unwrap();
            connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK").is_err()
        }
    }
}

fn a_client_that_leaves_frees_the_source(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(HELD);
    let server = site.serve();
    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    assert!(source_is_busy(&site));
    drop(download);
    eventually("the source is left alone", || !source_is_busy(&site));
}

fn in_flight(server: &Server) -> f64 {
    server.metric("headcount_exports_in_flight", &[])
}

fn clients_that_leave_do_not_use_up_the_slots(db: Db) {
    let mut site = Site::with_wide_users(db);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "2");
    let server = site.serve();
    for _ in 0..4 {
        let leaving = [0, 1].map(|_| Download::stalled(&server, FULL, EXPORT_KEY));
        assert!((in_flight(&server) - 2.0).abs() < f64::EPSILON);
        drop(leaving);
        eventually("both slots are free", || in_flight(&server) < 0.5);
    }
    let target = format!("{MINIMAL}?fields=id");
    assert_eq!(server.get_with(STANDARD_KEY, &target).ids().len(), 3000);
}
