//! Which error wins when several would fit, and what it says.

use reqwest::Method;

use crate::harness::{
    ALIVE, APP_READER, Answer, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, PEOPLE_FULL, SIMPLE,
    STANDARD_KEY, Site, eventually,
};

both! {
    a_switched_off_endpoint_says_so_to_everyone,
    without_a_key_nothing_is_said_of_parameters,
    without_the_grant_nothing_is_said_of_parameters,
    parameters_are_refused_before_capacity,
    capacity_is_refused_before_the_source_is_asked,
    a_source_out_of_reach_is_503_until_it_is_back,
    a_broken_source_tells_the_client_nothing,
}

fn a_switched_off_endpoint_says_so_to_everyone(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    let server = site.serve();
    for path in [MINIMAL, FULL, ALIVE, SIMPLE] {
        for query in ["", "?format=json", "?emial=x"] {
            let target = format!("{path}{query}");
            for answer in [
                server.get(&target),
                server.get_with(EXPORT_KEY, &target),
                server.get_with(STANDARD_KEY, &target),
                server.get_with("no-such-key-as-this-one", &target),
            ] {
                assert_eq!(answer.detail(403), "Export feature not enabled");
            }
        }
    }
    let post = server.post_with(EXPORT_KEY, FULL, "limit=0");
    assert_eq!(post.detail(403), "Export feature not enabled");
}

fn without_a_key_nothing_is_said_of_parameters(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for path in [MINIMAL, FULL] {
        for query in ["", "?format=json", "?emial=x", "?limit=0"] {
            let answer = server.get(&format!("{path}{query}"));
            assert_eq!(answer.detail(401), "Invalid or missing API key");
        }
    }
}

fn without_the_grant_nothing_is_said_of_parameters(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for query in ["", "?format=json", "?emial=x"] {
        let answer = server.get_with(STANDARD_KEY, &format!("{FULL}{query}"));
        assert_eq!(answer.detail(403), "API key lacks the grant 'users:export_full'");
    }
}

fn parameters_are_refused_before_capacity(db: Db) {
    let mut site = Site::with_wide_users(db);
    site.configure(HELD);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "1");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let target = format!("{MINIMAL}?limit=0");
    server.get_with(STANDARD_KEY, &target).detail(400);
    server.get(&target).detail(401);
    server.get_with(STANDARD_KEY, MINIMAL).detail(503);
    assert!(running.rest().complete);
}

fn capacity_is_refused_before_the_source_is_asked(db: Db) {
    let mut site = Site::with_wide_users(db);
    site.configure(HELD);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "1");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let answer = server.get_with(EXPORT_KEY, FULL);
    answer.detail(503);
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!(wait >= 1);
    for path in ["/healthz", ALIVE] {
        assert_eq!(server.get(path).status, 200);
    }
    drop(running);
    eventually("the slot is free again", || {
        server.status_with(STANDARD_KEY, &format!("{MINIMAL}?limit=1")) == 200
    });
}

/// Takes the source away, or brings it back, without a trace in the store.
fn set_source_reachable(site: &Site, reachable: bool) {
    let (there, away) = (site.sqlite_source(), site.path("app/away.db"));
    match (site.db, reachable) {
        (Db::Sqlite, false) => std::fs::rename(there, away).unwrap(),
        (Db::Sqlite, true) => std::fs::rename(away, there).unwrap(),
        (Db::Postgres, false) => site.database().cut_off(APP_READER),
        (Db::Postgres, true) => site.database().let_in_again(APP_READER),
    }
}

fn a_source_out_of_reach_is_503_until_it_is_back(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);

    set_source_reachable(&site, false);
    let answer = server.get_with(EXPORT_KEY, FULL);
    answer.detail(503);
    assert!(answer.headers.contains_key("retry-after"));
    let bad = server.get_with(EXPORT_KEY, &format!("{FULL}?format=json"));
    bad.detail(400);
    server.eventually_lacks("source");
    assert_eq!(server.get("/healthz").status, 200);
    let audit = site.audit();
    assert!(audit.iter().any(|record| record["outcome"] == "failed"));

    set_source_reachable(&site, true);
    eventually("the next export succeeds", || {
        let answer = server.get_with(EXPORT_KEY, FULL);
        answer.status == 200 && answer.text() == PEOPLE_FULL
    });
    server.eventually_ready();
}

fn a_broken_source_tells_the_client_nothing(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    site.sql("ALTER TABLE users RENAME COLUMN is_admin TO is_superuser");
    let request = server.request(Method::GET, FULL);
    let answer = Answer::to(request.bearer_auth(EXPORT_KEY).header("x-request-id", "look-me-up"));
    let (status, detail) = answer.refusal();
    assert!([500, 503].contains(&status), "{status}");
    assert!(!detail.contains("is_admin"), "{detail}");
    if status == 500 {
        assert_eq!(detail, "Internal server error");
    }
    eventually("the log says why", || {
        server.said().lines().any(|line| line.contains("look-me-up") && line.contains("is_admin"))
    });
}
