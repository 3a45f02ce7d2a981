//! What follows an export on the wire: how many users it had, and the digests of what was sent.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::faults::{BAD_ROW, ROWS, with_a_bad_row};
use crate::harness::{Db, Download, EXPORT_KEY, FULL, Server, Site};

both! {
    http_1_1_sends_trailers_to_those_who_take_them,
    http_1_1_sends_no_trailers_to_others,
    curl_sees_trailers,
    compressed_exports_say_the_digest_of_what_was_sent_and_of_what_it_means,
    a_broken_export_has_no_trailers,
    only_exports_announce_trailers,
}

const USERS: u32 = 5000;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn repr_digest(bytes: impl AsRef<[u8]>) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

/// The trailers of `rows` users whose content is `plain`, sent as `sent`.
pub(crate) fn expected(rows: u32, plain: &[u8], sent: &[u8]) -> Vec<String> {
    vec![
        format!("repr-digest: {}", repr_digest(sent)),
        format!("x-export-rows: {rows}"),
        format!("x-export-sha256: {}", hex(plain)),
    ]
}

pub(crate) fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn open(server: &Server, target: &str, headers: &str) -> Download {
    let key = format!("Authorization: Bearer {EXPORT_KEY}\r\n");
    Download::open_with(server, target, &(key + headers))
}

fn http_1_1_sends_trailers_to_those_who_take_them(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    for te in ["trailers", "gzip;q=0, Trailers"] {
        let download = open(&server, FULL, &format!("TE: {te}\r\nConnection: TE\r\n"));
        assert_eq!(download.header("trailer"), "X-Export-Rows, X-Export-Sha256, Repr-Digest");
        let received = download.rest();
        assert!(received.complete);
        assert!(received.body == Site::filled_full(USERS).into_bytes());
        assert_eq!(sorted(received.trailers), expected(USERS, &received.body, &received.body));
    }
    let with_mark = open(&server, &format!("{FULL}?bom=true&limit=1"), "TE: trailers\r\n").rest();
    assert!(with_mark.body.starts_with(b"\xef\xbb\xbfid,"));
    assert_eq!(sorted(with_mark.trailers), expected(1, &with_mark.body, &with_mark.body));
}

fn http_1_1_sends_no_trailers_to_others(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    for headers in ["", "TE: gzip\r\n"] {
        let received = open(&server, FULL, headers).rest();
        assert!(received.complete);
        assert_eq!(received.trailers, Vec::<String>::new(), "{headers}");
    }
}

/// What curl got.
struct Fetched {
    code: Option<i32>,
    /// What it writes with `--dump-header`, in lower case: the trailers stand after the headers.
    head: String,
    body: Vec<u8>,
}

fn curl(site: &Site, server: &Server, arguments: &[&str]) -> Fetched {
    let [head, body] = ["head.txt", "body"].map(|name| site.path(name));
    let status = Command::new("curl")
        .args(["-s", "-H", &format!("Authorization: Bearer {EXPORT_KEY}"), "-D"])
        .arg(&head)
        .arg("-o")
        .arg(&body)
        .args(arguments)
        .arg(server.url(FULL))
        .status();
    Fetched {
        code: status.unwrap().code(),
        head: std::fs::read_to_string(head).unwrap().to_ascii_lowercase(),
        body: std::fs::read(body).unwrap(),
    }
}

fn curl_sees_trailers(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let plain = Site::filled_full(USERS).into_bytes();
    for protocol in [&["--http2-prior-knowledge"][..], &["--http1.1", "-H", "TE: trailers"]] {
        for encoding in ["identity", "gzip", "zstd"] {
            let accept = format!("Accept-Encoding: {encoding}");
            let fetched = curl(&site, &server, &[protocol, &["-H", &accept]].concat());
            assert_eq!(fetched.code, Some(0));
            assert_eq!(fetched.body == plain, encoding == "identity");
            for trailer in expected(USERS, &plain, &fetched.body) {
                let head = &fetched.head;
                assert!(head.contains(&trailer.to_ascii_lowercase()), "{protocol:?}: {trailer}: {head}");
            }
        }
    }
}

fn compressed_exports_say_the_digest_of_what_was_sent_and_of_what_it_means(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let plain = Site::filled_full(USERS).into_bytes();
    for encoding in ["gzip", "zstd"] {
        let headers = format!("TE: trailers\r\nAccept-Encoding: {encoding}\r\n");
        let download = open(&server, FULL, &headers);
        assert_eq!(download.header("content-encoding"), encoding);
        let received = download.rest();
        assert!(received.complete && received.body != plain, "{encoding}");
        assert_eq!(sorted(received.trailers), expected(USERS, &plain, &received.body), "{encoding}");
    }
}

fn a_broken_export_has_no_trailers(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    for encoding in ["identity", "gzip", "zstd"] {
        let headers = format!("TE: trailers\r\nAccept-Encoding: {encoding}\r\n");
        let received = open(&server, FULL, &headers).rest();
        assert!(!received.complete, "{encoding}");
        assert_eq!(received.trailers, Vec::<String>::new(), "{encoding}");

        let accept = format!("Accept-Encoding: {encoding}");
        let Fetched { code, head, .. } = curl(&site, &server, &["--http2-prior-knowledge", "-H", &accept]);
        assert_eq!(code, Some(92), "{encoding}");
        assert!(head.contains("trailer: x-export-rows"), "{head}");
        assert!(!head.contains("x-export-rows:") && !head.contains("repr-digest:"), "{encoding}: {head}");
    }
}

fn only_exports_announce_trailers(db: Db) {
    let site = Site::with_users(db, 1);
    let server = site.serve();
    for target in [&format!("{FULL}?preflight=true"), &format!("{FULL}?limit=0"), "/healthz"] {
        assert!(!server.get_with(EXPORT_KEY, target).headers.contains_key("trailer"), "{target}");
    }
}
