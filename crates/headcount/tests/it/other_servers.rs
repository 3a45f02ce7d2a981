//! Servers that speak PostgreSQL's protocol, and do not know all that it knows.

use reqwest::Method;

use crate::harness::{Answer, EXPORT_KEY, FULL, HELD, Outage, Proxy};

/// What some of them have no words for: plans, sizes, and snapshots that sessions share.
const UNKNOWN: [&str; 5] =
    ["FORMAT TEXT", "FORMAT JSON", "effective_cache_size", "pg_relation_size", "TRANSACTION SNAPSHOT"];

#[test]
fn what_is_only_advice_may_fail() {
    let outage = Outage::with_users(60_000);
    let proxy = Proxy::to(outage.port());
    let site = outage.plain_site_through(proxy.port());
    site.configure(&format!("[source]\nparallelism = 4\n{HELD}"));
    let expected = site.done(&["export", "full"]);
    for missing in [&UNKNOWN[..1], &UNKNOWN[1..2], &UNKNOWN[2..3], &UNKNOWN[3..4], &UNKNOWN[4..], &UNKNOWN] {
        proxy.make_unknown(missing);
        let server = site.serve();
        server.eventually_ready();
        assert!(server.get_with(EXPORT_KEY, FULL).csv() == expected, "{missing:?}");
        assert_eq!(
            Answer::to(server.request(Method::HEAD, FULL).bearer_auth(EXPORT_KEY)).status,
            200,
            "{missing:?}"
        );
        let preflight = server.get_with(EXPORT_KEY, &format!("{FULL}?preflight=true")).json();
        let is_told = !missing.contains(&"FORMAT JSON") && !missing.contains(&"pg_relation_size");
        for member in ["estimated_rows", "uses_index", "sorts"] {
            assert_eq!(preflight[member].is_null(), !is_told, "{missing:?}: {preflight}");
        }
        let page = server.get_with(EXPORT_KEY, &format!("{FULL}?limit=2&after=41"));
        assert_eq!(page.ids(), ["42", "43"], "{missing:?}");
        let findings = site.findings();
        assert!(findings.of("problem").is_empty(), "{missing:?}: {findings:?}");
    }
}

/// That a server does not explain how it reads does not mean that the role may read.
#[test]
fn what_is_denied_is_denied_without_plans() {
    let outage = Outage::with_users(10);
    let proxy = Proxy::to(outage.port());
    proxy.make_unknown(&UNKNOWN);
    let site = outage.plain_site_through(proxy.port());
    outage.connect().batch_execute("REVOKE SELECT ON users FROM app_reader").unwrap();
    let server = site.serve();
    assert_eq!(server.get("/readyz").status, 503);
    let findings = site.findings();
    assert!(findings.texts("problem", "mapping").concat().contains("42501"), "{findings:?}");
}
