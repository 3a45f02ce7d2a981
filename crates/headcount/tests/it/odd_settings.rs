//! A role or a database of PostgreSQL may be set to read SQL otherwise, to find fewer rows, or to print values in another way. No
//! export shows it.

use crate::harness::{Db, EXPORT_KEY, FULL, Site};

/// What changes rows or bytes, and what makes the planner prefer the indexes that are asked.
const ODD: [&str; 14] = [
    "standard_conforming_strings = off",
    "gin_fuzzy_search_limit = 10",
    "bytea_output = 'escape'",
    "xmlbinary = 'hex'",
    "xmloption = 'document'",
    "quote_all_identifiers = on",
    "array_nulls = off",
    "transform_null_equals = on",
    "DateStyle = 'German'",
    "IntervalStyle = 'iso_8601'",
    "extra_float_digits = -5",
    "TimeZone = 'Asia/Kolkata'",
    "enable_seqscan = off",
    "enable_indexscan = off",
];

const CONFIGURATION: &str = r#"
[source]
where = "tags @> array['t1'] AND (name = NULL) IS NULL"
[source.columns]
email = { sql = """concat_ws(' ', payload::text, xmlelement(name x, payload), 'a'::xml, quote_ident(name), \
    '{NULL}'::text[], ratio, since, age)""" }
"#;

#[test]
fn whatever_a_role_is_set_to_users_and_bytes_are_the_same() {
    let site = Site::bare(Db::Postgres);
    site.sql(
        r"CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT, created_at TEXT, updated_at TEXT, is_active BOOLEAN,
          is_admin BOOLEAN, tags TEXT[], payload BYTEA, ratio DOUBLE PRECISION, since DATE, age INTERVAL);
          INSERT INTO users
          SELECT i, 'name', CASE i % 3 WHEN 0 THEN '2024-01-01T00:00:00Z' ELSE '2025-01-01 10:00:00.123456789' END,
                 '2025-01-01', true, false, ARRAY['t' || i % 2, 't' || i], '\x00ff', i / 3.0, '2025-01-08', '1 day 2:03'
            FROM generate_series(1, 1000) AS i;
          CREATE INDEX ON users USING gin (tags);
          ANALYZE users",
    );
    site.configure(CONFIGURATION);
    let exports = || {
        let server = site.serve();
        ["", "?created_after=2024-06-01", "?created_before=2024-06-01T00:00:00Z&is_active=true"]
            .map(|query| server.get_with(EXPORT_KEY, &format!("{FULL}{query}")).csv())
    };
    let plain = exports();
    let users = plain.each_ref().map(|csv| csv.lines().count() - 1);
    assert_eq!(users, [500, 333, 167]);
    let alter = |change: &str| {
        site.sql(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER ROLE app_reader IN DATABASE %I {change}', current_database()); END $$"
        ));
    };
    for setting in ODD {
        alter(&format!("SET {}", setting.replace('\'', "''")));
    }
    let odd = exports();
    alter("RESET ALL");
    for (plain, odd) in plain.iter().zip(&odd) {
        assert!(plain == odd, "{} and {}\n{odd:.400}", plain.lines().count(), odd.lines().count());
    }
}
