//! `preflight=true`: an export is described instead of run.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    APP_READER, Answer, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, PEOPLE_FULL, STANDARD_KEY, Site,
    is_keyed_hash,
};

both! {
    every_way_to_ask_gives_the_same_answer,
    a_head_is_answered_without_a_body,
    each_look_leaves_one_record,
    flag_key_grant_and_parameters_are_asked_first,
    preflight_is_true_or_false,
    masks_and_sensitivity_are_shown,
    filters_are_shown_as_the_audit_keeps_them,
    nothing_of_a_user_is_told,
    a_source_out_of_reach_is_503,
    busy_slots_are_503,
    a_bad_after_is_refused_as_the_export_would_be,
    a_bad_after_is_bad_usage,
}

fn full(query: &str) -> String {
    format!("{FULL}?preflight=true{query}")
}

fn every_way_to_ask_gives_the_same_answer(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let answer = server.get_with(EXPORT_KEY, &full("&is_active=true&limit=3"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("application/json"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.headers.contains_key("content-disposition"));
    let got = answer.json();
    let mut members: Vec<_> = got.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let expected = [
        "columns",
        "conditions",
        "estimated_bytes",
        "estimated_rows",
        "export",
        "filters",
        "sorts",
        "uses_index",
    ];
    assert_eq!(members, expected);
    assert_eq!(got["export"], "full");
    let columns: Vec<_> =
        got["columns"].as_array().unwrap().iter().map(|column| column["name"].clone()).collect();
    let names = ["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"];
    assert_eq!(columns, names);

    let posted = server.post_with(EXPORT_KEY, FULL, "preflight=true&is_active=true&limit=3");
    assert_eq!(posted.json(), got);
    let mixed = server.post_with(EXPORT_KEY, &full(""), "is_active=true&limit=3");
    assert_eq!(mixed.json(), got);
    assert_eq!(site.json(&["export", "full", "--preflight", "--is-active=true", "--limit=3"]), got);
    let minimal = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?preflight=true&fields=name"));
    assert_eq!(minimal.json()["columns"].as_array().unwrap().len(), 1);
    assert_eq!(minimal.json()["export"], "minimal");
}

fn a_head_is_answered_without_a_body(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let answer = Answer::to(server.request(Method::HEAD, &full("")).bearer_auth(EXPORT_KEY));
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_empty());
    assert!(answer.header("content-type").starts_with("application/json"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let record = site.audit_record(answer.header("x-export-id"));
    assert_eq!(record["reason"], "preflight", "{record}");
    assert_eq!(site.audit().len(), 1);
}

fn assert_recorded(record: &Value) {
    assert_eq!(record["outcome"], "completed", "{record}");
    assert_eq!(record["reason"], "preflight", "{record}");
    assert_eq!(record["rows"], 0, "{record}");
    assert_eq!(record["bytes"], 0, "{record}");
    assert_eq!(record["filters"]["preflight"], true, "{record}");
}

fn each_look_leaves_one_record(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let answer = server.get_with(EXPORT_KEY, &full("&limit=2"));
    assert_eq!(answer.status, 200);
    let audit = site.audit();
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_recorded(&audit[0]);
    assert_eq!(audit[0]["id"], answer.header("x-export-id"));
    assert_eq!(audit[0]["endpoint"], FULL);
    assert_eq!(audit[0]["filters"]["limit"], 2);
    site.done(&["export", "full", "--preflight"]);
    let audit = site.audit();
    assert_eq!(audit.len(), 2, "{audit:?}");
    assert_recorded(&audit[0]);
    assert_eq!(audit[0]["endpoint"], "cli export full");
}

fn flag_key_grant_and_parameters_are_asked_first(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_FEATURES", "users:export_full");
    let server = site.serve();
    // Behind each there is another reason to refuse, and no table at all.
    site.sql("DROP TABLE users");
    let bad = "&limit=0";
    let off = format!("{MINIMAL}?preflight=true{bad}");
    assert_eq!(server.get(&off).detail(403), "Export feature not enabled");
    assert_eq!(server.get_with(EXPORT_KEY, &off).detail(403), "Export feature not enabled");
    assert_eq!(server.get(&full(bad)).detail(401), "Invalid or missing API key");
    assert_eq!(
        server.get_with(STANDARD_KEY, &full(bad)).detail(403),
        "API key lacks the grant 'users:export_full'"
    );
    assert!(server.get_with(EXPORT_KEY, &full(bad)).detail(400).contains("'limit'"));
    server.get_with(EXPORT_KEY, &full("")).detail(503);
    let outcomes: Vec<_> = site.audit_of(6).iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "denied", "denied", "denied", "denied", "denied"]);
    let finished = site.run(&["export", "full", "--preflight", "--limit=0"]);
    assert_eq!(finished.code, Some(2));
    let finished = site.run(&["export", "full", "--preflight"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stdout.is_empty());
    let finished = site.run(&["export", "full", "--preflight", "-o", "users.csv"]);
    assert_eq!(finished.code, Some(2));
}

fn preflight_is_true_or_false(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?preflight=false")).csv(), PEOPLE_FULL);
    let audit = site.audit_of(1);
    assert_eq!(audit[0]["rows"], 5, "{}", audit[0]);
    assert!(audit[0]["filters"].get("preflight").is_none(), "{}", audit[0]);
    for value in ["maybe", "", "1", "TRUE", "yes"] {
        let detail = server.get_with(EXPORT_KEY, &format!("{FULL}?preflight={value}")).detail(400);
        assert!(detail.contains("'preflight'"), "{detail}");
    }
    server.get_with(EXPORT_KEY, &full("&preflight=true")).detail(400);
    server.post_with(EXPORT_KEY, &full(""), "preflight=false").detail(400);
}

fn masks_and_sensitivity_are_shown(db: Db) {
    let mut site = Site::with_members(db);
    let key = site.declare(
        &format!(
            "{}[exports.support]\ncolumns = ['id', 'email', 'team', {{ column = 'phone', as = 'Call me' }}, 'name']\n\
             [exports.support.mask]\nemail = 'pseudonym'\nphone = 'partial'\nname = 'redact'\n",
            crate::harness::MEMBERS
        ),
        &["support"],
    );
    let server = site.serve();
    let path = "/api/v1/users/exports/profiles/support";
    let answer = server.get_with(&key, &format!("{path}?preflight=true"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!([
        {"name": "id", "sensitivity": "identifier", "mask": null},
        {"name": "email", "sensitivity": "personal", "mask": "pseudonym"},
        {"name": "team", "sensitivity": "other", "mask": null},
        {"name": "Call me", "sensitivity": "personal", "mask": "partial"},
        {"name": "name", "sensitivity": "personal", "mask": "redact"},
    ]);
    assert_eq!(answer.json()["columns"], expected);
    assert_eq!(answer.json()["export"], "support");
    assert_eq!(site.json(&["export", "support", "--preflight"]), answer.json());
    let some = server.get_with(&key, &format!("{path}?preflight=true&fields=Call%20me,id"));
    assert_eq!(some.json()["columns"], json!([expected[3], expected[0]]));
}

fn filters_are_shown_as_the_audit_keeps_them(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let query = "&email=ada%40example.com&created_after=2025-01-01T02:00:00%2B02:00&is_admin=false&after=0\
                 &fields=name,id&sanitize=false&bom=true";
    let answer = server.get_with(EXPORT_KEY, &full(query));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let filters = answer.json()["filters"].clone();
    assert!(is_keyed_hash(&filters["email"]), "{filters}");
    assert_eq!(filters["created_after"], "2025-01-01T00:00:00Z");
    assert_eq!(filters["is_admin"], false);
    assert_eq!(filters["fields"], "name,id");
    assert_eq!(site.audit()[0]["filters"], filters);
    assert!(!answer.text().contains("ada@"), "{}", answer.text());
}

fn nothing_of_a_user_is_told(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let mut said = String::new();
    for query in ["", "&limit=1", "&email=grace@example.com", "&sanitize=false"] {
        let answer = server.get_with(EXPORT_KEY, &full(query));
        assert_eq!(answer.status, 200, "{}", answer.text());
        said += &answer.text();
    }
    said += &site.done(&["export", "full", "--preflight", "--email", "grace@example.com"]);
    said += &server.said();
    for told in ["example.com", "Lovelace", "Hopper", "HYPERLINK", "2025-01-08", "Zoë"] {
        assert!(!said.contains(told), "{told}: {said}");
    }
}

fn a_source_out_of_reach_is_503(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    match db {
        Db::Sqlite => std::fs::remove_file(site.sqlite_source()).unwrap(),
        Db::Postgres => site.database().cut_off(APP_READER),
    }
    for method in [Method::GET, Method::POST] {
        let answer = Answer::to(server.request(method, &full("")).bearer_auth(EXPORT_KEY));
        answer.detail(503);
        assert!(answer.headers.contains_key("retry-after"));
    }
    let head = Answer::to(server.request(Method::HEAD, &full("")).bearer_auth(EXPORT_KEY));
    assert_eq!(head.status, 503);
    let audit = site.audit_of(3);
    assert_eq!(audit.len(), 3, "{audit:?}");
    assert!(audit.iter().all(|record| record["outcome"] == "failed" && record["rows"] == 0), "{audit:?}");
    if db == Db::Postgres {
        site.database().let_in_again(APP_READER);
    }
}

fn busy_slots_are_503(db: Db) {
    let mut site = Site::with_wide_users(db);
    site.configure(HELD);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "1");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let answer = server.get_with(EXPORT_KEY, &full(""));
    assert!(answer.detail(503).contains("busy"));
    assert!(answer.headers.contains_key("retry-after"));
    server.get_with(EXPORT_KEY, &full("&limit=0")).detail(400);
    assert!(running.rest().complete);
    let target = full("");
    crate::harness::eventually("the slot is free again", || server.status_with(EXPORT_KEY, &target) == 200);
    for _ in 0..3 {
        assert_eq!(server.status_with(EXPORT_KEY, &target), 200, "a look keeps its slot");
    }
}

fn a_bad_after_is_refused_as_the_export_would_be(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let exported = server.get_with(EXPORT_KEY, &format!("{FULL}?after=x")).detail(400);
    assert_eq!(server.get_with(EXPORT_KEY, &full("&after=x")).detail(400), exported);
}

fn a_bad_after_is_bad_usage(db: Db) {
    let site = Site::with_people(db);
    for arguments in [&["export", "full", "--after=x"][..], &["export", "full", "--after=x", "--preflight"]] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stdout.is_empty(), "{arguments:?}");
    }
}
