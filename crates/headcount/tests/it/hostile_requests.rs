//! Requests of any bytes: each is answered, by a refusal or by what was asked for, and never by a fault of the server.

use std::io::{BufRead, BufReader, Read, Write};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::harness::{Db, EXPORT_KEY, FULL, MINIMAL, Server, Site, connect};

both! {
    a_time_of_any_letters_is_refused,
    any_query_is_answered,
    any_form_is_answered,
    any_header_is_answered,
}

/// As `run` of `pages.rs`, but as often as `PROPTEST_CASES` says.
fn check<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, test).unwrap();
}

fn serve(db: Db) -> (Site, Server) {
    let site = Site::with_people(db);
    site.configure("[limits]\nfailed_keys_per_minute = 4000000000\n");
    let server = site.serve();
    (site, server)
}

/// The status of the answer to a request, which is whole; 0 where the server hung up on what is no HTTP.
fn status(server: &Server, request: &[u8]) -> Result<u16, TestCaseError> {
    let mut stream = connect(server.addr);
    stream.write_all(request).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).is_err() || line.is_empty() {
        return Ok(0);
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| TestCaseError::fail(line.clone()))?;
    prop_assert!(matches!(status, 200 | 400 | 401 | 403 | 404 | 405 | 413 | 415 | 431), "{}", line);
    Ok(status)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        ".{0,30}".prop_map(String::into_bytes),
        prop::collection::vec(prop::sample::select(b"%=&+,;:/ 0aAfF\t\"'<>".to_vec()), 0..40),
    ]
}

/// Names and values as they are known, and others, percent-encoded in part.
fn form() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "format",
        "email",
        "fields",
        "created_after",
        "updated_before",
        "is_active",
        "is_admin",
        "limit",
        "after",
        "bom",
        "sanitize",
        "preflight",
        "",
        "x",
        "%00",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "csv",
            "true",
            "1",
            "-1",
            "id,email",
            "2025-01-08T10:30:00Z",
            "9223372036854775808",
            "1e3",
            "%ff%fe",
            "%00",
            "%",
            "0000-01-01T00:00:00+23:59",
            "9999-12-31T23:59:60Z",
            "id,id",
            "''='",
            "1; DROP TABLE users",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        bytes(),
    ];
    prop::collection::vec((name, value), 0..5).prop_map(|pairs| {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat()).collect();
        pairs.join(&b'&')
    })
}

/// Once, the search for an offset began within a letter.
fn a_time_of_any_letters_is_refused(db: Db) {
    let (site, server) = serve(db);
    for value in ["éééééé", "2025-01-0é", "A\u{800}\u{800}\u{10000}A", "2025-01-0\u{10000}0:00:00Z"] {
        server.post_with(EXPORT_KEY, FULL, &format!("created_after={value}")).detail(400);
    }
    assert_eq!(site.audit_of(4).len(), 4);
}

fn any_query_is_answered(db: Db) {
    let (_site, server) = serve(db);
    check((form(), any::<bool>()), |(query, is_full)| {
        let target = if is_full { FULL } else { MINIMAL };
        let head =
            format!(" HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {EXPORT_KEY}\r\nConnection: close\r\n\r\n");
        status(&server, &[b"GET ", target.as_bytes(), b"?", &query, head.as_bytes()].concat()).map(drop)
    });
    assert_eq!(server.get_with(EXPORT_KEY, FULL).status, 200);
}

fn any_form_is_answered(db: Db) {
    let (_site, server) = serve(db);
    let form_type = "application/x-www-form-urlencoded";
    let media_type = prop_oneof![4 => Just(form_type.as_bytes().to_vec()), 1 => bytes()];
    check((form(), media_type, 0..20_usize), |(form, media_type, missing)| {
        // One that says it is longer than it is is cut: the server may wait, but the client has hung up.
        let length = form.len().saturating_sub(missing);
        let head = format!(
            "POST {FULL} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {EXPORT_KEY}\r\nConnection: close\r\n\
             Content-Length: {length}\r\nContent-Type: "
        );
        status(&server, &[head.as_bytes(), &media_type, b"\r\n\r\n", &form].concat()).map(drop)
    });
    assert_eq!(server.get_with(EXPORT_KEY, FULL).status, 200);
}

fn any_header_is_answered(db: Db) {
    let (_site, server) = serve(db);
    let name = prop::sample::select(vec![
        "Authorization: ",
        "Authorization: Bearer ",
        "X-API-Key: ",
        "X-API-Key: hc_std_",
        "Accept: ",
        "Accept-Encoding: ",
        "X-Request-Id: ",
        "X-Forwarded-For: ",
        "Content-Type: ",
        "TE: ",
        "Expect: ",
        "Connection: ",
        "Host: ",
        "",
    ]);
    let headers = prop::collection::vec((name, bytes()), 1..4);
    check((headers, any::<bool>()), |(headers, has_key)| {
        let key = if has_key { format!("X-API-Key: {EXPORT_KEY}\r\n") } else { String::new() };
        let mut request =
            format!("GET {FULL} HTTP/1.1\r\nHost: localhost\r\n{key}Connection: close\r\n").into_bytes();
        for (name, value) in &headers {
            request.extend([name.as_bytes(), value, b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        let answered = status(&server, &request)?;
        prop_assert!(has_key || answered != 200);
        Ok(())
    });
    assert_eq!(server.get_with(EXPORT_KEY, FULL).status, 200);
}
