//! A table that changes under a running server: the next export refuses, and after repair works, without a restart.

use reqwest::Method;

use crate::harness::{
    APP_READER, Answer, Db, EXPORT_KEY, FULL, MEMBERS, MEMBERS_FULL, MINIMAL, SUPPORT, Server, Site, profile,
    wait_for,
};

both! {
    a_column_that_is_renamed,
    a_column_that_is_dropped,
    a_column_of_an_expression_that_is_renamed,
    a_column_of_the_condition_that_is_renamed,
    a_table_that_is_replaced,
    a_column_of_one_profile_fails_that_profile,
    a_schema_that_grows_changes_nothing,
}

/// Breaks the table, sees the refusal, mends it, and sees the export again.
fn breaks_and_heals(db: Db, damage: &str, repair: &str, culprit: &str) {
    let site = Site::with_members(db).storing_in_sqlite();
    site.configure(MEMBERS);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), MEMBERS_FULL);
    server.eventually_ready();

    site.sql(damage);
    let quiet = server.said().len();
    let refused = server.get_with(EXPORT_KEY, FULL);
    assert_eq!(refused.detail(503), "The users source is not available");
    refused.header("retry-after");
    names_the_culprit(&server, quiet, culprit);
    let head = server.request(Method::HEAD, FULL).bearer_auth(EXPORT_KEY);
    assert_eq!(Answer::to(head).status, 503);
    server.eventually_lacks("source");
    assert!(site.audit_of(3)[1..].iter().any(|record| record["outcome"] == "failed"));
    let finished = site.run(&["export", "full", "-o", "out.csv"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(culprit), "{}", finished.stderr);
    assert!(!site.path("out.csv").exists());

    site.sql(repair);
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), MEMBERS_FULL);
    server.eventually_ready();
}

fn names_the_culprit(server: &Server, from: usize, culprit: &str) {
    wait_for(&format!("an error that names {culprit}"), || {
        let said = server.said();
        said[from..].lines().find(|line| line.contains("ERROR") && line.contains(culprit)).map(drop)
    });
}

/// How the database speaks of a column that an expression names in vain.
fn unknown(db: Db, column: &str) -> String {
    match db {
        Db::Sqlite => format!("no such column: {column}"),
        Db::Postgres => column.to_owned(),
    }
}

fn a_column_that_is_renamed(db: Db) {
    breaks_and_heals(
        db,
        "ALTER TABLE \"user\" RENAME COLUMN \"Mail Address\" TO mail",
        "ALTER TABLE \"user\" RENAME COLUMN mail TO \"Mail Address\"",
        "Mail Address",
    );
}

fn a_column_that_is_dropped(db: Db) {
    breaks_and_heals(
        db,
        "ALTER TABLE \"user\" RENAME TO backup; CREATE TABLE \"user\" AS SELECT * FROM backup;
         ALTER TABLE \"user\" DROP COLUMN \"createdAt\"",
        "DROP TABLE \"user\"; ALTER TABLE backup RENAME TO \"user\"",
        "createdAt",
    );
}

fn a_column_of_an_expression_that_is_renamed(db: Db) {
    breaks_and_heals(
        db,
        "ALTER TABLE \"user\" RENAME COLUMN last TO surname",
        "ALTER TABLE \"user\" RENAME COLUMN surname TO last",
        &unknown(db, "last"),
    );
}

fn a_column_of_the_condition_that_is_renamed(db: Db) {
    breaks_and_heals(
        db,
        "ALTER TABLE \"user\" RENAME COLUMN kind TO species",
        "ALTER TABLE \"user\" RENAME COLUMN species TO kind",
        &unknown(db, "kind"),
    );
}

fn a_table_that_is_replaced(db: Db) {
    breaks_and_heals(
        db,
        "ALTER TABLE \"user\" RENAME TO backup",
        "CREATE TABLE \"user\" AS SELECT * FROM backup; DROP TABLE backup",
        "table user",
    );
}

fn a_column_of_one_profile_fails_that_profile(db: Db) {
    let mut site = Site::with_members(db).storing_in_sqlite();
    let key = site.declare(&format!("{MEMBERS}{SUPPORT}"), &["support", "logins"]);
    let server = site.serve();
    let before = server.get_with(&key, &profile("support")).csv();
    site.sql("ALTER TABLE \"user\" RENAME COLUMN phone TO telephone");
    let quiet = server.said().len();
    server.get_with(&key, &profile("support")).detail(503);
    names_the_culprit(&server, quiet, "phone");
    server.eventually_lacks("source");
    assert_eq!(server.get_with(&key, FULL).csv(), MEMBERS_FULL);
    for path in [MINIMAL.to_owned(), profile("logins"), format!("{}?fields=id,team", profile("support"))] {
        assert_eq!(server.status_with(&key, &path), 200, "{path}");
    }
    let checked = site.run(&["check"]);
    assert_eq!(checked.code, Some(1));
    let said = checked.text();
    let problems: Vec<_> = said.lines().filter(|line| line.starts_with("problem")).collect();
    assert!(
        problems.len() == 1 && problems[0].contains("support") && problems[0].contains("phone"),
        "{problems:?}"
    );
    site.sql("ALTER TABLE \"user\" RENAME COLUMN telephone TO phone");
    assert_eq!(server.get_with(&key, &profile("support")).csv(), before);
    server.eventually_ready();
}

fn a_schema_that_grows_changes_nothing(db: Db) {
    let site = Site::with_members(db).storing_in_sqlite();
    site.configure(MEMBERS);
    let server = site.serve();
    for addition in ["email TEXT", "id TEXT", "created_at TEXT", "is_active TEXT"] {
        site.sql(&format!("ALTER TABLE \"user\" ADD COLUMN {addition}"));
        site.sql(&format!("UPDATE \"user\" SET {} = 'decoy'", addition.split(' ').next().unwrap()));
        assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), MEMBERS_FULL, "{addition}");
        let page = server.get_with(EXPORT_KEY, &format!("{FULL}?after=2&limit=2&is_active=false")).ids();
        assert_eq!(page, ["7"], "{addition}");
    }
}

#[test]
fn a_column_whose_type_changes_in_postgres() {
    for (damage, repair, culprit) in [
        (
            "ALTER TABLE \"user\" ALTER \"Mail Address\" TYPE BYTEA USING convert_to(\"Mail Address\", 'UTF8')",
            "ALTER TABLE \"user\" ALTER \"Mail Address\" TYPE TEXT USING convert_from(\"Mail Address\", 'UTF8')",
            "Mail Address",
        ),
        (
            "ALTER TABLE \"user\" ALTER \"userId\" TYPE NUMERIC",
            "ALTER TABLE \"user\" ALTER \"userId\" TYPE BIGINT",
            "userId",
        ),
        (
            "ALTER TABLE \"user\" ALTER status TYPE INT USING length(status)",
            "ALTER TABLE \"user\" ALTER status TYPE TEXT
             USING CASE status WHEN 6 THEN (CASE \"userId\" WHEN 7 THEN 'locked' ELSE 'active' END) END",
            "is_active",
        ),
    ] {
        breaks_and_heals(Db::Postgres, damage, repair, culprit);
    }
}

#[test]
fn a_privilege_that_is_taken_away_and_given_back() {
    breaks_and_heals(
        Db::Postgres,
        &format!("REVOKE SELECT ON \"user\" FROM {APP_READER}"),
        &format!("GRANT SELECT ON \"user\" TO {APP_READER}"),
        "permission denied for table user",
    );
}

/// What fits may change: the export goes on with the new type.
#[test]
fn a_type_that_still_fits_is_read_anew() {
    let site = Site::with_members(Db::Postgres).storing_in_sqlite();
    site.configure(MEMBERS);
    let server = site.serve();
    for statement in [
        "ALTER TABLE \"user\" ALTER \"userId\" TYPE INT",
        "ALTER TABLE \"user\" ALTER \"Mail Address\" TYPE VARCHAR(40)",
        "CREATE TYPE state AS ENUM ('active', 'locked');
         ALTER TABLE \"user\" ALTER status TYPE state USING status::state",
    ] {
        site.sql(statement);
        assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), MEMBERS_FULL, "{statement}");
    }
}
