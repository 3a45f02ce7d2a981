//! Crowds without a key: what they cost together, and that they keep nobody out.

use std::io::Write;
use std::net::TcpStream;

use crate::harness::{
    ALIVE, APP_READER, Db, Download, EXPORT_KEY, FULL, MINIMAL, Server, Site, connect, eventually,
};
use crate::hostile::{PREFACE, assert_serves, read_to_the_end};
use crate::hostile_http2::{COOKIE, METHOD, request, settings};

/// A connection with so many requests for this path, of whose answers nothing may be sent.
fn without_a_window(server: &Server, path: &str, requests: u32) -> TcpStream {
    with_fields(server, &[(4, path), (1, "localhost"), (16, "zstd, gzip")], requests)
}

fn with_fields(server: &Server, fields: &[(u8, &str)], requests: u32) -> TcpStream {
    let mut stream = connect(server.addr);
    let mut attack = [PREFACE, &settings(&[(4, 0)])].concat();
    for number in 0..requests {
        attack.extend(request(2 * number + 1, fields));
    }
    stream.write_all(&attack).unwrap();
    stream
}

/// A fifth of the 500 connections that may cost 64 MiB.
const MOST: u64 = 64 * 1024 / 5;

/// What a crowd of such connections adds to the memory of a server, in KiB.
fn cost(server: &Server, connect: impl Fn() -> TcpStream) -> u64 {
    assert_serves(server);
    let before = server.peak_memory();
    // Few at a time: how much is on its way of what all send at once depends on how busy the machine is.
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let few = [(); 5].map(|()| connect());
        eventually("all is read", || server.has_read(&few));
        crowd.extend(few);
    }
    assert_serves(server);
    drop(crowd);
    server.peak_memory().saturating_sub(before)
}

#[test]
fn answers_that_nobody_takes_cost_little() {
    let site = Site::with_people(Db::Sqlite);
    let server = site.serve();
    for path in ["/openapi.json", "/docs", "/metrics", "/healthz", "/readyz", "/nowhere", ALIVE, MINIMAL] {
        let cost = cost(&server, || without_a_window(&server, path, 100));
        assert!(cost < MOST, "{path}: {cost} KiB");
    }
}

/// As many as are answered at a time, so that each is refused and recorded. A program that is built for tests takes half as much
/// again as one that is released.
#[test]
fn refusals_that_nobody_takes_cost_little_whatever_is_asked() {
    let padding = "p".repeat(14_000);
    for (method, padding) in [("GET", padding.as_str()), ("HEAD", &padding), ("POST", "")] {
        let site = Site::with_people(Db::Sqlite);
        let server = site.serve();
        let fields = [(METHOD, method), (4, MINIMAL), (1, "localhost"), (COOKIE, padding)];
        let cost = cost(&server, || with_fields(&server, &fields, 8));
        assert!(cost < MOST * 5 / 4, "{method}: {cost} KiB");
    }
}

/// Everybody comes from one address, which in the second case is that of a trusted proxy.
#[test]
fn who_takes_nothing_keeps_nobody_out() {
    for trusted in ["", "trusted_proxies = [\"127.0.0.0/8\"]\n"] {
        let site = Site::with_wide_users(Db::Sqlite);
        site.configure(&format!("{trusted}[limits]\nconnections = 8\nclient_stall = \"1h\"\n"));
        let server = site.serve();
        let export = Download::stalled(&server, FULL, EXPORT_KEY);
        let mut crowd: Vec<_> = (0..7).map(|_| without_a_window(&server, "/openapi.json", 1)).collect();
        for _ in 0..6 {
            assert_eq!(server.get("/healthz").status, 200);
            crowd.push(without_a_window(&server, "/openapi.json", 1));
        }
        assert!(export.rest().complete, "a stranger took its place");
    }
}

/// Who was sent away got no answer; who had a place to the end would be told that the form did not arrive in time.
#[test]
fn forms_that_never_end_keep_nobody_out() {
    let site = Site::with_people(Db::Sqlite);
    site.configure("[limits]\nconnections = 4\n");
    let server = site.serve();
    let request = format!(
        "POST {MINIMAL} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {EXPORT_KEY}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nemail"
    );
    let mut crowd: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(server.addr);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    eventually("all is read", || server.has_read(&crowd));
    assert_eq!(server.get("/healthz").status, 200);
    assert!(read_to_the_end(&mut crowd[0]).is_empty());
}

/// As many as would want a connection each.
#[test]
fn many_who_ask_whether_it_is_ready_are_answered_by_one_look() {
    let site = Site::with_people(Db::Postgres).storing_in_sqlite();
    let server = site.serve();
    let before = site.database().logins(APP_READER);
    std::thread::scope(|scope| {
        let asked = [(); 40].map(|()| scope.spawn(|| server.get("/readyz").status));
        assert!(asked.into_iter().all(|status| status.join().unwrap() == 200));
    });
    let logins = site.database().logins(APP_READER) - before;
    assert!(logins <= 1, "{logins}");
}
