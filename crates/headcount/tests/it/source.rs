//! The users database is only ever read.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::harness::{
    APP_READER, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, PEOPLE_FULL, STANDARD_KEY, Site, eventually,
};

both! {
    the_users_table_may_have_another_name,
    a_reserved_word_is_a_table_name_like_any_other,
    a_view_is_as_good_as_a_table,
    a_source_that_lacks_its_table_is_not_given_one,
    ids_that_no_index_orders_are_sorted,
    a_view_of_two_tables_is_in_order_and_keeps_its_limit,
    an_aggregate_makes_no_export_of_one_row,
}

fn the_users_table_may_have_another_name(db: Db) {
    let mut site = Site::with_people(db);
    site.sql("ALTER TABLE users RENAME TO members");
    site.set("HEADCOUNT_SOURCE_TABLE", "members");
    assert_eq!(site.serve().get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
}

fn a_reserved_word_is_a_table_name_like_any_other(db: Db) {
    let site = Site::with_people(db);
    site.sql("ALTER TABLE users RENAME TO \"user\"");
    site.configure("[source]\ntable = \"user\"\n");
    assert_eq!(site.serve().get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
}

fn a_view_is_as_good_as_a_table(db: Db) {
    let mut site = Site::with_people(db);
    site.sql("CREATE VIEW active_members AS SELECT * FROM users WHERE is_active");
    site.set("HEADCOUNT_SOURCE_TABLE", "active_members");
    let ids = site.serve().get_with(EXPORT_KEY, FULL).ids();
    assert_eq!(ids, ["1", "2", "8"]);
}

fn a_view_of_two_tables_is_in_order_and_keeps_its_limit(db: Db) {
    let mut site = Site::with_users(db, 12);
    for (table, rest) in [("customers", 0), ("admins", 1)] {
        site.sql(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, email TEXT, name TEXT);
             INSERT INTO {table} SELECT id, email, name FROM users WHERE id % 2 = {rest}"
        ));
    }
    site.sql("CREATE VIEW everybody AS SELECT * FROM customers UNION ALL SELECT * FROM admins");
    if db == Db::Postgres {
        site.sql(&format!("GRANT SELECT ON everybody TO {APP_READER}"));
    }
    site.set("HEADCOUNT_SOURCE_TABLE", "everybody");
    let server = site.serve();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), Site::filled_minimal(12));
    let page = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=3&after=4"));
    assert_eq!(page.ids(), ["5", "6", "7"]);
}

fn an_aggregate_makes_no_export_of_one_row(db: Db) {
    let site = Site::with_users(db, 6);
    site.configure("[source.columns]\nname = { sql = 'max(name)' }\n");
    let server = site.serve();
    server.get_with(STANDARD_KEY, MINIMAL).detail(503);
    server.get("/readyz").detail(503);
}

#[test]
fn sqlite_uuids_are_paged_however_they_are_written() {
    let uuid = |i: usize| format!("{i:08X}-ABCD-4000-8000-00000000000{i}");
    let site = Site::bare(Db::Sqlite);
    site.sql("CREATE TABLE users (id UUID PRIMARY KEY, email TEXT, name TEXT)");
    for i in 1..=7 {
        site.sql(&format!("INSERT INTO users VALUES ('{}', 'e', 'n')", uuid(i)));
    }
    let server = site.serve();
    let all: Vec<_> = (1..=7).map(|i| uuid(i).to_lowercase()).collect();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).ids(), all);
    let page = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=2&after={}", all[2]));
    assert_eq!(page.ids(), all[3..5]);
    // One that is written otherwise would not stand in the order of the others.
    site.sql(&format!("INSERT INTO users VALUES ('{}', 'e', 'n')", uuid(8).to_lowercase()));
    server.get_with(STANDARD_KEY, MINIMAL).detail(500);
    server.eventually_says("is not a UUID that is written like the others");
}

fn ids_that_no_index_orders_are_sorted(db: Db) {
    let mut site = Site::with_users(db, 5000);
    site.sql("CREATE TABLE heap AS SELECT * FROM users ORDER BY (id * 7919) % 5003");
    site.set("HEADCOUNT_SOURCE_TABLE", "heap");
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), Site::filled_full(5000));
    let page = server.get_with(EXPORT_KEY, &format!("{FULL}?after=41&limit=3&fields=id,name"));
    assert_eq!(page.ids(), ["42", "43", "44"]);
}

fn a_source_that_lacks_its_table_is_not_given_one(db: Db) {
    let site = Site::bare(db);
    site.sql("CREATE TABLE orders (id INTEGER)");
    let finished = site.run(&["export", "minimal"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stdout.is_empty());
    assert!(finished.stderr.contains("users"), "{}", finished.stderr);
    let tables = match db {
        Db::Sqlite => "SELECT name FROM sqlite_master WHERE name IN ('orders', 'users')",
        Db::Postgres => "SELECT relname FROM pg_class WHERE relname IN ('orders', 'users')",
    };
    assert_eq!(site.column(tables), ["orders"]);
}

/// Every file beside the users database, by content.
fn files(site: &Site) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(site.path("app")).unwrap();
    let hashed = entries.map(|entry| {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        (path.display().to_string(), Sha256::digest(content).to_vec())
    });
    hashed.collect()
}

#[test]
fn a_sqlite_source_is_left_byte_for_byte() {
    let site = Site::with_people(Db::Sqlite);
    let before = files(&site);
    assert_eq!(before.len(), 1);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    server.get_with(STANDARD_KEY, MINIMAL).csv();
    site.done(&["check"]);
    site.done(&["export", "full"]);
    assert_eq!(files(&site), before);
    drop(server);
    assert_eq!(files(&site), before);
}

#[test]
fn a_sqlite_source_in_wal_mode_keeps_what_is_in_the_wal() {
    let site = Site::with_empty_table(Db::Sqlite);
    let application = site.sqlite();
    application.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(())).unwrap();
    application
        .execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO users (id, name) VALUES (1, 'in the wal')")
        .unwrap();
    let database = std::fs::read(site.sqlite_source()).unwrap();
    let server = site.serve();
    let csv = server.get_with(STANDARD_KEY, MINIMAL).csv();
    assert_eq!(csv, "id,email,name\r\n1,,in the wal\r\n");
    drop(server);
    assert_eq!(std::fs::read(site.sqlite_source()).unwrap(), database);
}

#[test]
fn a_sqlite_source_that_is_missing_is_not_created() {
    let site = Site::bare(Db::Sqlite);
    for arguments in [&["export", "full"][..], &["check"]] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        assert!(finished.stderr.contains("users.db") || finished.text().contains("users.db"));
    }
    assert!(!site.sqlite_source().exists());
}

/// The view's function would write with its owner's rights, so only the read-only transaction is in its way.
#[test]
fn a_postgres_transaction_refuses_to_write() {
    let mut site = Site::with_people(Db::Postgres);
    site.sql(
        "CREATE TABLE tracks (id bigint);
         CREATE FUNCTION leave_a_track(id bigint) RETURNS bigint
         LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$ BEGIN
             INSERT INTO tracks VALUES (id);
             RETURN id;
         END $$;
         CREATE VIEW members AS SELECT leave_a_track(id) AS id, email, name FROM users",
    );
    site.set("HEADCOUNT_SOURCE_TABLE", "members");
    let finished = site.run(&["export", "minimal"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("read-only"), "{}", finished.stderr);
    let (status, _) = site.serve().get_with(STANDARD_KEY, MINIMAL).refusal();
    assert_eq!(status, 500);
    assert!(site.column("SELECT id FROM tracks").is_empty());
}

#[test]
fn a_postgres_role_that_may_only_read_is_enough() {
    let site = Site::with_people(Db::Postgres);
    let may_write = "SELECT has_table_privilege('app_reader', 'users', 'INSERT, UPDATE, DELETE')";
    assert_eq!(site.column(may_write), ["f"]);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    site.done(&["check"]);
}

#[test]
fn a_postgres_transaction_ends_with_its_export() {
    let site = Site::with_wide_users(Db::Postgres);
    site.configure(HELD);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    assert!(site.database().busy_sessions(APP_READER) > 0);
    assert!(running.rest().complete);
    eventually("no transaction is open", || site.database().busy_sessions(APP_READER) == 0);
}

#[test]
fn a_row_level_policy_refuses_instead_of_leaving_users_out() {
    let site = Site::with_people(Db::Postgres);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    site.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY");
    site.sql("CREATE POLICY few ON users USING (id = 1)");
    server.get_with(EXPORT_KEY, FULL).detail(503);
    assert_eq!(site.audit()[0]["outcome"], "failed");
}

#[test]
fn a_unix_socket_leads_to_postgres() {
    let mut site = Site::with_wide_users(Db::Postgres);
    site.configure(HELD);
    site.set("HEADCOUNT_SOURCE_URL", &site.database().socket_url());
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let addresses = format!(
        "SELECT DISTINCT client_addr IS NULL FROM pg_stat_activity
         WHERE usename = '{APP_READER}' AND datname = current_database()"
    );
    assert_eq!(site.column(&addresses), ["t"]);
    assert!(running.rest().complete);

    drop(Download::stalled(&server, FULL, EXPORT_KEY));
    eventually("no transaction is open", || site.database().busy_sessions(APP_READER) == 0);
}
