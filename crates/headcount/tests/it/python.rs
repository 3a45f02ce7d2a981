//! The dialect against the writer that it follows: Python's `csv` module.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Db, MINIMAL, STANDARD_KEY, Site};

both! {
    pythons_csv_writer_gives_the_same_bytes,
}

const WRITER: &str = "
import csv, io, json, sys
text = io.StringIO(newline='')
csv.writer(text).writerows(json.load(sys.stdin))
sys.stdout.buffer.write(text.getvalue().encode())
";

/// What `csv.writer` makes of rows given as JSON.
fn python(rows: &serde_json::Value) -> String {
    let mut python = Command::new("python3")
        .args(["-c", WRITER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests compare with Python: apt-get install python3");
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(rows.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Texts of up to three pieces, so that each meets each at the start, inside, and at the end.
fn texts() -> Vec<Option<String>> {
    let pieces = ["", "a", ",", "\"", "\r", "\n", "\r\n", " ", "'", "=", "\t", ";", "é", "山"];
    let mut texts = vec![None];
    for first in pieces {
        for second in pieces {
            texts.push(Some(format!("{first}{second}")));
            texts.push(Some(format!("x{first}{second}y")));
            texts.push(Some(format!("{first}z{second}")));
        }
    }
    texts
}

fn pythons_csv_writer_gives_the_same_bytes(db: Db) {
    let site = Site::with_empty_table(db);
    let texts = texts();
    let literal = |text: &Option<String>| {
        text.as_ref().map_or("NULL".into(), |text| format!("'{}'", text.replace('\'', "''")))
    };
    let count = texts.len();
    let cells = |row: usize| [&texts[row], &texts[(row * 7 + 3) % count]];
    let values: Vec<_> = (0..count)
        .map(|row| {
            let [email, name] = cells(row);
            format!("({row}, {}, {})", literal(email), literal(name))
        })
        .collect();
    site.sql(&format!("INSERT INTO users (id, email, name) VALUES {}", values.join(", ")));
    let server = site.serve();

    let mut rows = vec![json!(["id", "email", "name"])];
    let mut names = vec![json!(["name"])];
    for row in 0..count {
        let [email, name] = cells(row);
        rows.push(json!([row, email, name]));
        names.push(json!([name.as_deref().unwrap_or_default()]));
    }
    for (query, rows) in [("", rows), ("&fields=name", names)] {
        let target = format!("{MINIMAL}?sanitize=false{query}");
        let csv = server.get_with(STANDARD_KEY, &target).csv();
        assert_eq!(csv, python(&rows.into()), "{query}");
    }
}
