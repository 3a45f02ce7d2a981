//! A PostgreSQL table that is rewritten as a whole just when an export begins: to a snapshot from before, the new one is empty.

use crate::harness::{Db, EXPORT_KEY, FULL, Site, eventually};

const USERS: u32 = 70_000;

/// Waits with an export behind these statements until they are committed, and looks whom it has.
fn assert_everybody(statements: &str) {
    let site = Site::with_users(Db::Postgres, USERS).storing_in_sqlite();
    site.sql("ANALYZE users");
    for parallelism in [1, 4] {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        let server = site.serve();
        let mut owner = site.database().connect();
        owner.batch_execute(&format!("SET TIME ZONE 'UTC'; BEGIN; {statements}")).unwrap();
        std::thread::scope(|scope| {
            let export = scope.spawn(|| server.get_with(EXPORT_KEY, FULL).csv());
            let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            eventually("the export waits", || !site.column(waiting).is_empty());
            owner.batch_execute("COMMIT").unwrap();
            let csv = export.join().unwrap();
            assert!(csv == Site::filled_full(USERS), "{parallelism}: {} lines", csv.lines().count());
        });
        site.sql("ALTER TABLE users ALTER id TYPE BIGINT");
    }
}

#[test]
fn a_column_that_gets_another_type_hides_nobody() {
    assert_everybody("ALTER TABLE users ALTER id TYPE INT");
}

#[test]
fn a_table_that_is_reloaded_hides_nobody() {
    assert_everybody(
        "CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS SELECT * FROM users; TRUNCATE users;
         INSERT INTO users SELECT * FROM fresh",
    );
}

#[test]
fn a_table_that_is_replaced_hides_nobody() {
    assert_everybody(
        "ALTER TABLE users RENAME TO gone; CREATE TABLE users (LIKE gone INCLUDING ALL);
         INSERT INTO users SELECT * FROM gone; DROP TABLE gone",
    );
}
