//! Schemas in which others can create, and what of theirs counts.

use crate::harness::{APP_BACKUP, Db, PEOPLE_FULL, Site};

/// Whoever can create where the role looks first could make a table there.
#[test]
fn one_of_two_tables_of_a_name_is_not_guessed() {
    let site = Site::with_people(Db::Postgres);
    site.sql(&format!(
        "CREATE SCHEMA early AUTHORIZATION {APP_BACKUP}; GRANT USAGE ON SCHEMA early TO app_reader;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = nowhere, early, public', current_database());
         END $$"
    ));
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
    site.sql(&format!(
        "CREATE TABLE early.users AS SELECT * FROM users LIMIT 1; GRANT SELECT ON early.users TO app_reader;
         ALTER TABLE early.users OWNER TO {APP_BACKUP}"
    ));
    let finished = site.run(&["export", "full"]);
    assert_eq!((finished.code, finished.text().as_str()), (Some(1), ""), "{}", finished.stderr);
    for word in ["users", "schema early", "schema public", "source.table", "source.search_path"] {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    site.findings().assert_one("problem", "source", &["schema early", "schema public", "source.table"]);
    site.configure("[source]\ntable = 'public.users'\n");
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
    site.configure("[source]\nsearch_path = 'early, public'\n");
    assert_eq!(site.done(&["export", "full"]).lines().count(), 2);
    // Nobody but those who could change the users themselves.
    site.configure("");
    site.sql("ALTER SCHEMA early OWNER TO headcount_store; ALTER TABLE early.users OWNER TO headcount_store");
    assert_eq!(site.done(&["export", "full"]).lines().count(), 2);
}

#[test]
fn whatever_of_others_could_run_counts() {
    let site = Site::with_people(Db::Postgres);
    for (kind, name, made) in [
        ("DOMAIN", "theirs", "CREATE DOMAIN theirs AS text"),
        ("TYPE", "theirs", "CREATE TYPE theirs AS RANGE (subtype = integer)"),
        ("COLLATION", "theirs", "CREATE COLLATION theirs FROM \"C\""),
        ("VIEW", "theirs", "CREATE VIEW theirs AS SELECT 1 AS one"),
    ] {
        site.sql(&format!("{made}; ALTER {kind} {name} OWNER TO {APP_BACKUP}"));
        site.findings().assert_one("warning", "search_path", &["public (app_backup)"]);
        site.sql(&format!("DROP {kind} {name}"));
    }
    site.sql(&format!(
        "CREATE TABLE theirs (id INTEGER); ALTER TABLE theirs OWNER TO {APP_BACKUP};
         CREATE TYPE word AS ENUM ('a'); ALTER TYPE word OWNER TO {APP_BACKUP}"
    ));
    site.findings().assert_one("ok", "search_path", &[]);
}
