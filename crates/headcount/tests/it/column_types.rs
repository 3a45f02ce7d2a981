//! The types that further columns have.

use crate::harness::{Db, Server, Site, csv_records, profile};

both! {
    numbers_are_never_marked,
    a_type_may_be_set,
    empty_and_missing_cells_are_told_apart_from_the_rest,
}

/// A table of `id` and one column `value` of this type, which the profile `values` shows.
fn with_values(db: Db, column_type: &str, values: &[&str]) -> (Site, Server, String) {
    with_values_read_as(db, column_type, "'value'", values)
}

fn with_values_read_as(db: Db, column_type: &str, mapping: &str, values: &[&str]) -> (Site, Server, String) {
    let mut site = Site::bare(db).storing_in_sqlite();
    let table = db.users_table().replace("email TEXT", &format!("email TEXT, value {column_type}"));
    site.sql(&table);
    for (id, value) in values.iter().enumerate() {
        site.sql(&format!("INSERT INTO users (id, value) VALUES ({id}, {value})"));
    }
    let toml = format!("[source.columns]\nshown = {mapping}\n[exports.values]\ncolumns = ['shown']\n");
    let key = site.declare(&toml, &["values"]);
    let server = site.serve();
    (site, server, key)
}

fn cells(server: &Server, key: &str) -> Vec<String> {
    let csv = server.get_with(key, &profile("values")).csv();
    csv_records(csv.as_bytes()).into_iter().skip(1).map(|mut record| record.remove(0)).collect()
}

/// Each type with literals and how they are shown.
fn assert_shown(db: Db, cases: &[(&str, &[(&str, &str)])]) {
    for (column_type, values) in cases {
        let (literals, shown): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
        let (_site, server, key) = with_values(db, column_type, &literals);
        assert_eq!(cells(&server, &key), shown, "{db:?} {column_type}");
        assert_eq!(server.get("/readyz").status, 200, "{column_type}");
    }
}

fn numbers_are_never_marked(db: Db) {
    assert_shown(
        db,
        &[
            ("BIGINT", &[("-5", "-5"), ("-9223372036854775808", "-9223372036854775808"), ("NULL", "")]),
            ("SMALLINT", &[("-5", "-5")]),
            ("REAL", &[("-0.5", "-0.5"), ("0.25", "0.25"), ("NULL", "")]),
            ("DOUBLE PRECISION", &[("-5.5", "-5.5"), ("0.1", "0.1")]),
            ("NUMERIC", &[("-5.5", "-5.5"), ("12", "12")]),
            ("TEXT", &[("'-5'", "'-5"), ("'+1'", "'+1"), ("'=1+1'", "'=1+1"), ("'5'", "5"), ("''", "")]),
        ],
    );
}

fn a_type_may_be_set(db: Db) {
    let read_as = |column_type: &str, set: &str, values: &[&str]| {
        let mapping = format!("{{ column = 'value', type = '{set}' }}");
        let (_site, server, key) = with_values_read_as(db, column_type, &mapping, values);
        cells(&server, &key)
    };
    assert_eq!(
        read_as("BIGINT", "timestamp", &["1736332200", "-1"]),
        ["2025-01-08T10:30:00Z", "1969-12-31T23:59:59Z"]
    );
    assert_eq!(read_as("TEXT", "timestamp", &["'2025-01-08 12:30:00+02'"]), ["2025-01-08T10:30:00Z"]);
    assert_eq!(read_as("SMALLINT", "boolean", &["1", "0", "NULL"]), ["true", "false", ""]);
    assert_eq!(read_as("VARCHAR(9)", "text", &["'=1'", "''"]), ["'=1", ""]);
    let (_site, server, key) =
        with_values_read_as(db, "BIGINT", "{ sql = 'value > 5', type = 'boolean' }", &["6", "5", "NULL"]);
    assert_eq!(cells(&server, &key), ["true", "false", ""]);
}

fn empty_and_missing_cells_are_told_apart_from_the_rest(db: Db) {
    let (_site, server, key) = with_values(db, "TEXT", &["NULL", "''", "' '", "'\"'", "'a,b'", "'a\nb'"]);
    let csv = server.get_with(&key, &profile("values")).csv();
    assert_eq!(csv, "shown\r\n\"\"\r\n\"\"\r\n \r\n\"\"\"\"\r\n\"a,b\"\r\n\"a\nb\"\r\n");
}

#[test]
fn sqlite_types_are_read_as_they_are_declared() {
    assert_shown(
        Db::Sqlite,
        &[
            (
                "REAL",
                &[
                    ("0.1", "0.1"),
                    ("1e16", "1e16"),
                    ("5e-324", "5e-324"),
                    ("0.1 + 0.2", "0.30000000000000004"),
                ],
            ),
            ("BOOLEAN", &[("1", "true"), ("0", "false"), ("NULL", "")]),
            ("BOOL NOT NULL DEFAULT 0", &[("1", "true")]),
            (
                "DATETIME",
                &[("'2025-01-08 10:30:00'", "2025-01-08T10:30:00Z"), ("1736332200", "2025-01-08T10:30:00Z")],
            ),
            ("timestamp with time zone", &[("'2025-01-08 12:30:00+02:00'", "2025-01-08T10:30:00Z")]),
            ("DATE", &[("'2025-01-08'", "2025-01-08")]),
            ("", &[("-5", "-5"), ("-0.5", "-0.5"), ("'-5'", "'-5"), ("NULL", "")]),
            ("JSON", &[("'{\"a\": [1, -2]}'", "{\"a\": [1, -2]}")]),
            ("INTEGER", &[("'many'", "many"), ("'=many'", "'=many")]),
        ],
    );
}

#[test]
fn a_sqlite_value_that_is_no_text_fails_by_name() {
    for (column_type, value) in
        [("BLOB", "x'00'"), ("TEXT", "x'61'"), ("BOOLEAN", "2"), ("DATETIME", "'soon'")]
    {
        let (_site, server, key) = with_values(Db::Sqlite, column_type, &["NULL", value]);
        server.get_with(&key, &profile("values")).detail(500);
        for word in ["column shown", "id 1"] {
            server.eventually_says(word);
        }
    }
}

#[test]
fn postgres_types_read_as_in_psql() {
    assert_shown(
        Db::Postgres,
        &[
            (
                "NUMERIC(30, 10)",
                &[("-5", "-5.0000000000"), ("12345678901234567890.5", "12345678901234567890.5000000000")],
            ),
            ("NUMERIC", &[("'NaN'", "NaN"), ("-1e-20", "-0.00000000000000000001")]),
            (
                "FLOAT8",
                &[
                    ("0.1::float8 + 0.2", "0.30000000000000004"),
                    ("'-Infinity'", "-Infinity"),
                    ("1e300", "1e+300"),
                ],
            ),
            ("FLOAT4", &[("0.1", "0.1"), ("-3.4028235e38", "-3.4028235e+38")]),
            ("UUID", &[("'F47AC10B-58CC-4372-A567-0E02B2C3D479'", "f47ac10b-58cc-4372-a567-0e02b2c3d479")]),
            ("BOOLEAN", &[("true", "true"), ("false", "false"), ("NULL", "")]),
            ("TIMESTAMPTZ", &[("'2025-01-08 12:30:00+02'", "2025-01-08T10:30:00Z")]),
            ("TIMESTAMP", &[("'2025-01-08 10:30:00.5'", "2025-01-08T10:30:00.500000Z")]),
            ("JSON", &[("'{\"a\":  [1, -2]}'", "{\"a\":  [1, -2]}")]),
            ("JSONB", &[("'{\"a\":  [1, -2]}'", "{\"a\": [1, -2]}"), ("'null'", "null")]),
            ("TEXT[]", &[("ARRAY['a', NULL, 'b,c', '=d']", "{a,NULL,\"b,c\",=d}"), ("'{}'", "{}")]),
            ("BIGINT[]", &[("ARRAY[-1, 2]", "{-1,2}")]),
            ("CHAR(5)", &[("'ab'", "ab")]),
            ("TIME", &[("'08:15'", "08:15:00")]),
            ("BIT(3)", &[("B'101'", "101")]),
        ],
    );
}

/// The cluster's own settings are SQL, DMY and sql_standard; they are nobody's business here.
#[test]
fn postgres_dates_are_iso_whatever_the_servers_style() {
    assert_shown(
        Db::Postgres,
        &[
            ("DATE", &[("'2025-01-08'", "2025-01-08"), ("NULL", "")]),
            ("DATE[]", &[("ARRAY['2025-01-08'::date]", "{2025-01-08}")]),
            ("DATERANGE", &[("'[2025-01-08,2025-01-09)'", "[2025-01-08,2025-01-09)")]),
        ],
    );
}

#[test]
fn postgres_addresses_read_as_in_psql() {
    assert_shown(
        Db::Postgres,
        &[("INET", &[("'192.0.2.1'", "192.0.2.1"), ("'192.0.2.0/24'", "192.0.2.0/24"), ("'::1'", "::1")])],
    );
}

#[test]
fn postgres_floats_are_exact_whatever_the_servers_setting() {
    let (site, _server, key) = with_values(Db::Postgres, "FLOAT8", &["0.1::float8 + 0.2"]);
    site.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -3', current_database()); END $$");
    assert_eq!(cells(&site.serve(), &key), ["0.30000000000000004"]);
}

#[test]
fn postgres_types_of_its_own_read_as_text() {
    let mut site = Site::with_empty_table(Db::Postgres).storing_in_sqlite();
    site.sql(
        "CREATE TYPE mood AS ENUM ('=sad', 'glad'); CREATE DOMAIN score AS NUMERIC CHECK (VALUE < 100);
         CREATE TYPE place AS (street TEXT, number INT);
         ALTER TABLE users ADD mood mood, ADD score score, ADD place place;
         INSERT INTO users (id, mood, score, place) VALUES (1, '=sad', -5.5, ('High Street', -1)), (2, 'glad', NULL, NULL)",
    );
    let key = site.declare(
        "[source.columns]\nmood = 'mood'\nscore = 'score'\nplace = 'place'\nname = 'mood'\n\
         [exports.values]\ncolumns = ['name', 'mood', 'score', 'place']\n",
        &["values"],
    );
    let csv = site.serve().get_with(&key, &profile("values")).csv();
    assert_eq!(
        csv,
        "name,mood,score,place\r\n'=sad,'=sad,-5.5,\"(\"\"High Street\"\",-1)\"\r\nglad,glad,,\r\n"
    );
}

#[test]
fn postgres_text_may_be_asked_of_any_type_with_a_text_form() {
    for column_type in ["JSONB", "NUMERIC", "INET", "TEXT[]", "DATE"] {
        let mapping = "{ column = 'value', type = 'text' }";
        let (_site, server, key) = with_values_read_as(Db::Postgres, column_type, mapping, &["NULL"]);
        assert_eq!(server.status_with(&key, &profile("values")), 200, "{column_type}");
    }
}

#[test]
fn postgres_bytes_are_refused_by_name() {
    let (site, server, key) = with_values(Db::Postgres, "BYTEA", &["NULL"]);
    server.get_with(&key, &profile("values")).detail(503);
    for word in ["value", "bytea", "encode("] {
        server.eventually_says(word);
    }
    server.get("/readyz").detail(503);
    let finished = site.run(&["export", "values"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("bytea"), "{}", finished.stderr);
    let mapping = "{ sql = \"encode(value, 'hex')\" }";
    let (_site, server, key) = with_values_read_as(Db::Postgres, "BYTEA", mapping, &["'\\x00ff'"]);
    assert_eq!(cells(&server, &key), ["00ff"]);
}
