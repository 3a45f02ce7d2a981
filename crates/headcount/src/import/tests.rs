//! Whatever a file is, all of it is loaded or nothing, and an error says on which line.

use super::*;
use headcount_source::TableName;
use proptest::prelude::*;
use rusqlite::Connection;
use std::path::Path;

const HEADER: &str = "id,email,name,created_at,updated_at,is_active,is_admin\r\n";

/// A table with two users, in which the import of `file` is tried: its result, and how many users there are then.
fn imported(file: &[u8], exact: bool) -> (Result<u64, ImportError>, u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("users.db");
    let mut users = EmbeddedUsers::open(&path, &TableName::from("users")).expect("a table");
    let there = format!("{HEADER}1,a@example.com,A,,,true,false\r\n2,,,,,,\r\n");
    assert_eq!(import(there.as_bytes(), &mut users, true).expect("two users"), 2);
    let result = import(file, &mut users, exact);
    (result, count(&path))
}

fn count(path: &Path) -> u64 {
    let connection = Connection::open(path).expect("a file");
    let count: i64 =
        connection.query_row("SELECT count(*) FROM users", (), |row| row.get(0)).expect("a count");
    count.cast_unsigned()
}

fn assert_all_or_nothing(file: &[u8], exact: bool) {
    let (result, count) = imported(file, exact);
    match result {
        Ok(loaded) => assert_eq!(count, 2 + loaded),
        Err(problem) => {
            assert_eq!(count, 2, "{problem}");
            let said = problem.to_string();
            let line = said.strip_prefix("line ").and_then(|rest| rest.split([',', ':']).next());
            let line: usize = line.and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{said}"));
            let lines = 1 + file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
            assert!((1..=lines).contains(&line), "{said} of {lines}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<u8>> {
    let text =
        prop_oneof![Just(""), Just("x"), Just("'=1"), Just("\"a,b\r\nc\""), Just("\"\"\"\""), Just("Zoë")];
    let time = prop_oneof![Just(""), Just("2025-01-08T10:30:00Z"), Just("2025-01-08T10:30:00.123456Z")];
    let flag = prop_oneof![Just(""), Just("true"), Just("false")];
    let row = (text.clone(), text, time, flag);
    let end = prop_oneof![Just("\r\n"), Just("\n")];
    (prop::collection::vec(row, 0..8), end).prop_map(|(rows, end)| {
        let rows = (3..)
            .zip(rows)
            .map(|(id, (email, name, time, flag))| format!("{id},{email},{name},{time},,{flag},{flag}{end}"));
        format!("{HEADER}{}", rows.collect::<String>()).into_bytes()
    })
}

#[test]
fn a_file_that_is_cut_behind_a_comma_is_refused() {
    let user = "7,a@example.com,A,,,true,";
    for (end, is_whole) in [("\r\n", true), ("\n", true), ("false", true), ("\"\"", true), ("", false)] {
        let (result, count) = imported(format!("{HEADER}{user}{end}").as_bytes(), true);
        assert_eq!((result.is_ok(), count), (is_whole, 2 + u64::from(is_whole)), "{end:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(4), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_loaded_whole_or_refused(file in prop::collection::vec(any::<u8>(), 0..200), has_header: bool, exact: bool) {
        let header = if has_header { HEADER.as_bytes() } else { b"" };
        assert_all_or_nothing(&[header, &file].concat(), exact);
    }

    #[test]
    fn a_damaged_file_is_loaded_whole_or_refused(
        mut file in rows(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"\",\r\n'=0x\xff\0\x1b".to_vec()), any::<bool>()), 0..4),
        end in prop::option::of(any::<prop::sample::Index>()),
        exact: bool,
    ) {
        for (at, byte, is_more) in edits {
            let at = at.index(file.len());
            if is_more { file.insert(at, byte) } else { file[at] = byte }
        }
        if let Some(end) = end {
            file.truncate(end.index(file.len() + 1));
        }
        assert_all_or_nothing(&file, exact);
    }
}
