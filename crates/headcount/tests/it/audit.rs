//! What the audit records of every request to an export.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{
    Answer, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, eventually, is_keyed_hash,
};

both! {
    a_completed_export_is_recorded_in_full,
    filters_are_recorded_with_the_email_hashed,
    requests_for_a_person_can_be_found,
    an_address_that_is_an_id_is_hashed_where_it_breaks_an_export,
    an_address_looked_for_is_nowhere_in_the_clear,
    every_refusal_leaves_one_record_with_its_reason,
    requests_that_reach_no_export_leave_none,
    an_export_by_command_is_recorded,
    the_list_is_newest_first_and_can_be_cut,
    the_client_is_the_peer_unless_a_proxy_is_trusted,
    an_export_has_one_line_in_the_log,
    a_flood_of_denials_pushes_out_older_denials_and_no_export,
    looks_leave_one_record_each_and_no_more_of_them_are_kept_than_of_denials,
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn the_only_record(site: &Site) -> Value {
    let records = site.audit_of(1);
    assert_eq!(records.len(), 1, "{records:?}");
    records.into_iter().next().unwrap()
}

fn a_completed_export_is_recorded_in_full(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["payroll", "--kind", "export"]);
    let request = server.request(Method::GET, FULL).bearer_auth(&key);
    let answer = Answer::to(request.header("x-request-id", "monday-run"));
    let record = site.settled(answer.header("x-export-id"));

    let time = record["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert!(record["duration_ms"].is_number(), "{record}");
    assert_eq!(
        record,
        json!({
            "id": answer.header("x-export-id"),
            "time": time,
            "endpoint": FULL,
            "key_id": site.key_id("payroll"),
            "key_name": "payroll",
            "client": "127.0.0.1",
            "request_id": "monday-run",
            "filters": {},
            "outcome": "completed",
            "reason": null,
            "rows": 5,
            "bytes": answer.body.len(),
            "sha256": sha256(&answer.body),
            "duration_ms": record["duration_ms"],
            "sequence": 1,
            "previous": "0".repeat(64),
            "hash": site.done(&["audit", "head"]).trim_end(),
            "version": 2,
            "columns": ["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"],
            "snapshot_at": record["snapshot_at"],
            "ended_at": record["ended_at"],
            "table": "users",
            "masks": {},
            "conditions": {},
            "system_user": null,
        })
    );
    assert_eq!(site.audit().len(), 1);
}

fn filters_are_recorded_with_the_email_hashed(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let target = format!("{MINIMAL}?email=ada@example.com&is_active=true");
    let filters = || {
        let answer = server.get_with(EXPORT_KEY, &target);
        site.settled(answer.header("x-export-id"))["filters"].clone()
    };
    let recorded = filters();
    assert!(is_keyed_hash(&recorded["email"]), "{recorded}");
    assert_eq!(recorded, json!({"email": recorded["email"], "is_active": true}));
    assert_eq!(filters(), recorded);
    let store = String::from_utf8_lossy(&site.store_content()).into_owned();
    assert!(!store.contains(&sha256("ada@example.com")), "whoever has a list of addresses can make this");

    // Another deployment has another key.
    let elsewhere = Site::with_people(db);
    elsewhere.done(&["export", "minimal", "--email", "ada@example.com"]);
    assert_ne!(the_only_record(&elsewhere)["filters"]["email"], recorded["email"]);
}

fn requests_for_a_person_can_be_found(db: Db) {
    let site = Site::with_people(db);
    let found = |arguments: &[&str]| {
        let list = [&["audit", "list", "--json", "--email", "ada@example.com"], arguments].concat();
        let records = site.json(&list);
        records
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    site.create_key(&["reader", "--kind", "standard"]);
    assert!(found(&[]).is_empty(), "and nothing is made for looking");
    assert!(site.store_column("SELECT name FROM headcount_secrets").is_empty());
    let old = format!(r#"{{"email":"sha256:{}"}}"#, sha256("ada@example.com"));
    site.store_sql(&format!(
        "INSERT INTO headcount_audit (id, time, endpoint, client, filters, outcome, row_count, byte_count, instance) \
         VALUES ('old', 1, '/', 'cli', '{old}', 'denied', 0, 0, 0)"
    ));
    assert_eq!(found(&[]), ["old"]);
    let server = site.serve();
    let mut expected = vec!["old".to_owned()];
    for query in ["email=ada@example.com", "email=grace@example.com", "email=ada@example.com&limit=5", ""] {
        let answer = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        if query.contains("ada") {
            expected.insert(0, answer.header("x-export-id").to_owned());
        }
    }
    site.audit_of(5);
    assert_eq!(found(&[]), expected);
    assert_eq!(found(&["--limit", "2"]), expected[..2]);
    let lines = site.done(&["audit", "list", "--email", "grace@example.com"]);
    assert_eq!(lines.lines().filter(|line| !line.starts_with(' ')).count(), 1, "{lines}");
    assert!(!lines.contains("grace"), "{lines}");
}

fn an_address_that_is_an_id_is_hashed_where_it_breaks_an_export(db: Db) {
    let site = Site::bare(db);
    site.sql(
        "CREATE TABLE users (id VARCHAR(40) PRIMARY KEY, email TEXT, name TEXT, created_at TEXT, updated_at TEXT, \
         is_active BOOLEAN, is_admin BOOLEAN); \
         INSERT INTO users (id, created_at) VALUES ('ada@example.com', 'yesterday')",
    );
    site.configure("[source]\ntimestamps = \"text\"\n");
    let finished = site.run(&["export", "full"]);
    assert_eq!(finished.code, Some(1));
    let record = the_only_record(&site);
    assert_eq!(record["outcome"], "failed", "{record}");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("created_at") && reason.contains("hmac-sha256:"), "{reason}");
    assert!(!reason.contains("ada@") && !reason.contains(&sha256("ada@example.com")), "{reason}");
    let found = site.json(&["audit", "list", "--json", "--email", "ada@example.com"]);
    assert_eq!(found.as_array().unwrap().len(), 1);

    let server = site.serve();
    server.get_with(EXPORT_KEY, FULL).detail(500);
    server.eventually_says("id hmac-sha256:");
    let checked = site.run(&["check"]);
    for said in [finished.stderr, server.said(), checked.everything()] {
        assert!(said.contains("id (an address): "), "{said}");
        assert!(!said.contains("ada@") && !said.contains(&sha256("ada@example.com")), "{said}");
    }
}

fn an_address_looked_for_is_nowhere_in_the_clear(db: Db) {
    let site = Site::with_empty_table(db);
    let server = site.serve();
    let clear = ["looked.for", "looked%2Efor"];
    let query = "email=looked.for@example.com";
    let encoded = "email=looked%2Efor%40example.com";
    for query in [query, encoded] {
        let target = format!("{MINIMAL}?{query}");
        assert_eq!(server.status_with(STANDARD_KEY, &target), 200);
        assert_eq!(server.status_with("no-such-key-as-this-one", &target), 401);
        assert_eq!(server.get(&target).status, 401);
        let post = server.post_with(STANDARD_KEY, MINIMAL, query);
        assert_eq!(post.status, 200);
        for bad in [format!("{target}&{query}"), format!("{target}&format=json"), format!("{target}&limit=0")]
        {
            let detail = server.get_with(STANDARD_KEY, &bad).detail(400);
            assert!(!clear.iter().any(|text| detail.contains(text)), "{detail}");
        }
        assert_eq!(server.status_with(STANDARD_KEY, &format!("/nowhere?{query}")), 404);
    }
    let audit = site.audit_of(14);
    assert_eq!(audit.len(), 14);
    let audit = Value::from(audit).to_string();
    let store = String::from_utf8_lossy(&site.store_content()).into_owned();
    let log = server.said();
    for (place, content) in [("audit", audit), ("store", store), ("log", log)] {
        assert!(!clear.iter().any(|text| content.contains(text)), "{place}: {content}");
    }
}

fn every_refusal_leaves_one_record_with_its_reason(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_FEATURES", "users:export_full");
    let server = site.serve();
    let mut reasons = Vec::new();
    for (target, key, status) in [
        (MINIMAL.to_owned(), Some(STANDARD_KEY), 403),
        (FULL.to_owned(), None, 401),
        (FULL.to_owned(), Some("no-such-key-as-this-one"), 401),
        (FULL.to_owned(), Some(STANDARD_KEY), 403),
        (format!("{FULL}?format=xml"), Some(EXPORT_KEY), 400),
    ] {
        let mut request = server.request(Method::GET, &target);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = Answer::to(request);
        assert_eq!(answer.status, status, "{target}");
        let seen = reasons.len() + 1;
        let records = site.audit_of(seen);
        assert_eq!(records.len(), seen);
        let record = &records[0];
        assert_eq!(record["outcome"], "denied", "{record}");
        assert_eq!(record["request_id"], answer.header("x-request-id"));
        assert_eq!(record["client"], "127.0.0.1");
        assert_eq!(record["endpoint"], target.split('?').next().unwrap());
        reasons.push(record["reason"].as_str().unwrap().to_owned());
    }
    assert!(reasons.iter().all(|reason| !reason.is_empty()));
    assert_ne!(reasons[0], reasons[3], "a flag that is off is no lack of a grant");
}

fn requests_that_reach_no_export_leave_none(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for target in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/nowhere",
        "/api/v1/users/export-alive",
        "/api/v1/users/export-simple",
    ] {
        server.get(target);
    }
    assert!(site.audit().is_empty());
}

fn an_export_by_command_is_recorded(db: Db) {
    let site = Site::with_people(db);
    let minimal = site.done(&["export", "minimal", "--email", "ada@example.com"]);
    let record = the_only_record(&site);
    assert_eq!(record["endpoint"], "cli export minimal");
    assert_eq!(record["client"], "cli");
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["rows"], 1);
    assert_eq!(record["bytes"], minimal.len());
    assert_eq!(record["sha256"], sha256(&minimal));
    assert!(record["key_id"].is_null() && record["key_name"].is_null());
    assert!(is_keyed_hash(&record["filters"]["email"]), "{record}");
    assert_eq!(record["filters"].as_object().unwrap().len(), 1);

    site.done(&["export", "full", "-o", "users.csv"]);
    assert_eq!(site.audit()[0]["endpoint"], "cli export full");
}

fn the_list_is_newest_first_and_can_be_cut(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let mut exports: Vec<String> = (0..5)
        .map(|_| {
            let answer = server.get_with(STANDARD_KEY, MINIMAL);
            let export = answer.header("x-export-id");
            site.settled(export);
            export.to_owned()
        })
        .collect();
    exports.reverse();
    let ids = |arguments: &[&str]| {
        let records = site.json(arguments);
        let ids = records.as_array().unwrap().iter().map(|record| {
            let id = record["id"].as_str().unwrap();
            id.to_owned()
        });
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&["audit", "list", "--json"]), exports);
    assert_eq!(ids(&["audit", "list", "--json", "--limit", "2"]), exports[..2]);
    let table = site.done(&["audit", "list"]);
    assert!(table.contains("completed"), "{table}");
}

fn export_through(server: &Server, forwarded_for: &[u8]) -> RequestBuilder {
    let forwarded_for = HeaderValue::from_bytes(forwarded_for).unwrap();
    let request = server.request(Method::GET, MINIMAL);
    request.bearer_auth(STANDARD_KEY).header("x-forwarded-for", forwarded_for)
}

fn the_client_is_the_peer_unless_a_proxy_is_trusted(db: Db) {
    let site = Site::with_people(db);
    let client = |trusted: &str, forwarded_for: &[u8]| {
        site.configure(&format!("trusted_proxies = {trusted}\n"));
        let answer = Answer::to(export_through(&site.serve(), forwarded_for));
        site.settled(answer.header("x-export-id"))["client"].clone()
    };
    let chain = b"203.0.113.7, 198.51.100.9";
    assert_eq!(client("[]", chain), "127.0.0.1");
    assert_eq!(client("[\"10.0.0.0/8\"]", chain), "127.0.0.1");
    assert_eq!(client("[\"127.0.0.1/32\"]", chain), "198.51.100.9");
    assert_eq!(client("[\"127.0.0.1/32\", \"198.51.100.0/24\"]", chain), "203.0.113.7");
    site.configure("trusted_proxies = [\"127.0.0.1\"]\n");
    let server = site.serve();
    for (chain, last) in [
        (&b"\xe9\xff, 198.51.100.9"[..], "198.51.100.9"),
        (b"203.0.113.7, 198.51.100.9:5678", "198.51.100.9"),
        (b"203.0.113.7, \"198.51.100.9:5678\"", "198.51.100.9"),
        (b"203.0.113.7, [2001:db8::7%eth0]:80", "2001:db8::7"),
        (b"203.0.113.7, [2001:db8::1]:5678", "2001:db8::1"),
        (b"203.0.113.7, [::1]", "::1"),
        (b"198.51.100.9,, ", "198.51.100.9"),
        (b"203.0.113.7, 198.51.100.9\xff", "127.0.0.1"),
        (b"203.0.113.7, unknown", "127.0.0.1"),
    ] {
        let answer = Answer::to(export_through(&server, chain));
        let record = site.settled(answer.header("x-export-id"));
        assert_eq!(record["client"], last, "{}", chain.escape_ascii());
    }
}

fn an_export_has_one_line_in_the_log(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_LOG_FORMAT", "json");
    let server = site.serve();
    let request = server.request(Method::GET, FULL).bearer_auth(EXPORT_KEY);
    let answer = Answer::to(request.header("x-request-id", "find-this-line"));
    eventually("the line is there", || server.said().contains("find-this-line"));
    site.settled(answer.header("x-export-id"));
    let log = server.said();
    // Of a slow disk there is a line of its own.
    let about_it = |line: &&str| line.contains("find-this-line") && !line.contains("sqlx");
    let mut about = log.lines().filter(about_it);
    let line = about.next().unwrap();
    assert_eq!(about.next(), None);
    serde_json::from_str::<Value>(line).unwrap();
    for part in ["completed", "rows", &answer.body.len().to_string()] {
        assert!(line.contains(part), "{line}");
    }
}

fn a_flood_of_denials_pushes_out_older_denials_and_no_export(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    server.get_with(EXPORT_KEY, MINIMAL).csv();
    site.store_sql(&format!(
        "INSERT INTO headcount_audit (id, time, endpoint, client, filters, outcome, row_count, byte_count, instance) \
         SELECT 'old' || i, i, '/', '192.0.2.1', '{{}}', 'denied', 0, 0, 0 FROM {}",
        db.series(12_000)
    ));
    server.get(MINIMAL).detail(401);
    let records = |outcome: &str| {
        let sql = format!("SELECT count(*) FROM headcount_audit WHERE outcome = '{outcome}'");
        site.store_column(&sql)[0].parse::<i64>().unwrap()
    };
    assert!((10_000..=10_001).contains(&records("denied")), "{}", records("denied"));
    assert_eq!(records("completed"), 1);
    site.done(&["audit", "verify"]);
}

/// Requests with a good key that are answered without an export.
fn looks_leave_one_record_each_and_no_more_of_them_are_kept_than_of_denials(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    server.get_with(EXPORT_KEY, MINIMAL).csv();
    for outcome in ["completed", "failed", "disconnected"] {
        site.store_sql(&format!(
            "INSERT INTO headcount_audit (id, time, endpoint, client, filters, outcome, row_count, byte_count, instance) \
             SELECT '{outcome}' || i, i, '/', '192.0.2.1', '{{}}', '{outcome}', 0, 0, 0 FROM {}",
            db.series(4000)
        ));
    }
    let head = Answer::to(server.request(Method::HEAD, MINIMAL).bearer_auth(STANDARD_KEY));
    assert_eq!(head.status, 200);
    server.get_with(STANDARD_KEY, &format!("{FULL}?preflight=true")).detail(403);
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?preflight=true")).json();
    let count = |sql: &str| {
        site.store_column(&format!("SELECT count(*) FROM headcount_audit WHERE {sql}"))[0]
            .parse::<i64>()
            .unwrap()
    };
    // Each has one, in the order in which they came.
    for (newer, outcome, reason) in
        [(0, "completed", "preflight"), (1, "denied", ""), (2, "completed", "head")]
    {
        let record = &site.audit()[newer];
        assert_eq!(record["outcome"], outcome, "{record}");
        assert!(record["reason"].as_str().unwrap().contains(reason), "{record}");
        assert!(record["sequence"].is_null(), "{record}");
    }
    let kept = count("sequence IS NULL AND outcome <> 'denied'");
    assert!((10_000..=10_005).contains(&kept), "{kept}");
    assert_eq!((count("sequence IS NOT NULL"), count("outcome = 'denied'")), (1, 1));
    assert!(site.done(&["audit", "verify"]).contains("1 settled record,"));
}
