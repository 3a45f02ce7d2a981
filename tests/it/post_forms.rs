//! Parameters sent as a form body.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, STANDARD_KEY, Site};

both! {
    a_form_filters_as_the_query_does,
    query_and_form_are_read_together,
    a_name_in_query_and_form_is_repeated,
    a_form_is_checked_as_the_query_is,
    a_form_is_decoded_as_forms_are,
    any_other_content_type_is_refused,
    a_body_of_more_than_64_kib_is_refused,
    a_form_is_not_read_before_the_key_is_good,
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
    let answer = server.post_with(STANDARD_KEY, &target, "after=1&is_active=true");
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
    site.sql("INSERT INTO users (id, email) VALUES (9, 'a+b c@example.com')");
    let server = site.serve();
    let answer = server.post_with(STANDARD_KEY, MINIMAL, "email=a%2Bb+c%40example.com");
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
