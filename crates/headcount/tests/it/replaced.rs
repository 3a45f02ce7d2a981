//! A SQLite file that is replaced while it is opened is exported as it was or as it is, never as a mixture; and one that nobody
//! writes, as on a read-only mount.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, STANDARD_KEY, Site,
};
use crate::parts_live::FOUR;

/// As many as make a file of more than 4 MiB.
const USERS: u32 = 8_000;

/// Two databases that differ in every address, `app/a.db` and `app/b.db`.
fn two() -> Site {
    let site = Site::bare(Db::Sqlite);
    for letter in ["a", "b"] {
        site.sql(Db::Sqlite.users_table());
        site.sql(&format!(
            "INSERT INTO users (id, email, name) SELECT i, '{letter}', hex(zeroblob(300)) FROM {}",
            site.db.series(USERS)
        ));
        std::fs::rename(site.sqlite_source(), site.path(&format!("app/{letter}.db"))).unwrap();
    }
    site.configure(FOUR);
    site
}

/// Exports again and again while `put` puts one file and the other in the place of the source, without a pause.
fn assert_no_mixture(site: &Site, put: impl Fn(&Path, &Path) + Sync) -> String {
    let files = ["a", "b"].map(|letter| site.path(&format!("app/{letter}.db")));
    let replace = |file: &Path| {
        let new = site.path("app/new.db");
        put(file, &new);
        std::fs::rename(&new, site.sqlite_source()).unwrap();
    };
    replace(&files[0]);
    let server = site.serve();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                files.iter().rev().for_each(|file| replace(file));
            }
        });
        let exported = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..40 {
                let csv = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?fields=id,email")).csv();
                let of_a = csv.lines().filter(|line| line.ends_with(",a")).count();
                let all = usize::try_from(USERS).unwrap();
                assert_eq!(csv.lines().count(), all + 1);
                assert!(of_a == 0 || of_a == all, "{of_a} of {all} are of the one file");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        exported.unwrap();
    });
    server.said()
}

#[test]
fn a_symbolic_link_that_is_switched_leads_all_readers_to_one_file() {
    let said = assert_no_mixture(&two(), |file, new| std::os::unix::fs::symlink(file, new).unwrap());
    assert!(!said.contains("read by one thread"), "{said}");
}

#[test]
fn a_file_that_is_replaced_is_read_by_all_or_by_none() {
    assert_no_mixture(&two(), |file, new| std::fs::hard_link(file, new).unwrap());
}

const IMMUTABLE: &str = "[source]\nimmutable = true\n";

/// A file in WAL mode whose log cannot be opened, as where nothing can be written beside it.
fn without_a_log() -> Site {
    let site = Site::with_people(Db::Sqlite);
    site.sql("PRAGMA journal_mode = WAL");
    std::fs::create_dir(site.path("app/users.db-wal")).unwrap();
    site
}

#[test]
fn a_file_on_a_read_only_mount_says_what_to_set_and_is_read_with_it() {
    let site = without_a_log();
    for parallelism in [1, 4] {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        let refused = site.run(&["export", "minimal"]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("set source.immutable = true"), "{}", refused.stderr);
        site.findings().assert_one("problem", "source", &["set source.immutable = true"]);
        let server = site.serve();
        assert_eq!(server.get_with(EXPORT_KEY, FULL).detail(503), "The users source is not available");

        site.configure(&format!("{IMMUTABLE}parallelism = {parallelism}\n"));
        assert_eq!(site.done(&["export", "minimal"]), PEOPLE_MINIMAL);
        site.findings().assert_well_but(&[]);
        let server = site.serve();
        assert_eq!(server.get("/readyz").status, 200);
        assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    }
}

#[test]
fn an_odd_path_is_read_as_immutable_too() {
    let mut site = without_a_log();
    std::fs::rename(site.path("app"), site.path("a?b#c%20 d")).unwrap();
    let url = format!("sqlite:{}", site.path("link.db").display());
    std::os::unix::fs::symlink(site.path("a?b#c%20 d/users.db"), site.path("link.db")).unwrap();
    site.set("HEADCOUNT_SOURCE_URL", &url);
    site.configure(IMMUTABLE);
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
}

/// It is not read, and may hold users.
#[test]
fn a_log_beside_an_immutable_file_is_refused() {
    let site = Site::with_people(Db::Sqlite);
    site.configure(IMMUTABLE);
    let application = site.sqlite();
    application
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; INSERT INTO users (id) VALUES (777)",
        )
        .unwrap();
    let refused = site.run(&["export", "minimal"]);
    assert_eq!((refused.code, refused.text()), (Some(1), String::new()));
    for words in ["users.db-wal", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    application.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    assert!(site.done(&["export", "minimal"]).contains("\n777,"));

    drop(application);
    site.sql("PRAGMA journal_mode = DELETE");
    std::fs::write(site.path("app/users.db-journal"), b"\xd9\xd5\x05\xf9 and so on").unwrap();
    let refused = site.run(&["export", "minimal"]);
    assert!(refused.stderr.contains("cut off"), "{}", refused.stderr);
}

#[test]
fn an_immutable_file_that_is_written_while_it_is_read_fails_the_export() {
    for parallelism in [1, 4] {
        let site = Site::with_wide_users(Db::Sqlite);
        site.configure(&format!("{HELD}{IMMUTABLE}parallelism = {parallelism}\n"));
        let server = site.serve();
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        let export = download.export_id();
        download.first_chunk();
        site.sql("UPDATE users SET is_admin = NOT is_admin WHERE id = 3000");
        assert!(!download.rest().complete);
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "failed");
        assert!(record["reason"].as_str().unwrap().contains("source.immutable"), "{record}");
    }
}
