//! Columns that are called and kept otherwise than they are shown.

use crate::harness::{
    Db, EXPORT_KEY, FULL, MEMBERS, MEMBERS_FULL, MINIMAL, PEOPLE_FULL, STANDARD_KEY, Server, Site,
    csv_records,
};

both! {
    mapped_columns_and_expressions_are_exported,
    filters_work_on_what_is_mapped,
    a_condition_of_the_source_is_never_widened,
    pages_of_mapped_ids_are_the_whole_export,
    an_id_may_be_an_expression,
    a_column_that_there_is_not_may_be_nothing,
    a_request_never_reaches_sql_text,
    odd_names_are_names,
    a_name_cannot_leave_its_quotes,
    a_schema_may_stand_before_the_table,
    a_view_can_be_mapped,
    an_address_may_be_any_type_that_reads_as_text,
}

fn members(db: Db) -> (Site, Server) {
    let site = Site::with_members(db).storing_in_sqlite();
    site.configure(MEMBERS);
    let server = site.serve();
    (site, server)
}

/// The ids of the matching users, the same from either endpoint.
fn ids(server: &Server, query: &str) -> String {
    let [minimal, full] =
        [MINIMAL, FULL].map(|path| server.get_with(EXPORT_KEY, &format!("{path}?{query}")).ids().join(","));
    assert_eq!(minimal, full, "{query}");
    full
}

fn mapped_columns_and_expressions_are_exported(db: Db) {
    let (site, server) = members(db);
    let csv = server.get_with(EXPORT_KEY, FULL).csv();
    assert_eq!(csv, MEMBERS_FULL);
    assert_eq!(site.done(&["export", "full"]), MEMBERS_FULL);
    assert_eq!(server.get("/readyz").status, 200);
    site.done(&["check"]);
    let some = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=is_admin,name&limit=2")).csv();
    assert_eq!(some, "is_admin,name\r\ntrue,Ada Lovelace\r\nfalse,Ada Other\r\n");
}

fn filters_work_on_what_is_mapped(db: Db) {
    let (_site, server) = members(db);
    for (query, expected) in [
        ("", "1,2,4,7,10"),
        ("email=ada@example.com", "1"),
        ("email=ADA@EXAMPLE.COM", ""),
        ("email=printer@example.com", ""),
        ("is_active=true", "1,2,10"),
        ("is_active=false", "7"),
        ("is_admin=true&is_active=true", "1,10"),
        ("is_admin=false", "2,7"),
        ("created_after=2025-01-08T10:30:00.124Z", "2,7"),
        ("created_before=2025-01-08T10:30:00.124Z", "1,10"),
        ("updated_after=2025-01-08T10:30:01.124Z", "2,7"),
        ("updated_before=1970-01-01T00:00:01Z", "10"),
        ("created_after=2025-01-08T11:30:00.124%2B01:00&is_active=false&after=2&limit=3", "7"),
    ] {
        assert_eq!(ids(&server, query), expected, "{query}");
    }
}

/// SQLite keeps numbers in such columns, or makes them of texts: they are found as they are shown.
#[test]
fn addresses_that_are_numbers_are_found_as_they_are_shown() {
    for (column, index) in [("", ""), ("NUMERIC", ""), ("TEXT", ""), ("", "CREATE INDEX e ON users (email)")]
    {
        let site = Site::bare(Db::Sqlite);
        site.sql(&format!(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email {column}, name TEXT);
             INSERT INTO users (id, email) VALUES (1, 12345), (2, '12345x'), (3, -7), (4, NULL), (5, 9007199254740993),
             (6, 1e20), (7, 0.30000000000000004); {index}"
        ));
        let server = site.serve();
        for (email, expected) in [
            ("12345", "1"),
            ("-7", "3"),
            ("9007199254740993", "5"),
            ("12345x", "2"),
            ("012345", ""),
            ("12345.0", ""),
            ("%2B12345", ""),
            ("9007199254740992", ""),
            ("1e999", ""),
            ("nan", ""),
        ] {
            let found = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?email={email}")).ids().join(",");
            assert_eq!(found, expected, "{column} {email}");
        }
        let all = csv_records(&server.get_with(STANDARD_KEY, MINIMAL).body);
        for shown in all.iter().skip(6) {
            let email: String = form_urlencoded::byte_serialize(shown[1].as_bytes()).collect();
            let found =
                server.get_with(STANDARD_KEY, &format!("{MINIMAL}?sanitize=false&email={email}")).ids();
            assert_eq!(found, [shown[0].clone()], "{column} {shown:?}");
        }
    }
}

/// The source's own condition holds an OR, which must not pair with what a request asks for.
fn a_condition_of_the_source_is_never_widened(db: Db) {
    let (_site, server) = members(db);
    assert_eq!(ids(&server, "email=printer@example.com"), "");
    assert_eq!(ids(&server, "after=2&limit=1"), "4");
    assert_eq!(ids(&server, "is_active=true&after=2"), "10");
}

fn pages_of_mapped_ids_are_the_whole_export(db: Db) {
    let uuid_type = if db == Db::Sqlite { "CHAR(36)" } else { "UUID" };
    for (id_type, make) in [
        ("BIGINT", "i - 4"),
        (uuid_type, "'0000000' || (i % 7) || '-0000-4000-8000-00000000000' || i"),
        ("TEXT", "'=' || (i % 7) || 'Ä ' || i"),
    ] {
        let site = Site::bare(db).storing_in_sqlite();
        let id = if id_type == "UUID" { format!("CAST({make} AS UUID)") } else { make.to_owned() };
        site.sql(&format!(
            "CREATE TABLE people (\"order\" {id_type} PRIMARY KEY, mail TEXT, id TEXT);
             INSERT INTO people SELECT {id}, 'user' || i, 'decoy' || (9 - i) FROM {}",
            db.series(9)
        ));
        site.configure(
            "[source]\ntable = 'people'\n[source.columns]\nid = 'order'\nemail = 'mail'\nname = 'id'\n",
        );
        let server = site.serve();
        let whole = server.get_with(STANDARD_KEY, MINIMAL).ids();
        assert_eq!(whole.len(), 9, "{id_type}");
        let mut pages = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=2")).ids();
        while pages.len() < 9 {
            let last: String = form_urlencoded::byte_serialize(pages.last().unwrap().as_bytes()).collect();
            let page = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=2&after={last}")).ids();
            assert!(!page.is_empty(), "{id_type}: nothing after {last}");
            pages.extend(page);
        }
        assert_eq!(pages, whole, "{id_type}");
    }
}

fn an_id_may_be_an_expression(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    for (expression, order, after) in
        [("id - 3", "-2,-1,0,2,5", "0"), ("'u' || (9 - id)", "u1,u4,u6,u7,u8", "u6")]
    {
        site.configure(&format!("[source.columns]\nid = {{ sql = \"{expression}\" }}\n"));
        let server = site.serve();
        assert_eq!(ids(&server, "sanitize=false"), order);
        let rest = order.split_once(&format!("{after},")).unwrap().1;
        assert_eq!(ids(&server, &format!("sanitize=false&after={after}")), rest);
    }
}

fn a_column_that_there_is_not_may_be_nothing(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    site.configure(
        "[source.columns]\nname = { sql = 'NULL' }\nupdated_at = { sql = 'NULL' }\n\
         is_admin = { sql = 'CAST(NULL AS BOOLEAN)' }\n",
    );
    let server = site.serve();
    let csv =
        server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,name,updated_at,is_admin&limit=2")).csv();
    assert_eq!(csv, "id,name,updated_at,is_admin\r\n1,,,\r\n2,,,\r\n");
    for query in
        ["updated_after=2000-01-01T00:00:00Z", "updated_before=2100-01-01T00:00:00Z", "is_admin=false"]
    {
        assert_eq!(ids(&server, query), "", "{query}");
    }
}

fn a_request_never_reaches_sql_text(db: Db) {
    let (site, server) = members(db);
    let form = |name: &str, value: &str| -> String {
        form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
    };
    for hostile in
        ["x' OR '1'='1", "\"Mail Address\"", "password_hash", "') OR 1=1 --", "')OR(1=1)--", "?1", "$1"]
    {
        // No address has a space in it.
        if hostile.contains(' ') {
            server.get_with(EXPORT_KEY, &format!("{FULL}?{}", form("email", hostile))).detail(400);
        } else {
            assert_eq!(ids(&server, &form("email", hostile)), "", "{hostile}");
        }
        for name in ["fields", "after", "limit", "is_active", "created_after"] {
            let target = format!("{FULL}?{}", form(name, hostile));
            server.get_with(EXPORT_KEY, &target).detail(400);
        }
    }
    let hidden = site.column("SELECT password_hash FROM \"user\" WHERE password_hash IS NOT NULL LIMIT 1");
    assert!(!server.get_with(EXPORT_KEY, FULL).csv().contains(&hidden[0]));
}

fn odd_names_are_names(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(
        "CREATE TABLE \"Us\"\"ers.of; my app\" (\"select\" BIGINT PRIMARY KEY, \"e'mail\" TEXT,
         \"full \"\"name\"\"\" TEXT, \"CreatedAt\" TIMESTAMP, \"geändert\" TIMESTAMP, \"?1\" BOOLEAN,
         \"$1 -- \" BOOLEAN);
         INSERT INTO \"Us\"\"ers.of; my app\" VALUES
         (1, 'a@example.com', 'A', '2025-01-08 10:30:00', '2025-01-09 10:30:00', true, false)",
    );
    site.configure(
        r#"
[source]
table = '"Us""ers.of; my app"'
[source.columns]
id = "select"
email = "e'mail"
name = 'full "name"'
created_at = "CreatedAt"
updated_at = "geändert"
is_active = "?1"
is_admin = "$1 -- "
"#,
    );
    let server = site.serve();
    let query = "email=a@example.com&created_after=2025-01-08T10:30:00Z&updated_before=2025-02-01T00:00:00Z\
                 &is_active=true&is_admin=false&after=0";
    for target in [FULL.to_owned(), format!("{FULL}?{query}")] {
        assert_eq!(
            server.get_with(EXPORT_KEY, &target).csv(),
            "id,email,name,created_at,updated_at,is_active,is_admin\r\n\
             1,a@example.com,A,2025-01-08T10:30:00Z,2025-01-09T10:30:00Z,true,false\r\n"
        );
    }
}

fn a_name_cannot_leave_its_quotes(db: Db) {
    let site = Site::with_members(db).storing_in_sqlite();
    let hostile = "phone\" FROM \"user\" --";
    site.configure(&MEMBERS.replace("id = \"userId\"", &format!("id = '{hostile}'")));
    let server = site.serve();
    server.get_with(EXPORT_KEY, FULL).detail(503);
    server.eventually_says("has no column");
}

fn a_schema_may_stand_before_the_table(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let table = match db {
        Db::Sqlite => "main.users",
        Db::Postgres => {
            site.sql(
                "CREATE SCHEMA \"My App\"; ALTER TABLE users SET SCHEMA \"My App\";
                 ALTER TABLE \"My App\".users RENAME TO \"Users\";
                 GRANT USAGE ON SCHEMA \"My App\" TO app_reader;
                 CREATE TABLE \"Users\" (id BIGINT)",
            );
            "\"My App\".\"Users\""
        }
    };
    site.configure(&format!("[source]\ntable = '{table}'\n"));
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    assert_eq!(ids(&server, "after=2&limit=2&created_after=2025-01-01T00:00:00Z"), "5");
}

fn a_view_can_be_mapped(db: Db) {
    let site = Site::with_members(db).storing_in_sqlite();
    site.sql("CREATE VIEW \"Every one\" AS SELECT * FROM \"user\"");
    site.configure(&MEMBERS.replace("table = \"user\"", "table = \"Every one\""));
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), MEMBERS_FULL);
    assert_eq!(ids(&server, "is_active=true&after=1"), "2,10");
}

fn an_address_may_be_any_type_that_reads_as_text(db: Db) {
    for email_type in ["BIGINT", "CHAR(9)", "VARCHAR(40)"] {
        let site = Site::bare(db).storing_in_sqlite();
        site.sql(&format!(
            "CREATE TABLE users (id BIGINT PRIMARY KEY, staff_number {email_type}, name TEXT);
             INSERT INTO users VALUES (1, '4711', 'a'), (2, '4712', 'b')"
        ));
        site.configure("[source.columns]\nemail = 'staff_number'\n");
        let server = site.serve();
        assert_eq!(
            server.get_with(STANDARD_KEY, MINIMAL).csv(),
            "id,email,name\r\n1,4711,a\r\n2,4712,b\r\n",
            "{email_type}"
        );
        let target = format!("{MINIMAL}?email=4712");
        assert_eq!(server.get_with(STANDARD_KEY, &target).ids(), ["2"], "{email_type}");
    }
}

#[test]
fn an_address_is_found_case_and_all_whatever_its_type() {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(
        "CREATE EXTENSION citext;
         CREATE DOMAIN address AS CITEXT;
         CREATE TABLE users (id BIGINT PRIMARY KEY, email CITEXT, name TEXT, mail address);
         INSERT INTO users VALUES (1, 'ada@example.com', 'Ada', 'ada@example.com'),
         (2, 'Bob@example.com', 'Bob', 'Bob@example.com')",
    );
    for mapping in
        ["'email'", "'mail'", "{ sql = \"coalesce(email, mail)\" }", "{ sql = 'trim(mail::text)' }"]
    {
        site.configure(&format!("[source.columns]\nemail = {mapping}\n"));
        assert_found_case_and_all(&site.serve(), mapping);
    }
}

#[test]
fn an_address_is_found_case_and_all_whatever_its_collation() {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT COLLATE any_case, name TEXT);
         INSERT INTO users VALUES (1, 'ada@example.com', 'Ada'), (2, 'Bob@example.com', 'Bob')",
    );
    assert_found_case_and_all(&site.serve(), "any_case");
}

fn assert_found_case_and_all(server: &Server, what: &str) {
    for (email, found) in
        [("ada@example.com", "1"), ("ADA@example.com", ""), ("bob@example.com", ""), ("Bob@example.com", "2")]
    {
        let answer = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?email={email}"));
        assert_eq!(answer.ids().join(","), found, "{what} {email}");
    }
}
