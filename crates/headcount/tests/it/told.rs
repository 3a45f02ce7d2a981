//! What goes wrong is told with what to do about it, and nothing is told to who asked for quiet.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Db, FULL, PEOPLE_MINIMAL, Site};

#[test]
fn a_source_that_does_not_answer_is_told_by_place_and_cause() {
    let mut site = Site::bare(Db::Sqlite);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, words) in [
        (
            format!("postgres://me:hush@127.0.0.1:{free}/app"),
            format!("nobody listens at 127.0.0.1, port {free}"),
        ),
        (
            "postgres://me:hush@nowhere.invalid/app".to_owned(),
            "the host nowhere.invalid is not known".to_owned(),
        ),
        (
            "postgres:///app?host=/nowhere&user=me".to_owned(),
            "nobody listens at /nowhere/.s.PGSQL.5432".to_owned(),
        ),
    ] {
        site.set("HEADCOUNT_SOURCE_URL", &url);
        for command in [&["export", "minimal"][..], &["check"]] {
            let finished = site.run(command);
            assert_eq!(finished.code, Some(1));
            assert!(finished.stderr.contains(&words), "{words}: {}", finished.stderr);
            assert!(!finished.stderr.contains("object") && !finished.everything().contains("hush"));
        }
    }
}

#[test]
fn a_password_that_ends_itself_is_refused_and_not_shown() {
    let mut site = Site::bare(Db::Sqlite);
    let passwords = [
        "hu@sh-hush",
        "hu/sh@hush",
        "hu?sh@hush",
        "hu@sh#hush",
        "hu@sh/hush",
        "hu@sh?hush",
        "hu#sh",
        "hu@@hush",
    ];
    for password in passwords {
        let url = format!("postgres://me:{password}@127.0.0.1:1/app");
        site.set("HEADCOUNT_SOURCE_URL", &url);
        let finished = site.run(&["export", "minimal"]);
        assert_eq!(finished.code, Some(1), "{password}");
        assert!(
            site.run_exactly(&["init", &url, "--print"]).everything().contains("percent-encoded"),
            "{password}"
        );
        let said = finished.everything();
        assert!(said.contains("percent-encoded") && said.contains("%40"), "{said}");
        assert!(!said.contains("hush") && !said.contains("hu@"), "{said}");
    }
}

#[test]
fn a_password_whose_host_was_forgotten_is_not_shown() {
    let mut site = Site::bare(Db::Sqlite);
    let url = "postgres://me:hush/app";
    let mut said = vec![site.run_exactly(&["init", url, "--print"])];
    site.set("HEADCOUNT_STORE_URL", url);
    said.push(site.run(&["keys", "list"]));
    site.unset("HEADCOUNT_STORE_URL");
    site.set("HEADCOUNT_SOURCE_URL", url);
    said.extend([
        site.run(&["check"]),
        site.run(&["export", "minimal"]),
        site.run(&["serve", "--listen", "127.0.0.1:0"]),
    ]);
    for finished in said {
        assert!(finished.code.is_some_and(|code| code != 0));
        let said = finished.everything();
        assert!(said.contains("@HOST") && !said.contains("hush"), "{said}");
    }
}

#[test]
fn a_file_that_cannot_be_is_told_before_users_are_read() {
    let site = Site::with_people(Db::Sqlite);
    let finished = site.run(&["export", "minimal", "-o", "missing/users.csv"]);
    assert_eq!(finished.code, Some(1));
    let directory = site.path("missing");
    assert!(
        finished.stderr.contains(&format!("there is no directory {}", directory.display())),
        "{}",
        finished.stderr
    );

    for name in ["signups.xls", "users.ODS", "users.csv.bz2", "users.sqlite"] {
        let finished = site.run(&["export", "minimal", "-o", name]);
        assert_eq!(finished.code, Some(2), "{name}");
        assert!(
            finished.stderr.contains("is no format of exports") && finished.stderr.contains("csv, ndjson"),
            "{}",
            finished.stderr
        );
        assert!(!site.path(name).exists());
    }
    assert!(site.audit().is_empty() || site.audit().len() == 1, "only the first one was begun, if any");
    for name in ["users.csv", "users.txt", "users"] {
        site.done(&["export", "minimal", "-o", name]);
    }
}

#[test]
fn quiet_is_quiet_and_the_mode_is_as_asked() {
    let site = Site::with_people(Db::Sqlite);
    let finished =
        site.run(&["export", "minimal", "-o", "users.csv", "--receipt", "--quiet", "--mode", "0640"]);
    assert_eq!((finished.code, finished.everything().as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(site.path("users.csv")).unwrap(), PEOPLE_MINIMAL);
    for file in ["users.csv", "users.csv.receipt.json"] {
        let mode = site.path(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{file}");
    }
    site.done(&["export", "minimal", "-o", "own.csv"]);
    assert_eq!(site.path("own.csv").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for mode in ["640x", "7777", "0440", "u=rw"] {
        assert_eq!(
            site.run(&["export", "minimal", "-o", "users.csv", "--mode", mode]).code,
            Some(2),
            "{mode}"
        );
    }
    let finished = site.run(&["export", "minimal", "-o", "users.csv", "--quiet", "--min-rows", "99"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("--min-rows"), "{}", finished.stderr);
}

#[test]
fn what_is_made_without_a_configuration_says_where() {
    let site = Site::embedded();
    let place = site.data_dir().join("headcount.db").display().to_string();
    let made = site.run(&["keys", "create", "crm", "--kind", "standard"]);
    assert!(made.code == Some(0) && made.stderr.contains(&place), "{}", made.stderr);
    let switched = site.run(&["flags", "enable", "minimal"]);
    assert!(switched.code == Some(0) && switched.stderr.contains(&place), "{}", switched.stderr);
    for command in [&["keys", "create", "crm", "--export", "support"][..], &["flags", "enable", "support"]] {
        let finished = site.run(command);
        assert!(finished.code == Some(2) && finished.stderr.contains("--config FILE"), "{}", finished.stderr);
    }
    let server = site.serve();
    server.eventually_says("has no users; there is no configuration");
}

#[test]
fn the_log_says_which_flag_is_off() {
    let mut site = Site::with_people(Db::Sqlite);
    site.unset("HEADCOUNT_FEATURES");
    let server = site.serve();
    assert_eq!(server.get(FULL).detail(403), "Export feature not enabled");
    server.eventually_says(
        "the flag users:export_full is off; switch it on with: headcount flags enable users:export_full",
    );
}
