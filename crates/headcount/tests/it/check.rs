//! The doctor's view of what is ours: the store, its flags and keys, and the form of what `check` says.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Db, HEADCOUNT_STORE, Site};

both! {
    a_good_set_up_has_nothing_to_say,
    people_and_programs_are_told_the_same,
    flags_that_are_all_off_are_a_warning,
    a_set_up_without_keys_is_a_warning,
    a_key_that_ends_soon_is_a_warning,
    a_store_out_of_reach_is_a_problem,
    a_store_and_a_source_out_of_reach_are_two_problems,
    no_secret_is_shown,
    bad_usage_is_exit_code_2,
}

fn a_good_set_up_has_nothing_to_say(db: Db) {
    let site = Site::with_people(db);
    if db == Db::Postgres {
        site.sql("ANALYZE users");
    }
    let findings = site.findings();
    findings.assert_well_but(&[]);
    for check in ["source", "read-only", "privileges", "mapping", "order", "values", "store", "flags", "keys"]
    {
        assert!(findings.of("ok").contains(&check), "{check}: {findings:?}");
    }
    findings.assert_one("ok", "size", &["5 users"]);
}

fn people_and_programs_are_told_the_same(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    site.sql("ALTER TABLE users RENAME COLUMN updated_at TO modified");
    let findings = site.findings();
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, Some(1));
    let said = finished.text();
    for level in ["warning", "problem"] {
        assert!(!findings.of(level).is_empty(), "{findings:?}");
        for check in findings.of(level) {
            let line = said.lines().find(|line| line.starts_with(level) && line.contains(check));
            assert!(line.is_some(), "{level} {check}: {said}");
        }
    }
    assert!(said.contains("flags enable users:export"), "{said}");
    assert!(finished.stderr.contains("found"), "{}", finished.stderr);
}

fn flags_that_are_all_off_are_a_warning(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    let findings = site.findings();
    findings.assert_one("warning", "flags", &["headcount flags enable"]);
    findings.assert_well_but(&["flags"]);
    site.done(&["flags", "enable", "users:export"]);
    site.findings().assert_one("ok", "flags", &["users:export"]);
}

fn a_set_up_without_keys_is_a_warning(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_API_KEY");
    site.unset("HEADCOUNT_EXPORT_API_KEY");
    let without = |site: &Site| {
        let findings = site.findings();
        findings.assert_one("warning", "keys", &["headcount keys create"]);
        findings.assert_well_but(&["keys"]);
    };
    without(&site);
    site.create_key(&["gone", "--kind", "export"]);
    site.findings().assert_one("ok", "keys", &["1 valid"]);
    site.done(&["keys", "revoke", &site.key_id("gone")]);
    without(&site);
    site.create_key(&["over", "--kind", "export", "--expires", "1ms"]);
    without(&site);
}

fn a_key_that_ends_soon_is_a_warning(db: Db) {
    let site = Site::with_people(db);
    for (name, lifetime) in [("soon", "7d"), ("later", "90d"), ("revoked", "7d")] {
        site.create_key(&[name, "--kind", "standard", "--expires", lifetime]);
    }
    site.create_key(&["for-ever", "--kind", "standard"]);
    site.done(&["keys", "revoke", &site.key_id("revoked")]);
    let findings = site.findings();
    let rotate = format!("headcount keys rotate {}", site.key_id("soon"));
    findings.assert_one("warning", "keys", &["'soon'", &rotate]);
    findings.assert_one("ok", "keys", &["3 valid"]);
    findings.assert_well_but(&["keys"]);
}

fn take_the_store_away(site: &mut Site) {
    match site.db {
        Db::Sqlite => site.set("HEADCOUNT_STORE_URL", "sqlite:app/users.db/place.db"),
        Db::Postgres => site.database().cut_off(HEADCOUNT_STORE),
    }
}

fn give_the_store_back(site: &Site) {
    if site.db == Db::Postgres {
        site.database().let_in_again(HEADCOUNT_STORE);
    }
}

fn a_store_out_of_reach_is_a_problem(db: Db) {
    let mut site = Site::with_people(db);
    take_the_store_away(&mut site);
    let findings = site.findings();
    findings.assert_one("problem", "store", &["store.url"]);
    findings.assert_well_but(&["store"]);
    findings.assert_one("ok", "values", &[]);
    give_the_store_back(&site);
}

fn a_store_and_a_source_out_of_reach_are_two_problems(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_SOURCE_URL", "postgres://app_reader:hush-hush@127.0.0.1:1/app");
    take_the_store_away(&mut site);
    let findings = site.findings();
    assert_eq!(findings.of("problem"), ["source", "store"]);
    let finished = site.run(&["check"]);
    assert!(finished.stderr.contains("2 problems"), "{}", finished.stderr);
    assert!(!format!("{findings:?}{}", finished.stderr).contains("hush-hush"));
    give_the_store_back(&site);
}

fn no_secret_is_shown(db: Db) {
    let mut site = Site::with_people(db);
    let key = site.create_key(&["reader", "--kind", "export", "--expires", "1d"]);
    site.sql("ALTER TABLE users RENAME COLUMN is_admin TO boss");
    site.set("RUST_LOG", "debug");
    for store in [None, Some("postgres://me:hush-hush@127.0.0.1:1/store?password=hush-hush")] {
        if let Some(url) = store {
            site.set("HEADCOUNT_STORE_URL", url);
        }
        for arguments in [&["check"][..], &["check", "--json"]] {
            let finished = site.run(arguments);
            assert_eq!(finished.code, Some(1), "{}", finished.everything());
            let said = finished.everything();
            let reader = "reader-password-of-the-tests";
            for secret in [&key, &key[key.len() - 12..], "hush-hush", reader, "ada@example.com", "Lovelace"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }
}

fn bad_usage_is_exit_code_2(db: Db) {
    let site = Site::with_people(db);
    for arguments in [&["check", "--jsno"][..], &["check", "everything"], &["check", "--json=yes"]] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}");
        assert!(finished.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_store_that_others_may_read_is_a_warning() {
    let site = Site::with_people(Db::Sqlite);
    site.create_key(&["anybody", "--kind", "standard"]);
    let store = site.data_dir().join("headcount.db");
    for mode in [0o644, 0o660, 0o602] {
        std::fs::set_permissions(&store, std::fs::Permissions::from_mode(mode)).unwrap();
        let findings = site.findings();
        findings.assert_one("warning", "store", &["headcount.db", "chmod 600"]);
        findings.assert_well_but(&["store"]);
    }
}

#[test]
fn a_store_that_is_no_database_is_a_problem() {
    let site = Site::with_people(Db::Sqlite);
    std::fs::create_dir(site.data_dir()).unwrap();
    std::fs::write(site.data_dir().join("headcount.db"), "not a database at all ".repeat(100)).unwrap();
    site.findings().assert_one("problem", "store", &["headcount.db", "file is not a database"]);
}

/// As since PostgreSQL 15 for everybody but the owner of the database.
#[test]
fn a_store_that_nobody_may_make_is_a_problem() {
    let site = Site::with_people(Db::Postgres);
    site.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC, headcount_store");
    let says = ["GRANT CREATE ON SCHEMA public TO headcount_store"];
    site.findings().assert_one("problem", "store", &says);
    assert_eq!(site.run(&["keys", "create", "crm", "--kind", "standard"]).code, Some(1));
    site.sql("GRANT CREATE ON SCHEMA public TO headcount_store");
    site.findings().assert_one("ok", "store", &["not there yet"]);
    site.create_key(&["crm", "--kind", "standard"]);
}

#[test]
fn the_embedded_table_is_looked_at_too() {
    let site = Site::embedded();
    drop(site.serve());
    let findings = site.findings();
    findings.assert_well_but(&[]);
    findings.assert_one("ok", "size", &["0 users"]);
}

/// With its store elsewhere, a deployment may never have needed the directory.
#[test]
fn a_spool_that_cannot_be_made_is_a_warning() {
    let site = Site::with_people(Db::Postgres);
    site.sql("ANALYZE users");
    site.findings().assert_well_but(&[]);
    assert!(!site.data_dir().exists());
    std::fs::write(site.data_dir(), "not a directory").unwrap();
    let findings = site.findings();
    findings.assert_one("warning", "spool", &["data_dir", "limits.spool_bytes"]);
    findings.assert_well_but(&["spool"]);
    site.configure("[limits]\nspool_bytes = 0\n");
    site.findings().assert_well_but(&[]);
}

#[test]
fn a_configuration_with_a_password_that_others_may_read_is_a_warning() {
    let site = Site::with_people(Db::Sqlite);
    let set = |mode: u32, text: &str| {
        site.configure(text);
        let file = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(site.path("headcount.toml"), file).unwrap();
        site.findings()
    };
    // The environment says where the source is; the password is there all the same.
    let secret = "[source]\nurl = \"postgres://me:hush-hush@127.0.0.1/app\"\n";
    for mode in [0o644, 0o604, 0o646] {
        let findings = set(mode, secret);
        findings.assert_one("warning", "config", &["headcount.toml", "chmod"]);
        findings.assert_well_but(&["config"]);
        assert!(!format!("{findings:?}").contains("hush-hush"));
    }
    set(0o640, secret).assert_well_but(&[]);
    set(0o644, "[source]\nurl = \"postgres://me@127.0.0.1/app\"\n").assert_well_but(&[]);
}

#[test]
fn embedded_users_that_others_may_read_are_a_warning() {
    let site = Site::embedded();
    drop(site.serve());
    site.findings().assert_well_but(&[]);
    let users = site.data_dir().join("users.db");
    std::fs::set_permissions(users, std::fs::Permissions::from_mode(0o644)).unwrap();
    let findings = site.findings();
    findings.assert_one("warning", "source", &["users.db", "chmod 600"]);
    findings.assert_well_but(&["source"]);
}
