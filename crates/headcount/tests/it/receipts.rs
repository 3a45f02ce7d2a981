//! What a receipt says of an export, and to whom.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::faults::{BAD_ROW, ROWS, with_a_bad_row};
use crate::harness::{
    Answer, Db, Download, EXPORT_KEY, FULL, MEMBERS, MINIMAL, STANDARD_KEY, SUPPORT, Server, Site,
    is_keyed_hash, profile, within_a_second,
};

both! {
    a_receipt_says_what_the_export_was,
    columns_and_filters_are_those_of_the_request,
    only_the_maker_and_auditors_see_a_receipt,
    another_value_of_a_fixed_key_is_another_maker,
    a_key_for_receipts_exports_nothing,
    a_running_export_has_a_receipt_without_signature,
    exports_that_did_not_complete_say_so,
    every_instance_gives_the_same_receipt,
    a_look_at_a_receipt_leaves_no_record,
    guessed_keys_are_counted_here_too,
    the_key_stays_the_same,
    a_command_has_a_receipt_too,
}

const PUBLIC_KEY: &str = "/.well-known/headcount-receipt-key";

fn path(export: &str) -> String {
    format!("/api/v1/users/exports/{export}")
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An export that went well, with its id.
fn export(server: &Server, key: &str, target: &str) -> (String, Answer) {
    let answer = server.get_with(key, target);
    assert_eq!(answer.status, 200);
    (answer.header("x-export-id").to_owned(), answer)
}

fn receipt(server: &Server, key: &str, export: &str) -> Value {
    let answer = server.get_with(key, &path(export));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// A receipt without what only a key can make.
fn unsigned(mut receipt: Value) -> Value {
    let members = receipt.as_object_mut().unwrap();
    for member in ["signature", "signed_by"] {
        assert!(members.remove(member).unwrap().is_string());
    }
    receipt
}

fn a_receipt_says_what_the_export_was(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["payroll", "--kind", "export"]);
    let (id, answer) = export(&server, &key, FULL);
    let receipt = receipt(&server, &key, &id);
    let record = site.settled(&id);
    let times = ["started_at", "snapshot_at", "ended_at"].map(|member| receipt[member].as_str().unwrap());
    assert_eq!(times[0], record["time"]);
    // Of equal length but for whole seconds, so that they are compared without their end.
    assert!(times.map(|time| time[..19].to_owned()).is_sorted(), "{times:?}");
    assert_eq!(
        unsigned(receipt.clone()),
        json!({
            "type": "headcount-receipt-v1",
            "id": id,
            "endpoint": FULL,
            "columns": ["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"],
            "filters": {},
            "key_name": "payroll",
            "started_at": times[0],
            "snapshot_at": times[1],
            "ended_at": times[2],
            "outcome": "completed",
            "rows": 5,
            "bytes": answer.body.len(),
            "sha256": sha256(&answer.body),
            "table": "users",
            "masks": {},
            "conditions": {},
            "system_user": null,
        })
    );
    let shown = site.done(&["receipts", "show", &id]);
    assert_eq!(server.get_with(&key, &path(&id)).text(), shown);
    assert!(shown.ends_with("}\n") && shown.lines().count() == 1, "{shown}");

    // To the byte, whatever is in it: only so it is what was signed.
    let key = site.create_key(&["\u{5e9}\u{200f}", "--kind", "export"]);
    let (id, _) = export(&server, &key, FULL);
    site.settled(&id);
    assert_eq!(site.done(&["receipts", "show", &id]), server.get_with(&key, &path(&id)).text());
}

fn columns_and_filters_are_those_of_the_request(db: Db) {
    let mut site = Site::with_members(db);
    let key = site.declare(&format!("{MEMBERS}{SUPPORT}"), &["support"]);
    let server = site.serve();
    let (id, _) = export(&server, &key, &profile("support"));
    let columns = json!(["id", "E-mail \"Kontakt\"", "phone", "team"]);
    assert_eq!(receipt(&server, &key, &id)["columns"], columns);

    let target = format!("{MINIMAL}?fields=name,id&email=ada@example.com&limit={}", i64::MAX);
    let (id, _) = export(&server, &key, &target);
    let receipt = receipt(&server, &key, &id);
    assert_eq!(receipt["columns"], json!(["name", "id"]));
    let email = receipt["filters"]["email"].clone();
    assert!(is_keyed_hash(&email), "{receipt}");
    // Not every reader of JSON has such large integers.
    let filters = json!({"fields": "name,id", "email": email, "limit": i64::MAX.to_string()});
    assert_eq!(receipt["filters"], filters);
}

fn another_value_of_a_fixed_key_is_another_maker(db: Db) {
    const NEXT: &str = "static-standard-key-of-next-year";
    let mut site = Site::with_people(db);
    let server = site.serve();
    let (id, _) = export(&server, STANDARD_KEY, MINIMAL);
    assert_eq!(server.status_with(STANDARD_KEY, &path(&id)), 200);
    drop(server);
    site.set("HEADCOUNT_API_KEY", NEXT);
    let server = site.serve();
    assert_eq!(server.status_with(NEXT, &path(&id)), 404);
    assert_eq!(server.status_with(STANDARD_KEY, &path(&id)), 401);
    let (next, _) = export(&server, NEXT, MINIMAL);
    let [old, new] = [&id, &next].map(|id| site.audit_record(id)["key_id"].as_str().unwrap().to_owned());
    let digits = |id: &str| id.strip_prefix("env:standard:").unwrap().to_owned();
    assert_ne!(digits(&old), digits(&new));
    // A phrase could be found by what anybody can make of it.
    assert!(!sha256(STANDARD_KEY).starts_with(&digits(&old)));
    // The auditor still sees it, and so does whoever has the old value where that is set.
    assert!(site.done(&["receipts", "show", &id]).contains(&id));
    drop(server);
    site.set("HEADCOUNT_API_KEY", STANDARD_KEY);
    assert_eq!(site.serve().status_with(STANDARD_KEY, &path(&id)), 200);
}

fn only_the_maker_and_auditors_see_a_receipt(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let maker = site.create_key(&["maker", "--kind", "export"]);
    let other = site.create_key(&["other", "--kind", "export"]);
    let auditor = site.create_key(&["auditor", "--kind", "standard", "--grant", "audit:read"]);
    let (id, _) = export(&server, &maker, FULL);
    for (key, status) in [
        (&maker, 200),
        (&auditor, 200),
        (&other, 404),
        (&STANDARD_KEY.to_owned(), 404),
        (&"wrong".into(), 401),
    ] {
        assert_eq!(server.status_with(key, &path(&id)), status);
    }
    server.get(&path(&id)).detail(401);

    // A fixed key has its own exports, and nobody else's.
    let (id, _) = export(&server, EXPORT_KEY, FULL);
    assert_eq!(server.status_with(EXPORT_KEY, &path(&id)), 200);
    assert_eq!(server.status_with(STANDARD_KEY, &path(&id)), 404);
    assert_eq!(server.status_with(&maker, &path(&id)), 404);

    // What is not there looks like what is somebody else's.
    let elsewhere = server.get_with(&maker, &path(&id)).text();
    let unknown = ["01JDABCDEFGHJKMNPQRSTVWXYZ", &id.to_ascii_lowercase(), "profiles", "%00", "%ff", "1'--"];
    for unknown in unknown {
        let answer = server.get_with(&auditor, &path(unknown));
        assert_eq!(answer.detail(404), "Not found", "{unknown}");
        assert_eq!(answer.text(), elsewhere);
    }
    site.done(&["keys", "revoke", &site.key_id("maker")]);
    within_a_second("the key is refused", || server.status_with(&maker, &path(&id)) == 401);
    let finished = site.run(&["receipts", "show", "01JDABCDEFGHJKMNPQRSTVWXYZ"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("audit list"), "{}", finished.stderr);
}

fn a_key_for_receipts_exports_nothing(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let arguments = ["auditor", "--kind", "standard", "--grant", "audit:read", "--without", "users:export"];
    let auditor = site.create_key(&arguments);
    server.get_with(&auditor, MINIMAL).detail(403);
    let (id, _) = export(&server, STANDARD_KEY, MINIMAL);
    assert_eq!(server.status_with(&auditor, &path(&id)), 200);
}

fn a_running_export_has_a_receipt_without_signature(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let id = running.export_id();
    let answer = receipt(&server, EXPORT_KEY, &id);
    for member in ["outcome", "rows", "bytes", "sha256", "ended_at"] {
        assert!(answer[member].is_null(), "{answer}");
    }
    assert!(answer["columns"].is_array() && answer["started_at"].is_string(), "{answer}");
    assert!(answer.get("signature").is_none() && answer.get("signed_by").is_none(), "{answer}");
    let received = running.rest();
    assert!(received.complete);
    // The outcome is in the store before the transfer ends.
    let receipt = unsigned(receipt(&server, EXPORT_KEY, &id));
    assert_eq!(receipt["outcome"], "completed");
    assert_eq!(receipt["sha256"], sha256(&received.body));
}

fn exports_that_did_not_complete_say_so(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    let broken = Download::stalled(&server, FULL, EXPORT_KEY);
    let id = broken.export_id();
    assert!(!broken.rest().complete);
    site.settled(&id);
    let failed = unsigned(receipt(&server, EXPORT_KEY, &id));
    assert_eq!(failed["outcome"], "failed");
    assert!(failed["rows"].as_u64().unwrap() < u64::from(BAD_ROW), "{failed}");
    // Why is for those who look after the database.
    assert!(!failed.to_string().contains("is_admin is") && failed.get("reason").is_none(), "{failed}");

    server.get_with(STANDARD_KEY, FULL).detail(403);
    server.get_with(EXPORT_KEY, &format!("{FULL}?limit=0")).detail(400);
    let denials = site.audit_of(3);
    for (record, key) in denials.iter().zip([EXPORT_KEY, STANDARD_KEY]) {
        let denied = unsigned(receipt(&server, key, record["id"].as_str().unwrap()));
        assert_eq!(denied["outcome"], "denied");
        for member in ["columns", "rows", "bytes", "sha256", "snapshot_at"] {
            assert!(denied[member].is_null(), "{denied}");
        }
    }
    let (id, _) = export(&server, EXPORT_KEY, &format!("{MINIMAL}?preflight=true"));
    let looked = unsigned(receipt(&server, EXPORT_KEY, &id));
    assert!(looked["rows"].is_null() && looked["sha256"].is_null(), "{looked}");
}

fn every_instance_gives_the_same_receipt(db: Db) {
    let site = Site::with_people(db);
    let servers: Vec<_> = std::thread::scope(|scope| {
        let starting = [0, 1].map(|_| scope.spawn(|| site.serve()));
        starting.into_iter().map(|server| server.join().unwrap()).collect()
    });
    let (id, _) = export(&servers[0], EXPORT_KEY, FULL);
    let receipts: Vec<_> =
        servers.iter().map(|server| server.get_with(EXPORT_KEY, &path(&id)).text()).collect();
    assert_eq!(receipts[0], receipts[1]);
    let keys: Vec<_> = servers.iter().map(|server| server.get(PUBLIC_KEY).text()).collect();
    assert_eq!(keys[0], keys[1]);
}

fn a_look_at_a_receipt_leaves_no_record(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let (id, _) = export(&server, EXPORT_KEY, FULL);
    site.settled(&id);
    assert_eq!(server.status_with(EXPORT_KEY, &path(&id)), 200);
    assert_eq!(server.status_with("no-such-key-as-this-one", &path(&id)), 401);
    server.get(PUBLIC_KEY);
    site.done(&["receipts", "show", &id]);
    assert_eq!(site.audit().len(), 1);
}

fn guessed_keys_are_counted_here_too(db: Db) {
    let site = Site::with_people(db);
    site.configure("[limits]\nfailed_keys_per_minute = 3\n");
    let server = site.serve();
    let target = path("01JDABCDEFGHJKMNPQRSTVWXYZ");
    let statuses: Vec<_> = (0..5).map(|n| server.status_with(&format!("guess-{n}"), &target)).collect();
    // Unless a minute ends in between.
    assert!(statuses.contains(&429) && statuses[0] == 401, "{statuses:?}");
    assert!(server.metric("headcount_refused_total", &["malformed_key"]) > 0.0);
}

fn the_key_stays_the_same(db: Db) {
    let [site, other] = [0, 1].map(|_| {
        let site = Site::with_people(db);
        site.create_key(&["anybody", "--kind", "standard"]);
        site
    });
    let printed = site.done(&["receipts", "public-key"]);
    assert!(printed.starts_with("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"), "{printed}");
    for _ in 0..2 {
        let answer = site.serve().get(PUBLIC_KEY);
        assert_eq!(answer.header("content-type"), "application/x-pem-file");
        assert_eq!(answer.text(), printed);
    }
    assert_ne!(other.done(&["receipts", "public-key"]), printed);
}

fn a_command_has_a_receipt_too(db: Db) {
    let site = Site::with_people(db);
    let csv = site.done(&["export", "minimal", "--bom"]);
    let id = site.audit()[0]["id"].as_str().unwrap().to_owned();
    let receipt = unsigned(site.json(&["receipts", "show", &id]));
    assert_eq!(receipt["endpoint"], "cli export minimal");
    assert_eq!(receipt["sha256"], sha256(&csv));
    assert_eq!(receipt["filters"], json!({"bom": true}));
    assert!(receipt["key_name"].is_null());
    // No key made it, so that only auditors see it.
    let server = site.serve();
    assert_eq!(server.status_with(EXPORT_KEY, &path(&id)), 404);
}
