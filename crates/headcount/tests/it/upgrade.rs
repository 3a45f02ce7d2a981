//! Stores that earlier versions left behind, kept as files: every later version opens them, and nothing of them is lost.

use crate::harness::{Db, FULL, HEADCOUNT_STORE, MINIMAL, SIMPLE, Site};
use std::path::PathBuf;

both! {
    nothing_of_a_store_of_an_earlier_version_is_lost,
    a_store_of_a_later_version_is_refused_and_left_as_it_is,
}

/// The versions of which a store is kept; see `scripts/fixtures/store`.
const VERSIONS: [&str; 2] = ["0.1.0", "2026-11-28"];

/// What a version left behind.
struct Left {
    directory: PathBuf,
}

impl Left {
    fn by(version: &str, db: Db) -> Self {
        let name = match db {
            Db::Sqlite => "sqlite",
            Db::Postgres => "postgres",
        };
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stores");
        Self { directory: PathBuf::from(fixtures).join(version).join(name) }
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.join(file)).unwrap()
    }

    fn key(&self, name: &str) -> String {
        let keys = self.text("keys.txt");
        let mut keys = keys.lines().filter_map(|line| line.split_once(' '));
        keys.find(|(known, _)| *known == name).unwrap().1.to_owned()
    }

    /// A site with people whose store this is.
    fn site(&self, db: Db) -> Site {
        let mut site = Site::with_people(db);
        for name in ["HEADCOUNT_FEATURES", "HEADCOUNT_API_KEY", "HEADCOUNT_EXPORT_API_KEY"] {
            site.unset(name);
        }
        match db {
            Db::Sqlite => {
                std::fs::create_dir(site.data_dir()).unwrap();
                let store = site.data_dir().join("headcount.db");
                std::fs::copy(self.directory.join("store.db"), store).unwrap();
            }
            Db::Postgres => {
                let sql = format!("SET ROLE {HEADCOUNT_STORE};\n{}", self.text("store.sql"));
                site.database().connect().batch_execute(&sql).unwrap();
            }
        }
        site
    }
}

fn nothing_of_a_store_of_an_earlier_version_is_lost(db: Db) {
    for version in VERSIONS {
        let left = Left::by(version, db);
        let site = left.site(db);
        // Opened, and so migrated, by the first of these.
        assert_eq!(site.done(&["audit", "head"]), left.text("head.txt"), "{version}");
        site.done(&["audit", "verify"]);
        let receipt = site.done(&["receipts", "show", left.text("export.txt").trim()]);
        assert_eq!(receipt, left.text("receipt.json"), "{version}");

        let server = site.serve();
        assert_eq!(server.status_with(&left.key("support"), MINIMAL), 200, "{version}");
        assert_eq!(server.status_with(&left.key("support"), FULL), 403, "{version}");
        assert_eq!(server.status_with(&left.key("backup"), FULL), 200, "{version}");
        assert_eq!(server.status_with(&left.key("former"), MINIMAL), 401, "{version}");
        assert_eq!(server.get(SIMPLE).status, 403, "{version}");
        drop(server);
        site.done(&["audit", "verify"]);
        assert_ne!(site.done(&["audit", "head"]), left.text("head.txt"), "{version}");
    }
}

fn a_store_of_a_later_version_is_refused_and_left_as_it_is(db: Db) {
    let site = Site::with_people(db);
    site.done(&["export", "minimal"]);
    let checksum = match db {
        Db::Sqlite => "x'00'",
        Db::Postgres => "'\\x00'",
    };
    site.store_sql(&format!(
        "INSERT INTO headcount_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of a later version', true, {checksum}, 0)"
    ));
    let records = || site.store_column("SELECT id FROM headcount_audit");
    let before = records();
    assert_eq!(before.len(), 1);
    for arguments in [&["export", "minimal"][..], &["keys", "list"], &["audit", "verify"]] {
        let refused = site.run(arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("a newer version of Headcount"), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(records(), before);
}
