//! Requests for a part of an export: the next export may differ, and a client would join the two.

use reqwest::Method;
use reqwest::header::HeaderValue;

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site};

both! {
    an_export_has_no_ranges,
    a_range_is_looked_at_where_parameters_are,
}

fn with_range(server: &Server, method: Method, key: &str, target: &str, range: &[u8]) -> Answer {
    let range = HeaderValue::from_bytes(range).unwrap();
    Answer::to(server.request(method, target).bearer_auth(key).header("range", range))
}

fn an_export_has_no_ranges(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    let ranges: &[&[u8]] =
        &[b"bytes=0-", b"bytes=10-20", b"bytes=-5", b"bytes=5-2", b"pages=1", b"", b"\xff"];
    for range in ranges {
        let refused = with_range(&server, Method::GET, STANDARD_KEY, MINIMAL, range);
        let detail = refused.detail(400);
        assert!(detail.contains("Range") && detail.contains("wget"), "{detail}");
        assert_eq!(refused.header("x-request-id").len(), 26);
        assert_eq!(refused.header("cache-control"), "no-store");
        assert!(!refused.headers.contains_key("content-range"));
    }
    let post = server.request(Method::POST, MINIMAL).bearer_auth(STANDARD_KEY).header("range", "bytes=9-");
    Answer::to(post).detail(400);
    let target = format!("{MINIMAL}?preflight=true");
    with_range(&server, Method::GET, STANDARD_KEY, &target, b"bytes=9-").detail(400);
    assert_eq!(with_range(&server, Method::HEAD, STANDARD_KEY, MINIMAL, b"bytes=9-").status, 400);
    let audit = site.audit_of(ranges.len() + 3);
    assert!(
        audit.iter().all(|record| record["outcome"] == "denied" && record["reason"] == "range"),
        "{audit:?}"
    );
    assert!(audit.iter().all(|record| record["key_id"].as_str().unwrap().starts_with("env:standard:")));
    assert_eq!(with_range(&server, Method::GET, "", "/healthz", b"bytes=0-").status, 200);
}

fn a_range_is_looked_at_where_parameters_are(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    let ask = |server: &Server, key, target: &str| with_range(server, Method::GET, key, target, b"bytes=1-");
    ask(&server, "no-such-key-as-this-one", MINIMAL).detail(401);
    assert!(ask(&server, STANDARD_KEY, FULL).detail(403).contains("grant"));
    ask(&server, EXPORT_KEY, FULL).detail(400);
    drop(server);
    site.unset("HEADCOUNT_FEATURES");
    assert_eq!(ask(&site.serve(), EXPORT_KEY, FULL).detail(403), "Export feature not enabled");
}
