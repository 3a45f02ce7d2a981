//! A table that is read in parts when it cannot be read, and while its readers leave or wait.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Db, Download, EXPORT_KEY, FULL, HELD, Server, Site, eventually};

pub(crate) const FOUR: &str = "[source]\nparallelism = 4\n";

/// Users of a part: their ids lie as densely as the first few hundred, and then there is a gap.
pub(crate) const CLUSTER: u64 = 300;
pub(crate) const GAP: u64 = 1_000_000;

/// An export of 30 MB in ten parts, which no pair of socket buffers holds.
fn large() -> Site {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql(&format!(
        "INSERT INTO users SELECT (i - 1) / {CLUSTER} * {GAP} + (i - 1) % {CLUSTER}, 'user' || i || '@example.com',
         {}, {at}, {at}, true, false FROM {}",
        site.db.wide_text(),
        site.db.series(3000),
        at = site.db.second_of_2025(),
    ));
    site.configure(&format!("{FOUR}{HELD}"));
    site
}

pub(crate) fn readers(site: &Site, server: &Server) -> usize {
    server.times_open(&site.sqlite_source())
}

fn assert_divided(site: &Site, server: &Server) {
    let readers = readers(site, server);
    assert!(readers >= 4, "{readers}");
}

/// The id of a user in the last but one part.
const BAD: u64 = 8 * GAP + 123;

fn assert_failed(site: &Site, server: &Server, export: &str, column: &str) {
    let record = site.settled(export);
    assert_eq!(record["outcome"], "failed", "{record}");
    assert!(record["rows"].as_u64().unwrap() < 8 * CLUSTER + 123, "{record}");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains(column) && reason.contains(&BAD.to_string()), "{reason}");
    eventually("the source is closed", || readers(site, server) == 0);
}

#[test]
fn a_bad_value_in_a_late_part_breaks_the_transfer() {
    let mut site = large();
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "1");
    let server = site.serve();
    for (column, bad) in [("name", "CAST(x'61ff' AS TEXT)"), ("created_at", "'yesterday'"), ("is_admin", "2")]
    {
        site.sql(&format!("CREATE TABLE kept AS SELECT * FROM users WHERE id = {BAD}"));
        site.sql(&format!("UPDATE users SET {column} = {bad} WHERE id = {BAD}"));

        let download = Download::stalled(&server, FULL, EXPORT_KEY);
        assert_divided(&site, &server);
        let export = download.export_id();
        let received = download.rest();
        assert!(!received.complete);
        assert!(received.body.starts_with(b"id,email,name"));
        assert!(!received.has(b"\r\n9000000,"));
        assert_failed(&site, &server, &export, column);

        for encoding in ["identity", "gzip"] {
            let request = server.http2(FULL).bearer_auth(EXPORT_KEY).header("accept-encoding", encoding);
            let response = request.send().unwrap();
            let export = response.headers()["x-export-id"].to_str().unwrap().to_owned();
            assert!(Answer::read(response).is_err(), "{encoding}");
            assert_failed(&site, &server, &export, column);
        }
        let finished = site.run(&["export", "full"]);
        assert_eq!(finished.code, Some(1));
        assert!(finished.stderr.contains(&BAD.to_string()), "{}", finished.stderr);

        site.sql("INSERT OR REPLACE INTO users SELECT * FROM kept; DROP TABLE kept");
        let answer = Answer::to(server.request(Method::GET, FULL).bearer_auth(EXPORT_KEY));
        assert_eq!(answer.ids().len(), 3000, "{column}");
    }
}

#[test]
fn a_bad_first_row_is_an_error_and_not_an_empty_export() {
    let site = large();
    site.sql("UPDATE users SET is_admin = 2 WHERE id = 0");
    let server = site.serve();
    server.get_with(EXPORT_KEY, FULL).detail(500);
    assert_eq!(site.audit_of(1)[0]["outcome"], "failed");
    eventually("the source is closed", || readers(&site, &server) == 0);
}

#[test]
fn a_client_that_leaves_closes_the_source() {
    let site = large();
    let server = site.serve();
    for _ in 0..3 {
        let mut http1 = Download::stalled(&server, FULL, EXPORT_KEY);
        http1.first_chunk();
        let http2 = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
        let exports = [http1.export_id(), http2.headers()["x-export-id"].to_str().unwrap().to_owned()];
        eventually("one is read in parts, and the other by what is left", || readers(&site, &server) > 4);
        drop((http1, http2));
        eventually("the source is closed", || readers(&site, &server) == 0);
        for export in exports {
            let record = site.settled(&export);
            assert_eq!(record["outcome"], "disconnected", "{record}");
        }
    }
    assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids().len(), 3000);
}

pub(crate) const MIB: u64 = 1024;

/// What eight slow readers add to the memory of a server, in KiB.
pub(crate) fn cost_of_slow_readers(site: &Site) -> u64 {
    let other = site.create_key(&["other", "--kind", "export"]);
    let server = site.serve();
    let idle = server.peak_memory();
    let keys = [EXPORT_KEY, &other].into_iter().cycle();
    let mut slow: Vec<_> = keys.take(8).map(|key| Download::stalled(&server, FULL, key)).collect();
    eventually("one is read in parts, and the others by what is left", || readers(site, &server) >= 4 + 7);
    for download in &mut slow {
        download.first_chunk();
    }
    // It is here that the scans are as far ahead of their readers as they may be.
    let mut peak = 0;
    eventually("the memory does not grow", || {
        let before = std::mem::replace(&mut peak, server.peak_memory());
        for download in &mut slow {
            download.first_chunk();
        }
        before == peak
    });
    peak - idle
}

#[test]
fn slow_readers_take_little_memory() {
    let site = large();
    let cost = cost_of_slow_readers(&site);
    assert!(cost < 64 * MIB, "{} MiB", cost / MIB);
}

#[test]
fn slow_readers_of_large_rows_do_not_take_much_more() {
    let site = large();
    site.sql("CREATE TABLE padding (text TEXT); INSERT INTO padding VALUES (hex(zeroblob(500000)))");
    let name = "name = { sql = '(SELECT text FROM padding)' }";
    site.configure(&format!("{FOUR}{HELD}[source.columns]\n{name}\n"));
    let cost = cost_of_slow_readers(&site);
    assert!(cost < 128 * MIB, "{} MiB", cost / MIB);
}

#[test]
fn a_shutdown_breaks_off_every_part() {
    let site = large();
    site.configure(&format!("{FOUR}{HELD}shutdown_grace = \"300ms\"\n"));
    let server = site.serve();
    let slow: Vec<_> = (0..3).map(|_| Download::stalled(&server, FULL, EXPORT_KEY)).collect();
    assert_divided(&site, &server);
    server.signal("TERM");
    server.exit();
    let exports: Vec<_> = slow.iter().map(Download::export_id).collect();
    assert!(slow.into_iter().all(|download| !download.rest().complete));
    let outcome = |export: &String| -> Value { site.audit_record(export)["outcome"].clone() };
    assert!(exports.iter().all(|export| outcome(export) == "interrupted"));
}
