//! What one address, one key, or a flood may use up.

use reqwest::Method;

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site};

both! {
    too_many_failed_keys_block_their_address,
    every_further_failure_doubles_the_wait,
    a_good_key_does_not_make_the_wrong_ones_forgotten,
    a_missing_key_is_no_failed_key,
    a_good_key_passes_while_its_address_is_blocked,
    a_key_over_its_rate_has_to_wait,
}

fn assert_must_wait(answer: &Answer) {
    answer.detail(429);
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

fn with_three_attempts(db: Db) -> Site {
    let site = Site::with_people(db).storing_in_sqlite();
    site.configure("[limits]\nfailed_keys_per_minute = 3\n");
    site
}

fn fail_until_blocked(server: &Server) {
    for attempt in 1..=3 {
        let key = format!("wrong-key-of-attempt-{attempt}");
        server.get_with(&key, MINIMAL).detail(401);
    }
    let answer = server.get_with("wrong-key-of-attempt-4", MINIMAL);
    let blocked =
        if answer.status == 401 { server.get_with("wrong-key-of-attempt-5", MINIMAL) } else { answer };
    assert_must_wait(&blocked);
}

fn too_many_failed_keys_block_their_address(db: Db) {
    let site = with_three_attempts(db);
    let server = site.serve();
    fail_until_blocked(&server);
    assert_must_wait(&server.get_with("wrong-key-of-another-form", FULL));
    assert_eq!(server.get("/healthz").status, 200);
    let audit = site.audit_of(4);
    assert!(audit.iter().all(|record| record["outcome"] == "denied"));
}

/// A key of the right form, which is looked at from a blocked address, too.
fn revoked_key(site: &Site) -> String {
    let key = site.create_key(&["revoked", "--kind", "standard"]);
    site.done(&["keys", "revoke", &site.key_id("revoked")]);
    key
}

fn every_further_failure_doubles_the_wait(db: Db) {
    let site = with_three_attempts(db);
    let key = revoked_key(&site);
    let server = site.serve();
    for _ in 0..3 {
        server.get_with(&key, MINIMAL).detail(401);
    }
    for wait in ["1", "2", "4", "8", "16", "32", "64"] {
        let answer = server.get_with(&key, MINIMAL);
        answer.detail(429);
        assert_eq!(answer.header("retry-after"), wait);
    }
    let blocked = server.get_with("wrong-key-that-is-not-looked-at", MINIMAL);
    blocked.detail(429);
    let left: u32 = blocked.header("retry-after").parse().unwrap();
    assert!((1..=64).contains(&left), "{left}");
}

fn a_good_key_does_not_make_the_wrong_ones_forgotten(db: Db) {
    let site = with_three_attempts(db);
    let key = site.create_key(&["reader", "--kind", "standard"]);
    let server = site.serve();
    for attempt in 1..=3 {
        server.get_with(&format!("wrong-key-of-attempt-{attempt}"), MINIMAL).detail(401);
        for good in [STANDARD_KEY, &key] {
            assert_eq!(server.status_with(good, MINIMAL), 200);
        }
    }
    assert_must_wait(&server.get_with("wrong-key-of-attempt-4", MINIMAL));
}

fn a_missing_key_is_no_failed_key(db: Db) {
    let site = with_three_attempts(db);
    let server = site.serve();
    for _ in 0..10 {
        server.get(MINIMAL).detail(401);
    }
    assert_eq!(server.status_with(STANDARD_KEY, MINIMAL), 200);
}

fn a_good_key_passes_while_its_address_is_blocked(db: Db) {
    let site = with_three_attempts(db);
    let server = site.serve();
    let key = site.create_key(&["reader", "--kind", "standard"]);
    fail_until_blocked(&server);
    for good in [&key, STANDARD_KEY, EXPORT_KEY] {
        assert_eq!(server.status_with(good, MINIMAL), 200);
    }
    let twice =
        server.request(Method::GET, MINIMAL).bearer_auth(STANDARD_KEY).header("x-api-key", STANDARD_KEY);
    assert_eq!(Answer::to(twice).status, 200);
    assert_must_wait(&server.get_with("wrong-key-of-attempt-6", MINIMAL));
    let receipt = server.get_with(STANDARD_KEY, "/api/v1/users/exports/00000000000000000000000000");
    assert_eq!(receipt.status, 404);
}

fn a_key_over_its_rate_has_to_wait(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    site.configure("[limits]\nrequests_per_minute = 2\n");
    let server = site.serve();
    for _ in 0..2 {
        assert_eq!(server.status_with(STANDARD_KEY, MINIMAL), 200);
    }
    assert_must_wait(&server.get_with(STANDARD_KEY, MINIMAL));
    let record = &site.audit_of(3)[0];
    assert_eq!(record["outcome"], "denied", "{record}");
    assert_eq!(record["reason"], "too many requests");
    assert_eq!(server.status_with(EXPORT_KEY, MINIMAL), 200);
}
