//! How a transfer that is broken off ends on the wire: within a chunk, and with a reset. Less than that many clients take for
//! the end of the file.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::faults::{BAD_ROW, ROWS, with_a_bad_row};
use crate::faults_source::with_an_endless_name;
use crate::harness::{Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_MINIMAL, Server, Site, connect, raw_exchange};

both! {
    an_export_that_fails_is_reset_within_a_chunk,
    what_outlives_the_grace_is_reset_within_a_chunk,
    what_is_whole_is_not_reset,
}

fn ask(server: &Server, headers: &str) -> TcpStream {
    let mut stream = connect(server.addr);
    let request =
        format!("GET {FULL} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {EXPORT_KEY}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Whether what came of an answer in chunks ends within one.
fn is_within_a_chunk(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let mut rest = &answer[head + 4..];
    loop {
        let Some(line) = rest.windows(2).position(|end| end == b"\r\n") else { return !rest.is_empty() };
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        assert!(size > 0, "the answer ends in order");
        match rest.get(line + 2 + size + 2..) {
            Some(next) => rest = next,
            None => return true,
        }
    }
}

fn assert_torn(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(is_within_a_chunk(&answer), "{}", String::from_utf8_lossy(&answer[answer.len() - 200..]));
}

fn an_export_that_fails_is_reset_within_a_chunk(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    for headers in ["", "TE: trailers\r\n", "Accept-Encoding: gzip\r\n", "Accept-Encoding: zstd\r\n"] {
        assert_torn(&mut ask(&server, headers));
    }
    assert!(site.audit_of(4).iter().all(|record| record["outcome"] == "failed"));
}

/// The client has taken all that there is when the server stops.
fn what_outlives_the_grace_is_reset_within_a_chunk(db: Db) {
    let site = with_an_endless_name(db, 400, "shutdown_grace = \"1s\"\n");
    let server = site.serve();
    let mut stream = ask(&server, "");
    stream.read_exact(&mut [0; 1000]).unwrap();
    server.signal("TERM");
    let mut answer = b"\r\n\r\n".to_vec();
    let end = stream.read_to_end(&mut answer).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(answer.ends_with(b"\r\n8000\r\n"), "{}", String::from_utf8_lossy(&answer[answer.len() - 200..]));
    assert_eq!(server.exit().code(), Some(0));
    assert_eq!(site.audit()[0]["outcome"], "interrupted");
}

#[test]
fn a_server_that_dies_resets_its_exports() {
    let site = Site::with_wide_users(Db::Sqlite);
    let server = site.serve();
    let mut stream = ask(&server, "");
    stream.read_exact(&mut [0; 1000]).unwrap();
    server.kill();
    let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

fn what_is_whole_is_not_reset(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let request = |headers: &str| format!("GET {MINIMAL} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    let key = format!("X-API-Key: {EXPORT_KEY}\r\n");
    let whole = format!("{:X}\r\n{PEOPLE_MINIMAL}\r\n0\r\n", PEOPLE_MINIMAL.len());
    for last in ["", &key, &format!("{key}Accept-Encoding: gzip\r\n"), &format!("{key}TE: trailers\r\n")] {
        let requests = [request(&key), request(&format!("{last}Connection: close\r\n"))].concat();
        let answers = raw_exchange_of_bytes(&server, &requests);
        assert!(answers.windows(whole.len()).any(|part| part == whole.as_bytes()), "{last}");
    }
    let head = request(&format!("{key}Connection: close\r\n")).replacen("GET", "HEAD", 1);
    assert!(raw_exchange(&server, &head).ends_with("\r\n\r\n"));
}

/// What comes until the connection ends in order.
fn raw_exchange_of_bytes(server: &Server, requests: &str) -> Vec<u8> {
    let mut stream = connect(server.addr);
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    answers
}
