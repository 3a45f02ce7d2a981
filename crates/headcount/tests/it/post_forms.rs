//! Parameters sent as a form body.

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Answer, Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, STANDARD_KEY, Site, raw_exchange,
};

both! {
    a_form_filters_as_the_query_does,
    query_and_form_are_read_together,
    a_name_in_query_and_form_is_repeated,
    a_form_is_checked_as_the_query_is,
    a_form_is_decoded_as_forms_are,
    any_other_content_type_is_refused,
    a_body_of_more_than_64_kib_is_refused,
    a_form_is_not_read_before_the_key_is_good,
    a_body_without_a_post_is_refused,
    nothing_in_the_place_of_a_body_is_none,
}

fn a_form_filters_as_the_query_does(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let answer = server.post_with(STANDARD_KEY, MINIMAL, "email=ada%40example.com");
    assert_eq!(answer.csv(), "id,email,name\r\n1,ada@example.com,Ada Lovelace\r\n");
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let answer = server.post_with(EXPORT_KEY, FULL, "is_active=true&after=1&fields=id");
    assert_eq!(answer.csv(), "id\r\n2\r\n8\r\n");
}

fn query_and_form_are_read_together(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let target = format!("{MINIMAL}?fields=id&limit=2");
    let answer = server.post_with(EXPORT_KEY, &target, "after=1&is_active=true");
    assert_eq!(answer.csv(), "id\r\n2\r\n8\r\n");
}

fn a_name_in_query_and_form_is_repeated(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let target = format!("{MINIMAL}?email=ada@example.com");
    let answer = server.post_with(STANDARD_KEY, &target, "email=ada@example.com");
    assert!(answer.detail(400).contains("email"));
}

fn a_form_is_checked_as_the_query_is(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for (form, culprit) in [
        ("emial=ada@example.com", "emial"),
        ("email=a&email=b", "email"),
        ("limit=0", "limit"),
        ("fields=password_hash", "password_hash"),
    ] {
        let detail = server.post_with(STANDARD_KEY, MINIMAL, form).detail(400);
        assert!(detail.contains(culprit), "{detail}");
    }
    assert_eq!(
        server.post_with(STANDARD_KEY, MINIMAL, "format=xml").detail(400),
        "Unsupported format. Only 'csv' is supported."
    );
}

fn a_form_is_decoded_as_forms_are(db: Db) {
    let site = Site::with_people(db);
    site.sql("INSERT INTO users (id, email) VALUES (9, 'a+b=c@example.com')");
    let server = site.serve();
    let answer = server.post_with(STANDARD_KEY, MINIMAL, "email=a%2Bb%3Dc%40example.com");
    assert_eq!(answer.ids(), ["9"]);
}

fn any_other_content_type_is_refused(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let post = |content_type: Option<&str>, body: &str| {
        let mut request = server.request(Method::POST, FULL).bearer_auth(EXPORT_KEY);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Answer::to(request.body(body.to_owned()))
    };
    post(Some("application/json"), r#"{"email":"ada@example.com"}"#).detail(400);
    post(Some("text/plain"), "email=ada@example.com").detail(400);
    post(None, "email=ada@example.com").detail(400);
    for form in ["application/x-www-form-urlencoded; charset=utf-8", "APPLICATION/X-WWW-FORM-URLENCODED"] {
        assert_eq!(post(Some(form), "limit=9").csv(), PEOPLE_FULL, "{form}");
    }
    assert_eq!(post(None, "").csv(), PEOPLE_FULL);
}

fn a_body_of_more_than_64_kib_is_refused(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let form = |length: usize| format!("email={}", "a".repeat(length - "email=".len()));
    let largest = server.post_with(STANDARD_KEY, MINIMAL, &form(64 * 1024));
    assert!(largest.ids().is_empty());
    let larger = server.post_with(STANDARD_KEY, MINIMAL, &form(64 * 1024 + 1));
    larger.detail(400);
    let record = &site.audit_of(2)[0];
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("denied"), &json!("bad form")));
}

fn a_form_is_not_read_before_the_key_is_good(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let request = server.request(Method::POST, MINIMAL);
    Answer::to(request.body("{}")).detail(401);
    let request = server.request(Method::POST, FULL).bearer_auth(STANDARD_KEY);
    Answer::to(request.body("{}")).detail(403);
}

/// `requests.get(url, data={"email": …})` exported everybody.
fn a_body_without_a_post_is_refused(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_FEATURES", "users:export");
    let server = site.serve();
    let head = format!("Host: localhost\r\nX-API-Key: {STANDARD_KEY}\r\nConnection: close\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\ne\r\n");
    let sized = |length: u64| format!("{head}Content-Length: {length}\r\n\r\n");
    for method in ["GET", "HEAD"] {
        // More than anybody reads, and less than was announced.
        for rest in [chunked.clone(), sized(1) + "x", sized(21) + "email=ada@example.com", sized(1 << 40)] {
            let answer = raw_exchange(&server, &format!("{method} {MINIMAL} HTTP/1.1\r\n{rest}"));
            assert!(answer.starts_with("HTTP/1.1 400 "), "{method}: {answer}");
            assert_eq!(answer.contains("POST"), method == "GET", "{answer}");
        }
    }
    let form = server.request(Method::GET, MINIMAL).bearer_auth(STANDARD_KEY);
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("email=ada@example.com");
    assert!(Answer::to(form).detail(400).contains("query string"));
    let second = server.http2(MINIMAL).bearer_auth(STANDARD_KEY).body("email=ada@example.com");
    assert!(Answer::to(second).detail(400).contains("POST"));

    // Flag, key and grant are asked first.
    let get = |path: &str| server.request(Method::GET, path).body("x");
    assert_eq!(Answer::to(get(FULL).bearer_auth(EXPORT_KEY)).detail(403), "Export feature not enabled");
    Answer::to(get(MINIMAL)).detail(401);
    let records = site.audit_of(12);
    let is_counted =
        |record: &&serde_json::Value| record["outcome"] == "denied" && record["reason"] == "bad form";
    assert_eq!(records.iter().filter(is_counted).count(), 10, "{records:?}");
}

/// As some proxies send it.
fn nothing_in_the_place_of_a_body_is_none(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let head = format!("Host: localhost\r\nX-API-Key: {STANDARD_KEY}\r\nConnection: close\r\n");
    for rest in ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let answer = raw_exchange(&server, &format!("GET {MINIMAL}?limit=1 HTTP/1.1\r\n{head}{rest}"));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Ada Lovelace"), "{answer}");
    }
    let second = server.http2(MINIMAL).bearer_auth(STANDARD_KEY).body("");
    assert_eq!(Answer::to(second).csv(), PEOPLE_MINIMAL);
}
