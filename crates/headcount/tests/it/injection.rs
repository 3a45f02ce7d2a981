//! Texts from elsewhere that would be more than text: in logs, in headers, on a terminal.

use std::io::{Read, Write};

use serde_json::Value;

use crate::harness::{Db, EXPORT_KEY, FULL, Finished, MINIMAL, STANDARD_KEY, Site, connect, eventually};

both! {
    nothing_that_a_client_sends_ends_a_line_of_the_log,
    nothing_that_a_database_says_ends_a_line_of_the_log,
    names_in_the_store_do_not_steer_a_terminal,
}

/// A line that looks like one of the log, sequences that steer a terminal in seven and eight bits, and letters turned around.
const EVIL: &str = "evil\n2025-01-01T00:00:00.000000Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{7}\u{202e}gpj";

fn assert_harmless(text: &str) {
    for line in text.lines() {
        let steers = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!line.contains(steers), "{line:?}");
        assert!(!line.starts_with("2025-01-01"), "{line:?}");
    }
}

/// The lines of a log, each of which is an event.
fn assert_events(log: &str, format: &str) {
    assert_harmless(log);
    let (_, events) = log.split_once("listening on").unwrap();
    for line in events.lines().skip(1) {
        match format {
            "json" => {
                assert!(serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object()), "{line}")
            }
            _ => assert!(line.starts_with("20") && line[..40].contains("Z "), "{line}"),
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn nothing_that_a_client_sends_ends_a_line_of_the_log(db: Db) {
    for format in ["text", "json"] {
        let mut site = Site::with_people(db);
        site.set("HEADCOUNT_LOG_FORMAT", format);
        site.set("RUST_LOG", "debug");
        let server = site.serve();
        let evil = escaped(EVIL);
        for target in [
            format!("/{evil}"),
            format!("{MINIMAL}?{evil}=1"),
            format!("{MINIMAL}?email={evil}"),
            format!("{MINIMAL}?format={evil}"),
            format!("{MINIMAL}?fields={evil}"),
            format!("/api/v1/users/exports/{evil}"),
        ] {
            for key in [STANDARD_KEY, "no-key"] {
                let answer = server.get_with(key, &target);
                assert!(answer.headers.values().all(|value| value.to_str().is_ok()));
            }
        }
        // As bytes, which a client library would refuse to send.
        for header in
            ["X-Request-Id", "User-Agent", "Authorization", "X-API-Key", "Accept", "X-Forwarded-For"]
        {
            for evil in ["\u{1b}[2J", "\u{9b}31m\u{202e}", "a\rb", "a\nX-Evil: 1"] {
                let mut stream = connect(server.addr);
                let request = format!(
                    "GET {MINIMAL} HTTP/1.1\r\nHost: localhost\r\n{header}: {evil}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                let (head, _) = answer.split_once("\r\n\r\n").unwrap();
                assert_harmless(head);
                assert!(!head.contains("evil"), "{head}");
            }
        }
        server.get("/the-last");
        site.done(&["audit", "list"]);
        assert_harmless(&site.done(&["audit", "list"]));
        assert_events(&server.said(), format);
    }
}

fn nothing_that_a_database_says_ends_a_line_of_the_log(db: Db) {
    for format in ["text", "json"] {
        let mut site = Site::with_people(db);
        site.set("HEADCOUNT_LOG_FORMAT", format);
        let evil = toml::Value::from(EVIL).to_string();
        for source in
            [format!("table = {evil}"), format!("columns = {{ email = {evil} }}"), format!("where = {evil}")]
        {
            site.configure(&format!("[source]\n{source}\n"));
            let server = site.serve();
            assert!(server.get_with(EXPORT_KEY, FULL).status >= 500);
            eventually("the log says why", || server.said().contains("ERROR"));
            assert_events(&server.said(), format);
            for command in [&["check"][..], &["export", "full"], &["flags", "list"]] {
                let Finished { stderr, .. } = site.run(command);
                assert_harmless(&stderr);
            }
        }
    }
}

#[test]
fn what_cannot_be_used_of_a_file_is_said_in_a_line() {
    let mut site = Site::with_people(Db::Sqlite);
    site.unset("HEADCOUNT_FEATURES");
    let evil = toml::Value::from(EVIL).to_string().replace('\n', "\\n").replace("\"\"\"", "\"");
    for wrong in [
        format!("[exports.full]\nfilename = {evil}\n"),
        format!("[exports.{evil}]\ncolumns = ['id']\n"),
        format!("[exports.other]\ncolumns = [{{ column = 'email', as = {evil} }}]\n"),
        format!("features = [{evil}]\n"),
        format!("{evil} = 1\n"),
        format!("[log]\nformat = {evil}\n"),
    ] {
        site.configure(&wrong);
        let finished = site.run(&["check"]);
        assert_eq!(finished.code, Some(1), "{wrong}");
        assert_harmless(&finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
}

/// `keys create` takes no such name, but a store may have been made by others.
fn names_in_the_store_do_not_steer_a_terminal(db: Db) {
    let site = Site::with_people(db);
    let key = site.create_key(&["innocent", "--kind", "standard"]);
    assert_eq!(site.run(&["keys", "create", EVIL, "--kind", "standard"]).code, Some(2));
    site.store_sql(&format!("UPDATE headcount_keys SET name = '{EVIL}', expires_at = NULL"));
    let server = site.serve();
    assert_eq!(server.get_with(&key, MINIMAL).status, 200);
    server.get_with(&key, FULL).detail(403);
    for command in [&["keys", "list"][..], &["audit", "list"], &["check"]] {
        let said = site.run(command).everything();
        assert!(said.contains("evil") || command == ["check"], "{said}");
        assert_harmless(&said);
    }
    assert_harmless(&server.said());
    assert_eq!(site.keys()[0]["name"], EVIL);
}
