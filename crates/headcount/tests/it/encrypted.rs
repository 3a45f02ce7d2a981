//! TLS to PostgreSQL: `sslmode` as libpq means it, for the source and for the store.

use crate::harness::encrypted::{trusting_a_stranger, trusting_the_authority};
use crate::harness::{
    APP_BACKUP, APP_READER, Db, Download, EXPORT_KEY, Encrypted, FULL, HEADCOUNT_STORE, HELD, Site,
    eventually,
};

const PASSWORD: &str = "reader-password-of-the-tests";

/// The source's URL and the store's, for an address and options that both have.
fn urls(database: &Encrypted, host: &str, options: &str) -> [(&'static str, String); 2] {
    let store = database.url(&format!("{HEADCOUNT_STORE}:{PASSWORD}"), host, options);
    [("HEADCOUNT_SOURCE_URL", database.source_url(host, options)), ("HEADCOUNT_STORE_URL", store)]
}

/// What a site says that cannot connect, whether with its source or with its store.
fn refused(database: &Encrypted, variable: &str, url: &str, said: &[&str]) {
    let mut site = database.site(&database.source_url("localhost", "sslmode=require"));
    site.set("RUST_LOG", "trace");
    site.set(variable, url);
    for command in [&["check"][..], &["export", "full"]] {
        let finished = site.run(command);
        assert_eq!(finished.code, Some(1), "{variable} {url}");
        for word in said {
            assert!(finished.everything().contains(word), "{variable} {word}: {}", finished.everything());
        }
        assert!(!finished.everything().contains(PASSWORD), "{}", finished.everything());
    }
}

fn exported(database: &Encrypted, options: &str, parallelism: u32) {
    let [source, store] = urls(database, "localhost", options);
    let mut site = database.site(&source.1);
    site.set(store.0, &store.1);
    site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
    let server = site.serve();
    let csv = server.get_with(EXPORT_KEY, FULL).csv();
    assert!(csv == Site::filled_full(Encrypted::USERS), "{options}: {} bytes", csv.len());
    for role in [APP_READER, HEADCOUNT_STORE] {
        let sessions = database.sessions(role);
        assert!(
            !sessions.is_empty() && sessions.iter().all(|is_encrypted| *is_encrypted),
            "{role} {options}"
        );
    }
    assert!(!server.said().contains(PASSWORD));
}

#[test]
fn whoever_wants_it_is_encrypted() {
    let database = Encrypted::take();
    for options in ["", "sslmode=allow", "sslmode=prefer", "sslmode=require"] {
        exported(&database, options, 1);
    }
}

#[test]
fn whom_the_server_is_to_be_is_checked() {
    let database = Encrypted::take();
    for mode in ["require", "verify-ca", "verify-full"] {
        exported(&database, &format!("sslmode={mode}&{}", trusting_the_authority()), 1);
    }
}

#[test]
fn several_connections_are_encrypted_too() {
    let database = Encrypted::take();
    exported(&database, &format!("sslmode=verify-full&{}", trusting_the_authority()), 4);
}

#[test]
fn an_unknown_authority_is_refused() {
    let database = Encrypted::take();
    for mode in ["require", "verify-ca", "verify-full"] {
        let options = format!("sslmode={mode}&{}", trusting_a_stranger());
        for (variable, url) in urls(&database, "localhost", &options) {
            refused(&database, variable, &url, &["UnknownIssuer", "sslrootcert=FILE"]);
        }
    }
    // Those that the system trusts.
    for options in ["sslmode=verify-full", "sslrootcert=system"] {
        for (variable, url) in urls(&database, "localhost", options) {
            refused(&database, variable, &url, &["UnknownIssuer", "sslrootcert=FILE"]);
        }
    }
}

#[test]
fn another_name_is_refused() {
    let database = Encrypted::take();
    let options = format!("sslmode=verify-full&{}", trusting_the_authority());
    for (variable, url) in urls(&database, "127.0.0.1", &options) {
        refused(&database, variable, &url, &["127.0.0.1", "write the host in the URL as"]);
    }
}

/// The store's driver trusts the system's authorities beside those that are named: without the host's name anybody would do.
#[test]
fn without_a_name_only_the_source_is_satisfied() {
    let database = Encrypted::take();
    let options = format!("sslmode=verify-ca&{}", trusting_the_authority());
    let [source, store] = urls(&database, "127.0.0.1", &options);
    let finished = database.site(&source.1).run(&["export", "full"]);
    assert!(finished.text() == Site::filled_full(Encrypted::USERS), "{}", finished.stderr);
    refused(&database, store.0, &store.1, &["127.0.0.1", "write the host in the URL as"]);
}

#[test]
fn who_refuses_to_encrypt_is_told_how() {
    let database = Encrypted::take();
    let url = database.source_url("localhost", "sslmode=disable");
    refused(&database, "HEADCOUNT_SOURCE_URL", &url, &["no encryption", "sslmode=verify-full"]);
    let url = database.url(&format!("{APP_READER}:{PASSWORD}"), "localhost", "sslmode=disable");
    refused(&database, "HEADCOUNT_STORE_URL", &url, &["no encryption", "sslmode=verify-full"]);
}

#[test]
fn who_insists_on_tls_where_nobody_may_is_told_how() {
    let database = Encrypted::take();
    for variable in ["HEADCOUNT_SOURCE_URL", "HEADCOUNT_STORE_URL"] {
        for options in ["", "sslmode=require"] {
            let url = database.url(APP_BACKUP, "localhost", options);
            refused(&database, variable, &url, &["SSL encryption", "sslmode=disable"]);
        }
    }
    let site = database.site(&database.url(APP_BACKUP, "localhost", "sslmode=disable"));
    assert!(site.run(&["export", "full"]).text() == Site::filled_full(Encrypted::USERS));
}

#[test]
fn a_server_without_tls_is_refused_where_it_has_to_encrypt() {
    let plain = Site::with_people(Db::Postgres);
    for variable in ["HEADCOUNT_SOURCE_URL", "HEADCOUNT_STORE_URL"] {
        for mode in ["require", "verify-full"] {
            let mut site = Site::with_people(Db::Sqlite);
            site.set(variable, &format!("{}?sslmode={mode}", plain.variable(variable)));
            let finished = site.run(&["export", "full"]);
            assert_eq!(finished.code, Some(1), "{variable}");
            for word in ["does not support TLS", "sslmode=prefer"] {
                assert!(finished.stderr.contains(word), "{variable}: {}", finished.stderr);
            }
        }
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let database = Encrypted::take();
    for (options, said) in [
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.crt", "/nowhere/ca.crt"),
        ("sslmode=verified", "expected sslmode=disable, prefer, require, verify-ca or verify-full"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
    ] {
        for (variable, url) in urls(&database, "localhost", options) {
            refused(&database, variable, &url, &[said]);
        }
    }
    let [_, (variable, url)] = urls(&database, "localhost", "ssl-mode=verify-full");
    refused(
        &database,
        variable,
        &url,
        &["the option ssl-mode of another program is not known here", "sslmode=verify-full"],
    );
}

/// The driver would log it with its value.
#[test]
fn an_option_that_the_store_does_without_is_not_logged_with_its_value() {
    let database = Encrypted::take();
    let mut site = database.site(&database.source_url("localhost", ""));
    let [_, (variable, url)] = urls(&database, "localhost", "keepalives=not-to-be-seen");
    site.set(variable, &url);
    site.set("RUST_LOG", "trace");
    let server = site.serve();
    let said = server.said();
    assert!(
        said.contains("the option keepalives of store.url has no effect") && !said.contains("not-to-be-seen"),
        "{said}"
    );
}

#[test]
fn a_client_that_leaves_stops_an_encrypted_scan() {
    let database = Encrypted::take();
    database.execute("UPDATE users SET name = repeat('0', 1000)");
    let site = database.site(&database.source_url("localhost", "sslmode=require"));
    for parallelism in [1, 4] {
        site.configure(&format!("{HELD}[source]\nparallelism = {parallelism}\n"));
        let server = site.serve();
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        download.first_chunk();
        let export = download.export_id();
        drop(download);
        assert_eq!(site.settled(&export)["outcome"], "disconnected");
        eventually("its sessions end", || database.sessions(APP_READER).is_empty());
    }
}
