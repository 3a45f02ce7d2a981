//! A client that is slower than the source: the source is free long before the client is done, which gets every byte.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{
    APP_READER, Answer, Db, Download, EXPORT_KEY, FULL, Received, Server, Site, eventually,
};
use crate::parts_live::{FOUR, MIB};
use crate::parts_postgres_live::{WIDE, large};
use crate::trailers::{expected, sorted};

both! {
    a_client_that_waits_does_not_hold_the_source,
    a_client_that_takes_little_does_not_hold_the_source,
    a_compressed_export_does_not_hold_the_source_either,
    an_http_2_stream_that_waits_does_not_hold_the_source,
    a_pipe_that_nobody_reads_does_not_hold_the_source,
    many_clients_that_wait_take_little_memory,
}

/// 30 MB of export, in a database that its application goes on writing.
pub(crate) fn busy_site(db: Db) -> Site {
    let site = Site::with_wide_users(db);
    keep_a_log(&site);
    site
}

fn keep_a_log(site: &Site) {
    if site.db == Db::Sqlite {
        site.sqlite().query_row("PRAGMA journal_mode = WAL", (), |_| Ok(())).unwrap();
        site.sql("CREATE TABLE visits (time INTEGER)");
    }
}

/// Whether nothing holds back what cleans up after the application: vacuum, or a checkpoint of all of the log.
pub(crate) fn is_free(site: &Site) -> bool {
    match site.db {
        Db::Postgres => {
            let holding = format!(
                "SELECT pid FROM pg_stat_activity WHERE usename = '{APP_READER}' AND datname = current_database()
                 AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)"
            );
            site.column(&holding).is_empty()
        }
        Db::Sqlite => {
            let writer = site.sqlite();
            writer.busy_timeout(Duration::ZERO).unwrap();
            writer.execute_batch("INSERT INTO visits VALUES (unixepoch())").unwrap();
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            writer.query_row(checkpoint, (), |row| row.get::<_, i64>(0)).unwrap() == 0
        }
    }
}

pub(crate) fn eventually_free(site: &Site) {
    eventually("the source is free", || is_free(site));
}

pub(crate) fn spooled(server: &Server) -> u64 {
    server.metric("headcount_spool_bytes", &[]) as u64
}

fn open(server: &Server, headers: &str) -> Download {
    let headers = format!("Authorization: Bearer {EXPORT_KEY}\r\nTE: trailers\r\n{headers}");
    let download = Download::open_with(server, FULL, &headers);
    assert_eq!(download.status(), 200, "{}", download.head);
    download
}

fn assert_same(slow: &Received, fast: &Received) {
    assert!(slow.complete && fast.complete);
    assert!(slow.body == fast.body);
    assert_eq!(slow.trailers.len(), 3);
    assert_eq!(slow.trailers, fast.trailers);
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

fn a_client_that_waits_does_not_hold_the_source(db: Db) {
    let site = busy_site(db);
    for configuration in ["[source]\nparallelism = 1\n", ""] {
        site.configure(configuration);
        let server = site.serve();
        let before = files_in(&site.data_dir());

        let slow = open(&server, "");
        let export = slow.export_id();
        eventually_free(&site);
        assert!(spooled(&server) > 10_000_000, "{configuration}");
        assert_eq!(files_in(&site.data_dir()), before);
        assert!(site.audit_record(&export)["outcome"].is_null());

        assert_same(&slow.rest(), &open(&server, "").rest());
        let record = site.settled(&export);
        assert_eq!((&record["outcome"], &record["rows"]), (&"completed".into(), &3000.into()));
        eventually("the disk is free", || spooled(&server) == 0);
    }
}

#[test]
fn a_client_that_waits_for_many_parts_does_not_hold_the_source() {
    let site = large();
    site.configure(&format!("{FOUR}{WIDE}"));
    let server = site.serve();
    let slow = open(&server, "");
    eventually_free(&site);
    assert!(spooled(&server) > 40_000_000);
    assert_same(&slow.rest(), &open(&server, "").rest());
}

fn a_client_that_takes_little_does_not_hold_the_source(db: Db) {
    let site = busy_site(db);
    let server = site.serve();
    let mut slow = Download::stalled(&server, FULL, EXPORT_KEY);
    let mut body = Vec::new();
    eventually("the source is free", || {
        // As slow as it takes to be behind a source that is slow itself.
        if spooled(&server) > 12_000_000 {
            body.extend(slow.first_chunk());
        }
        is_free(&site)
    });
    let kept = spooled(&server);
    assert!(kept > 10_000_000, "{kept}");
    eventually("the disk is free of what was taken", || {
        body.extend(slow.first_chunk());
        spooled(&server) < kept / 2
    });
    let rest = slow.rest();
    assert!(rest.complete);
    body.extend(rest.body);
    assert!(body == server.get_with(EXPORT_KEY, FULL).body);
}

fn a_compressed_export_does_not_hold_the_source_either(db: Db) {
    let site = Site::with_empty_table(db);
    site.sql(&format!("INSERT INTO users (id, name) SELECT i, {} FROM {}", db.noise(), db.series(3000)));
    keep_a_log(&site);
    let server = site.serve();
    let slow = open(&server, "Accept-Encoding: gzip\r\n");
    assert_eq!(slow.header("content-encoding"), "gzip");
    eventually_free(&site);
    assert!(spooled(&server) > 0);
    let slow = slow.rest();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(slow.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == server.get_with(EXPORT_KEY, FULL).body);
    assert_eq!(sorted(slow.trailers), expected(3000, &unpacked, &slow.body));
}

fn an_http_2_stream_that_waits_does_not_hold_the_source(db: Db) {
    let site = busy_site(db);
    let server = site.serve();
    let slow = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
    eventually_free(&site);
    assert!(spooled(&server) > 0);
    assert!(Answer::read(slow).unwrap().body == server.get_with(EXPORT_KEY, FULL).body);
}

fn a_pipe_that_nobody_reads_does_not_hold_the_source(db: Db) {
    let site = busy_site(db);
    let expected = site.run(&["export", "full"]).stdout;
    assert!(expected.len() > 30_000_000);
    let mut command = site.command();
    command.arg("--data-dir").arg(site.data_dir()).args(["export", "full"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut written = vec![0];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut written).unwrap();
    eventually_free(&site);
    pipe.read_to_end(&mut written).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(written == expected);
}

fn many_clients_that_wait_take_little_memory(db: Db) {
    let site = busy_site(db);
    // One key leaves the last slot to others, until one of its exports waits for nothing but its client.
    site.configure("[limits]\nqueue_timeout = \"1m\"\n");
    let server = site.serve();
    let idle = server.peak_memory();
    let slow: Vec<_> = (0..8).map(|_| Download::stalled(&server, FULL, EXPORT_KEY)).collect();
    eventually_free(&site);
    assert!(spooled(&server) > 100_000_000);
    for download in slow {
        assert!(download.rest().complete);
    }
    let cost = server.peak_memory() - idle;
    assert!(cost < 64 * MIB, "{} MiB", cost / MIB);
}
