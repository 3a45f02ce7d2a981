//! However many connections read a large PostgreSQL table, nobody can tell from the bytes.

use crate::harness::{Db, EXPORT_KEY, FULL, HELD, MINIMAL, STANDARD_KEY, Server, Site, csv_records};
use crate::parts::same_by;

/// Too few for several parts; but the server believes in five times as many, because pages are not filled ([`SPARSE`]) and after
/// [`ANALYZE`].
pub(crate) const USERS: u32 = 14_000;
/// Storage of a table whose pages have room for ten times as many rows.
pub(crate) const SPARSE: &str = "fillfactor = 10";
pub(crate) const ANALYZE: &str =
    "ANALYZE users; UPDATE pg_class SET reltuples = 5 * reltuples WHERE oid = 'users'::regclass";

/// Users in this table, the `i`-th of whom has this id.
pub(crate) fn fill(site: &Site, rows: u32, id: &str) {
    site.sql(&format!(
        "INSERT INTO users (id, email, name, created_at, updated_at, is_active, is_admin)
         SELECT {id}, 'user' || i || '@example.com', 'User ' || i, {at}, {at}, i % 3 <> 0, i % 10 = 0
         FROM {series}",
        at = site.db.second_of_2025(),
        series = site.db.series(rows)
    ));
}

pub(crate) fn with_ids(id: &str) -> Site {
    let site = Site::with_empty_table(Db::Postgres).storing_in_sqlite();
    site.sql(&format!("ALTER TABLE users SET ({SPARSE})"));
    fill(&site, USERS, id);
    site
}

/// Users of a table whose id is declared so; it has this index.
fn with_table(id: &str, definition: &str, index: &str) -> Site {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(&format!(
        "CREATE TABLE users (id {definition}, email TEXT, name TEXT, created_at TIMESTAMPTZ,
         updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN) WITH ({SPARSE})"
    ));
    fill(&site, USERS, id);
    site.sql(index);
    site
}

/// Serves with so many connections for a scan; `source` is what else `[source]` says, and whatever follows it. Who waits
/// holds the source.
pub(crate) fn serve(site: &Site, parallelism: u32, source: &str) -> Server {
    site.configure(&format!("[source]\nparallelism = {parallelism}\n{source}{HELD}"));
    site.serve()
}

/// One connection and four give the same to each of these requests, which is returned.
pub(crate) fn same(site: &Site, source: &str, key: &str, targets: &[String]) -> Vec<String> {
    same_by(|parallelism| serve(site, parallelism, source), source, key, targets)
}

/// All users of the table are exported, in its own order, however they are read.
pub(crate) fn assert_all(site: &Site, source: &str, condition: &str) {
    let csv = same(site, source, EXPORT_KEY, &[format!("{FULL}?sanitize=false")]).remove(0);
    let rows: Vec<_> = csv_records(csv.as_bytes()).iter().skip(1).map(|cells| cells.join("|")).collect();
    let time = |column| format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    let expected = site.column(&format!(
        "SELECT format('%s|%s|%s|%s|%s|%s|%s', id::text, email, name, {}, {}, is_active::text, is_admin::text)
         FROM users WHERE {condition} ORDER BY users.id",
        time("created_at"),
        time("updated_at")
    ));
    assert!(!expected.is_empty());
    let first = rows.iter().zip(&expected).find(|(row, expected)| row != expected);
    assert!(first.is_none() && rows.len() == expected.len(), "{} {}: {first:?}", rows.len(), expected.len());
}

#[test]
fn ids_may_lie_as_they_like() {
    for id in [
        "i",
        "((1700000000000 + i * 37) << 22) | (i % 4096)",
        "9007199254740992 - 7000 + i",
        "4611686018427387904 - 7000 + i",
        "CASE WHEN i < 13000 THEN i ELSE i * 60000000000000 END",
        "CASE WHEN i < 300 THEN i * 100000 ELSE 30000000 + i END",
        "CASE WHEN i < 6000 THEN -i ELSE 4000000000000000000 + i * 1000 END",
        "i::bigint * 7919 % 70001",
    ] {
        assert_all(&with_ids(id), "", "true");
    }
}

#[test]
fn each_number_of_connections_gives_the_same_bytes() {
    let site = with_ids("i");
    let expected = Site::filled_full(USERS);
    for parallelism in [1, 2, 3, 4, 7] {
        let server = serve(&site, parallelism, "");
        assert!(server.get_with(EXPORT_KEY, FULL).csv() == expected, "{parallelism}");
    }
}

#[test]
fn the_first_and_the_last_id_that_there_can_be_are_ids() {
    let site = with_ids("9223372036854775807 - 14000 + i");
    fill(&site, 2, "-9223372036854775807 + (i - 2)");
    assert_all(&site, "", "true");
    fill(&site, USERS, "-9223372036854775807 + i");
    fill(&site, 1, "0");
    assert_all(&site, "", "true");
    site.sql("DELETE FROM users WHERE id NOT IN (-9223372036854775807 - 1, 9223372036854775807)");
    assert_all(&site, "", "true");
}

#[test]
fn ids_may_be_of_any_type_that_they_can_be() {
    let strange =
        "CASE i % 100 WHEN 1 THEN 'O''Brien, ' WHEN 2 THEN '\\back\\slash' WHEN 3 THEN '\"quoted\"'
         WHEN 4 THEN 'Ünïcödé 山田 🦀 ' WHEN 5 THEN E'line\\n' WHEN 6 THEN ' blank' WHEN 7 THEN '%' WHEN 8 THEN '$1'
         WHEN 9 THEN 'ÜNÏCÖDÉ ' WHEN 10 THEN 'a' WHEN 11 THEN 'A' WHEN 12 THEN '''); --' ELSE md5(i::text) END
         || CASE WHEN i > 1 THEN i::text ELSE '' END";
    let strange = format!("CASE i WHEN 13 THEN '' ELSE {strange} END");
    for (id, definition) in [
        ("-2147483648 + i - 1", "INT PRIMARY KEY"),
        ("2147483647 - 14000 + i", "INT PRIMARY KEY"),
        ("md5(i::text)::uuid", "UUID PRIMARY KEY"),
        ("lpad(to_hex(i), 32, '0')::uuid", "UUID PRIMARY KEY"),
        ("'user-' || i", "TEXT PRIMARY KEY"),
        (&strange, "TEXT PRIMARY KEY"),
        (&strange, "TEXT COLLATE \"C\" PRIMARY KEY"),
        (&strange, "TEXT COLLATE \"en-x-icu\" PRIMARY KEY"),
        (&strange, "VARCHAR(90) COLLATE \"und-x-icu\" PRIMARY KEY"),
        ("'user-' || i", "CHAR(20) PRIMARY KEY"),
    ] {
        assert_all(&with_table(id, definition, ""), "", "true");
    }
}

#[test]
fn each_smallint_is_an_id() {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(
        "CREATE TABLE users (id SMALLINT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMPTZ,
         updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN)",
    );
    fill(&site, 65_536, "i - 32769");
    assert_all(&site, "", "true");
}

#[test]
fn ids_that_differ_only_in_case_to_the_index_are_exported_once() {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE EXTENSION citext;
         CREATE TABLE users (id TEXT COLLATE loose PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMPTZ,
         updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN)",
    );
    fill(&site, USERS, "CASE i % 2 WHEN 0 THEN 'ID' ELSE 'id' END || i");
    assert_all(&site, "", "true");
    site.sql("ALTER TABLE users ALTER id TYPE CITEXT");
    assert_all(&site, "", "true");
}

#[test]
fn a_table_may_have_any_index_or_none() {
    for (definition, index) in [
        ("BIGINT", ""),
        ("BIGINT UNIQUE", ""),
        ("BIGINT", "CREATE INDEX ON users (id)"),
        ("BIGINT", "CREATE UNIQUE INDEX ON users (id DESC NULLS LAST)"),
        ("BIGINT", "CREATE UNIQUE INDEX ON users (id, email)"),
        ("BIGINT", "CREATE UNIQUE INDEX ON users (id) WHERE is_active"),
        ("BIGINT", "CREATE UNIQUE INDEX ON users (id) INCLUDE (email)"),
        ("BIGINT PRIMARY KEY", "CREATE UNIQUE INDEX ON users (id)"),
        ("BIGINT", "CREATE UNIQUE INDEX ON users ((-id))"),
        ("BIGINT", "CREATE INDEX ON users USING brin (id)"),
        (
            "BIGINT UNIQUE DEFERRABLE INITIALLY DEFERRED",
            &format!("CLUSTER users USING users_id_key; {ANALYZE}"),
        ),
        (
            "BIGINT PRIMARY KEY",
            &format!("UPDATE users SET email = 'moved' || id WHERE id % 7 = 0; {ANALYZE}"),
        ),
    ] {
        assert_all(&with_table("i::bigint * 7919 % 70001", definition, index), "", "true");
    }
}

/// Statistics are of another time than the table.
#[test]
fn what_the_server_believes_of_a_table_need_not_be_true() {
    let site = Site::with_empty_table(Db::Postgres).storing_in_sqlite();
    site.sql("ANALYZE users");
    fill(&site, USERS, "i");
    assert_all(&site, "", "true");
    site.sql(&format!("{ANALYZE}; DELETE FROM users WHERE id BETWEEN 11 AND 13990"));
    assert_all(&site, "", "true");
    fill(&site, USERS, "i + 1000000000000");
    fill(&site, 1, "-1000000000000");
    assert_all(&site, "", "true");
    site.sql("DELETE FROM users");
    for parallelism in [1, 4] {
        let nobody = serve(&site, parallelism, "").get_with(EXPORT_KEY, &format!("{FULL}?fields=id"));
        assert_eq!(nobody.csv(), "id\r\n");
    }
}

/// It is no good id, but no row of it is lost or doubled.
#[test]
fn ids_that_are_not_unique_are_all_exported() {
    for id in ["i / 2", "i / 6000", "CASE WHEN i < 8000 THEN 3200 ELSE i END", "7"] {
        let site = with_table(id, "BIGINT", &format!("CREATE INDEX ON users (id); {ANALYZE}"));
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        let expected = sorted(site.column("SELECT id || ' ' || email FROM users"));
        for parallelism in [1, 2, 4] {
            let csv = serve(&site, parallelism, "").get_with(STANDARD_KEY, MINIMAL).csv();
            let records = &csv_records(csv.as_bytes())[1..];
            assert!(records.is_sorted_by_key(|cells| cells[0].parse::<i64>().unwrap()), "{parallelism} {id}");
            let rows = records.iter().map(|cells| format!("{} {}", cells[0], cells[1])).collect();
            assert!(sorted(rows) == expected, "{parallelism} {id}");
        }
    }
}

#[test]
fn a_user_without_an_id_is_never_passed_over() {
    for index in ["CREATE UNIQUE INDEX ON users (id)", "CREATE UNIQUE INDEX ON users (id NULLS FIRST)", ""] {
        let site = with_table("i", "BIGINT", index);
        fill(&site, 1, "NULL");
        site.sql(ANALYZE);
        for parallelism in ["1", "2", "4"] {
            site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
            let finished = site.run(&["export", "full"]);
            assert_eq!(finished.code, Some(1), "{parallelism} {index}");
            assert!(finished.stderr.contains("NULL is not an id"), "{}", finished.stderr);
        }
    }
}

#[test]
fn the_users_may_be_a_view_or_many_tables() {
    let columns = "email TEXT, name TEXT, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, is_active BOOLEAN,
                   is_admin BOOLEAN";
    for tables in [
        format!(
            "CREATE TABLE people (id BIGINT PRIMARY KEY, {columns}); CREATE VIEW users AS SELECT * FROM people"
        ),
        format!(
            "CREATE TABLE users (id BIGINT PRIMARY KEY, {columns}) PARTITION BY RANGE (id);
             CREATE TABLE low PARTITION OF users FOR VALUES FROM (MINVALUE) TO (4000);
             CREATE TABLE high PARTITION OF users FOR VALUES FROM (4000) TO (MAXVALUE)"
        ),
        format!(
            "CREATE TABLE users (id BIGINT PRIMARY KEY, {columns}) PARTITION BY HASH (id);
             CREATE TABLE one PARTITION OF users FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE two PARTITION OF users FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
        ),
    ] {
        let site = Site::bare(Db::Postgres).storing_in_sqlite();
        site.sql(&tables);
        fill(&site, USERS, "i");
        site.sql("ANALYZE");
        assert_all(&site, "", "true");
    }
    let site = with_ids("i * 2");
    site.sql("CREATE TABLE more (PRIMARY KEY (id)) INHERITS (users)");
    site.sql("INSERT INTO more SELECT id + 1, email, name, created_at FROM users WHERE id % 3 = 0; ANALYZE");
    assert_all(&site, "", "true");
}
