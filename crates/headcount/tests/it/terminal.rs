//! On a terminal: names and values that would steer it, and questions.

use std::fs::File;
use std::process::Command;

use crate::harness::{Db, Site};

both! {
    a_table_that_cannot_be_read_is_named_and_does_not_steer,
}

fn assert_harmless(said: &str) {
    for steering in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'] {
        assert!(!said.contains(steering), "{steering:?}: {said:?}");
    }
}

fn a_table_that_cannot_be_read_is_named_and_does_not_steer(db: Db) {
    let site = Site::bare(db);
    let name = "\"users\u{1b}[2J\u{9b}31m\u{202e}\"";
    let fails = if db == Db::Postgres { "1 / (SELECT 0) > 0" } else { "json('x') IS NOT NULL" };
    site.sql(&format!("CREATE VIEW {name} AS SELECT 1 AS id, 'ada@example.com' AS email WHERE {fails}"));
    let finished = site.init(&["--print", "--table", name]);
    assert!(finished.stderr.contains("users\u{fffd}[2J\u{fffd}31m"), "{:?}", finished.stderr);
    assert_harmless(&finished.everything());
}

#[test]
fn json_says_what_it_was() {
    let mut site = Site::with_people(Db::Sqlite);
    site.set("HEADCOUNT_SOURCE_TABLE", "\"us\u{1b}[2J\u{9b}31m\u{202e}ers\"");
    let finished = site.run(&["check", "--json"]);
    assert_harmless(&finished.everything());
    let findings: serde_json::Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert!(findings.to_string().contains("us\\u001b[2J\u{9b}31m\u{202e}ers"), "{findings}");
    assert_harmless(&site.run(&["check"]).everything());
}

/// A file or a pipe gets every byte.
#[test]
fn users_do_not_steer_the_terminal_that_an_export_is_shown_on() {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql("INSERT INTO users (id, name) VALUES (1, '\u{1b}[2JAda\u{9b}31m ä')");
    let (_, shown) = on_a_terminal(&site, &["--data-dir", "data", "export", "minimal"]);
    assert!(shown.contains("1,,\u{fffd}[2JAda\u{fffd}31m ä"), "{shown:?}");
    assert_harmless(&shown);
    assert!(site.done(&["export", "minimal"]).ends_with("1,,\u{1b}[2JAda\u{9b}31m ä\r\n"));
}

/// The exit code, and all that is shown on the terminal.
fn on_a_terminal(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    typed_on_a_terminal(site, arguments, "")
}

/// The same where somebody types this.
fn typed_on_a_terminal(site: &Site, arguments: &[&str], typed: &str) -> (Option<i32>, String) {
    std::fs::write(site.path("typed"), typed).unwrap();
    let shown = site
        .prepared(Command::new("python3"))
        .args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"])
        .arg(site.command().get_program())
        .args(arguments)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(File::open(site.path("typed")).unwrap())
        .output()
        .unwrap();
    (shown.status.code(), String::from_utf8(shown.stdout).unwrap())
}

#[test]
fn init_asks_before_it_writes() {
    let site = Site::with_people(Db::Sqlite);
    let arguments = ["init", &site.source_url(), "--output", "made.toml"];
    for (typed, says) in
        [("\u{4}", "no answer; answer with --yes"), ("n\n", "nothing is written"), ("\n", "wrote made.toml")]
    {
        let (code, shown) = typed_on_a_terminal(&site, &arguments, typed);
        let is_made = site.path("made.toml").exists();
        assert!(shown.contains("Write made.toml? [Y/n]") && shown.contains(says), "{typed:?}: {shown}");
        assert_eq!(
            (code, is_made),
            if typed == "\n" { (Some(0), true) } else { (Some(1), false) },
            "{shown}"
        );
    }
}

/// Of two columns that fit equally well.
#[test]
fn init_asks_which_column_is_meant() {
    let site = Site::bare(Db::Sqlite);
    site.sql(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, work_email TEXT, home_email TEXT, name TEXT);
         INSERT INTO users VALUES (1, 'ada@work.example', 'ada@home.example', 'Ada')",
    );
    let arguments = ["init", &site.source_url(), "--output", "made.toml"];
    let (code, shown) = typed_on_a_terminal(&site, &arguments, "3\nwhich\n2\n\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("expected a number from 1 to 2").count(), 2, "{shown}");
    let made = std::fs::read_to_string(site.path("made.toml")).unwrap();
    assert!(made.contains("email = \"home_email\""), "{made}");
}

#[test]
fn arguments_that_are_wrong_do_not_steer_the_terminal() {
    let site = Site::with_people(Db::Sqlite);
    let evil = "\u{1b}]0;x\u{7}\n\u{202e}";
    for arguments in [
        &[format!("--{evil}").as_str()][..],
        &["keys", "create", "x", "--kind", evil],
        &["serve", "--listen", evil],
        &["flags", "enable", "a", evil],
        &[evil],
    ] {
        let (code, shown) = on_a_terminal(&site, arguments);
        assert_eq!(code, Some(2), "{shown:?}");
        assert!(shown.contains("\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}"), "{shown:?}");
        assert!(!shown.contains(['\u{7}', '\u{202e}']), "{shown:?}");
        assert!(shown.contains("\u{1b}["), "its own colours are gone: {shown:?}");
    }
    let (code, shown) = on_a_terminal(&site, &["--help"]);
    assert!(code == Some(0) && shown.contains("\u{1b}["), "{shown:?}");
}
