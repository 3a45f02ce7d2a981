//! The administrator's conditions, and that the audit, the receipt and the preflight tell of them as of the masks.

use crate::harness::{Db, MEMBERS, Server, Site, is_keyed_hash, profile};
use serde_json::{Value, json};

both! {
    an_export_has_a_condition_of_its_own,
    what_could_leave_is_recorded_and_signed,
    a_condition_that_may_hold_a_secret_is_hashed,
    a_condition_that_does_not_fit_is_named,
    a_condition_that_breaks_later_is_not_ready,
    a_changed_scope_is_seen,
}

const MARKETING: &str = r#"
[exports.marketing]
columns = ["id", "email", "phone"]
where = "status = 'active' -- and not blocked"
mask = { email = "partial", phone = "last4" }
"#;

fn marketing(db: Db) -> (Site, Server, String) {
    let mut site = Site::with_members(db);
    let key = site.declare(&format!("{MEMBERS}{MARKETING}"), &["marketing"]);
    let server = site.serve();
    (site, server, key)
}

fn an_export_has_a_condition_of_its_own(db: Db) {
    let (site, server, key) = marketing(db);
    let path = profile("marketing");
    assert_eq!(server.get_with(&key, &path).ids().join(","), "1,2,10");
    assert_eq!(server.get_with(&key, &format!("{path}?after=1&limit=1")).ids().join(","), "2");
    assert_eq!(site.done(&["export", "full"]).lines().count(), 6, "the others have none");
    assert_eq!(site.done(&["export", "marketing"]).lines().count(), 4);
    let preflight = server.get_with(&key, &format!("{path}?preflight=true")).json();
    let conditions = json!({
        "source.where": "kind = 'person' OR kind IS NULL",
        "exports.marketing.where": "status = 'active' -- and not blocked",
    });
    assert_eq!(preflight["conditions"], conditions);
    if db == Db::Sqlite {
        assert_eq!(preflight["estimated_rows"], 3, "SQLite counts");
    }
    site.findings().assert_well_but(&[
        "flags",
        "values",
        "keys",
        "privileges",
        "files",
        "encryption",
        "mapping",
    ]);
}

fn what_could_leave_is_recorded_and_signed(db: Db) {
    let (site, server, key) = marketing(db);
    let answer = server.get_with(&key, &profile("marketing"));
    let id = answer.header("x-export-id").to_owned();
    let record = site.settled(&id);
    let receipt = server.get_with(&key, &format!("/api/v1/users/exports/{id}")).json();
    for told in [&record, &receipt] {
        assert_eq!(told["columns"], json!(["id", "email", "phone"]));
        assert_eq!(told["masks"], json!({"email": "partial", "phone": "last4"}));
        assert_eq!(told["table"], "\"user\"".trim_matches('"'));
        assert_eq!(told["conditions"]["exports.marketing.where"], "status = 'active' -- and not blocked");
        assert_eq!(told["system_user"], Value::Null);
    }
    assert_eq!(record["version"], 2);

    site.done(&["export", "full"]);
    let by_command = &site.audit()[0];
    assert!(by_command["system_user"].as_str().is_some_and(|user| !user.is_empty()), "{by_command}");
    assert_eq!(by_command["masks"], json!({}));
    assert_eq!(by_command["conditions"], json!({"source.where": "kind = 'person' OR kind IS NULL"}));
    site.done(&["audit", "verify"]);
}

fn a_condition_that_may_hold_a_secret_is_hashed(db: Db) {
    let mut site = Site::with_members(db);
    site.declare(
        &format!("{MEMBERS}\n[exports.others]\ncolumns = [\"id\"]\nwhere = \"\\\"Mail Address\\\" <> 'ada@example.com'\"\n"),
        &["others"],
    );
    assert_eq!(site.done(&["export", "others"]).lines().count(), 4);
    let record = site.audit()[0].clone();
    assert!(is_keyed_hash(&record["conditions"]["exports.others.where"]), "{record}");
    assert!(!record.to_string().contains("ada@"));
}

fn a_condition_that_does_not_fit_is_named(db: Db) {
    let site = Site::with_members(db);
    for (sql, words) in [
        ("no_such_column = 1", "no_such_column"),
        ("status = $1", "placeholder"),
        ("1 = 1) OR (1 = 1", "parentheses"),
    ] {
        site.configure(&format!("{MEMBERS}\n[exports.odd]\ncolumns = [\"id\"]\nwhere = \"{sql}\"\n"));
        let finished = site.run(&["export", "odd"]);
        assert_eq!(finished.code, Some(1), "{sql}");
        assert!(
            finished.stderr.contains("exports.odd.where") && finished.stderr.contains(words),
            "{}",
            finished.stderr
        );
        let said = site.run(&["check"]).everything();
        assert!(words == "parentheses" || said.contains("do:  correct exports.odd.where"), "{said}");
    }
}

/// The condition of one export, as of every column.
fn a_condition_that_breaks_later_is_not_ready(db: Db) {
    let mut site = Site::with_members(db);
    site.sql("ALTER TABLE \"user\" ADD calm BOOLEAN");
    let key = site.declare(
        &format!("{MEMBERS}[exports.calm]\ncolumns = [\"id\"]\nwhere = \"calm IS NULL\"\n"),
        &["calm"],
    );
    let server = site.serve();
    server.eventually_ready();
    site.sql("ALTER TABLE \"user\" RENAME COLUMN calm TO quiet");
    server.eventually_lacks("source");
    server.get_with(&key, &profile("calm")).detail(503);
}

fn a_changed_scope_is_seen(db: Db) {
    let (site, server, key) = marketing(db);
    let answer = server.get_with(&key, &profile("marketing"));
    let id = answer.header("x-export-id").to_owned();
    site.settled(&id);
    drop(server);
    site.done(&["audit", "verify"]);
    let scope = site.store_column("SELECT scope FROM headcount_audit")[0].clone();
    for change in [
        "scope = replace(scope, 'partial', 'redact')",
        "scope = NULL",
        "version = 1",
        "column_names = '[\"id\"]'",
        "snapshot_at = snapshot_at + 1",
    ] {
        site.store_sql(&format!("UPDATE headcount_audit SET {change}"));
        let finished = site.run(&["audit", "verify"]);
        assert_eq!(finished.code, Some(1), "{change}");
        assert!(finished.stderr.contains("was changed"), "{change}: {}", finished.stderr);
        site.store_sql(&format!(
            "UPDATE headcount_audit SET scope = '{}', version = 2, column_names = '[\"id\",\"email\",\"phone\"]', \
             snapshot_at = snapshot_at - {}",
            scope.replace('\'', "''"),
            i32::from(change.starts_with("snapshot_at")),
        ));
        site.done(&["audit", "verify"]);
    }
}
