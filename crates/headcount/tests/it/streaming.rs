//! Whole exports over each protocol and encoding.

use std::io::Read;

use reqwest::{Method, Version};

use crate::harness::{
    Answer, Db, Download, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, header_of,
};

both! {
    all_users_are_exported,
    http_2_gives_the_same_bytes,
    http_1_1_sends_chunks_and_an_end,
    gzip_and_zstd_unpack_to_the_same_bytes,
    an_encoding_is_used_only_where_it_is_asked_for,
    the_first_rows_arrive_while_the_last_are_unread,
    a_slow_reader_gets_every_byte,
    several_exports_run_at_once,
}

const USERS: u32 = 30_000;

fn all_users_are_exported(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let minimal = server.get_with(STANDARD_KEY, MINIMAL).csv();
    assert!(minimal == Site::filled_minimal(USERS));
    let full = server.get_with(EXPORT_KEY, FULL).csv();
    assert!(full == Site::filled_full(USERS));
}

fn http_2_gives_the_same_bytes(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let response = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let answer = Answer::read(response).unwrap();
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    assert!(answer.csv() == Site::filled_full(USERS));

    let refused = server.http2(FULL).bearer_auth(STANDARD_KEY);
    Answer::to(refused).detail(403);
}

fn http_1_1_sends_chunks_and_an_end(db: Db) {
    let site = Site::with_users(db, 1000);
    let server = site.serve();
    let received = Download::open(&server, MINIMAL, STANDARD_KEY).rest();
    assert!(received.complete);
    assert_eq!(received.body, Site::filled_minimal(1000).into_bytes());
}

fn encoded(server: &Server, accept: &str) -> Answer {
    let request = server.request(Method::GET, FULL).bearer_auth(EXPORT_KEY);
    Answer::to(request.header("accept-encoding", accept))
}

fn gzip_and_zstd_unpack_to_the_same_bytes(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let plain = Site::filled_full(USERS);
    let plain_sha = server.get_with(EXPORT_KEY, FULL);
    let plain_sha = site.settled(plain_sha.header("x-export-id"))["sha256"].clone();
    for encoding in ["gzip", "zstd"] {
        let answer = encoded(&server, encoding);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), encoding);
        assert!(answer.body.len() < plain.len() / 2, "{encoding}");
        let mut unpacked = Vec::new();
        let packed = answer.body.as_slice();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked),
            _ => zstd::Decoder::new(packed).unwrap().read_to_end(&mut unpacked),
        }
        .unwrap();
        assert!(unpacked == plain.as_bytes(), "{encoding}");

        let record = site.settled(answer.header("x-export-id"));
        assert_eq!(record["outcome"], "completed");
        assert_eq!(record["rows"], USERS);
        assert_eq!(record["bytes"], plain.len());
        assert_eq!(record["sha256"], plain_sha);
    }
}

fn an_encoding_is_used_only_where_it_is_asked_for(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let neither = ["br, identity;q=0", "identity;q=0", "*;q=0", "identity;q=0, gzip;q=0, zstd;q=0"];
    for accept in ["identity", "br", "gzip;q=0, zstd;q=0", ""].into_iter().chain(neither) {
        let answer = encoded(&server, accept);
        assert!(!answer.headers.contains_key("content-encoding"), "{accept:?}");
        assert!(answer.csv().starts_with("id,"));
    }
    for accept in neither {
        for (key, target, status) in [
            ("no-such-key-as-this-one", FULL.to_owned(), 401),
            (EXPORT_KEY, format!("{FULL}?limit=0"), 400),
            (EXPORT_KEY, format!("{FULL}?preflight=true"), 200),
        ] {
            let request = server.request(Method::GET, &target).bearer_auth(key);
            let answer = Answer::to(request.header("accept-encoding", accept));
            assert_eq!(answer.status, status, "{accept:?} {target}");
            answer.json();
        }
    }
    assert_eq!(encoded(&server, "identity;q=0, gzip").header("content-encoding"), "gzip");
    let packed = encoded(&server, "gzip;q=0.5, br, zstd;q=0");
    assert_eq!(packed.header("content-encoding"), "gzip");
    let vary = header_of(&packed.headers, "vary").to_ascii_lowercase();
    assert!(vary.contains("accept-encoding"), "{vary}");
}

fn the_first_rows_arrive_while_the_last_are_unread(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
    let first = download.first_chunk();
    assert!(first.starts_with(b"id,email,name,"));
    let record = site.audit_record(&download.export_id());
    assert!(record["outcome"].is_null(), "{record}");
}

fn a_slow_reader_gets_every_byte(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let expected = site.run(&["export", "full"]).stdout;
    assert!(expected.len() > 30_000_000);

    let download = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = download.export_id();
    for _ in 0..3 {
        let page = format!("{MINIMAL}?limit=1&fields=id");
        assert_eq!(server.get_with(STANDARD_KEY, &page).ids(), ["1"]);
    }
    let received = download.rest();
    assert!(received.complete && received.body == expected);
    assert_eq!(site.settled(&export)["rows"], 3000);
}

fn several_exports_run_at_once(db: Db) {
    let site = Site::with_users(db, USERS);
    let server = site.serve();
    let expected = Site::filled_minimal(USERS);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let answer = server.get_with(STANDARD_KEY, MINIMAL);
                assert!(answer.csv() == expected);
            });
        }
    });
    assert_eq!(site.audit_of(6).len(), 6);
}
