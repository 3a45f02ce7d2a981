//! What another user of the machine has put where everybody can put something is not used. As root, which alone can give a file
//! away, and let another user have it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use crate::harness::{Db, Download, EXPORT_KEY, FULL, PEOPLE_MINIMAL, Site};

const NOBODY: u32 = 65_534;

/// A directory like `/tmp`.
fn share(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    std::fs::set_permissions(directory, Permissions::from_mode(0o1777)).unwrap();
}

/// Whether it is somebody else's now.
fn give_away(path: &Path) -> bool {
    lchown(path, Some(NOBODY), Some(NOBODY)).is_ok()
}

#[test]
fn a_link_of_another_user_is_not_followed() {
    let site = Site::with_people(Db::Sqlite);
    share(&site.path("shared"));
    std::fs::create_dir(site.path("private")).unwrap();
    std::fs::write(site.path("private/precious"), "precious").unwrap();
    for (link, target) in [
        ("shared/users.csv", "../private/precious"),
        ("shared/new.csv", "../private/new"),
        ("shared/users.csv.receipt.json", "../private/precious"),
        ("shared/out", "../private"),
    ] {
        symlink(target, site.path(link)).unwrap();
        if !give_away(&site.path(link)) {
            return;
        }
    }
    let is_refused = |arguments: &[&str]| {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        assert!(finished.stderr.contains("symbolic link of another user"), "{}", finished.stderr);
        assert_eq!(std::fs::read_dir(site.path("private")).unwrap().count(), 1, "{arguments:?}");
        assert_eq!(std::fs::read_to_string(site.path("private/precious")).unwrap(), "precious");
    };
    for output in ["shared/users.csv", "shared/new.csv", "shared/out/users.csv"] {
        is_refused(&["export", "minimal", "-o", output]);
    }
    is_refused(&["init", "--yes", "--output", "shared/out/headcount.toml"]);
    let store = |path: &str| format!("sqlite:{}", site.path(path).display());
    let mut other = Site::with_people(Db::Sqlite);
    other.set("HEADCOUNT_STORE_URL", &store("shared/new.csv"));
    let finished = other.run(&["keys", "list"]);
    assert!(finished.stderr.contains("symbolic link of another user"), "{}", finished.stderr);
    let finished = site.run_exactly(&["--data-dir", "shared/out/data", "export", "minimal"]);
    assert!(finished.stderr.contains("symbolic link of another user"), "{}", finished.stderr);
    assert_eq!(std::fs::read_dir(site.path("private")).unwrap().count(), 1);

    std::fs::remove_file(site.path("shared/users.csv")).unwrap();
    is_refused(&["export", "minimal", "-o", "shared/users.csv", "--receipt"]);
    assert!(!site.path("shared/users.csv").exists());
    assert!(site.audit().is_empty(), "nothing was exported in vain");
    // One of root's is as good as one's own, wherever it is.
    symlink("../private/precious", site.path("shared/mine.csv")).unwrap();
    site.done(&["export", "minimal", "-o", "shared/mine.csv"]);
    assert_eq!(std::fs::read_to_string(site.path("private/precious")).unwrap(), PEOPLE_MINIMAL);
}

/// A store with a key, as whoever planted it would have it.
fn plant(site: &Site, data_dir: &str) -> bool {
    let made = ["--data-dir", data_dir, "keys", "create", "planted", "--kind", "export"];
    assert_eq!(site.run_exactly(&made).code, Some(0));
    let files = std::fs::read_dir(site.path(data_dir)).unwrap().map(|file| file.unwrap().path());
    files.chain([site.path(data_dir)]).all(|file| give_away(&file))
}

#[test]
fn a_store_of_another_user_is_not_used_where_everybody_could_have_put_it() {
    let site = Site::with_people(Db::Sqlite);
    share(&site.path("shared"));
    if !plant(&site, "shared/data") || !plant(&site, "private") {
        return;
    }
    std::fs::create_dir(site.path("shared/above")).unwrap();
    assert!(plant(&site, "shared/above/data") && give_away(&site.path("shared/above")));
    std::fs::copy(site.path("private/headcount.db"), site.path("shared/headcount.db-wal")).unwrap();
    assert!(give_away(&site.path("shared/headcount.db-wal")));
    let run = |data_dir: &str, arguments: &[&str]| {
        site.run_exactly(&[&["--data-dir", data_dir], arguments].concat())
    };
    for data_dir in ["shared/data", "shared/above/data", "shared"] {
        for command in [&["keys", "list"][..], &["export", "minimal"], &["check"]] {
            // Where there is no store, those that only read do not look at what is beside it.
            if data_dir == "shared" && command[0] != "export" {
                continue;
            }
            let finished = run(data_dir, command);
            assert_eq!(finished.code, Some(1), "{data_dir} {command:?}: {}", finished.stderr);
            assert!(finished.stderr.contains("(uid 65534)"), "{data_dir} {command:?}: {}", finished.stderr);
        }
    }
    assert!(!site.path("shared/headcount.db").exists());

    // Where its owner alone can put something it is what was meant.
    assert_eq!(run("private", &["keys", "list"]).code, Some(0));
    let checked = run("private", &["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let said = checked.text();
    assert!(said.contains("warning  owner") && said.contains("(uid 65534)"), "{said}");
    // A directory of one's own is, too, wherever it is.
    assert_eq!(run("shared/mine", &["export", "minimal"]).code, Some(0));
}

#[test]
fn users_and_spools_are_not_put_where_another_user_planted_a_directory() {
    let mut site = Site::with_wide_users(Db::Postgres);
    std::fs::set_permissions(site.path(""), Permissions::from_mode(0o1777)).unwrap();
    std::fs::create_dir(site.data_dir()).unwrap();
    if !give_away(&site.data_dir()) {
        return;
    }
    let server = site.serve();
    let slow = Download::stalled(&server, FULL, EXPORT_KEY);
    server.eventually_says("there is no spool");
    assert!(server.said().contains("(uid 65534)"));
    assert!(slow.rest().complete);
    drop(server);

    site.unset("HEADCOUNT_SOURCE_URL");
    std::fs::write(site.path("users.csv"), Site::filled_full(1)).unwrap();
    let import = ["users", "import", "users.csv"];
    let finished = site.run(&import);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("(uid 65534)"), "{}", finished.stderr);
    chown(site.data_dir(), Some(0), Some(0)).unwrap();
    site.done(&import);
}
