//! Connections to PostgreSQL that outlive an export: few are needed, and none of them remembers anything.

use crate::harness::{
    APP_READER, Db, Download, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, STANDARD_KEY, Server,
    Site, eventually,
};

/// A site whose store is a file, so that each session of the reader is one of the source.
fn with_people() -> (Site, Server) {
    let mut site = Site::with_people(Db::Postgres);
    site.unset("HEADCOUNT_STORE_URL");
    let server = site.serve();
    (site, server)
}

fn assert_people(server: &Server) {
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
}

#[test]
fn fifty_exports_do_not_need_fifty_connections() {
    let (site, server) = with_people();
    let before = site.database().logins(APP_READER);
    for _ in 0..25 {
        assert_people(&server);
    }
    let logins = site.database().logins(APP_READER) - before;
    assert!((1..=10).contains(&logins), "{logins}");
}

#[test]
fn no_transaction_is_open_between_two_exports() {
    let (site, server) = with_people();
    for _ in 0..5 {
        assert_people(&server);
        assert_eq!(server.get("/readyz").status, 200);
        server.get_with(EXPORT_KEY, &format!("{FULL}?preflight=true")).json();
        eventually("no session is busy", || site.database().busy_sessions(APP_READER) == 0);
        site.sql("SET lock_timeout = '20s'; DROP TABLE IF EXISTS moved; ALTER TABLE users RENAME TO moved");
        site.sql("CREATE TABLE users AS SELECT * FROM moved");
    }
}

#[test]
fn sessions_that_are_ended_between_two_exports_fail_none() {
    let (site, server) = with_people();
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_people(&server));
            }
        });
        eventually("no session is busy", || site.database().busy_sessions(APP_READER) == 0);
        site.database().terminate(APP_READER);
        assert_people(&server);
    }
    let records = site.audit();
    assert!(records.iter().all(|record| record["outcome"] == "completed"), "{records:?}");
}

#[test]
fn what_one_export_asked_for_the_next_one_does_not() {
    let (_site, server) = with_people();
    for _ in 0..5 {
        for (query, ids) in [
            ("email=grace@example.com", vec!["2"]),
            ("created_after=2025-01-08T10:30:00Z&created_before=2025-01-09T00:00:00Z", vec!["1", "2"]),
            ("after=3", vec!["5", "8"]),
            ("after=3&email=ada@example.com", vec![]),
            ("limit=1", vec!["1"]),
            ("is_admin=true&updated_after=2000-01-01T00:00:00Z", vec![]),
        ] {
            assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?{query}")).ids(), ids, "{query}");
            assert_people(&server);
        }
    }
}

/// A transaction that failed, or a result that nobody read, is not what the next export begins with.
#[test]
fn what_went_wrong_before_does_no_harm() {
    let (site, server) = with_people();
    site.sql(
        "CREATE TABLE kept AS SELECT * FROM users; ALTER TABLE users ALTER is_admin TYPE INT USING is_admin::int",
    );
    for _ in 0..5 {
        site.sql("UPDATE users SET is_admin = 2 WHERE id = 8");
        let broken = server.request(reqwest::Method::GET, FULL).bearer_auth(EXPORT_KEY).send();
        let broken = broken.unwrap();
        assert!(broken.status() == 500 || broken.bytes().is_err());
        site.sql(
            "UPDATE users SET is_admin = NULL WHERE is_admin = 2; UPDATE users SET is_admin = 0 WHERE id = 8",
        );
        assert_people(&server);

        site.sql(
            "INSERT INTO users (id, name) SELECT i, repeat('0', 10000) FROM generate_series(11, 3000) AS i",
        );
        let mut left = Download::stalled(&server, FULL, EXPORT_KEY);
        left.first_chunk();
        drop(left);
        site.sql("DELETE FROM users WHERE id > 10");
        assert_people(&server);

        site.sql("ALTER TABLE users RENAME name TO called");
        server.get_with(STANDARD_KEY, MINIMAL).detail(503);
        site.sql("ALTER TABLE users RENAME called TO name");
        assert_people(&server);
    }
}

#[test]
fn grants_that_change_between_two_exports_count_at_once() {
    let (site, server) = with_people();
    for _ in 0..3 {
        assert_people(&server);
        site.sql(&format!("REVOKE SELECT ON users FROM {APP_READER}"));
        server.get_with(STANDARD_KEY, MINIMAL).detail(503);
        site.sql(&format!("GRANT SELECT (id, email, name) ON users TO {APP_READER}"));
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
        server.get_with(EXPORT_KEY, FULL).detail(503);
        site.sql(&format!("GRANT SELECT ON users TO {APP_READER}"));
        assert_people(&server);
        site.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON users USING (id = 1)");
        server.get_with(EXPORT_KEY, FULL).detail(503);
        site.sql("DROP POLICY few ON users; ALTER TABLE users DISABLE ROW LEVEL SECURITY");
    }
    let mut server_of_nobody = site.serve();
    assert_people(&server_of_nobody);
    site.database().cut_off(APP_READER);
    server_of_nobody.get_with(EXPORT_KEY, FULL).detail(503);
    site.database().let_in_again(APP_READER);
    assert_people(&server_of_nobody);
    server_of_nobody = site.serve();
    assert_people(&server_of_nobody);
}

#[test]
fn a_table_that_changes_between_two_exports_is_read_as_it_is() {
    let (site, server) = with_people();
    assert_people(&server);
    for change in [
        "ALTER TABLE users ALTER id TYPE INT",
        "ALTER TABLE users ALTER id TYPE SMALLINT",
        "ALTER TABLE users ALTER id TYPE TEXT USING id::text",
        "ALTER TABLE users ALTER id TYPE VARCHAR(20)",
        "ALTER TABLE users ALTER id TYPE BIGINT USING id::bigint",
        "ALTER TABLE users ALTER is_active TYPE INT USING is_active::int",
        "ALTER TABLE users ALTER is_active TYPE BOOLEAN USING is_active = 1",
        "ALTER TABLE users ALTER created_at TYPE BIGINT USING extract(epoch FROM created_at)",
        "ALTER TABLE users ALTER created_at TYPE TIMESTAMPTZ USING to_timestamp(created_at)",
        "ALTER TABLE users ALTER created_at TYPE TEXT USING to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
        "ALTER TABLE users ALTER created_at TYPE TIMESTAMP USING created_at::timestamp",
        "CREATE EXTENSION citext; ALTER TABLE users ALTER email TYPE CITEXT",
        "ALTER TABLE users ADD is_new BOOLEAN; UPDATE users SET is_new = is_admin; ALTER TABLE users DROP is_admin;
         ALTER TABLE users RENAME is_new TO is_admin",
        "ALTER TABLE users RENAME name TO old; ALTER TABLE users ADD name TEXT; UPDATE users SET name = old;
         ALTER TABLE users DROP old",
        "CREATE TABLE reloaded AS SELECT * FROM users ORDER BY id DESC; DROP TABLE users; ALTER TABLE reloaded RENAME TO users",
        "ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT * FROM people",
        "CREATE OR REPLACE VIEW users AS SELECT * FROM people WHERE id > 0",
        "DROP VIEW users; ALTER TABLE people RENAME TO users",
    ] {
        site.sql(change);
        let whole = server.get_with(EXPORT_KEY, FULL).csv();
        // The fractions went with the column that could not hold them.
        let without_fractions = |csv: &str| csv.replace("10:30:00.123456Z", "10:30:00Z");
        assert_eq!(without_fractions(&whole), without_fractions(PEOPLE_FULL), "{change}");
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL, "{change}");
        let one = format!("{FULL}?email=ada@example.com&fields=id");
        assert_eq!(server.get_with(EXPORT_KEY, &one).csv(), "id\r\n1\r\n", "{change}");
    }
    site.sql("ALTER TABLE users ALTER id TYPE TEXT USING 'u' || id");
    let ids = ["u1", "u2", "u3", "u5", "u8"];
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).ids(), ids);
    site.sql("ALTER TABLE users ALTER id TYPE BYTEA USING id::bytea");
    server.get_with(STANDARD_KEY, MINIMAL).detail(503);
    server.eventually_says("type bytea cannot be exported as an id");
}

/// The type has the same name, and is another.
#[test]
fn a_type_that_is_made_anew_is_read_as_it_is() {
    let (site, server) = with_people();
    site.sql("UPDATE users SET name = 'happy'");
    let expected = server.get_with(STANDARD_KEY, MINIMAL).csv();
    for _ in 0..3 {
        site.sql("CREATE TYPE mood AS ENUM ('sad', 'happy'); ALTER TABLE users ALTER name TYPE mood USING name::mood");
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), expected);
        site.sql("ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'");
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), expected.replace("happy", "glad"));
        site.sql("ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'; ALTER TYPE mood RENAME TO state");
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), expected);
        site.sql("ALTER TABLE users ALTER name TYPE TEXT; DROP TYPE state");
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), expected);
    }
}
