//! The bytes of the CSV.

use crate::harness::{Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Site};

both! {
    only_comma_quote_cr_and_lf_need_quotes,
    every_record_ends_with_crlf,
    null_and_the_empty_text_are_an_empty_field,
    a_record_of_one_empty_field_is_quoted,
    a_field_that_would_end_a_copy_is_quoted,
    integers_are_plain_and_in_numeric_order,
    uuids_are_canonical_and_in_order,
    text_ids_are_in_the_order_of_the_databases_own_index,
    unchanged_data_gives_the_same_bytes_again,
    columns_beyond_the_declared_ones_never_leave,
}

/// An export of these names, numbered from 0.
fn names(db: Db, raw: &[&str]) -> String {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    let values = raw.iter().enumerate().map(|(id, name)| {
        let name = name.replace('\'', "''");
        format!("({id}, '{name}')")
    });
    site.sql(&format!("INSERT INTO users (id, name) VALUES {}", values.collect::<Vec<_>>().join(", ")));
    let target = format!("{MINIMAL}?fields=name,id");
    site.serve().get_with(STANDARD_KEY, &target).csv()
}

fn only_comma_quote_cr_and_lf_need_quotes(db: Db) {
    let raw = [
        "plain",
        "a,b",
        "say \"hi\"",
        "\"",
        "\"\"",
        "line\nbreak",
        "old\rmac",
        "dos\r\nline",
        " leading and trailing ",
        "semi;colon|pipe",
        "it's",
        "back\\slash",
        "tab\there",
        "Ünïcödé 山田 👩‍👩‍👧 \u{2028}",
        "\u{feff}",
        "#comment",
    ];
    let expected = "name,id\r\n\
        plain,0\r\n\
        \"a,b\",1\r\n\
        \"say \"\"hi\"\"\",2\r\n\
        \"\"\"\",3\r\n\
        \"\"\"\"\"\",4\r\n\
        \"line\nbreak\",5\r\n\
        \"old\rmac\",6\r\n\
        \"dos\r\nline\",7\r\n\
        \x20leading and trailing ,8\r\n\
        semi;colon|pipe,9\r\n\
        it's,10\r\n\
        back\\slash,11\r\n\
        tab\there,12\r\n\
        Ünïcödé 山田 👩‍👩‍👧 \u{2028},13\r\n\
        \u{feff},14\r\n\
        #comment,15\r\n";
    assert_eq!(names(db, &raw), expected);
}

fn every_record_ends_with_crlf(db: Db) {
    let site = Site::with_users(db, 3).storing_in_sqlite();
    let csv = site.serve().get_with(STANDARD_KEY, MINIMAL).csv();
    assert_eq!(csv.matches("\r\n").count(), 4);
    assert_eq!(csv.matches('\n').count(), 4);
    assert!(csv.ends_with("\r\n"));
}

fn null_and_the_empty_text_are_an_empty_field(db: Db) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    site.sql("INSERT INTO users (id) VALUES (1)");
    site.sql("INSERT INTO users (id, email, name) VALUES (2, '', '')");
    assert_eq!(
        site.serve().get_with(EXPORT_KEY, FULL).csv(),
        "id,email,name,created_at,updated_at,is_active,is_admin\r\n1,,,,,,\r\n2,,,,,,\r\n"
    );
}

fn a_record_of_one_empty_field_is_quoted(db: Db) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    site.sql("INSERT INTO users (id, name) VALUES (1, NULL), (2, ''), (3, 'x')");
    let target = format!("{MINIMAL}?fields=name");
    assert_eq!(site.serve().get_with(STANDARD_KEY, &target).csv(), "name\r\n\"\"\r\n\"\"\r\nx\r\n");
}

fn integers_are_plain_and_in_numeric_order(db: Db) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    site.sql(
        "INSERT INTO users (id) VALUES (10), (9), (-5), (0), (9223372036854775807),
         (-9223372036854775808), (1000000), (100)",
    );
    let target = format!("{MINIMAL}?fields=id");
    assert_eq!(
        site.serve().get_with(STANDARD_KEY, &target).csv(),
        "id\r\n-9223372036854775808\r\n-5\r\n0\r\n9\r\n10\r\n100\r\n1000000\r\n9223372036854775807\r\n"
    );
}

/// Ids whose order differs between any two of: insertion, the first byte signed, and as text in capitals.
const UUIDS: [&str; 4] = [
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "00000000-0000-0000-0000-000000000001",
    "7fffffff-ffff-4fff-bfff-ffffffffffff",
    "0191f6c4-7d1c-7000-8000-00000000000a",
];

fn with_uuids(db: Db, id_type: &str) -> Site {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(&format!("CREATE TABLE users (id {id_type} PRIMARY KEY, email TEXT, name TEXT)"));
    for uuid in UUIDS {
        let literal = match id_type {
            "BLOB" => format!("x'{}'", uuid.replace('-', "")),
            _ => format!("'{uuid}'"),
        };
        site.sql(&format!("INSERT INTO users VALUES ({literal}, 'e', 'n')"));
    }
    site
}

const SORTED_UUIDS: &str = "id,email,name\r\n\
    00000000-0000-0000-0000-000000000001,e,n\r\n\
    0191f6c4-7d1c-7000-8000-00000000000a,e,n\r\n\
    7fffffff-ffff-4fff-bfff-ffffffffffff,e,n\r\n\
    f47ac10b-58cc-4372-a567-0e02b2c3d479,e,n\r\n";

fn uuids_are_canonical_and_in_order(db: Db) {
    let id_types: &[&str] = match db {
        Db::Sqlite => &["TEXT", "BLOB"],
        Db::Postgres => &["UUID"],
    };
    for id_type in id_types {
        let site = with_uuids(db, id_type);
        let server = site.serve();
        let csv = server.get_with(STANDARD_KEY, MINIMAL).csv();
        assert_eq!(csv, SORTED_UUIDS, "{id_type}");
        let target = format!("{MINIMAL}?limit=2&after=00000000-0000-0000-0000-000000000001");
        assert_eq!(server.get_with(STANDARD_KEY, &target).ids(), [UUIDS[3], UUIDS[2]], "{id_type}");
        if *id_type != "TEXT" {
            for unfit in ["7", "f47ac10b", "f47ac10b-58cc-4372-a567-0e02b2c3d47z"] {
                let target = format!("{MINIMAL}?after={unfit}");
                server.get_with(STANDARD_KEY, &target).detail(400);
            }
        }
    }
}

fn text_ids_are_in_the_order_of_the_databases_own_index(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    let collation = match db {
        Db::Sqlite => "NOCASE",
        Db::Postgres => "\"und-x-icu\"",
    };
    site.sql(&format!(
        "CREATE TABLE users (id TEXT COLLATE {collation} PRIMARY KEY, email TEXT, name TEXT);
         INSERT INTO users (id) VALUES
         ('b'), ('A'), ('a1'), ('B2'), ('10'), ('9'), ('_x'), ('zebra'), ('Äpfel'), ('=c')"
    ));
    let order = site.column("SELECT id FROM users ORDER BY id");
    let server = site.serve();
    let target = format!("{MINIMAL}?sanitize=false");
    assert_eq!(server.get_with(STANDARD_KEY, &target).ids(), order);

    for (position, id) in order.iter().enumerate() {
        let after = form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>();
        let target = format!("{MINIMAL}?sanitize=false&limit=3&after={after}");
        let page: Vec<_> = order.iter().skip(position + 1).take(3).cloned().collect();
        assert_eq!(server.get_with(STANDARD_KEY, &target).ids(), page);
    }
}

fn unchanged_data_gives_the_same_bytes_again(db: Db) {
    let site = Site::with_users(db, 5000).storing_in_sqlite();
    let first = site.serve().get_with(EXPORT_KEY, FULL).csv();
    assert_eq!(first, Site::filled_full(5000));
    site.sql("UPDATE users SET name = name WHERE id % 2 = 0");
    let server = site.serve();
    for _ in 0..3 {
        assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), first);
    }
}

#[test]
fn integer_and_uuid_ids_give_the_same_bytes_on_either_database() {
    let both = [Db::Sqlite, Db::Postgres];
    let [sqlite, postgres] = both.map(|db| {
        let site = Site::with_people(db).storing_in_sqlite();
        site.serve().get_with(EXPORT_KEY, FULL).csv()
    });
    assert_eq!(sqlite, postgres);

    let [blob, uuid] = [(Db::Sqlite, "BLOB"), (Db::Postgres, "UUID")].map(|(db, id_type)| {
        let site = with_uuids(db, id_type);
        site.serve().get_with(STANDARD_KEY, MINIMAL).csv()
    });
    assert_eq!(blob, uuid);
}

fn columns_beyond_the_declared_ones_never_leave(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(
        "CREATE TABLE users (password_hash TEXT, id BIGINT PRIMARY KEY, token TEXT, email TEXT,
         name TEXT, created_at TIMESTAMP, updated_at TIMESTAMP, is_active BOOLEAN,
         is_admin BOOLEAN, otp_secret TEXT);
         INSERT INTO users VALUES ('$2b$12$hush', 1, 'hush', 'ada@example.com', 'Ada',
         '2025-01-08 10:30:00', '2025-01-08 10:30:00', true, false, 'hush')",
    );
    let server = site.serve();
    assert_eq!(
        server.get_with(EXPORT_KEY, FULL).csv(),
        "id,email,name,created_at,updated_at,is_active,is_admin\r\n\
         1,ada@example.com,Ada,2025-01-08T10:30:00Z,2025-01-08T10:30:00Z,true,false\r\n"
    );
    for column in ["password_hash", "token", "otp_secret"] {
        let target = format!("{FULL}?fields=id,{column}");
        server.get_with(EXPORT_KEY, &target).detail(400);
    }
}

/// PostgreSQL's `\copy` takes it for the end of the data.
fn a_field_that_would_end_a_copy_is_quoted(db: Db) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    site.sql("INSERT INTO users (id, name) VALUES (1, '\\.'), (2, '\\.x'), (3, 'x')");
    let server = site.serve();
    for sanitize in [true, false] {
        let target = format!("{MINIMAL}?fields=name&sanitize={sanitize}");
        let csv = server.get_with(STANDARD_KEY, &target).csv();
        assert_eq!(csv, "name\r\n\"\\.\"\r\n\\.x\r\nx\r\n", "{sanitize}");
    }
}
