//! `verify`: is this file the export, all of it, and nothing else?

use std::io::Read;

use reqwest::Method;
use serde_json::Value;

use crate::faults::{BAD_ROW, ROWS, with_a_bad_row};
use crate::harness::{Answer, Db, Download, EXPORT_KEY, FULL, Finished, Server, Site, profile};

both! {
    a_download_is_verified_offline,
    a_cut_and_a_change_are_found,
    an_export_to_a_file_gets_its_receipt,
    a_compressed_download_is_verified_as_it_is_and_unpacked,
    a_byte_order_mark_may_come_and_go,
    a_byte_order_mark_is_a_change_where_no_reader_expects_one,
    a_broken_export_is_never_complete,
}

/// Saves what the receipts of a server are verified with, and the receipt of an export.
fn save_receipt(site: &Site, server: &Server, export: &str) {
    let key = server.get("/.well-known/headcount-receipt-key");
    std::fs::write(site.path("key.pem"), key.body).unwrap();
    let receipt = server.get_with(EXPORT_KEY, &format!("/api/v1/users/exports/{export}"));
    assert_eq!(receipt.status, 200);
    std::fs::write(site.path("users.csv.receipt.json"), receipt.body).unwrap();
}

/// Downloads `target` to `users.csv`, beside its receipt.
fn download(site: &Site, server: &Server, target: &str) -> Vec<u8> {
    let answer = server.get_with(EXPORT_KEY, target);
    assert_eq!(answer.status, 200);
    save_receipt(site, server, answer.header("x-export-id"));
    std::fs::write(site.path("users.csv"), &answer.body).unwrap();
    answer.body
}

/// Verifies a file that holds `content` against the receipt of the download.
fn verify(site: &Site, content: &[u8]) -> Finished {
    std::fs::write(site.path("copy.csv"), content).unwrap();
    let receipt = ["--receipt", "users.csv.receipt.json", "--public-key", "key.pem"];
    site.run_exactly(&[&["verify", "copy.csv"], &receipt[..]].concat())
}

fn assert_said(finished: &Finished, code: i32, parts: &[&str]) {
    let said = finished.everything();
    assert_eq!(finished.code, Some(code), "{said}");
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}

fn a_download_is_verified_offline(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let bytes = download(&site, &server, FULL).len();
    server.kill();
    // Neither configuration nor store: what stands in them does not matter.
    let _ = std::fs::remove_dir_all(site.data_dir());
    site.configure("this is no configuration");
    let counted = format!("5 users, {bytes} bytes");
    let finished = site.run_exactly(&["verify", "users.csv", "--public-key", "key.pem"]);
    assert_said(&finished, 0, &["complete and unchanged", &counted, "signed with this key"]);
    let finished = site.run_exactly(&["verify", "users.csv"]);
    assert_said(&finished, 3, &["complete and unchanged", &counted, "SIGNATURE NOT CHECKED", "--public-key"]);
    assert!(!site.data_dir().exists());
}

fn a_cut_and_a_change_are_found(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let content = download(&site, &server, FULL);
    // A process for each; that it is so at every byte, the tests beside the code show.
    for at in (0..content.len()).step_by(content.len() / 12) {
        let cut = verify(&site, &content[..at]);
        let rows = complete_rows(&content[..at]);
        assert_said(
            &cut,
            4,
            &[&format!("cut after {rows} rows"), &format!("{at} of {} bytes", content.len())],
        );
        let mut changed = content.clone();
        changed[at] ^= 1;
        assert_said(&verify(&site, &changed), 5, &["changed"]);
    }
    assert_said(&verify(&site, &content[..content.len() - 1]), 4, &["cut after 4 rows"]);
    let longer = [&content[..], b"9,x,y,,,,\r\n"].concat();
    assert_said(&verify(&site, &longer), 5, &["changed", "11 bytes longer"]);
    let unix = String::from_utf8(content.clone()).unwrap().replace("\r\n", "\n");
    assert_said(&verify(&site, unix.as_bytes()), 5, &["changed", "line ends"]);
    assert_said(&verify(&site, &content), 0, &[]);
}

/// How many of the people are in a piece of their export to the end of their record; inside a record there is only `\n`.
fn complete_rows(piece: &[u8]) -> usize {
    let ends = piece.windows(2).filter(|pair| pair == b"\r\n").count();
    ends.saturating_sub(1)
}

fn an_export_to_a_file_gets_its_receipt(db: Db) {
    let site = Site::with_people(db);
    let finished = site.run(&["export", "full", "-o", "mine.csv", "--receipt"]);
    assert_said(&finished, 0, &["wrote 5 users", "mine.csv.receipt.json"]);
    let id = site.audit()[0]["id"].as_str().unwrap().to_owned();
    let receipt = std::fs::read_to_string(site.path("mine.csv.receipt.json")).unwrap();
    // That of the export, with what lies in the file.
    let mut receipt: Value = serde_json::from_str(&receipt).unwrap();
    let mut shown: Value = serde_json::from_str(&site.done(&["receipts", "show", &id])).unwrap();
    assert_eq!([&receipt["file_bytes"], &receipt["file_sha256"]], [&shown["bytes"], &shown["sha256"]]);
    for member in ["file_bytes", "file_sha256", "signature"] {
        receipt.as_object_mut().unwrap().remove(member);
        shown.as_object_mut().unwrap().remove(member);
    }
    assert_eq!(receipt, shown);
    std::fs::write(site.path("key.pem"), site.done(&["receipts", "public-key"])).unwrap();
    let finished = site.run_exactly(&["verify", "mine.csv", "--public-key", "key.pem"]);
    assert_said(&finished, 0, &["complete and unchanged: 5 users", &id]);

    assert_said(&site.run(&["export", "full", "--receipt"]), 2, &["--output"]);
    site.done(&["export", "full", "-o", "without.csv"]);
    assert!(!site.path("without.csv.receipt.json").exists());
}

fn a_compressed_download_is_verified_as_it_is_and_unpacked(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for encoding in ["gzip", "zstd"] {
        let request = server.request(Method::GET, FULL).bearer_auth(EXPORT_KEY);
        let answer = Answer::to(request.header("accept-encoding", encoding));
        save_receipt(&site, &server, answer.header("x-export-id"));
        let within = format!("complete and unchanged: 5 users, 464 bytes within {encoding} (sha256)");
        assert_said(&verify(&site, &answer.body), 0, &[&within]);
        let mut unpacked = Vec::new();
        let packed = answer.body.as_slice();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked),
            _ => zstd::Decoder::new(packed).unwrap().read_to_end(&mut unpacked),
        }
        .unwrap();
        assert_said(&verify(&site, &unpacked), 0, &["complete and unchanged: 5 users"]);
    }
}

fn a_byte_order_mark_may_come_and_go(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let mark = b"\xef\xbb\xbf";
    let with_mark = download(&site, &server, &format!("{FULL}?bom=true"));
    assert_said(&verify(&site, &with_mark), 0, &["complete and unchanged: 5 users"]);
    assert_said(&verify(&site, &with_mark[3..]), 0, &["byte order mark, which was taken off: 5 users"]);
    assert_said(&verify(&site, &with_mark[..with_mark.len() - 3]), 4, &["cut after 4 rows"]);
    let without = download(&site, &server, FULL);
    let marked = [&mark[..], &without].concat();
    assert_said(&verify(&site, &marked), 0, &["byte order mark, which was put in front of it: 5 users"]);
    assert_said(&verify(&site, &marked[..without.len()]), 5, &["changed"]);
}

fn a_byte_order_mark_is_a_change_where_no_reader_expects_one(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for format in ["ndjson", "json", "parquet", "xlsx"] {
        let whole = download(&site, &server, &format!("{}?format={format}", profile("full")));
        assert_said(&verify(&site, &whole), 0, &["complete and unchanged: 5 users"]);
        assert_said(&verify(&site, &[&b"\xef\xbb\xbf"[..], &whole].concat()), 5, &["changed"]);
    }
}

fn a_broken_export_is_never_complete(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    let broken = Download::stalled(&server, FULL, EXPORT_KEY);
    let id = broken.export_id();
    let body = broken.rest().body;
    site.settled(&id);
    save_receipt(&site, &server, &id);
    assert_said(&verify(&site, &body), 4, &["not complete", "'failed'"]);
}

#[test]
fn a_receipt_is_believed_only_with_its_own_key() {
    let [site, other] = [0, 1].map(|_| Site::with_people(Db::Sqlite));
    let server = site.serve();
    let content = download(&site, &server, FULL);
    let key = std::fs::read(site.path("key.pem")).unwrap();
    let receipt = std::fs::read_to_string(site.path("users.csv.receipt.json")).unwrap();

    other.create_key(&["anybody", "--kind", "standard"]);
    std::fs::write(site.path("key.pem"), other.done(&["receipts", "public-key"])).unwrap();
    assert_said(&verify(&site, &content), 6, &["not ours", "another key"]);
    std::fs::write(site.path("key.pem"), key).unwrap();
    let mut forged = content.clone();
    let last = forged.len() - 3;
    forged[last] = b'x';
    for (from, to) in [("\"sha256\":\"", "\"sha256\":\"0"), ("\"rows\":5", "\"rows\":4")] {
        let changed = receipt.replace(from, to);
        assert_ne!(changed, receipt);
        std::fs::write(site.path("users.csv.receipt.json"), changed).unwrap();
        assert_said(&verify(&site, &content), 6, &["not ours", "changed after it was signed"]);
    }
    std::fs::write(site.path("users.csv.receipt.json"), receipt).unwrap();
    assert_said(&verify(&site, &forged), 5, &["changed"]);
    assert_said(&verify(&site, &content), 0, &[]);
}

#[test]
fn what_is_missing_or_is_no_receipt_is_named() {
    let site = Site::with_people(Db::Sqlite);
    site.done(&["export", "full", "-o", "users.csv"]);
    let finished = site.run_exactly(&["verify", "users.csv"]);
    assert_said(&finished, 2, &["users.csv.receipt.json", "--receipt"]);
    std::fs::write(site.path("users.csv.receipt.json"), "[]").unwrap();
    assert_said(&site.run_exactly(&["verify", "users.csv"]), 1, &["users.csv.receipt.json is not a receipt"]);
    site.done(&["export", "full", "-o", "users.csv", "--receipt"]);
    let finished = site.run_exactly(&["verify", "users.csv", "--public-key", "users.csv"]);
    assert_said(&finished, 1, &["users.csv: expected an Ed25519 public key in PEM"]);
    let missing = ["verify", "gone.csv", "--receipt", "users.csv.receipt.json"];
    assert_said(&site.run_exactly(&missing), 1, &["gone.csv cannot be read"]);
}
