//! What the four endpoints answer.

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    ALIVE, Answer, Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, SIMPLE, STANDARD_KEY, Site,
    raw_exchange,
};

both! {
    the_minimal_export_has_three_columns,
    the_full_export_has_seven_columns,
    an_export_of_nobody_is_the_header_alone,
    status_endpoints_answer_fixed_json_without_a_key,
    head_says_what_get_would_and_sends_nothing,
    a_post_without_a_body_is_an_export_of_everybody,
    unknown_routes_are_json_404,
    wrong_methods_are_json_405_with_allow,
    http_1_0_cannot_export,
}

fn the_minimal_export_has_three_columns(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
    assert_eq!(server.get_with(EXPORT_KEY, MINIMAL).csv(), PEOPLE_MINIMAL);
}

fn the_full_export_has_seven_columns(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
}

fn an_export_of_nobody_is_the_header_alone(db: Db) {
    let site = Site::with_empty_table(db);
    let server = site.serve();
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), "id,email,name\r\n");
    assert_eq!(
        server.get_with(EXPORT_KEY, FULL).csv(),
        "id,email,name,created_at,updated_at,is_active,is_admin\r\n"
    );
}

fn status_endpoints_answer_fixed_json_without_a_key(db: Db) {
    let site = Site::with_empty_table(db);
    let server = site.serve();
    for (path, body) in
        [(ALIVE, r#"{"status":"users export alive"}"#), (SIMPLE, r#"{"users":"export simple status"}"#)]
    {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
        assert!(answer.header("content-type").starts_with("application/json"));
        let head = Answer::to(server.request(Method::HEAD, path));
        assert_eq!((head.status, head.text().as_str()), (200, ""));
    }
}

fn head_says_what_get_would_and_sends_nothing(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let head = |key: &str, target: &str| Answer::to(server.request(Method::HEAD, target).bearer_auth(key));

    let answer = head(EXPORT_KEY, FULL);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(answer.header("content-disposition"), r#"attachment; filename="users_full_export.csv""#);
    assert_eq!(answer.header("cache-control"), "no-store");
    let record = site.settled(answer.header("x-export-id"));
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["rows"], 0);

    assert_eq!(head("no-such-key-as-this-one", FULL).status, 401);
    assert_eq!(head(STANDARD_KEY, FULL).status, 403);
    assert_eq!(head(EXPORT_KEY, &format!("{FULL}?format=json")).status, 400);
}

fn a_post_without_a_body_is_an_export_of_everybody(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let post = server.request(Method::POST, MINIMAL);
    let answer = Answer::to(post.bearer_auth(STANDARD_KEY));
    assert_eq!(answer.csv(), PEOPLE_MINIMAL);
    assert_eq!(server.post_with(EXPORT_KEY, FULL, "").csv(), PEOPLE_FULL);
}

fn unknown_routes_are_json_404(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for target in [
        "/",
        "/api",
        "/api/v1/users",
        "/api/v1/users/exports/",
        "/api/v1/users/export/",
        "/api/v1/users/export/1",
        "/API/v1/users/export",
        "/api/v2/users/export",
    ] {
        server.get_with(EXPORT_KEY, target).detail(404);
    }
    assert!(site.audit().is_empty());
}

fn wrong_methods_are_json_405_with_allow(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    let server = site.serve();
    for (path, methods) in
        [(MINIMAL, "GET,HEAD,POST"), (FULL, "GET,HEAD,POST"), (ALIVE, "GET,HEAD"), (SIMPLE, "GET,HEAD")]
    {
        let answer = Answer::to(server.request(Method::DELETE, path));
        answer.detail(405);
        let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), methods, "{path}");
        Answer::to(server.request(Method::PUT, path)).detail(405);
    }
    Answer::to(server.request(Method::POST, ALIVE)).detail(405);
    assert!(site.audit().is_empty());
}

/// HTTP/1.0 ends a body of unknown length by closing, so a cut would look complete.
fn http_1_0_cannot_export(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let request = format!("GET {MINIMAL} HTTP/1.0\r\nX-API-Key: {STANDARD_KEY}\r\n\r\n");
    let answer = raw_exchange(&server, &request);
    assert_eq!(answer.split(' ').nth(1), Some("505"), "{answer}");
    assert!(!answer.contains("ada@example.com"), "{answer}");
    let record = &site.audit_of(1)[0];
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("denied"), &json!("http version")));
}
