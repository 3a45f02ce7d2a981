//! Loading a CSV into the embedded users table.

use crate::harness::{Db, EXPORT_KEY, FULL, Site};

const HEADER: &str = "id,email,name,created_at,updated_at,is_active,is_admin\r\n";

/// Text that looks like a formula, with and without quotes of its own, in both columns.
const TRICKY: &str = "\
    1,ada@example.com,Ada Lovelace,2025-01-08T10:30:00Z,2025-01-08T15:45:00Z,true,false\r\n\
    2,'=1+1@example.com,''-2,2025-01-08T10:30:00.123456Z,,true,true\r\n\
    3,'@x,'tis,,1969-12-31T23:59:59.999999Z,false,false\r\n\
    5,,,,,,\r\n\
    8,\"a,b\",\"say \"\"hi\"\"\r\nZoë 山田\",2024-02-29T23:59:59Z,2025-01-11T00:00:00Z,true,false\r\n\
    9,\"'\r\",'+49 'x',2025-01-01T00:00:00Z,2025-01-01T00:00:00Z,true,false\r\n\
    10,'＝1,\"'\n2\",,,,\r\n\
    11,\"\\.\",''＠x,,,,\r\n\
    -7,',=,0001-01-01T00:00:00Z,9999-12-31T23:59:59Z,true,false\r\n";

fn write(site: &Site, csv: &str) {
    std::fs::write(site.path("users.csv"), csv).unwrap();
}

/// An embedded table with these users, the file read as it says.
fn imported(csv: &str, options: &[&str]) -> Site {
    let site = Site::embedded();
    write(&site, csv);
    let mut arguments = vec!["users", "import", "users.csv"];
    arguments.extend(options);
    let printed = site.done(&arguments);
    assert_eq!(printed, "");
    site
}

/// The lines of [`TRICKY`] as an export gives them: the smallest id first.
fn in_order(rows: &str) -> String {
    let start = rows.find("-7,").unwrap();
    format!("{HEADER}{}{}", &rows[start..], &rows[..start])
}

#[test]
fn a_sanitised_export_round_trips() {
    let guarded = TRICKY.replace("-7,',=,", "-7,','=,");
    let file = format!("{HEADER}{guarded}");
    let site = imported(&file, &[]);
    let exported = site.done(&["export", "full"]);
    assert_eq!(exported, in_order(&guarded));
    let again = imported(&exported, &[]);
    assert_eq!(again.done(&["export", "full"]), exported);
    let faithful = site.done(&["export", "full", "--sanitize=false"]);
    assert_eq!(again.done(&["export", "full", "--sanitize=false"]), faithful);
    assert!(faithful.contains("\r\n2,=1+1@example.com,'-2,"), "{faithful}");
    assert_eq!(site.serve().get_with(EXPORT_KEY, FULL).csv(), exported);
}

#[test]
fn a_faithful_export_round_trips_with_exact() {
    let file = format!("{HEADER}{TRICKY}");
    let site = imported(&file, &["--exact"]);
    let exported = site.done(&["export", "full", "--sanitize=false"]);
    assert_eq!(exported, in_order(TRICKY));
    let again = imported(&exported, &["--exact"]);
    assert_eq!(again.done(&["export", "full", "--sanitize=false"]), exported);
    let guarded = site.done(&["export", "full"]);
    assert_eq!(again.done(&["export", "full"]), guarded);
    assert!(guarded.contains("\r\n2,''=1+1@example.com,'''-2,"), "{guarded}");
}

#[test]
fn exports_of_either_database_can_be_imported() {
    for db in [Db::Sqlite, Db::Postgres] {
        let site = Site::with_users(db, 5000);
        let exported = site.done(&["export", "full", "--bom=true"]);
        let copy = imported(&exported, &[]);
        assert!(copy.done(&["export", "full"]) == Site::filled_full(5000));
    }
}

fn assert_refused(csv: impl AsRef<[u8]>, words: &[&str]) {
    let site = Site::embedded();
    std::fs::write(site.path("users.csv"), csv).unwrap();
    let finished = site.run(&["users", "import", "users.csv"]);
    assert_eq!(finished.code, Some(1), "{words:?}");
    assert!(finished.stdout.is_empty());
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    assert_eq!(site.done(&["export", "full"]), HEADER);
}

#[test]
fn a_bad_file_is_refused_whole_with_line_and_column() {
    let good = "1,ada@example.com,Ada,2025-01-08T10:30:00Z,,true,false\r\n";
    for (bad, column) in [
        ("2,e,n,,,true,maybe\r\n", "is_admin"),
        ("2,e,n,,,yes,false\r\n", "is_active"),
        ("2,e,n,yesterday,,true,false\r\n", "created_at"),
        ("2,e,n,,2025-02-30T00:00:00Z,true,false\r\n", "updated_at"),
        ("two,e,n,,,true,false\r\n", "id"),
        (",e,n,,,true,false\r\n", "id"),
        ("1,e,n,,,true,false\r\n", "id"),
    ] {
        assert_refused(format!("{HEADER}{good}{bad}"), &["line 3", &format!("column {column}")]);
    }
}

#[test]
fn a_file_of_another_shape_is_refused_whole() {
    let good = "1,ada@example.com,Ada,2025-01-08T10:30:00Z,,true,false\r\n";
    assert_refused(format!("{HEADER}{good}2,e,n\r\n"), &["line 3"]);
    assert_refused(format!("{HEADER}{good}2,e,n,,,true,false,more\r\n"), &["line 3"]);
    let mut bytes = format!("{HEADER}{good}2,e,").into_bytes();
    bytes.extend(b"\xff\xfe,,,true,false\r\n");
    assert_refused(bytes, &["line 3", "name"]);
    assert_refused("id,email,name\r\n1,e,n\r\n", &["line 1", "created_at"]);
    assert_refused(HEADER.replace("is_admin", "is_superuser"), &["line 1", "is_admin"]);
    assert_refused(format!("{HEADER}{good}2,e,\"cut here"), &["line"]);
    assert_refused("", &["users.csv"]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let site = Site::embedded();
    let finished = site.run(&["users", "import", "missing.csv"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("missing.csv"), "{}", finished.stderr);
}

#[test]
fn a_configured_source_is_never_imported_into() {
    for db in [Db::Sqlite, Db::Postgres] {
        let site = Site::with_people(db);
        let before = site.done(&["export", "full"]);
        write(&site, &format!("{HEADER}99,e,n,,,true,false\r\n"));
        let finished = site.run(&["users", "import", "users.csv"]);
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert_eq!(site.done(&["export", "full"]), before);
        assert!(!site.data_dir().join("users.db").exists());
    }
}
