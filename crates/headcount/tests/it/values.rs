//! The types in which applications keep their users.

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, Server, Site, eventually};

both! {
    a_missing_id_fails_the_export,
    a_text_id_ends_a_page_as_it_was_shown,
    timestamps_at_the_edges_of_the_calendar,
    timestamps_without_a_zone_are_utc,
    integer_timestamps_are_epoch_seconds,
    booleans_may_be_integers,
    ids_may_be_narrow_integers_or_text,
    a_boolean_that_is_neither_fails_the_export_by_name,
    a_boolean_that_is_neither_fails_a_filter_too,
    a_time_that_cannot_be_shown_fails_a_filter_too,
}

const COLUMNS: &str = "created_at,updated_at,is_active,is_admin";

fn cells(server: &Server) -> String {
    let csv = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,{COLUMNS}")).csv();
    csv.split_once("\r\n").unwrap().1.to_owned()
}

fn ids(server: &Server, query: &str) -> String {
    let target = format!("{MINIMAL}?{query}");
    server.get_with(EXPORT_KEY, &target).ids().join(",")
}

/// An export cannot give a wrong cell: it fails, and the log says where.
fn assert_fails_naming(server: &Server, target: &str, culprits: &[&str]) {
    let request = server.request(reqwest::Method::GET, target);
    let answer = request.bearer_auth(EXPORT_KEY).send().map(Answer::read);
    if let Ok(Ok(answer)) = answer {
        let (status, detail) = answer.refusal();
        assert_eq!((status, detail.as_str()), (500, "Internal server error"));
    }
    eventually("the log names the culprit", || {
        let log = server.said();
        log.lines().any(|line| culprits.iter().all(|culprit| line.contains(culprit)))
    });
}

fn timestamps_at_the_edges_of_the_calendar(db: Db) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    let rows = [
        ("0001-01-01 00:00:00", "0001-01-01T00:00:00Z"),
        ("1582-10-10 12:00:00", "1582-10-10T12:00:00Z"),
        ("1899-12-31 23:59:59.000001", "1899-12-31T23:59:59.000001Z"),
        ("1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999Z"),
        ("1970-01-01 00:00:00", "1970-01-01T00:00:00Z"),
        ("1999-12-31 23:59:59.5", "1999-12-31T23:59:59.500000Z"),
        ("2000-02-29 00:00:00.100000", "2000-02-29T00:00:00.100000Z"),
        ("2024-02-29 12:00:00", "2024-02-29T12:00:00Z"),
        ("2025-01-08 10:30:00.000000", "2025-01-08T10:30:00Z"),
        ("2038-01-19 03:14:08", "2038-01-19T03:14:08Z"),
        ("2100-03-01 00:00:00", "2100-03-01T00:00:00Z"),
        ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999Z"),
    ];
    let mut expected = String::new();
    for (id, (stored, shown)) in rows.iter().enumerate() {
        site.sql(&format!("INSERT INTO users (id, created_at) VALUES ({id}, '{stored}')"));
        expected += &format!("{id},{shown},,,\r\n");
    }
    let server = site.serve();
    assert_eq!(cells(&server), expected);
    assert_eq!(ids(&server, "created_before=1970-01-01T00:00:00Z"), "0,1,2,3");
    assert_eq!(ids(&server, "created_after=1969-12-31T23:59:59.999999Z&limit=2"), "3,4");
}

fn timestamps_without_a_zone_are_utc(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMP,
         updated_at TIMESTAMP, is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users VALUES
         (1, 'e', 'n', '2025-07-01 12:00:00', '2025-07-01 12:00:00.25', true, false)",
    );
    let server = site.serve();
    assert_eq!(cells(&server), "1,2025-07-01T12:00:00Z,2025-07-01T12:00:00.250000Z,true,false\r\n");
    assert_eq!(ids(&server, "created_after=2025-07-01T12:00:00Z"), "1");
    assert_eq!(ids(&server, "created_after=2025-07-01T12:00:01Z"), "");
    assert_eq!(ids(&server, "created_before=2025-07-01T14:00:00%2B02:00"), "");
    assert_eq!(ids(&server, "updated_before=2025-07-01T14:00:01%2B02:00"), "1");
}

fn integer_timestamps_are_epoch_seconds(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at BIGINT,
         updated_at BIGINT, is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users VALUES
         (1, 'e', 'n', 1736332200, 0, true, false), (2, 'e', 'n', -1, NULL, true, false)",
    );
    let server = site.serve();
    assert_eq!(
        cells(&server),
        "1,2025-01-08T10:30:00Z,1970-01-01T00:00:00Z,true,false\r\n\
         2,1969-12-31T23:59:59Z,,true,false\r\n"
    );
    assert_eq!(ids(&server, "created_after=2025-01-08T10:30:00Z"), "1");
    assert_eq!(ids(&server, "created_after=2025-01-08T10:30:00.000001Z"), "");
    assert_eq!(ids(&server, "created_before=2025-01-08T10:30:00Z"), "2");
    assert_eq!(ids(&server, "created_before=2025-01-08T10:30:00.000001Z"), "1,2");
}

const INTEGER_BOOLEANS: &str = "\
CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMP, \
updated_at TIMESTAMP, is_active SMALLINT, is_admin INTEGER);";

fn booleans_may_be_integers(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(INTEGER_BOOLEANS);
    site.sql(
        "INSERT INTO users VALUES (1, 'e', 'n', NULL, NULL, 1, 0),
         (2, 'e', 'n', NULL, NULL, 0, 1), (3, 'e', 'n', NULL, NULL, NULL, NULL)",
    );
    let server = site.serve();
    assert_eq!(cells(&server), "1,,,true,false\r\n2,,,false,true\r\n3,,,,\r\n");
    assert_eq!(ids(&server, "is_active=true"), "1");
    assert_eq!(ids(&server, "is_admin=false"), "1");
}

fn a_boolean_that_is_neither_fails_the_export_by_name(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(INTEGER_BOOLEANS);
    site.sql(
        "INSERT INTO users VALUES (4241, 'e', 'n', NULL, NULL, 1, 0),
         (4242, 'e', 'n', NULL, NULL, 1, 2)",
    );
    let server = site.serve();
    assert_fails_naming(&server, FULL, &["users", "is_admin", "4242"]);
    let target = format!("{FULL}?fields=id,is_active");
    assert_eq!(server.get_with(EXPORT_KEY, &target).status, 200);
}

/// It is in neither answer, so both would be wrong. An index finds it as well.
fn a_boolean_that_is_neither_fails_a_filter_too(db: Db) {
    let odd: &[&str] = match db {
        Db::Sqlite => &["2", "-1", "0.5", "'yes'", "'T'", "''", "x'01'"],
        Db::Postgres => &["2", "-1"],
    };
    for index in ["", "CREATE INDEX by_admin ON users (is_admin)"] {
        let site = Site::bare(db).storing_in_sqlite();
        site.sql(INTEGER_BOOLEANS);
        site.sql(&format!(
            "INSERT INTO users SELECT i, 'user' || i, 'n', NULL, NULL, 1, i % 2 FROM {}; {index}",
            db.series(500)
        ));
        if db == Db::Postgres {
            site.sql("ANALYZE users");
        }
        let server = site.serve();
        assert_eq!(ids(&server, "is_admin=true&limit=2"), "1,3");
        for value in odd {
            site.sql(&format!("UPDATE users SET is_admin = {value} WHERE id = 424"));
            for query in ["is_admin=true", "is_admin=false", "is_admin=true&is_active=true"] {
                let answer = server.get_with(EXPORT_KEY, &format!("{MINIMAL}?{query}"));
                assert_eq!(answer.status, 500, "{value} {query} {index}");
            }
            // What another filter leaves out is not looked at.
            assert_eq!(ids(&server, "is_admin=true&email=user3"), "3");
            assert_eq!(ids(&server, "is_admin=false&after=430&limit=1"), "432");
        }
        assert_fails_naming(&server, &format!("{MINIMAL}?is_admin=true"), &["is_admin", "424", "boolean"]);
    }
}

/// Text keeps what looks like a number, which SQLite would find equal to one.
#[test]
fn sqlite_booleans_as_text_fail_a_filter_too() {
    for value in ["'0'", "'1'", "'2'"] {
        let site = Site::bare(Db::Sqlite);
        site.sql(&INTEGER_BOOLEANS.replace("is_admin INTEGER", "is_admin TEXT"));
        site.sql(&format!("INSERT INTO users (id, is_admin) VALUES (4242, {value})"));
        let server = site.serve();
        for target in
            [FULL.to_owned(), format!("{MINIMAL}?is_admin=true"), format!("{MINIMAL}?is_admin=false")]
        {
            server.get_with(EXPORT_KEY, &target).detail(500);
        }
    }
}

/// As Rails wrote them before 5.2.
#[test]
fn sqlite_booleans_may_be_letters() {
    for declared in ["boolean DEFAULT 'f' NOT NULL", "varchar(1)", ""] {
        for index in ["", "CREATE INDEX by_flag ON users (is_admin)"] {
            let site = Site::bare(Db::Sqlite);
            site.sql(&INTEGER_BOOLEANS.replace("is_admin INTEGER", &format!("is_admin {declared}")));
            site.sql(&format!(
                "INSERT INTO users VALUES (1, 'e', 'n', NULL, NULL, 't', 'f'), (2, 'e', 'n', NULL, NULL, 'f', 't'),
                 (3, 'e', 'n', NULL, NULL, NULL, 't'); {index}"
            ));
            let server = site.serve();
            assert_eq!(cells(&server), "1,,,true,false\r\n2,,,false,true\r\n3,,,,true\r\n");
            assert_eq!(ids(&server, "is_admin=true"), "2,3", "{declared}");
            assert_eq!(ids(&server, "is_admin=false"), "1", "{declared}");
            assert_eq!(ids(&server, "is_active=true&is_admin=false"), "1", "{declared}");
            assert_eq!(ids(&server, "is_active=false"), "2", "{declared}");
        }
    }
}

/// `infinity` is after every time, and an integer may be any time: they would be in one answer and fail in the other.
fn a_time_that_cannot_be_shown_fails_a_filter_too(db: Db) {
    let odd: &[(&str, &str)] = match db {
        Db::Sqlite => {
            &[("TEXT", "'infinity'"), ("BIGINT", "999999999999999"), ("BIGINT", "-999999999999999")]
        }
        Db::Postgres => &[
            ("TIMESTAMPTZ", "'infinity'"),
            ("TIMESTAMPTZ", "'-infinity'"),
            ("TIMESTAMPTZ", "'0044-03-15 BC'"),
            ("TIMESTAMP", "'20000-01-01'"),
            ("DATE", "'infinity'"),
            ("DATE", "'0044-03-15 BC'"),
            ("BIGINT", "999999999999999"),
            ("BIGINT", "-999999999999999"),
            ("TEXT", "'-infinity'"),
            ("TEXT", "'2025-13-01'"),
        ],
    };
    for (declared, value) in odd {
        let site = Site::bare(db).storing_in_sqlite();
        site.sql(&format!(
            "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at {declared});
             INSERT INTO users (id, created_at) VALUES (4241, NULL), (4242, {value})"
        ));
        let server = site.serve();
        for query in [
            "created_after=2025-01-01T00:00:00Z",
            "created_before=2025-01-01T00:00:00Z",
            "created_after=2025-01-01T00:00:00Z&created_before=2026-01-01T00:00:00Z",
        ] {
            let answer = server.get_with(EXPORT_KEY, &format!("{MINIMAL}?{query}"));
            assert_eq!(answer.status, 500, "{declared} {value} {query}");
        }
        server.eventually_says("created_at, id 4242");
        site.sql("UPDATE users SET created_at = NULL");
        assert_eq!(ids(&server, "created_after=2025-01-01T00:00:00Z"), "");
    }
}

fn ids_may_be_narrow_integers_or_text(db: Db) {
    for (id_type, ids) in
        [("SMALLINT", ["-2", "3", "10"]), ("INTEGER", ["-2", "3", "10"]), ("VARCHAR(40)", ["10", "3", "x"])]
    {
        let site = Site::bare(db).storing_in_sqlite();
        site.sql(&format!("CREATE TABLE users (id {id_type} PRIMARY KEY, email VARCHAR(100), name VARCHAR)"));
        for id in ids {
            site.sql(&format!("INSERT INTO users VALUES ('{id}', 'e', 'n')"));
        }
        let server = site.serve();
        assert_eq!(server.get_with(EXPORT_KEY, MINIMAL).ids(), ids, "{id_type}");
        let target = format!("{MINIMAL}?after={}", ids[1]);
        assert_eq!(server.get_with(EXPORT_KEY, &target).ids(), [ids[2]], "{id_type}");
    }
}

/// One row whose `created_at` is this SQL expression.
fn created_at(db: Db, expression: &str) -> Site {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    site.sql(&format!("INSERT INTO users (id, created_at) VALUES (4242, {expression})"));
    site
}

#[test]
fn sqlite_text_timestamps_as_frameworks_write_them() {
    for (stored, shown) in [
        ("2025-01-08 10:30:00.123456", "2025-01-08T10:30:00.123456Z"),
        ("2025-01-08 10:30:00.000000", "2025-01-08T10:30:00Z"),
        ("2025-01-08 10:30:00", "2025-01-08T10:30:00Z"),
        ("2025-01-08T10:30:00", "2025-01-08T10:30:00Z"),
        ("2025-01-08T10:30:00Z", "2025-01-08T10:30:00Z"),
        ("2025-01-08T10:30:00.123Z", "2025-01-08T10:30:00.123000Z"),
        ("2025-01-08 10:30:00+02:00", "2025-01-08T08:30:00Z"),
        ("2025-01-08T10:30:00.5-05:30", "2025-01-08T16:00:00.500000Z"),
        ("2025-01-08", "2025-01-08T00:00:00Z"),
    ] {
        let site = created_at(Db::Sqlite, &format!("'{stored}'"));
        let server = site.serve();
        assert_eq!(cells(&server), format!("4242,{shown},,,\r\n"), "{stored}");
        assert_eq!(ids(&server, &format!("created_after={shown}")), "4242", "{stored}");
        assert_eq!(ids(&server, &format!("created_before={shown}")), "", "{stored}");
    }
}

#[test]
fn sqlite_timestamps_of_several_forms_are_filtered_alike() {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql(
        "INSERT INTO users (id, created_at) VALUES (1, '2025-01-08 10:30:00'),
         (2, '2025-01-08T10:30:00.000Z'), (3, '2025-01-08 12:30:00+02:00'), (4, 1736332200),
         (5, '2025-01-08 10:29:59.999999'), (6, '2025-01-08'), (7, NULL)",
    );
    let server = site.serve();
    assert_eq!(ids(&server, "created_after=2025-01-08T10:30:00Z"), "1,2,3,4");
    assert_eq!(ids(&server, "created_before=2025-01-08T10:30:00Z"), "5,6");
}

#[test]
fn sqlite_values_that_are_no_timestamp_fail_the_export_by_name() {
    for expression in ["'yesterday'", "'2025-13-01 00:00:00'", "''", "x'00ff'", "'12/31/2025'"] {
        let site = created_at(Db::Sqlite, expression);
        let server = site.serve();
        assert_fails_naming(&server, FULL, &["users", "created_at", "4242"]);
        assert_eq!(server.get_with(EXPORT_KEY, MINIMAL).ids(), ["4242"]);
    }
}

#[test]
fn sqlite_addresses_that_are_no_text_fail_a_filter_too() {
    for index in ["", "CREATE INDEX by_email ON users (email)"] {
        let site = Site::with_people(Db::Sqlite);
        site.sql(&format!(
            "{index}; INSERT INTO users (id, email, name) VALUES (4242, CAST('odd@example.com' AS BLOB), 'Odd')"
        ));
        let server = site.serve();
        for query in ["email=odd@example.com", "email=ada@example.com", "email=odd@example.com&fields=id"] {
            assert_fails_naming(&server, &format!("{MINIMAL}?{query}"), &["users", "email", "4242", "blob"]);
        }
        // Whom another filter leaves out nobody looks at.
        assert_eq!(ids(&server, "email=ada@example.com&created_before=2100-01-01&fields=id"), "1");
        site.sql("DELETE FROM users WHERE id = 4242");
        assert_eq!(ids(&server, "email=ada@example.com"), "1");
        assert_eq!(ids(&server, "email=odd@example.com"), "");
    }
}

#[test]
fn sqlite_text_that_is_not_utf8_fails_the_export_by_name() {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql("INSERT INTO users (id, name) VALUES (4242, CAST(x'41ff42' AS TEXT))");
    assert_fails_naming(&site.serve(), MINIMAL, &["users", "name", "4242"]);
}

#[test]
fn postgres_timestamps_that_rfc_3339_cannot_say_fail_the_export_by_name() {
    for expression in ["'infinity'", "'-infinity'", "'20000-01-01'", "'0044-03-15 BC'"] {
        let site = created_at(Db::Postgres, expression);
        let server = site.serve();
        assert_fails_naming(&server, FULL, &["users", "created_at", "4242"]);
        assert_eq!(server.get_with(EXPORT_KEY, MINIMAL).ids(), ["4242"]);
    }
}

/// So many microseconds wrap around to our days.
#[test]
fn postgres_dates_that_are_too_far_away_fail_the_export_by_name() {
    for expression in
        ["'infinity'", "'-infinity'", "'10000-01-01'", "DATE '2025-01-08' + 213503982", "'5874897-12-31'"]
    {
        let site = created_at(Db::Postgres, "NULL");
        site.sql("ALTER TABLE users ALTER created_at TYPE date");
        site.sql(&format!("UPDATE users SET created_at = {expression}"));
        let server = site.serve();
        assert_fails_naming(&server, FULL, &["users", "created_at", "4242"]);
        assert_eq!(server.get_with(EXPORT_KEY, MINIMAL).ids(), ["4242"]);
    }
}

fn a_text_id_ends_a_page_as_it_was_shown(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    let table = db.users_table().replace("BIGINT", "TEXT").replace("INTEGER", "TEXT");
    site.sql(&table);
    site.sql("INSERT INTO users (id, email) VALUES ('-a', 'a@example.com'), ('b', 'b@example.com')");
    let server = site.serve();
    let first = server.get_with(EXPORT_KEY, &format!("{FULL}?limit=1")).ids();
    assert_eq!(first, ["'-a"]);
    assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?limit=1&after=%27-a")).ids(), ["b"]);
    let exact = format!("{FULL}?limit=1&sanitize=false&after=-a");
    assert_eq!(server.get_with(EXPORT_KEY, &exact).ids(), ["b"]);
}

fn a_missing_id_fails_the_export(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    let table = db.users_table().replace("BIGINT PRIMARY KEY", "TEXT").replace("INTEGER PRIMARY KEY", "TEXT");
    site.sql(&table);
    site.sql("INSERT INTO users (id, email) VALUES ('a', 'a@example.com'), (NULL, 'b@example.com')");
    let server = site.serve();
    server.get_with(EXPORT_KEY, FULL).detail(500);
    server.eventually_says("column id");
}
