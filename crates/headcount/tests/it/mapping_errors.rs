//! What is wrong with a mapping is said where it is.

use crate::harness::{APP_READER, Db, EXPORT_KEY, FULL, MEMBERS, Server, Site, wait_for};

both! {
    a_missing_column_is_named_as_it_is_and_as_it_is_mapped,
    a_column_missing_in_an_expression_is_named,
    a_column_missing_in_the_condition_is_named_and_no_other,
    a_table_missing_in_an_expression_is_named_and_no_other,
    a_placeholder_is_named_and_never_filled,
}

/// 503 for the export, the check and the command, and a line in the log with these words.
fn assert_unfit(site: &Site, words: &[&str], innocent: &[&str]) {
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).detail(503), "The users source is not available");
    let line = culprit_line(&server, words);
    for word in innocent {
        assert!(!line.contains(word), "{line}");
    }
    server.get("/readyz").detail(503);
    let finished = site.run(&["export", "full"]);
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(1), &b""[..]));
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    let checked = site.run(&["check"]);
    assert_eq!(checked.code, Some(1));
    assert!(checked.stderr.contains(words[0]), "{}", checked.stderr);
}

fn culprit_line(server: &Server, words: &[&str]) -> String {
    wait_for(&format!("a line with {words:?} in {}", server.said()), || {
        let log = server.said();
        log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    })
}

fn with_mapping(db: Db, from: &str, to: &str) -> Site {
    let site = Site::with_members(db).storing_in_sqlite();
    assert!(MEMBERS.contains(from), "{from}");
    site.configure(&MEMBERS.replace(from, to));
    site
}

fn a_missing_column_is_named_as_it_is_and_as_it_is_mapped(db: Db) {
    let site = with_mapping(db, "email = \"Mail Address\"", "email = \"Mail Adress\"");
    assert_unfit(&site, &["Mail Adress", "email"], &["phone"]);
}

fn a_column_missing_in_an_expression_is_named(db: Db) {
    let site = with_mapping(db, "first || ' ' || last", "first || ' ' || surname");
    assert_unfit(&site, &["surname"], &[]);
}

fn a_column_missing_in_the_condition_is_named_and_no_other(db: Db) {
    let site = with_mapping(db, "kind IS NULL", "species IS NULL");
    assert_unfit(&site, &["species"], &["has no column"]);
}

fn a_table_missing_in_an_expression_is_named_and_no_other(db: Db) {
    let site = with_mapping(
        db,
        "email = \"Mail Address\"",
        "email = { sql = \"(SELECT address FROM addresses WHERE owner = 1)\" }",
    );
    assert_unfit(&site, &["addresses"], &["no table user"]);
}

fn a_placeholder_is_named_and_never_filled(db: Db) {
    for (from, to, what) in
        [("first || ' ' || last", "first || $1", "name"), ("kind IS NULL", "kind = $1", "source.where")]
    {
        let site = with_mapping(db, from, to);
        assert_unfit(&site, &[what, "placeholder"], &[]);
        let server = site.serve();
        server.get_with(EXPORT_KEY, &format!("{FULL}?email=ada@example.com")).detail(503);
    }
}

/// SQLite by itself takes a quoted name that is no column for a text.
#[test]
fn a_misspelt_quoted_name_is_an_error_in_sqlite() {
    for (from, to) in [
        ("first || ' ' || last", "first || \\\"lats\\\""),
        ("where = \"kind = 'person'", "where = \"\\\"lats\\\" = 'lats'"),
        ("status = 'active'", "\\\"lats\\\" = 'lats'"),
        ("email = \"Mail Address\"", "email = { sql = '\"lats\"' }"),
        ("id = \"userId\"", "id = { sql = '\"lats\"' }"),
    ] {
        assert_unfit(&with_mapping(Db::Sqlite, from, to), &["lats"], &[]);
    }
    let site = Site::with_members(Db::Sqlite);
    site.configure(&format!("{MEMBERS}note = {{ sql = '\"lats\"' }}\n[exports.notes]\ncolumns = ['note']\n"));
    let finished = site.run(&["export", "notes"]);
    assert_eq!((finished.code, finished.text().as_str()), (Some(1), ""));
    assert!(finished.stderr.contains("lats"), "{}", finished.stderr);
    site.done(&["export", "full"]);
}

#[test]
fn a_table_that_an_expression_may_not_read_is_named() {
    let site = Site::with_members(Db::Postgres).storing_in_sqlite();
    site.sql(&format!(
        "CREATE TABLE addresses (owner BIGINT, address TEXT); REVOKE ALL ON addresses FROM {APP_READER}"
    ));
    let subquery = "email = { sql = \"(SELECT address FROM addresses WHERE owner = \\\"userId\\\")\" }";
    site.configure(&MEMBERS.replace("email = \"Mail Address\"", subquery));
    assert_unfit(&site, &["permission denied", "addresses"], &[]);
}

#[test]
fn a_type_that_cannot_be_exported_is_named() {
    for (from, to, words) in [
        ("email = \"Mail Address\"", "email = { sql = \"'{}'::jsonb\" }", ["email", "jsonb"]),
        ("id = \"userId\"", "id = { sql = \"1.5\" }", ["id", "numeric"]),
        ("{ column = \"createdAt\" }", "{ sql = \"'08:15'::time\" }", ["created_at", "time"]),
        ("status = 'active'", "status", ["is_active", "text"]),
    ] {
        assert_unfit(&with_mapping(Db::Postgres, from, to), &words, &[]);
    }
}
