//! The commands, their output and their exit codes.

use std::io::Read;
use std::process::Stdio;

use crate::harness::{
    Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, Site, csv_records, wait_for_exit,
};

both! {
    an_export_of_fewer_users_than_expected_replaces_nothing,
    an_export_of_nobody_replaces_no_users_of_another_form,
    a_closed_pipe_hides_no_failure,
    an_export_writes_what_the_endpoint_sends,
    the_options_of_an_export_are_the_parameters_of_the_endpoint,
    a_file_is_written_whole_or_not_at_all,
    a_reader_that_has_seen_enough_is_no_disaster,
    data_goes_to_stdout_and_words_to_stderr,
    bad_usage_is_exit_code_2,
    help_and_version_are_exit_code_0,
    check_tells_a_good_set_up,
    check_finds_a_missing_table,
    check_finds_a_missing_column,
    check_finds_a_source_out_of_reach,
}

fn an_export_writes_what_the_endpoint_sends(db: Db) {
    let site = Site::with_users(db, 20_000);
    let server = site.serve();
    for (profile, path) in [("minimal", MINIMAL), ("full", FULL)] {
        let sent = server.get_with(EXPORT_KEY, path).csv();
        assert!(site.done(&["export", profile]) == sent, "{profile}");
        site.done(&["export", profile, "-o", "users.csv"]);
        let written = std::fs::read_to_string(site.path("users.csv")).unwrap();
        assert!(written == sent, "{profile}");
    }
}

fn the_options_of_an_export_are_the_parameters_of_the_endpoint(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for (options, query) in [
        (&["--email=ada@example.com"][..], "email=ada@example.com"),
        (&["--email", "nobody@example.com"], "email=nobody@example.com"),
        (&["--fields", "name,id"], "fields=name,id"),
        (&["--created-after", "2025-01-08T12:30:00+02:00"], "created_after=2025-01-08T10:30:00Z"),
        (&["--created-before", "2025-01-08T10:30:00Z"], "created_before=2025-01-08T10:30:00Z"),
        (
            &["--updated-after=2025-01-09T00:00:00Z", "--updated-before=2025-01-10T00:00:00Z"],
            "updated_after=2025-01-09T00:00:00Z&updated_before=2025-01-10T00:00:00Z",
        ),
        (&["--is-active=true", "--is-admin=false"], "is_active=true&is_admin=false"),
        (&["--limit", "2", "--after", "1"], "limit=2&after=1"),
        (&["--after=-1"], "after=-1"),
        (&["--bom=true"], "bom=true"),
        (&["--sanitize=false"], "sanitize=false"),
        (&["--sanitize=true", "--bom=false"], ""),
    ] {
        for (profile, path) in [("minimal", MINIMAL), ("full", FULL)] {
            let mut arguments = vec!["export", profile];
            arguments.extend(options);
            let sent = server.get_with(EXPORT_KEY, &format!("{path}?{query}"));
            assert_eq!(site.done(&arguments), sent.csv(), "{arguments:?}");
        }
    }
}

fn a_file_is_written_whole_or_not_at_all(db: Db) {
    let site = Site::with_people(db);
    std::fs::create_dir(site.path("out")).unwrap();
    let entries = || std::fs::read_dir(site.path("out")).unwrap().count();
    std::fs::write(site.path("out/users.csv"), "an older file that is longer".repeat(100)).unwrap();
    let printed = site.done(&["export", "minimal", "-o", "out/users.csv"]);
    assert_eq!(printed, "");
    let written = std::fs::read_to_string(site.path("out/users.csv")).unwrap();
    assert_eq!(written, PEOPLE_MINIMAL);
    assert_eq!(entries(), 1);

    let finished = site.run(&["export", "minimal", "-o", "nowhere/users.csv"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("nowhere"), "{}", finished.stderr);
    let finished = site.run(&["export", "minimal", "-o", "out"]);
    assert_eq!(finished.code, Some(1));
    assert_eq!(entries(), 1);
}

fn a_reader_that_has_seen_enough_is_no_disaster(db: Db) {
    let site = Site::with_wide_users(db);
    let mut child = site
        .command()
        .arg("--data-dir")
        .arg(site.data_dir())
        .args(["export", "full"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 8];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"id,email");
    drop(stdout);
    // What a script saw of it was not all.
    assert_eq!(wait_for_exit(&mut child).code(), Some(1));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "error: the export is not complete: its reader went away\n");
    let records = site.audit();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "disconnected", "{}", records[0]);
}

fn data_goes_to_stdout_and_words_to_stderr(db: Db) {
    let site = Site::with_people(db);
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
    assert_eq!(site.done(&["audit", "list", "--json", "--limit", "1"]).matches("completed").count(), 1);
    assert_eq!(site.json(&["keys", "list", "--json"]), serde_json::json!([]));
    let failed = site.run(&["keys", "revoke", "no-such-id"]);
    assert!(failed.stdout.is_empty());
    assert!(!failed.stderr.is_empty());
}

fn bad_usage_is_exit_code_2(db: Db) {
    let site = Site::with_people(db);
    for arguments in [
        &[][..],
        &["exprot"],
        &["export"],
        &["export", "everything"],
        &["export", "full", "--emial=ada@example.com"],
        &["export", "full", "--limit", "0"],
        &["export", "full", "--limit", "ten"],
        &["export", "full", "--fields", "password_hash"],
        &["export", "minimal", "--fields", "is_admin"],
        &["export", "full", "--fields", "id,id"],
        &["export", "full", "--created-after", "yesterday"],
        &["export", "full", "--is-active=maybe"],
        &["export", "full", "--limit=1", "--limit=2"],
        &["keys"],
        &["keys", "create"],
        &["keys", "create", "reader"],
        &["keys", "create", "reader", "--kind", "admin"],
        &["audit", "list", "--limit", "x"],
        &["users", "import"],
    ] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stdout.is_empty(), "{arguments:?}");
        assert!(!finished.stderr.is_empty(), "{arguments:?}");
    }
    assert!(site.audit().is_empty());
}

fn help_and_version_are_exit_code_0(db: Db) {
    let site = Site::bare(db);
    let help = site.run_exactly(&["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["demo", "serve", "export", "keys", "flags", "audit", "users", "check", "openapi"] {
        assert!(help.text().contains(command), "{command}");
    }
    let version = site.run_exactly(&["--version"]);
    assert_eq!(version.code, Some(0));
    assert_eq!(version.text(), format!("headcount {}\n", env!("CARGO_PKG_VERSION")));
}

fn an_export_of_fewer_users_than_expected_replaces_nothing(db: Db) {
    let site = Site::with_people(db);
    let read = || std::fs::read_to_string(site.path("users.csv")).unwrap();
    let nobody = ["--email", "nobody@example.com"];
    let export =
        |arguments: &[&str]| site.run(&[&["export", "minimal", "-o", "users.csv"], arguments].concat());
    // Where there was nobody before, that is news to nobody.
    assert_eq!(export(&nobody).code, Some(0));
    assert_eq!(export(&nobody).code, Some(0));
    let all = csv_records(PEOPLE_MINIMAL.as_bytes()).len() - 1;
    assert_eq!(export(&["--min-rows", &all.to_string()]).code, Some(0));
    let more = (all + 1).to_string();
    for (arguments, words) in [
        (&nobody[..], ["no users", "--allow-empty"]),
        (&["--min-rows", &more], [&more, "--min-rows"]),
        (&["--email", "nobody@example.com", "--allow-empty", "--min-rows", "1"], ["0 users", "--min-rows"]),
    ] {
        let finished = export(&[arguments, &["--receipt"]].concat());
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        for word in words.into_iter().chain(["users.csv", "is left as it was"]) {
            assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
        }
        assert_eq!(read(), PEOPLE_MINIMAL);
        assert!(!site.path("users.csv.receipt.json").exists());
    }
    assert_eq!(export(&[&nobody[..], &["--allow-empty"]].concat()).code, Some(0));
    assert_eq!(read(), "id,email,name\r\n");
    let finished = site.run(&["export", "minimal", "--min-rows", &more]);
    assert_eq!((finished.code, finished.text().as_str()), (Some(1), PEOPLE_MINIMAL));
}

/// How large a file is says nothing of who is in it.
fn an_export_of_nobody_replaces_no_users_of_another_form(db: Db) {
    let site = Site::with_people(db);
    let export = |arguments: &[&str]| site.run(&[&["export", "minimal", "-o"], arguments].concat());
    let nobody = ["--email", "nobody@example.com"];
    let id_alone = ["users", "--fields", "id", "--header", "false", "--limit", "1"];
    for format in ["csv", "ndjson", "json", "parquet", "xlsx"] {
        assert_eq!(export(&id_alone).code, Some(0));
        let finished = export(&[&["users", "--format", format], &nobody[..]].concat());
        let words = "users may hold some: it is left as it was; --allow-empty";
        assert!(finished.code == Some(1) && finished.stderr.contains(words), "{format}: {}", finished.stderr);
    }
    // Another such file of nobody is no news, whatever the format.
    for name in ["a.csv", "a.csv.gz", "a.csv.zst", "a.ndjson", "a.ndjson.gz", "a.json", "a.parquet", "a.xlsx"]
    {
        for _ in 0..2 {
            let finished = export(&[&[name], &nobody[..]].concat());
            assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
        }
    }
}

/// Whoever closes the pipe of a list has what they wanted; how everything else ends does not change by that.
fn a_closed_pipe_hides_no_failure(db: Db) {
    let mut site = Site::with_people(db);
    site.done(&["export", "minimal", "-o", "users.csv", "--receipt"]);
    std::fs::write(site.path("users.csv"), "id,email,name\r\n9,eve@example.com,Eve\r\n").unwrap();
    let piped = |site: &Site, arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = site.command();
        command.arg("--data-dir").arg(site.data_dir()).args(arguments);
        let ended = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    for list in [
        &["keys", "list"][..],
        &["audit", "list"],
        &["audit", "list", "--json"],
        &["flags", "list"],
        &["openapi"],
    ] {
        assert_eq!(piped(&site, list), (Some(0), String::new()), "{list:?}");
    }
    let was = site.run(&["verify", "users.csv"]).code;
    assert!(was > Some(3), "{was:?}");
    assert_eq!(piped(&site, &["verify", "users.csv"]).0, was);
    let (code, said) = piped(&site, &["keys", "create", "crm", "--kind", "standard"]);
    assert!(code == Some(1) && said.contains("headcount keys revoke"), "{said}");
    site.set("HEADCOUNT_SOURCE_TABLE", "nowhere");
    let (code, said) = piped(&site, &["check"]);
    assert!(code == Some(1) && said.contains("nowhere"), "{said}");
}

fn check_tells_a_good_set_up(db: Db) {
    let site = Site::with_people(db);
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, Some(0), "{}", finished.everything());
    let said = finished.everything().to_lowercase();
    for part in ["source", "store"] {
        assert!(said.contains(part), "{said}");
    }
}

fn check_finds_a_missing_table(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_SOURCE_TABLE", "members");
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.everything().contains("members"), "{}", finished.everything());
}

fn check_finds_a_missing_column(db: Db) {
    let site = Site::with_people(db);
    site.sql("ALTER TABLE users RENAME COLUMN updated_at TO modified");
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.everything().contains("updated_at"), "{}", finished.everything());
}

fn check_finds_a_source_out_of_reach(db: Db) {
    let mut site = Site::with_people(db);
    let url = match db {
        Db::Sqlite => "sqlite:app/missing.db",
        Db::Postgres => "postgres://app_reader@127.0.0.1:1/app",
    };
    site.set("HEADCOUNT_SOURCE_URL", url);
    let finished = site.run(&["check"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.everything().to_lowercase().contains("source"));
}

#[test]
fn only_a_regular_file_is_replaced() {
    let site = Site::with_people(Db::Sqlite);
    let pipe = site.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for target in ["pipe", "."] {
        let finished = site.run(&["export", "minimal", "-o", target]);
        assert_eq!(finished.code, Some(1), "{target}");
        assert!(finished.stderr.contains("not a regular file"), "{}", finished.stderr);
    }
    assert!(!std::fs::metadata(&pipe).unwrap().is_file());

    std::fs::write(site.path("target.csv"), "old").unwrap();
    std::os::unix::fs::symlink("target.csv", site.path("link.csv")).unwrap();
    site.done(&["export", "minimal", "-o", "link.csv"]);
    assert_eq!(std::fs::read_to_string(site.path("target.csv")).unwrap(), PEOPLE_MINIMAL);
    assert!(std::fs::symlink_metadata(site.path("link.csv")).unwrap().is_symlink());
}
