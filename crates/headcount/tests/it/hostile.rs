//! Clients that mean no good. The mechanisms are the same for ten connections and ten thousand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, STANDARD_KEY, Server, Site,
    connect, eventually, raw_exchange,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub(crate) fn serve(limits: &str) -> (Site, Server) {
    let site = Site::with_people(Db::Sqlite);
    site.configure(&format!("[limits]\n{limits}"));
    let server = site.serve();
    (site, server)
}

pub(crate) fn assert_serves(server: &Server) {
    assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).status, 200);
}

/// Reads until the server hangs up, one way or another.
pub(crate) fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
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
    let (_site, server) = serve("client_stall = \"3s\"\n");
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
    let (_site, server) = serve("client_stall = \"3s\"\n");
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
    let (_site, server) = serve("client_stall = \"6s\"\n");
    let mut stream = connect(server.addr);
    for _ in 0..8 {
        // The pace of the client: in all, longer than it may be idle.
        std::thread::sleep(Duration::from_secs(1));
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
fn pipelined_exports_are_answered_in_order() {
    let (_site, server) = serve("concurrent_exports = 1\n");
    let request = |id: usize| {
        let target = if id.is_multiple_of(2) { MINIMAL } else { FULL };
        let close = if id == 99 { "Connection: close\r\n" } else { "" };
        format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {EXPORT_KEY}\r\nX-Request-Id: {id}\r\n{close}\r\n"
        )
    };
    let answers = raw_exchange(&server, &(0..100).map(request).collect::<String>());
    let mut rest = answers.as_str();
    for id in 0..100 {
        let csv = if id % 2 == 0 { PEOPLE_MINIMAL } else { PEOPLE_FULL };
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains(&format!("x-request-id: {id}\r\n")),
            "{head}"
        );
        let whole = format!("{:X}\r\n{csv}\r\n0\r\n\r\n", csv.len());
        rest = body.strip_prefix(whole.as_str()).unwrap_or_else(|| panic!("{id}: {body}"));
    }
    assert!(rest.is_empty());
}

/// None but the first costs anything as long as that one is not taken.
#[test]
fn exports_that_wait_in_a_pipeline_are_not_begun() {
    let site = Site::with_wide_users(Db::Sqlite);
    let server = site.serve();
    let mut stream = connect(server.addr);
    let request = format!("GET {FULL} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {EXPORT_KEY}\r\n\r\n");
    stream.write_all(request.repeat(100).as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    assert_serves(&server);
    assert_eq!(site.audit().len(), 2);
    drop(stream);
    eventually("no export is left", || {
        let outcomes: Vec<_> = site.audit().iter().map(|record| record["outcome"].clone()).collect();
        outcomes == ["completed", "disconnected"]
    });
    assert!(server.metric("headcount_exports_in_flight", &[]) < 0.5);
}

#[test]
fn who_asks_on_and_on_and_reads_nothing_is_cut_off() {
    let (_site, server) = serve("client_stall = \"3s\"\n");
    let before = server.peak_memory();
    let mut stream = connect(server.addr);
    let many = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let cut_off = (0..4096).any(|_| stream.write_all(many.as_bytes()).is_err());
    assert!(cut_off);
    assert!(server.peak_memory() - before < 32 * 1024);
    assert_serves(&server);
}

/// As many as there may be by default, or as many as this machine allows a process to have.
#[test]
fn ten_thousand_connections_that_say_nothing_leave_room_for_others() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    // Others are for the tests beside this one, and for what the server has open otherwise.
    let allowed = usize::try_from(maximum.unwrap_or(20_000)).unwrap().saturating_sub(1500);
    let count = allowed.min(10_000);
    assert!(count > 2500, "this test needs 4,096 open files or more: ulimit -Hn");

    let (_site, server) = serve(&format!("connections = {}\n", count + 100));
    assert_serves(&server);
    let before = server.peak_memory();
    let mut idle: Vec<(Instant, TcpStream)> = Vec::new();
    // Who says nothing for half a minute may be sent away.
    let are_kept = |idle: &[(Instant, TcpStream)]| {
        server.count_open_files()
            >= idle.iter().filter(|(begun, _)| begun.elapsed() < Duration::from_secs(30)).count()
    };
    while idle.len() < count {
        for begun in [&b""[..], b"GET /healthz HTTP/1.1\r\nHost: loc", &PREFACE[..10]].repeat(30) {
            let at = Instant::now();
            let mut stream = TcpStream::connect(server.addr).unwrap();
            stream.write_all(begun).unwrap();
            idle.push((at, stream));
        }
        // Who does not fit into the kernel's queue has to wait for a second.
        eventually("they are accepted", || are_kept(&idle));
    }
    for _ in 0..10 {
        assert_serves(&server);
    }
    assert!(are_kept(&idle), "the idle ones were sent away");
    let kib = (server.peak_memory() - before) / (count as u64);
    assert!(kib < 20, "{kib} KiB for each");
    drop(idle);
    assert_serves(&server);
    eventually("they are gone", || server.count_open_files() < 200);
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
