//! Cells that a spreadsheet would run, and the way back.

use crate::harness::{Db, MINIMAL, STANDARD_KEY, Server, Site, csv_records};

both! {
    a_dangerous_start_gets_one_quote_in_front,
    every_text_column_is_sanitised,
    taking_the_quote_off_gives_the_text_back,
    without_sanitising_the_text_is_untouched,
    a_sanitised_cell_is_quoted_only_where_the_dialect_asks,
    text_ids_are_guarded_and_taken_back,
}

/// What starts a formula.
const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// What a name is, and what its cell shows.
const CELLS: [(&str, &str); 31] = [
    ("=1+1", "'=1+1"),
    ("+49 30 1", "'+49 30 1"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\tx", "'\tx"),
    ("\rx", "'\rx"),
    ("=", "'="),
    ("'=1", "''=1"),
    ("''=1", "'''=1"),
    ("'-", "''-"),
    ("'\t", "''\t"),
    ("'\r\n", "''\r\n"),
    ("'", "'"),
    ("''", "''"),
    ("'tis", "'tis"),
    ("O'Brien", "O'Brien"),
    ("a=b", "a=b"),
    ("a'=b", "a'=b"),
    (" =1", " =1"),
    ("\n=1", "'\n=1"),
    ("'\n=1", "''\n=1"),
    ("＝1", "'＝1"),
    ("＋49", "'＋49"),
    ("－1", "'－1"),
    ("＠SUM(A1)", "'＠SUM(A1)"),
    ("''＝1", "'''＝1"),
    ("！=1", "！=1"),
    ("\\.", "\\."),
    ("\u{feff}=1", "\u{feff}=1"),
    ("\"=1\"", "\"=1\""),
    (",=1", ",=1"),
];

fn with_cells(db: Db) -> (Site, Server) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    let values = CELLS.iter().enumerate().map(|(id, (raw, _))| {
        let name = raw.replace('\'', "''");
        format!("({id}, '{name}')")
    });
    site.sql(&format!("INSERT INTO users (id, name) VALUES {}", values.collect::<Vec<_>>().join(", ")));
    let server = site.serve();
    (site, server)
}

fn names(server: &Server, query: &str) -> Vec<String> {
    let target = format!("{MINIMAL}?fields=id,name{query}");
    let csv = server.get_with(STANDARD_KEY, &target).csv();
    let records = csv_records(csv.as_bytes());
    let names = records.into_iter().skip(1).map(|mut record| record.remove(1));
    names.collect()
}

fn a_dangerous_start_gets_one_quote_in_front(db: Db) {
    let (_site, server) = with_cells(db);
    let shown = CELLS.map(|(_, cell)| cell);
    assert_eq!(names(&server, ""), shown);
    assert_eq!(names(&server, "&sanitize=true"), shown);
}

fn every_text_column_is_sanitised(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(
        "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT, name TEXT);
         INSERT INTO users VALUES ('-id', '+email', '@name')",
    );
    let server = site.serve();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), "id,email,name\r\n'-id,'+email,'@name\r\n");
    let numbers = Site::with_empty_table(db).storing_in_sqlite();
    numbers.sql("INSERT INTO users (id, name) VALUES (-7, '-7')");
    let server = numbers.serve();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), "id,email,name\r\n-7,,'-7\r\n");
}

fn taking_the_quote_off_gives_the_text_back(db: Db) {
    let (_site, server) = with_cells(db);
    let raw = names(&server, "").into_iter().map(|cell| {
        let inner = cell.trim_start_matches('\'');
        let guarded = inner.len() < cell.len() && inner.starts_with(STARTS);
        if guarded { cell[1..].to_owned() } else { cell }
    });
    assert_eq!(raw.collect::<Vec<_>>(), CELLS.map(|(raw, _)| raw));
}

fn without_sanitising_the_text_is_untouched(db: Db) {
    let (_site, server) = with_cells(db);
    assert_eq!(names(&server, "&sanitize=false"), CELLS.map(|(raw, _)| raw));
}

fn a_sanitised_cell_is_quoted_only_where_the_dialect_asks(db: Db) {
    let (_site, server) = with_cells(db);
    let target = format!("{MINIMAL}?fields=name&limit=8");
    assert_eq!(
        server.get_with(STANDARD_KEY, &target).csv(),
        "name\r\n'=1+1\r\n'+49 30 1\r\n'-1\r\n'@SUM(A1)\r\n'\tx\r\n\"'\rx\"\r\n'=\r\n''=1\r\n"
    );
}

/// A page's last id is given back as it was shown.
fn text_ids_are_guarded_and_taken_back(db: Db) {
    let site = Site::bare(db).storing_in_sqlite();
    let collation = if db == Db::Postgres { "COLLATE \"C\"" } else { "" };
    site.sql(&format!(
        "CREATE TABLE users (id TEXT {collation} PRIMARY KEY, email TEXT, name TEXT);
         INSERT INTO users (id) VALUES ('\n1'), ('a'), ('＝1'), ('＠2')"
    ));
    let server = site.serve();
    let page = |query: &str| server.get_with(STANDARD_KEY, &format!("{MINIMAL}?fields=id{query}")).ids();
    assert_eq!(page(""), ["'\n1", "a", "'＝1", "'＠2"]);
    assert_eq!(page("&after='%0A1"), ["a", "'＝1", "'＠2"]);
    assert_eq!(page("&after='＝1"), ["'＠2"]);
    assert_eq!(page("&sanitize=false&after=＝1"), ["＠2"]);
}
