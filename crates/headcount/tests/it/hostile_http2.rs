//! What HTTP/2 lets a client do to a server that takes everything it is sent.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use crate::harness::{MINIMAL, STANDARD_KEY, Server, connect, eventually};
use crate::hostile::{PREFACE, assert_serves, read_to_the_end, serve};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// In the static table of HPACK.
pub(crate) const METHOD: u8 = 2;
pub(crate) const COOKIE: u8 = 32;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request for `path` with a key.
fn headers(stream: u32, path: &str) -> Vec<u8> {
    request(stream, &[(4, path), (1, "localhost"), (23, &format!("Bearer {STANDARD_KEY}"))])
}

/// A request with these fields, by the static table of HPACK (RFC 7541 appendix A) and literals; a GET, unless they say so.
pub(crate) fn request(stream: u32, fields: &[(u8, &str)]) -> Vec<u8> {
    let mut block = vec![0x86];
    if !fields.iter().any(|&(name, _)| name == METHOD) {
        block.push(0x82);
    }
    for &(name, value) in fields {
        let literal: &[u8] = if name < 15 { &[name] } else { &[15, name - 15] };
        block.extend(literal);
        block.extend(length(value));
        block.extend(value.as_bytes());
    }
    frame(HEADERS, 0x5, stream, &block)
}

/// RFC 7541 section 5.1.
fn length(value: &str) -> Vec<u8> {
    let Some(mut left) = value.len().checked_sub(127) else {
        return vec![u8::try_from(value.len()).unwrap()];
    };
    let mut length = vec![127];
    while left >= 128 {
        length.push(u8::try_from(left % 128 + 128).unwrap());
        left /= 128;
    }
    length.push(u8::try_from(left).unwrap());
    length
}

/// CVE-2023-44487.
#[test]
fn streams_that_are_reset_at_once_do_no_harm() {
    let (_site, server) = serve("");
    assert_serves(&server);
    let before = server.peak_memory();
    for path in ["/healthz", MINIMAL] {
        let mut stream = connect(server.addr);
        let mut attack = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        for id in (1..40_000).step_by(2) {
            attack.extend(headers(id, path));
            attack.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
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

/// Sends up to so many bytes of frames and reads nothing; then waits until the server hangs up.
fn flood(server: &Server, first: &[u8], bytes: usize, frames: impl Fn(u32) -> Vec<u8>) {
    let mut stream = connect(server.addr);
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut attack = [PREFACE, first].concat();
    let (mut sent, mut id) = (0, 1);
    while sent < bytes {
        while attack.len() < 65_536 {
            attack.extend(frames(id));
            id += 2;
        }
        // The server may have had enough, or wait for its answers to be read.
        if stream.write_all(&attack).is_err() {
            break;
        }
        sent += attack.len();
        attack.clear();
    }
    let _ = stream.shutdown(Shutdown::Write);
    read_to_the_end(&mut stream);
}

/// A good client is served all the time, and the server has all of its memory back but for a little.
fn assert_bears(first: &[u8], bytes: usize, frames: impl Fn(u32) -> Vec<u8> + Sync) {
    let (_site, server) = serve("client_stall = \"3s\"\n");
    assert_serves(&server);
    let before = server.peak_memory();
    std::thread::scope(|scope| {
        let attacks = [(); 2].map(|()| scope.spawn(|| flood(&server, first, bytes, &frames)));
        while !attacks.iter().all(|attack| attack.is_finished()) {
            assert_serves(&server);
        }
    });
    assert_serves(&server);
    let cost = server.peak_memory() - before;
    assert!(cost < 32 * 1024, "{cost} KiB");
    eventually("no export is left", || server.metric("headcount_exports_in_flight", &[]) < 0.5);
}

const MIB: usize = 1024 * 1024;

pub(crate) fn settings(parameters: &[(u16, u32)]) -> Vec<u8> {
    let payload =
        parameters.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &payload.collect::<Vec<_>>())
}

/// CVE-2019-9512 and CVE-2019-9515.
#[test]
fn questions_whose_answers_nobody_reads_do_no_harm() {
    assert_bears(&settings(&[]), 4 * MIB, |_| frame(PING, 0, 0, &[0; 8]));
    assert_bears(&settings(&[]), 4 * MIB, |_| settings(&[(4, 65_535)]));
}

/// CVE-2024-27316 and its like: an end of the head that never comes.
#[test]
fn heads_that_go_on_and_on_are_cut_off() {
    for piece in [&[][..], &[0; 64], &[0x10; 16_384]] {
        let begun = [settings(&[]), frame(HEADERS, 0, 1, &[0x82])].concat();
        assert_bears(&begun, 64 * MIB, |_| frame(CONTINUATION, 0, 1, piece));
    }
}

/// A table's entry of 3,000 bytes, referred to 12,000 times in each head.
#[test]
fn heads_that_grow_when_they_are_unpacked_do_no_harm() {
    let mut block = vec![0x82, 0x40, 1, b'x', 0x7f, 0xb9, 0x16];
    block.extend([b'x'; 3000]);
    block.extend([0xbe; 12_000]);
    assert_bears(&settings(&[]), 8 * MIB, |id| frame(HEADERS, 0x5, id, &block));
}

/// CVE-2019-9511, CVE-2019-9513 and CVE-2019-9518.
#[test]
fn frames_that_say_next_to_nothing_do_no_harm() {
    let begun = [settings(&[]), frame(HEADERS, 0x4, 1, &[0x83, 0x86, 0x84])].concat();
    assert_bears(&begun, 2 * MIB, |_| frame(DATA, 0, 1, &[]));
    assert_bears(&begun, 2 * MIB, |_| frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9]));
    assert_bears(&begun, 2 * MIB, |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
}

/// CVE-2025-8671: streams that are broken so that the server resets them.
#[test]
fn streams_that_the_server_has_to_reset_do_no_harm() {
    assert_bears(&settings(&[]), 4 * MIB, |id| {
        [headers(id, MINIMAL), frame(WINDOW_UPDATE, 0, id, &0_u32.to_be_bytes())].concat()
    });
}

/// CVE-2019-9517: exports that are asked for and can never be sent.
#[test]
fn streams_without_a_window_are_reset() {
    let (site, server) = serve("client_stall = \"3s\"\nconcurrent_exports = 4\n");
    let before = server.peak_memory();
    let mut stream = connect(server.addr);
    let mut attack = [PREFACE, &settings(&[(4, 0)])].concat();
    for id in (1..200).step_by(2) {
        attack.extend(headers(id, if id < 20 { MINIMAL } else { "/openapi.json" }));
    }
    stream.write_all(&attack).unwrap();
    read_to_the_end(&mut stream);
    assert_serves(&server);
    assert!(server.peak_memory() - before < 32 * 1024);
    eventually("no export is left", || server.metric("headcount_exports_in_flight", &[]) < 0.5);
    assert!(site.audit().iter().all(|record| record["outcome"].is_string()));
}
