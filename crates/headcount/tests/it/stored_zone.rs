//! `source.stored_time_zone`: times that a table holds without a zone.

use crate::harness::{Db, EXPORT_KEY, FULL, Site};

both! {
    times_without_a_zone_are_of_the_one_that_is_set,
    a_filter_takes_a_time_for_what_is_shown,
    a_time_that_is_beyond_the_last_year_only_in_utc_is_told,
    an_unknown_zone_is_named,
}

const BERLIN: &str = "[source]\nstored_time_zone = \"Europe/Berlin\"\n";

/// Each with the time that it is in Berlin, where clocks go back on 2026-10-25 at 3:00, and were put forward on 2026-03-29 at 2:00.
const TIMES: [(&str, &str); 8] = [
    ("2025-01-08 10:30:00", "2025-01-08T09:30:00Z"),
    ("2025-07-08 10:30:00.25", "2025-07-08T08:30:00.250000Z"),
    ("2026-10-25 01:59:59", "2026-10-24T23:59:59Z"),
    // Twice.
    ("2026-10-25 02:30:00", "2026-10-25T01:30:00Z"),
    ("2026-10-25 03:00:00", "2026-10-25T02:00:00Z"),
    ("2026-03-29 01:59:59", "2026-03-29T00:59:59Z"),
    // Never.
    ("2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
    ("2026-03-29 03:00:00", "2026-03-29T01:00:00Z"),
];

/// A table with times of such a type.
fn with_times(db: Db, column: &str) -> Site {
    let site = Site::bare(db).storing_in_sqlite();
    let rows = (1..)
        .zip(TIMES)
        .map(|(id, (stored, _))| format!("({id}, 'e', 'n', '{stored}', '{stored}', true, false)"));
    site.sql(&format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at {column}, updated_at {column},
         is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    site
}

fn columns_of(db: Db) -> &'static [&'static str] {
    if db == Db::Sqlite { &["TEXT", "DATETIME"] } else { &["TIMESTAMP", "TEXT"] }
}

fn times_without_a_zone_are_of_the_one_that_is_set(db: Db) {
    for column in columns_of(db) {
        let site = with_times(db, column);
        let times = |site: &Site| {
            let export = site.done(&["export", "full", "--fields", "created_at"]);
            export.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let taken_for_utc = times(&site);
        assert_eq!(taken_for_utc[0], "2025-01-08T10:30:00Z", "{column}");
        site.configure(BERLIN);
        assert_eq!(times(&site), TIMES.map(|(_, shown)| shown), "{column}");
        site.configure("[source]\nstored_time_zone = \"UTC\"\n");
        assert_eq!(times(&site), taken_for_utc, "{column}");
    }
    // What says its zone, and a day, is what it was.
    let texts = ["2025-01-08T10:30:00Z", "2025-01-08 10:30:00+01:00", "2025-01-08"];
    let site = with_times(db, "TEXT");
    for text in texts {
        site.sql(&format!("UPDATE users SET created_at = '{text}'"));
        site.configure("");
        let before = site.done(&["export", "full", "--fields", "created_at"]);
        site.configure(BERLIN);
        assert_eq!(site.done(&["export", "full", "--fields", "created_at"]), before, "{text}");
    }
}

fn a_filter_takes_a_time_for_what_is_shown(db: Db) {
    for column in columns_of(db) {
        let site = with_times(db, column);
        site.configure(BERLIN);
        let server = site.serve();
        for (_, bound) in TIMES {
            for (parameter, is_in) in [
                ("created_after", (|shown, bound| shown >= bound) as fn(&str, &str) -> bool),
                ("updated_before", |shown, bound| shown < bound),
            ] {
                // As texts they compare like the times that they are.
                let expected = (1..)
                    .zip(TIMES)
                    .filter(|(_, (_, shown))| is_in(shown, bound))
                    .map(|(id, _)| id.to_string());
                let found = server.get_with(EXPORT_KEY, &format!("{FULL}?{parameter}={bound}")).ids();
                assert_eq!(found, expected.collect::<Vec<_>>(), "{column}: {parameter}={bound}");
            }
        }
    }
}

/// West of Greenwich the last evening of the year 9999 is in the year 10000.
fn a_time_that_is_beyond_the_last_year_only_in_utc_is_told(db: Db) {
    let zone = "[source]\nstored_time_zone = \"America/New_York\"\n";
    for column in columns_of(db) {
        let site = with_times(db, column);
        site.configure(zone);
        site.sql("UPDATE users SET created_at = '9999-12-31 18:59:59' WHERE id = 2");
        let whole = site.done(&["export", "full", "--fields", "created_at"]);
        assert_eq!(whole.lines().nth(2), Some("9999-12-31T23:59:59Z"), "{column}");

        site.sql("UPDATE users SET created_at = '9999-12-31 19:00:00' WHERE id = 2");
        // Nor does any filter pass over it.
        for period in [&["--created-before", "2030-01-01"][..], &["--created-after", "2030-01-01"], &[]] {
            let finished = site.run(&[&["export", "full"], period].concat());
            assert_eq!(finished.code, Some(1), "{column} {period:?}: {}", finished.text());
            let (problem, remedy) =
                finished.stderr.trim_end().split_once("; to export NULL for it, map ").unwrap();
            assert!(problem.contains("9999 UTC") && problem.contains("id 2"), "{column}: {problem}");
            site.configure(&format!("{zone}[source.columns]\n{remedy}\n"));
            let shown = site.done(&["export", "full", "--fields", "created_at"]);
            assert_eq!(shown.lines().nth(2), Some("\"\""), "{column}: {shown}");
            site.configure(zone);
        }
    }
}

fn an_unknown_zone_is_named(db: Db) {
    let site = with_times(db, columns_of(db)[0]);
    site.configure("[source]\nstored_time_zone = \"Berlin\"\n");
    let finished = site.run(&["export", "full"]);
    assert_eq!(finished.code, Some(1));
    for words in ["source.stored_time_zone", "Europe/Berlin"] {
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
    }
}

/// UUIDs that SQLite holds as text leave with hyphens, unless the file says that they are text.
#[test]
fn ids_stay_as_they_are_written() {
    let site = Site::bare(Db::Sqlite);
    let ids = ["0B5A7C1E6C1D4C399F5E3C1F3A8B2D4E", "3f2a9c1d4b5e4f60a7b8c9d0e1f2a3b4"];
    site.sql(&format!(
        "CREATE TABLE users (id CHAR(32) PRIMARY KEY, email TEXT, name TEXT, created_at TEXT, updated_at TEXT,
         is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users (id, email, is_active, is_admin) VALUES ('{}', 'a@b', 1, 0)",
        ids[1]
    ));
    let exported = |site: &Site| site.done(&["export", "minimal", "--fields", "id"]);
    assert_eq!(exported(&site), "id\r\n3f2a9c1d-4b5e-4f60-a7b8-c9d0e1f2a3b4\r\n");
    site.sql(&format!(
        "INSERT INTO users (id, email, is_active, is_admin) VALUES ('{}', 'c@d', 1, 0)",
        ids[0]
    ));
    site.configure("[source.columns]\nid = { column = \"id\", as = \"text\" }\n");
    assert_eq!(exported(&site), format!("id\r\n{}\r\n{}\r\n", ids[0], ids[1]));
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?after={}", ids[0])).ids(), [ids[1]]);
    let json = site.done(&["export", "full", "--format", "ndjson", "--limit", "1"]);
    assert!(json.starts_with(&format!("{{\"id\":\"{}\"", ids[0])), "{json}");

    for (columns, words) in [
        ("id = { column = \"id\", as = \"uuid\" }", "'as' must be 'text'"),
        ("email = { column = \"email\", as = \"text\" }", "'as' is only for 'id'"),
        ("phone = { column = \"email\", as = \"text\" }", "type = \"text\""),
    ] {
        site.configure(&format!("[source.columns]\n{columns}\n"));
        let finished = site.run(&["export", "minimal"]);
        assert!(
            finished.code == Some(1) && finished.stderr.contains(words),
            "{columns}: {}",
            finished.stderr
        );
    }
}
