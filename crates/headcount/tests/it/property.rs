//! Any rows at all come through the CSV unchanged.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Db, MINIMAL, STANDARD_KEY, Server, Site, csv_records};

/// Any text, with the characters that matter to the format far more often than chance.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            ",", "\"", "\r", "\n", "\r\n", "'", "=", "+", "-", "@", "\t", "＝", "＋", "－", "＠", "\\.", " ", "\u{feff}", ";",
        ])
        .prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z]{1,8}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

type Row = (i64, Option<String>, Option<String>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let cells = (prop::option::weighted(0.9, text()), prop::option::weighted(0.9, text()));
    let table = prop::collection::btree_map(any::<i64>(), cells, 0..40);
    table.prop_map(|table| {
        let rows = table.into_iter().map(|(id, (email, name))| (id, email, name));
        rows.collect()
    })
}

fn replace_users(site: &Site, rows: &[Row]) {
    let mut connection = site.sqlite();
    let transaction = connection.transaction().unwrap();
    transaction.execute("DELETE FROM users", ()).unwrap();
    for row in rows {
        transaction
            .execute("INSERT INTO users (id, email, name) VALUES (?1, ?2, ?3)", (row.0, &row.1, &row.2))
            .unwrap();
    }
    transaction.commit().unwrap();
}

fn exported(server: &Server, sanitize: bool) -> Vec<Vec<String>> {
    let target = format!("{MINIMAL}?sanitize={sanitize}");
    let csv = server.get_with(STANDARD_KEY, &target).csv();
    let mut records = csv_records(csv.as_bytes());
    assert_eq!(records.remove(0), ["id", "email", "name"]);
    records
}

/// What starts a formula.
const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

fn without_guard(cell: &str) -> &str {
    let inner = cell.trim_start_matches('\'');
    if inner.len() < cell.len() && inner.starts_with(STARTS) { &cell[1..] } else { cell }
}

#[test]
fn an_independent_reader_finds_the_cells_of_any_rows() {
    let site = Site::with_empty_table(Db::Sqlite);
    let server = site.serve();
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&rows(), |rows| {
        replace_users(&site, &rows);
        let cells: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(id, email, name)| {
                vec![id.to_string(), email.unwrap_or_default(), name.unwrap_or_default()]
            })
            .collect();
        prop_assert_eq!(&exported(&server, false), &cells);

        let guarded = exported(&server, true);
        for record in &guarded {
            for cell in &record[1..] {
                prop_assert!(!cell.starts_with(STARTS), "{:?}", cell);
            }
        }
        let back: Vec<Vec<String>> = guarded
            .iter()
            .map(|record| record.iter().map(|cell| without_guard(cell).to_owned()).collect())
            .collect();
        prop_assert_eq!(&back, &cells);
        Ok(())
    });
    outcome.unwrap();
}
