//! A full disk, in the shape of the largest file that a process may write; and a SQLite file that is damaged while it is read.

use std::os::unix::fs::FileExt;

use crate::harness::{Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, STANDARD_KEY, Server, Site, eventually};

both! {
    an_output_file_that_finds_no_room_is_a_failure_and_leaves_no_file,
}

fn files_in(site: &Site, dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(site.path(dir)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn an_output_file_that_finds_no_room_is_a_failure_and_leaves_no_file(db: Db) {
    let site = Site::with_wide_users(db);
    site.create_key(&["anybody", "--kind", "standard"]);
    std::fs::create_dir(site.path("out")).unwrap();
    let finished = site.run_limited(4_000_000, &["export", "full", "-o", "out/users.csv"]);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains("the export cannot be written to out/users.csv: "),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains("File too large"), "{}", finished.stderr);
    assert_eq!(files_in(&site, "out"), Vec::<String>::new());
    let audit = site.audit();
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0]["outcome"], "failed", "{audit:?}");
    assert!(audit[0]["reason"].as_str().unwrap().starts_with("the export cannot be written: "));

    std::fs::write(site.path("out/users.csv"), "yesterday's").unwrap();
    assert_eq!(site.run_limited(4_000_000, &["export", "full", "-o", "out/users.csv"]).code, Some(1));
    assert_eq!(files_in(&site, "out"), ["users.csv"]);
    assert_eq!(std::fs::read(site.path("out/users.csv")).unwrap(), b"yesterday's");
    site.done(&["export", "full", "-o", "out/users.csv"]);
}

/// Whether an export was whole, and recorded as that.
fn is_whole(server: &Server) -> bool {
    let request = server.request(reqwest::Method::GET, MINIMAL).bearer_auth(STANDARD_KEY);
    let answer = request.send().unwrap();
    let status = answer.status().as_u16();
    assert!([200, 503].contains(&status), "{status}");
    status == 200 && answer.bytes().is_ok_and(|body| body.ends_with(b"\r\n"))
}

#[test]
fn a_store_that_finds_no_room_stops_exports_until_there_is_some() {
    let site = Site::with_people(Db::Sqlite);
    site.create_key(&["anybody", "--kind", "standard"]);
    let server = site.serve();
    server.limit_files("524288");
    let (mut asked, mut whole) = (0, 0);
    let mut export = || {
        let is_whole = is_whole(&server);
        asked += 1;
        whole += usize::from(is_whole);
        is_whole
    };
    assert!(export());
    eventually("the store is full", || !export());
    // What SQLite has moved from its log into the file leaves room in that.
    server.limit_files("4096");
    assert!(!export());
    server.limit_files("unlimited");
    assert!(export());
    eventually("every request is recorded", || site.audit().len() == asked);
    eventually("every record is closed", || site.audit().iter().all(|record| !record["outcome"].is_null()));
    let outcomes: Vec<_> = site.audit().into_iter().map(|record| record["outcome"].clone()).collect();
    let completed = outcomes.iter().filter(|outcome| *outcome == "completed").count();
    assert_eq!(completed, whole, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome == "completed" || outcome == "failed"), "{outcomes:?}");
    site.done(&["audit", "verify"]);
}

/// Users whose rows are in the pages of the table, or larger than a page.
fn large(name: &str) -> Site {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql(&format!(
        "INSERT INTO users SELECT i, 'user' || i || '@example.com', {name}, NULL, NULL, true, false FROM {}",
        site.db.series(12_000)
    ));
    site
}

/// Ways to damage a file of this length that somebody reads.
const DAMAGES: [fn(&std::fs::File, u64); 4] = [
    |file, length| file.set_len(length / 2).unwrap(),
    |file, _| file.set_len(0).unwrap(),
    |file, length| overwrite(file, length / 2, length, 0xa5),
    |file, length| overwrite(file, length / 2, length, 0),
];

fn overwrite(file: &std::fs::File, from: u64, to: u64, byte: u8) {
    file.write_all_at(&vec![byte; usize::try_from(to - from).unwrap()], from).unwrap();
}

#[test]
fn a_sqlite_file_that_is_damaged_while_it_is_read_breaks_the_export() {
    for name in ["hex(zeroblob(1750))", "hex(zeroblob(4000))"] {
        let site = large(name);
        let whole = std::fs::read(site.sqlite_source()).unwrap();
        for parallelism in [1, 4] {
            site.configure(&format!("{HELD}[source]\nparallelism = {parallelism}\n"));
            let server = site.serve();
            for damage in DAMAGES {
                let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
                let export = download.export_id();
                download.first_chunk();
                let file = std::fs::OpenOptions::new().write(true).open(site.sqlite_source()).unwrap();
                damage(&file, whole.len() as u64);
                assert!(!download.rest().complete, "{name}, {parallelism}");
                let record = site.settled(&export);
                assert_eq!(record["outcome"], "failed", "{record}");
                std::fs::write(site.sqlite_source(), &whole).unwrap();
                let ids = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids();
                assert_eq!(ids.len(), 12_000);
            }
        }
    }
}
