//! A SQLite table whose pages are read, when they are damaged, when a value does not fit, and when nobody waits for its rows.

use proptest::prelude::*;
use rusqlite::Connection;

use crate::harness::{Answer, Db, Download, EXPORT_KEY, FULL, HELD, Site, eventually};
use crate::pages::{PADDING, as_sqlite_reads, exported, run};
use crate::parts_live::{FOUR, MIB, cost_of_slow_readers, readers};

/// A file of users of all kinds, and how many of its pages are theirs or the catalogue's.
fn whole_file(page_size: u32) -> (Vec<u8>, usize) {
    let site = Site::bare(Db::Sqlite);
    let connection = site.sqlite();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page_size};
             CREATE TABLE users (email TEXT, id INTEGER PRIMARY KEY, name TEXT, number INTEGER);
             INSERT INTO users SELECT 'user' || i || '@example.com', i * i - 5000, CASE i % 3 WHEN 0 THEN NULL
             WHEN 1 THEN 'Grüße ' || i ELSE substr(hex(zeroblob(700)), 1, i % 1400) END,
             CASE i % 5 WHEN 0 THEN 1 ELSE i << (i % 50) END FROM {};
             DELETE FROM users WHERE id % 7 = 3;",
            Db::Sqlite.series(1200)
        ))
        .unwrap();
    let pages: u32 = connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    connection.execute_batch(PADDING).unwrap();
    drop(connection);
    (std::fs::read(site.sqlite_source()).unwrap(), usize::try_from(pages).unwrap())
}

const COLUMNS: [&str; 4] = ["id", "email", "name", "number"];

/// One thread and four either fail or give what SQLite itself reads.
fn assert_fails_or_is_right(site: &Site, bytes: &[u8]) {
    std::fs::write(site.sqlite_source(), bytes).unwrap();
    let columns = COLUMNS.map(String::from);
    let sqlite =
        Connection::open(site.sqlite_source()).and_then(|connection| as_sqlite_reads(&connection, &columns));
    for parallelism in [1, 4] {
        if let Ok(ours) = exported(site, parallelism, &columns) {
            let theirs = sqlite.as_ref().unwrap_or_else(|error| panic!("SQLite says {error}"));
            assert!(ours == *theirs, "{parallelism}: {} and {} rows", ours.len(), theirs.len());
        }
    }
}

#[test]
fn damaged_pages_fail_an_export_or_are_read_as_sqlite_reads_them() {
    for page_size in [512, 4096] {
        let (whole, pages) = whole_file(page_size);
        let site = Site::bare(Db::Sqlite);
        let size = usize::try_from(page_size).unwrap();
        // The headers and pointers at the start of a page are hit as often as all else.
        let at = (1..pages, prop_oneof![0..16_usize, 0..size]).prop_map(move |(page, at)| page * size + at);
        let flips = prop::collection::vec((at, 1..=255_u8), 1..6);
        run(80, &flips, |flips| {
            let mut damaged = whole.clone();
            for (at, flipped) in flips {
                damaged[*at] ^= flipped;
            }
            assert_fails_or_is_right(&site, &damaged);
        });
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().unwrap())
}

/// A page that is its own descendant, one that is there twice, one that is not in the file, and one that is empty.
#[test]
fn a_tree_that_is_none_fails_an_export() {
    let (whole, _) = whole_file(512);
    let site = Site::bare(Db::Sqlite);
    std::fs::write(site.sqlite_source(), &whole).unwrap();
    let root: u32 = site
        .sqlite()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'users'", (), |row| row.get(0))
        .unwrap();
    let page = |number: u32| (usize::try_from(number).unwrap() - 1) * 512;
    let pointer = |page: usize, cell: usize| {
        let at = page + 12 + 2 * cell;
        page + usize::from(u16::from_be_bytes([whole[at], whole[at + 1]]))
    };
    let cells = pointer(page(root), 0);
    let child = page(u32_at(&whole, cells));
    let (first, second) = (pointer(child, 0), pointer(child, 1));
    let leaf = page(u32_at(&whole, second));
    let twice = whole[first..first + 4].to_vec();
    for (at, bytes) in [
        (cells, root.to_be_bytes().to_vec()),
        (second, root.to_be_bytes().to_vec()),
        (second, twice),
        (second, vec![0; 4]),
        (second, vec![0xff; 4]),
        (second, vec![0, 0, 0, 1]),
        (page(root), vec![13]),
        (child, vec![13]),
        (leaf, vec![5]),
        (leaf + 3, vec![0, 0]),
        (child + 3, vec![0, 0]),
        (page(root) + 3, vec![0, 0]),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(&bytes);
        std::fs::write(site.sqlite_source(), &damaged).unwrap();
        for parallelism in [1, 4] {
            let said = exported(&site, parallelism, &COLUMNS.map(String::from)).unwrap_err();
            assert!(said.contains("malformed (page "), "{at} {bytes:?}: {said}");
        }
    }
}

/// Users whose rows are in the pages, 28 MB of them, which no pair of socket buffers holds.
fn large() -> Site {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql(&format!(
        "INSERT INTO users SELECT i, 'user' || i || '@example.com', hex(zeroblob(1750)), {at}, {at}, true, false FROM {}",
        site.db.series(8000),
        at = site.db.second_of_2025(),
    ));
    site.configure(&format!("{FOUR}{HELD}"));
    site
}

#[test]
fn a_value_that_does_not_fit_is_named() {
    let site = large();
    for (column, bad) in [
        ("name", "CAST(x'61ff' AS TEXT)"),
        ("name", "x'61'"),
        ("created_at", "'yesterday'"),
        ("is_admin", "2"),
    ] {
        site.sql("CREATE TABLE kept AS SELECT * FROM users WHERE id = 7990");
        site.sql(&format!("UPDATE users SET {column} = {bad} WHERE id = 7990"));
        // What follows an id is found by a statement.
        let said = ["1", "4"].map(|parallelism| {
            site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
            let [whole, rest] =
                [&["export", "full"][..], &["export", "full", "--after", "1"]].map(|arguments| {
                    let finished = site.run(arguments);
                    assert_eq!(finished.code, Some(1), "{column}");
                    finished.stderr
                });
            assert_eq!(whole, rest);
            whole
        });
        assert!(said[0].contains(&format!("column {column}, id 7990: ")), "{}", said[0]);
        assert_eq!(said[0], said[1]);
        site.sql("INSERT OR REPLACE INTO users SELECT * FROM kept; DROP TABLE kept");
    }
    assert_eq!(site.serve().get_with(EXPORT_KEY, FULL).ids().len(), 8000);
}

#[test]
fn a_client_that_leaves_closes_the_source() {
    let site = large();
    for parallelism in [1, 4] {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n{HELD}"));
        let server = site.serve();
        for _ in 0..3 {
            let mut http1 = Download::stalled(&server, FULL, EXPORT_KEY);
            http1.first_chunk();
            // The connection that watched over the snapshot may wait for the others before it is closed.
            eventually("it is read", || (parallelism..=parallelism + 1).contains(&readers(&site, &server)));
            let export = http1.export_id();
            drop(http1);
            eventually("the source is closed", || readers(&site, &server) == 0);
            assert_eq!(site.settled(&export)["outcome"], "disconnected");
        }
        let whole = Answer::to(server.http2(&format!("{FULL}?fields=id")).bearer_auth(EXPORT_KEY));
        assert_eq!(whole.ids().len(), 8000);
    }
}

#[test]
fn a_late_value_that_does_not_fit_breaks_the_transfer() {
    let site = large();
    site.sql("UPDATE users SET is_admin = 2 WHERE id = 7990");
    for parallelism in [1, 4] {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        let server = site.serve();
        let download = Download::stalled(&server, FULL, EXPORT_KEY);
        let export = download.export_id();
        let received = download.rest();
        assert!(!received.complete && received.body.starts_with(b"id,email,name"));
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "failed", "{record}");
        assert!(record["reason"].as_str().unwrap().contains("column is_admin, id 7990"), "{record}");
        eventually("the source is closed", || readers(&site, &server) == 0);
    }
}

#[test]
fn slow_readers_take_little_memory() {
    let cost = cost_of_slow_readers(&large());
    assert!(cost < 64 * MIB, "{} MiB", cost / MIB);
}
