//! Keys and passwords stay where they belong.

use crate::harness::{Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Site};

both! {
    keys_are_neither_stored_nor_logged,
    a_key_in_the_address_is_not_logged,
    the_password_of_the_source_is_not_shown,
}

fn keys_are_neither_stored_nor_logged(db: Db) {
    let mut site = Site::with_people(db);
    site.set("RUST_LOG", "debug");
    let server = site.serve();
    let good = site.create_key(&["reader", "--kind", "export"]);
    let revoked = site.create_key(&["gone", "--kind", "export"]);
    site.done(&["keys", "revoke", &site.key_id("gone")]);
    let wrong = "wrong-key-that-nobody-has";
    for key in [&good, &revoked, wrong, STANDARD_KEY, EXPORT_KEY] {
        server.get_with(key, MINIMAL);
        server.get_with(key, FULL);
        server.get_with(key, &format!("{MINIMAL}?limit=0"));
    }
    let audit = site.done(&["audit", "list", "--json"]);
    let check = site.run(&["check"]).everything();
    let store = String::from_utf8_lossy(&site.store_content()).into_owned();
    let log = server.said();
    for (place, content) in [("audit", audit), ("check", check), ("store", store), ("log", log)] {
        for key in [&good, &revoked, wrong, STANDARD_KEY, EXPORT_KEY] {
            assert!(!content.contains(key), "{place}");
            let secret_part = &key[key.len() - 12..];
            assert!(!content.contains(secret_part), "{place}");
        }
    }
}

fn a_key_in_the_address_is_not_logged(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for name in ["api_key", "email"] {
        let target = format!("{MINIMAL}?{name}={EXPORT_KEY}");
        server.get(&target);
        server.get_with(STANDARD_KEY, &target);
    }
    let audit = site.done(&["audit", "list", "--json"]);
    assert!(!audit.contains(EXPORT_KEY), "{audit}");
    let log = server.said();
    assert!(!log.contains(EXPORT_KEY), "{log}");
}

fn the_password_of_the_source_is_not_shown(db: Db) {
    let mut site = Site::with_people(db);
    site.set("RUST_LOG", "debug");
    site.set("HEADCOUNT_SOURCE_URL", "postgres://app_reader:hush-hush@127.0.0.1:1/app");
    for arguments in [&["check"][..], &["export", "full"]] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        let said = finished.everything();
        assert!(!said.contains("hush-hush"), "{said}");
    }
}
