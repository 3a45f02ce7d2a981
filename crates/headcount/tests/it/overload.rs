//! More exports than slots: a short queue, in order, and an answer for everybody else.

use std::io::Write;
use std::net::TcpStream;
use std::thread::{Scope, ScopedJoinHandle};

use crate::harness::{
    ALIVE, Answer, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, STANDARD_KEY, Server, Site, connect,
    eventually,
};

both! {
    a_request_waits_for_a_slot,
    who_came_first_is_served_first,
    one_key_does_not_fill_the_queue,
    who_leaves_the_queue_gives_the_place_back,
    who_waits_too_long_is_refused,
    a_key_may_have_a_limit_of_its_own,
    a_key_has_half_of_the_slots_while_others_wait,
    a_key_that_has_half_leaves_the_last_slot_to_others,
    of_few_slots_a_key_may_have_all,
    slow_clients_keep_no_slots,
    slow_clients_of_one_key_keep_nobody_else_out,
    a_full_spool_keeps_nobody_else_out,
    everything_else_is_answered_under_load,
}

const PAGE: &str = "/api/v1/users/export?limit=1&fields=id";

fn with_one_slot(db: Db, more: &str) -> Site {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}concurrent_exports = 1\nqueue_timeout = \"1h\"\n{more}"));
    site
}

fn eventually_wait(server: &Server, n: f64) {
    eventually(&format!("{n} requests wait"), || {
        (server.metric("headcount_exports_waiting", &[]) - n).abs() < f64::EPSILON
    });
}

fn ask<'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &'scope Server,
    key: &'scope str,
) -> ScopedJoinHandle<'scope, Answer> {
    scope.spawn(move || server.get_with(key, PAGE))
}

fn a_request_waits_for_a_slot(db: Db) {
    let site = with_one_slot(db, "");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    std::thread::scope(|scope| {
        let waiting = ask(scope, &server, STANDARD_KEY);
        eventually_wait(&server, 1.0);
        drop(running);
        assert_eq!(waiting.join().unwrap().ids(), ["1"]);
    });
    eventually_wait(&server, 0.0);
}

fn who_came_first_is_served_first(db: Db) {
    let site = with_one_slot(db, "");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| Download::stalled(&server, FULL, EXPORT_KEY));
        eventually_wait(&server, 1.0);
        let second = ask(scope, &server, STANDARD_KEY);
        eventually_wait(&server, 2.0);
        drop(running);
        let first = first.join().unwrap();
        assert!(!second.is_finished());
        assert!(first.rest().complete);
        assert_eq!(second.join().unwrap().ids(), ["1"]);
    });
}

fn one_key_does_not_fill_the_queue(db: Db) {
    let site = with_one_slot(db, "queue = 4\n");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    std::thread::scope(|scope| {
        let mut waiting = vec![ask(scope, &server, STANDARD_KEY), ask(scope, &server, STANDARD_KEY)];
        eventually_wait(&server, 2.0);
        server.get_with(STANDARD_KEY, PAGE).detail(503);
        waiting.extend([ask(scope, &server, EXPORT_KEY), ask(scope, &server, EXPORT_KEY)]);
        eventually_wait(&server, 4.0);
        let third = site.create_key(&["third", "--kind", "standard"]);
        server.get_with(&third, PAGE).detail(503);
        drop(running);
        for answer in waiting {
            assert_eq!(answer.join().unwrap().ids(), ["1"]);
        }
    });
}

fn send_request(server: &Server) -> TcpStream {
    let mut stream = connect(server.addr);
    let request =
        format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {STANDARD_KEY}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn who_leaves_the_queue_gives_the_place_back(db: Db) {
    let site = with_one_slot(db, "queue = 1\n");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    for left in 1..=3 {
        let leaving = send_request(&server);
        eventually_wait(&server, 1.0);
        drop(leaving);
        eventually_wait(&server, 0.0);
        let audit = site.audit_of(1 + left);
        assert_eq!(audit[0]["outcome"], "disconnected", "{audit:?}");
        assert_eq!(audit[0]["reason"], "left while waiting for a slot");
    }
    drop(running);
    eventually("the slot is free", || server.status_with(STANDARD_KEY, PAGE) == 200);
    assert_eq!(site.audit_of(5).len(), 5);
}

/// The second record is that of a refusal for this reason.
fn assert_denied(site: &Site, reason: &str) {
    let record = &site.audit_of(2)[0];
    assert_eq!(record["outcome"], "denied", "{record}");
    assert_eq!(record["reason"], reason);
}

fn who_waits_too_long_is_refused(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}concurrent_exports = 1\nqueue_timeout = \"50ms\"\n"));
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let answer = server.get_with(STANDARD_KEY, PAGE);
    assert_eq!(answer.detail(503), "All export slots are busy; try again later");
    assert!(answer.headers.contains_key("retry-after"));
    assert_denied(&site, "busy");
    eventually_wait(&server, 0.0);
    assert!(running.rest().complete);
}

fn a_key_may_have_a_limit_of_its_own(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}concurrent_exports_per_key = 1\nqueue_timeout = \"50ms\"\n"));
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let answer = server.get_with(EXPORT_KEY, PAGE);
    assert!(answer.detail(429).contains("API key"), "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
    assert_denied(&site, "key busy");
    assert_eq!(server.status_with(STANDARD_KEY, PAGE), 200);
    assert!(running.rest().complete);
    eventually("the key may export again", || server.status_with(EXPORT_KEY, PAGE) == 200);
}

fn a_key_has_half_of_the_slots_while_others_wait(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}concurrent_exports = 4\nqueue_timeout = \"1h\"\n"));
    let export_key = site.create_key(&["other", "--kind", "export"]);
    let server = site.serve();
    let [first, second, third] = [(); 3].map(|()| Download::stalled(&server, FULL, EXPORT_KEY));
    let last = Download::stalled(&server, FULL, &export_key);
    std::thread::scope(|scope| {
        let own = scope.spawn(|| Download::stalled(&server, FULL, EXPORT_KEY));
        eventually_wait(&server, 1.0);
        let other = ask(scope, &server, STANDARD_KEY);
        eventually_wait(&server, 2.0);
        drop(first);
        assert_eq!(other.join().unwrap().ids(), ["1"]);
        assert!(!own.is_finished());
        drop(second);
        let own = own.join().unwrap();
        drop((own, third, last));
    });
}

fn a_key_that_has_half_leaves_the_last_slot_to_others(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}concurrent_exports = 4\nqueue_timeout = \"1h\"\n"));
    let server = site.serve();
    let mut running: Vec<_> = (0..3).map(|_| Download::stalled(&server, FULL, EXPORT_KEY)).collect();
    std::thread::scope(|scope| {
        let own = scope.spawn(|| Download::stalled(&server, FULL, EXPORT_KEY));
        eventually_wait(&server, 1.0);
        assert_eq!(server.get_with(STANDARD_KEY, PAGE).ids(), ["1"]);
        assert!(!own.is_finished());
        running.pop();
        own.join().unwrap();
    });
}

/// A slot that stands empty would be half of them.
fn of_few_slots_a_key_may_have_all(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure(&format!("{HELD}concurrent_exports = 2\nqueue = 0\n"));
    let server = site.serve();
    let _running = [(); 2].map(|()| Download::stalled(&server, FULL, EXPORT_KEY));
    server.get_with(EXPORT_KEY, FULL).detail(503);
}

fn taken(server: &Server, metric: &str, n: f64) -> bool {
    (server.metric(metric, &[]) - n).abs() < f64::EPSILON
}

fn slow_clients_keep_no_slots(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure("[limits]\nconcurrent_exports = 2\nqueue_timeout = \"30s\"\n");
    let server = site.serve();
    let slow: Vec<_> = (0..5).map(|_| Download::stalled(&server, FULL, EXPORT_KEY)).collect();
    assert_eq!(server.get_with(STANDARD_KEY, PAGE).ids(), ["1"]);
    eventually("no slot is taken", || taken(&server, "headcount_slots_taken", 0.0));
    assert!(
        taken(&server, "headcount_exports_parked", 5.0) && taken(&server, "headcount_exports_in_flight", 5.0)
    );
    let exports: Vec<_> = slow.iter().map(Download::export_id).collect();
    for slow in slow {
        assert!(slow.rest().complete);
    }
    for export in exports {
        let record = site.settled(&export);
        assert_eq!((&record["outcome"], &record["rows"]), (&"completed".into(), &3000.into()));
    }
    eventually("nobody waits", || taken(&server, "headcount_exports_parked", 0.0));
    site.done(&["audit", "verify"]);
}

fn slow_clients_of_one_key_keep_nobody_else_out(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure("[limits]\nconcurrent_exports = 1\n");
    let server = site.serve();
    let slow: Vec<_> = (1..=4)
        .map(|n| {
            let slow = Download::stalled(&server, FULL, EXPORT_KEY);
            eventually("it is parked", || taken(&server, "headcount_exports_parked", f64::from(n)));
            slow
        })
        .collect();
    // No more than can be parked begin, so that none keeps its slot for want of a place.
    server.get_with(EXPORT_KEY, FULL).detail(429);
    assert!(taken(&server, "headcount_slots_taken", 0.0));
    assert_eq!(server.get_with(STANDARD_KEY, PAGE).ids(), ["1"]);
    assert!(slow.into_iter().all(|slow| slow.rest().complete));
    assert_eq!(server.get_with(EXPORT_KEY, PAGE).ids(), ["1"]);
}

/// It holds the source, and so a slot, for each client of whom it keeps a part only.
fn a_full_spool_keeps_nobody_else_out(db: Db) {
    let site = Site::with_wide_users(db);
    site.configure("[limits]\nconcurrent_exports = 4\nspool_bytes = 16777216\nqueue_timeout = \"50ms\"\n");
    let server = site.serve();
    let slow = [(); 3].map(|()| Download::stalled(&server, FULL, EXPORT_KEY));
    server.get_with(EXPORT_KEY, FULL).detail(503);
    assert_eq!(server.get_with(STANDARD_KEY, PAGE).ids(), ["1"]);
    assert!(taken(&server, "headcount_slots_taken", 3.0));
    drop(slow);
}

fn everything_else_is_answered_under_load(db: Db) {
    let site = with_one_slot(db, "queue = 1\n");
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let waiting = send_request(&server);
    eventually_wait(&server, 1.0);
    for path in ["/healthz", "/readyz", "/metrics", ALIVE] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    server.get(MINIMAL).detail(401);
    server.get_with("no-such-key-as-this-one", MINIMAL).detail(401);
    server.get_with(STANDARD_KEY, FULL).detail(403);
    server.get_with(STANDARD_KEY, "/api/v1/users/export?limit=0").detail(400);
    server.get_with(EXPORT_KEY, FULL).detail(503);
    drop((running, waiting));
}
