//! Text ids. In PostgreSQL they are selected as text, but ordered and paged as the column itself, by its own index.

use crate::harness::{APP_READER, Db, MINIMAL, STANDARD_KEY, Server, Site, eventually};

const IDS: [&str; 9] = ["b", "A", "a1", "B2", "10", "9", "_x", "zebra", "=c"];

/// Rows with these ids, in a column of its own name; a decoy called `id` is ordered otherwise.
fn with_ids(id_type: &str, ids: &[String]) -> (Site, Server) {
    with_ids_mapped(id_type, "'Key'", ids)
}

fn with_ids_mapped(id_type: &str, mapping: &str, ids: &[String]) -> (Site, Server) {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(&format!(
        "CREATE EXTENSION IF NOT EXISTS citext;
         CREATE TYPE mood AS ENUM ('zebra', 'b', 'A');
         CREATE TABLE users (\"Key\" {id_type} PRIMARY KEY, email TEXT, name TEXT, id INT)"
    ));
    let rows: Vec<_> =
        ids.iter().enumerate().map(|(decoy, id)| format!("('{id}', 'e', 'n', -{decoy})")).collect();
    site.sql(&format!("INSERT INTO users VALUES {}", rows.join(", ")));
    site.configure(&format!("[source.columns]\nid = {mapping}\n"));
    let server = site.serve();
    (site, server)
}

fn page(server: &Server, limit: usize, after: &str) -> Vec<String> {
    let after: String = form_urlencoded::byte_serialize(after.as_bytes()).collect();
    let target = format!("{MINIMAL}?sanitize=false&limit={limit}&after={after}");
    server.get_with(STANDARD_KEY, &target).ids()
}

fn assert_ordered_as_the_column(id_type: &str, mapping: &str, ids: &[&str]) {
    let ids: Vec<_> = ids.iter().map(|id| (*id).to_owned()).collect();
    let (site, server) = with_ids_mapped(id_type, mapping, &ids);
    let order = site.column("SELECT \"Key\"::text FROM users ORDER BY users.\"Key\"");
    let whole = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?sanitize=false")).ids();
    assert_eq!(whole, order, "{id_type}");
    for (position, id) in order.iter().enumerate() {
        let expected: Vec<_> = order.iter().skip(position + 1).take(2).cloned().collect();
        assert_eq!(page(&server, 2, id), expected, "{id_type} after {id}");
    }
}

#[test]
fn the_order_is_that_of_the_column() {
    for id_type in [
        "TEXT",
        "CITEXT",
        "CHAR(7)",
        "NAME",
        "VARCHAR(9) COLLATE \"und-x-icu\"",
        "CHAR(9) COLLATE \"und-x-icu\"",
        "CITEXT COLLATE \"und-x-icu\"",
    ] {
        assert_ordered_as_the_column(id_type, "'Key'", &IDS);
    }
}

/// U+FFFD, which stands where a text was broken once, is a character like others.
#[test]
fn an_id_may_have_a_replacement_character() {
    let ids = ["a\u{fffd}", "b", "c"];
    let (_postgres, in_postgres) = with_ids("TEXT", &ids.map(str::to_owned));
    let site = Site::bare(Db::Sqlite);
    site.sql("CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT, name TEXT)");
    site.sql(&format!("INSERT INTO users (id) VALUES ('{}')", ids.join("'), ('")));
    for server in [&in_postgres, &site.serve()] {
        assert_eq!(page(server, 2, ids[0]), ids[1..]);
        for broken in ["after=%ff", "after=%ef%bf", "after=%c3&limit=%a9", "%80=1"] {
            let refused = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?{broken}"));
            assert_eq!(refused.detail(400), "The parameters are not valid UTF-8.", "{broken}");
        }
    }
}

/// Every text stands behind every integer, so that no `after` leads from the one to the other.
#[test]
fn integers_beside_texts_in_sqlite_are_no_ids_until_all_are_texts() {
    let site = Site::bare(Db::Sqlite);
    site.sql(
        "CREATE TABLE users (id, email TEXT, name TEXT);
         INSERT INTO users (id) VALUES ('root'), (1), (4), (10)",
    );
    let server = site.serve();
    for target in [MINIMAL.to_owned(), format!("{MINIMAL}?limit=2")] {
        server.get_with(STANDARD_KEY, &target).detail(500);
    }
    server.eventually_says("CAST(id AS TEXT)");
    site.configure("[source.columns]\nid = { sql = \"CAST(id AS TEXT)\" }\n");
    let server = site.serve();
    assert_eq!(page(&server, 3, "1"), ["10", "4", "root"]);
    assert_eq!(page(&server, 3, "4"), ["root"]);
}

/// An expression that is no more than a name must not be ordered by what is selected under that name.
#[test]
fn the_order_of_an_expression_is_that_of_its_value() {
    for (id_type, expression) in [
        ("CITEXT", "\"Key\""),
        ("CITEXT", "coalesce(\"Key\", '')"),
        ("TEXT COLLATE \"und-x-icu\"", "\"Key\""),
        ("CHAR(7) COLLATE \"und-x-icu\"", "\"Key\""),
    ] {
        assert_ordered_as_the_column(id_type, &format!("{{ sql = {expression:?} }}"), &IDS);
    }
}

/// Its order is that of its declaration, which `after` could not compare a text with.
#[test]
fn an_enum_is_no_id() {
    let (_site, server) = with_ids("mood", &["A", "b", "zebra"].map(str::to_owned));
    server.get_with(STANDARD_KEY, MINIMAL).detail(503);
    server.eventually_says("column Key (mapped to id): type mood cannot be exported as an id");
}

#[test]
fn an_id_that_is_no_row_is_a_place_between_two() {
    for (id_type, after, next) in [("TEXT", "a", "a1"), ("CITEXT", "B", "B2"), ("CHAR(7)", "a", "a1")] {
        let (_site, server) = with_ids(id_type, &IDS.map(str::to_owned));
        assert_eq!(page(&server, 1, after), [next], "{id_type}");
    }
    let (_site, server) = with_ids("CITEXT", &IDS.map(str::to_owned));
    assert_eq!(page(&server, 1, "ZEBRA"), [""; 0]);
}

/// Entries of the primary key's index that were read so far. A session that is kept idle tells its counts after ten
/// seconds, one that ends at once.
fn entries_read(site: &Site) -> u32 {
    let database = site.database();
    database.terminate(APP_READER);
    eventually("its sessions are over", || database.sessions(APP_READER) == 0);
    let read = site.column("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'users_pkey'");
    read[0].parse().unwrap()
}

/// A sort would wait for the last row and spill; a page would read the table up to it.
#[test]
fn every_kind_of_id_is_read_by_its_index() {
    for id_type in
        ["BIGINT", "UUID", "TEXT", "VARCHAR(36)", "CITEXT", "TEXT COLLATE \"und-x-icu\"", "CHAR(36)"]
    {
        let uuid = |i: usize| format!("00000000-0000-4000-8000-{i:012}");
        let ids: Vec<_> =
            (1..=500).map(|i| if id_type == "BIGINT" { i.to_string() } else { uuid(i) }).collect();
        let (site, server) = with_ids(id_type, &ids);
        site.sql(
            "ANALYZE users;
             DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
                 EXECUTE format('ALTER DATABASE %I SET enable_bitmapscan = off', current_database());
             END $$",
        );
        let before = entries_read(&site);
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).ids(), ids, "{id_type}");
        eventually(&format!("{id_type}: the index was read"), || entries_read(&site) >= before + 500);

        let before = entries_read(&site);
        assert_eq!(page(&server, 1, &ids[489]), [ids[490].clone()], "{id_type}");
        let read = entries_read(&site) - before;
        assert!((1..=20).contains(&read), "{id_type}: {read} entries for one row");
    }
}
