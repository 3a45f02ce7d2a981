//! Clients that mean no good. The mechanisms are the same for ten connections and ten thousand.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, connect, eventually, raw_exchange,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn serve(limits: &str) -> (Site, Server) {
    let site = Site::with_people(Db::Sqlite);
    site.configure(&format!("[limits]\n{limits}"));
    let server = site.serve();
    (site, server)
}

fn assert_serves(server: &Server) {
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).status, 200);
}

/// Reads until the server hangs up, one way or another.
fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    all
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let (_site, server) = serve("");
    let long = "x".repeat(100_000);
    for request in [
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /healthz?{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-Many: 1\r\n".repeat(1000)),
    ] {
        let mut stream = connect(server.addr);
        // The server may hang up before it has read all.
        let _ = stream.write_all(request.as_bytes());
        let answer = String::from_utf8_lossy(&read_to_the_end(&mut stream)).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_serves(&server);
}

#[test]
fn a_head_without_an_end_is_cut_off() {
    let (_site, server) = serve("");
    let before = server.peak_memory();
    let mut stream = connect(server.addr);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Long: ").unwrap();
    let piece = [b'x'; 65_536];
    let refused = (0..4096).any(|_| stream.write_all(&piece).is_err());
    assert!(refused, "the server read 256 MiB of a head");
    assert!(server.peak_memory() - before < 16 * 1024);
    assert_serves(&server);
}

#[test]
fn who_sends_no_whole_head_is_cut_off() {
    let (_site, server) = serve("client_stall = \"1s\"\n");
    for begun in [&b""[..], b"GET /healthz HTTP/1.1\r\nHost: loc", &PREFACE[..10], PREFACE] {
        let mut stream = connect(server.addr);
        stream.write_all(begun).unwrap();
        let answer = read_to_the_end(&mut stream);
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
    }
    assert_serves(&server);
}

#[test]
fn a_head_that_trickles_is_cut_off() {
    let (_site, server) = serve("client_stall = \"1s\"\n");
    let mut stream = connect(server.addr);
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").unwrap();
    eventually("the server has had enough", || {
        stream.write_all(b"x").is_err() || matches!(stream.read(&mut [0]), Ok(0))
    });
    assert_serves(&server);
}

#[test]
fn a_connection_is_kept_while_it_is_used() {
    let (_site, server) = serve("client_stall = \"3s\"\n");
    let mut stream = connect(server.addr);
    for _ in 0..8 {
        // The pace of the client: in all, longer than it may be idle.
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(GET.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    }
    assert!(read_to_the_end(&mut stream).is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_site, server) = serve("");
    let mut requests: String = (0..500)
        .map(|i| format!("GET /{i} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {i}\r\n\r\n"))
        .collect();
    requests += "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = raw_exchange(&server, &requests);
    let ids: Vec<_> = answers.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids.len(), 501);
    assert!(ids.iter().take(500).enumerate().all(|(i, id)| *id == i.to_string()));
    assert!(answers.ends_with(r#"{"status":"ok"}"#));
}

#[test]
fn who_asks_on_and_on_and_reads_nothing_is_cut_off() {
    let (_site, server) = serve("client_stall = \"1s\"\n");
    let before = server.peak_memory();
    let mut stream = connect(server.addr);
    let many = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let cut_off = (0..4096).any(|_| stream.write_all(many.as_bytes()).is_err());
    assert!(cut_off);
    assert!(server.peak_memory() - before < 32 * 1024);
    assert_serves(&server);
}

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request for `path` with a key, by the static table of HPACK (RFC 7541 appendix A) and literals.
fn headers(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(4, path), (1, "localhost"), (23, &format!("Bearer {STANDARD_KEY}"))] {
        let literal: &[u8] = if name < 15 { &[name] } else { &[15, name - 15] };
        block.extend(literal);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    frame(1, 0x5, stream, &block)
}

/// CVE-2023-44487.
#[test]
fn streams_that_are_reset_at_once_do_no_harm() {
    let (_site, server) = serve("");
    assert_serves(&server);
    let before = server.peak_memory();
    for path in ["/healthz", MINIMAL] {
        let mut stream = connect(server.addr);
        let mut attack = [PREFACE, &frame(4, 0, 0, &[])].concat();
        for id in (1..40_000).step_by(2) {
            attack.extend(headers(id, path));
            attack.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
        }
        // The server may call it enough (RFC 9113 section 10.5) before all is written.
        let _ = stream.write_all(&attack);
        assert_serves(&server);
        let _ = stream.shutdown(Shutdown::Write);
        read_to_the_end(&mut stream);
    }
    assert_serves(&server);
    assert!(server.peak_memory() - before < 64 * 1024);
    eventually("no export is left", || server.metric("headcount_exports_in_flight", &[]) < 0.5);
}

#[test]
fn idle_connections_make_room_for_others() {
    let (_site, server) = serve("connections = 4\n");
    let mut idle: Vec<_> = (0..20)
        .map(|_| {
            let stream = connect(server.addr);
            assert_serves(&server);
            stream
        })
        .collect();
    for stream in &mut idle[..10] {
        assert!(read_to_the_end(stream).is_empty());
    }
}

#[test]
fn where_all_connections_are_busy_others_wait() {
    let site = Site::with_wide_users(Db::Sqlite);
    site.configure("[limits]\nconnections = 2\n");
    let server = site.serve();
    let busy = [0, 1].map(|_| Download::stalled(&server, FULL, EXPORT_KEY));
    let waiting = [0, 1].map(|_| {
        let mut stream = connect(server.addr);
        stream.write_all(GET.as_bytes()).unwrap();
        stream
    });
    for export in busy {
        assert!(export.rest().complete);
    }
    for mut stream in waiting {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}
