//! Commands that are told to end while they work.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Db, MINIMAL, PEOPLE_FULL, STANDARD_KEY, Site, eventually, wait_for, wait_for_exit};

both! {
    a_signal_ends_an_export_with_its_record_and_without_its_file,
}

/// A site whose first name never comes.
fn endless(db: Db) -> Site {
    let site = Site::with_people(db);
    let never = match db {
        Db::Sqlite => {
            "(WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up) SELECT max(i) FROM up)"
        }
        Db::Postgres => "pg_sleep(600)::text",
    };
    site.configure(&format!(
        "[source.columns]\nname = {{ sql = \"CASE WHEN id > 0 THEN {never} ELSE name END\" }}\n"
    ));
    std::fs::create_dir(site.path("out")).unwrap();
    site
}

/// Who starts a command that a hang-up may end, also where the tests themselves were started by `nohup`.
const ORDINARY: &[&str] = &["env", "--default-signal=HUP"];

/// `headcount`, started by this command.
fn start(site: &Site, starter: &[&str], arguments: &[&str]) -> Child {
    site.prepared(Command::new(starter[0]))
        .args(&starter[1..])
        .arg(site.command().get_program())
        .arg("--data-dir")
        .arg(site.data_dir())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// The newest record, once there are so many.
fn newest(site: &Site, records: usize) -> serde_json::Value {
    site.audit_of(records).remove(0)
}

fn a_signal_ends_an_export_with_its_record_and_without_its_file(db: Db) {
    let site = endless(db);
    for (at, signal) in (1..).zip(["HUP", "TERM", "INT"]) {
        let mut child = start(&site, ORDINARY, &["export", "full", "-o", "out/users.csv"]);
        assert!(newest(&site, at)["outcome"].is_null(), "{signal}");
        assert_eq!(files(&site.path("out")), 1, "{signal}");
        send(&child, signal);
        assert_eq!(wait_for_exit(&mut child).code(), Some(1), "{signal}");
        assert_eq!(files(&site.path("out")), 0, "{signal}");
        let record = newest(&site, at);
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&"interrupted".into(), &"shutdown".into()),
            "{record}"
        );
    }
}

#[test]
fn a_signal_ends_a_preflight_with_its_record() {
    let site = Site::with_people(Db::Postgres);
    let mut session = site.database().connect();
    session.batch_execute("BEGIN; LOCK TABLE users").unwrap();
    let mut child = start(&site, ORDINARY, &["export", "full", "--preflight"]);
    eventually("it waits for the table", || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass";
        session.query_one(waiting, &[]).unwrap().get::<_, i64>(0) > 0
    });
    send(&child, "TERM");
    assert_eq!(wait_for_exit(&mut child).code(), Some(1));
    let record = newest(&site, 1);
    assert_eq!(
        (&record["outcome"], &record["reason"]),
        (&"interrupted".into(), &"shutdown".into()),
        "{record}"
    );
}

#[test]
fn nohup_is_heeded() {
    let site = Site::with_people(Db::Postgres);
    let mut session = site.database().connect();
    session.batch_execute("BEGIN; LOCK TABLE users").unwrap();
    let mut child = start(&site, &["nohup"], &["export", "full", "-o", "users.csv"]);
    wait_for("the export begins", || site.audit().pop());
    send(&child, "HUP");
    session.batch_execute("ROLLBACK").unwrap();
    assert_eq!(wait_for_exit(&mut child).code(), Some(0));
    assert_eq!(std::fs::read_to_string(site.path("users.csv")).unwrap(), PEOPLE_FULL);
}

#[test]
fn a_server_without_a_certificate_outlives_a_hangup() {
    let site = Site::with_people(Db::Sqlite);
    let server = site.serve();
    server.signal("HUP");
    server.eventually_says("were read again");
    assert_eq!(server.status_with(STANDARD_KEY, MINIMAL), 200);
    server.signal("TERM");
    assert_eq!(server.exit().code(), Some(0));
}
