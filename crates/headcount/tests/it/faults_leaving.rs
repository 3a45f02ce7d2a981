//! Clients that are gone before they are answered, each of whom leaves a record.

use std::io::Write;
use std::net::TcpStream;

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, MINIMAL, PEOPLE_MINIMAL, STANDARD_KEY, Server, Site, connect,
    csv_records, eventually, within_a_second,
};

both! {
    a_client_that_leaves_while_its_key_is_looked_up_is_recorded,
    a_stranger_who_leaves_while_the_store_is_locked_leaves_a_denial,
    a_client_that_leaves_in_the_middle_of_its_form_is_recorded,
    what_is_switched_off_meanwhile_ends_no_running_export,
}

/// Asks, and reads nothing.
pub(crate) fn send(server: &Server, target: &str, key: &str) -> TcpStream {
    send_raw(
        server,
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"),
    )
}

fn send_raw(server: &Server, request: &str) -> TcpStream {
    let mut stream = connect(server.addr);
    stream.write_all(request.as_bytes()).unwrap();
    eventually("the request is read", || server.has_read(&[&stream]));
    stream
}

fn a_client_that_leaves_while_its_key_is_looked_up_is_recorded(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let preflight = format!("{FULL}?preflight=true");
    for (before, target) in [MINIMAL, FULL, &preflight].into_iter().enumerate() {
        // That a key is used is noted the first time.
        let key = site.create_key(&["leaving", "--kind", "export"]);
        site.while_locked("headcount_keys IN SHARE", || server.leave(send(&server, target, &key)));
        let audit = site.audit_of(before + 1);
        assert_eq!(audit.len(), before + 1);
        // Whose key it was is not known yet, and strangers leave no records for good.
        assert_eq!(audit[0]["outcome"], "denied", "{audit:?}");
        assert_eq!(audit[0]["reason"], "left before the answer");
        assert_eq!(audit[0]["sequence"], serde_json::Value::Null);
    }
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    assert_eq!(site.audit().len(), 4);
    site.done(&["audit", "verify"]);
}

fn a_stranger_who_leaves_while_the_store_is_locked_leaves_a_denial(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let unknown = Site::embedded().create_key(&["stranger", "--kind", "export"]);
    let everything = "headcount_flags, headcount_keys, headcount_audit IN ACCESS EXCLUSIVE";
    for (before, key) in ["", &format!("Authorization: Bearer {unknown}\r\n")].into_iter().enumerate() {
        let request = format!("GET {FULL} HTTP/1.1\r\nHost: localhost\r\n{key}\r\n");
        site.while_locked(everything, || server.leave(send_raw(&server, &request)));
        let audit = site.audit_of(before + 1);
        assert_eq!(audit.len(), before + 1);
        assert_eq!(audit[0]["outcome"], "denied", "{audit:?}");
        assert_eq!(audit[0]["sequence"], serde_json::Value::Null);
    }
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    assert_eq!(site.settled(site.audit()[0]["id"].as_str().unwrap())["sequence"], 1);
    site.done(&["audit", "verify"]);
}

fn a_client_that_leaves_in_the_middle_of_its_form_is_recorded(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let head = format!(
        "POST {FULL} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {EXPORT_KEY}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nemail="
    );
    drop(send_raw(&server, &head));
    let audit = site.audit_of(1);
    assert!(["disconnected", "denied"].contains(&audit[0]["outcome"].as_str().unwrap()), "{audit:?}");
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    assert_eq!(site.audit().len(), 2);
}

/// A revoked key and a switched-off flag count for the next export, not for one that runs.
fn what_is_switched_off_meanwhile_ends_no_running_export(db: Db) {
    let site = Site::with_wide_users(db);
    let key = site.create_key(&["short", "--kind", "export"]);
    let server = site.serve();
    let revoke: &[&str] = &["keys", "revoke", &site.key_id("short")];
    for (command, status) in [(revoke, 401), (&["flags", "disable", "users:export_full"], 403)] {
        let key = if status == 401 { &key } else { EXPORT_KEY };
        let download = Download::stalled(&server, FULL, key);
        let export = download.export_id();
        site.done(command);
        let one = format!("{FULL}?limit=1");
        within_a_second("the next one is refused", || server.status_with(key, &one) == status);
        let rest = download.rest();
        assert!(rest.complete);
        assert_eq!(csv_records(&rest.body).len(), 3001);
        assert_eq!(site.settled(&export)["outcome"], "completed");
    }
}
