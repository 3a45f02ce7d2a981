use super::*;
use crate::receipt::{Receipt, StoredFile};
use crate::scope::Scope;
use crate::signature::SigningKey;
use headcount_model::text::hex;
use headcount_model::timestamp::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Cursor;

/// Quotes, line breaks inside of them, formulas, empty fields and more than ASCII.
const EXPORT: &str = "id,email,name\r\n1,ada@example.com,\"Lovelace, Ada\"\r\n2,,\"two\nlines \"\"here\"\"\r\n\"\r\n\
                      3,zoë@example.com,\"'=A1\"\r\n4,d@example.com,\r\n";
const ROWS: u64 = 4;

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).expect("a key")
}

fn claimed(content: &[u8]) -> Receipt {
    Receipt {
        id: "01JDABCDEFGHJKMNPQRSTVWXYZ".to_owned(),
        endpoint: "/api/v1/users/export".to_owned(),
        columns: Some(vec!["id".to_owned(), "email".to_owned(), "name".to_owned()]),
        filters: json!({"limit": i64::MAX, "is_active": true}),
        key_name: Some("payroll \"π\"".to_owned()),
        started_at: Timestamp::from_micros(0).expect("a time"),
        snapshot_at: Timestamp::from_micros(1),
        ended_at: Timestamp::from_micros(2),
        outcome: Some("completed"),
        rows: Some(ROWS.cast_signed()),
        bytes: Some(content.len() as i64),
        sha256: Some(hex(&Sha256::digest(content))),
        scope: Some(Scope::default()),
        stored: None,
    }
}

fn receipt(content: &[u8]) -> Presented {
    let receipt = Presented::parse(&claimed(content).issue(&key()).expect("a receipt")).expect("a receipt");
    assert_eq!(receipt.check_signature(key().public()), Ok(()));
    receipt
}

fn compare(receipt: &Presented, file: &[u8]) -> Verdict {
    receipt.compare(Cursor::new(file)).expect("a verdict")
}

fn marked(content: &str) -> Vec<u8> {
    [&MARK[..], content.as_bytes()].concat()
}

#[test]
fn all_of_it_is_unchanged() {
    for content in [EXPORT.as_bytes().to_vec(), marked(EXPORT), b"id\r\n".to_vec()] {
        let unchanged =
            Verdict::Unchanged { rows: ROWS, bytes: content.len() as u64, mark: None, packed: None };
        assert_eq!(compare(&receipt(&content), &content), unchanged);
    }
}

#[test]
fn a_cut_is_found_at_every_byte() {
    for content in [EXPORT.as_bytes().to_vec(), marked(EXPORT)] {
        let receipt = receipt(&content);
        let mut most = 0;
        for length in 0..content.len() {
            let verdict = compare(&receipt, &content[..length]);
            let Verdict::Cut { rows, of_rows: ROWS, bytes, of_bytes } = verdict else {
                panic!("{length}: {verdict:?}")
            };
            assert_eq!((bytes, of_bytes), (length as u64, content.len() as u64));
            assert!(rows == most || rows == most + 1, "{length}: {rows}");
            most = rows;
        }
        assert_eq!(most, ROWS - 1);
    }
}

#[test]
fn a_change_of_any_byte_is_found() {
    for content in [EXPORT.as_bytes().to_vec(), marked(EXPORT)] {
        let receipt = receipt(&content);
        for at in 0..content.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut other = content.clone();
                other[at] ^= flip;
                assert_eq!(compare(&receipt, &other), Verdict::Changed(Changed::Content), "{at}");
            }
        }
    }
}

#[test]
fn a_byte_more_or_less_in_the_middle_is_found() {
    let receipt = receipt(EXPORT.as_bytes());
    for at in 0..=EXPORT.len() {
        let mut longer = EXPORT.as_bytes().to_vec();
        longer.insert(at, b'x');
        assert_eq!(compare(&receipt, &longer), Verdict::Changed(Changed::Longer(1)), "{at}");
    }
    for at in 0..EXPORT.len() {
        let mut shorter = EXPORT.as_bytes().to_vec();
        shorter.remove(at);
        let verdict = compare(&receipt, &shorter);
        assert!(!matches!(verdict, Verdict::Unchanged { .. }), "{at}: {verdict:?}");
    }
}

#[test]
fn an_editors_mark_and_line_ends_are_named() {
    let (plain, with_mark) = (EXPORT.as_bytes(), marked(EXPORT));
    let mark = |content: &[u8], file: &[u8]| match compare(&receipt(content), file) {
        Verdict::Unchanged { mark, .. } => mark,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(mark(plain, &with_mark), Some(Mark::Added));
    assert_eq!(mark(&with_mark, plain), Some(Mark::Removed));
    let unix = EXPORT.replace("\r\n", "\n");
    let lost = (EXPORT.len() - unix.len()) as u64;
    let shorter = Verdict::Changed(Changed::Shorter(lost));
    assert_eq!(compare(&receipt(plain), unix.as_bytes()), shorter);
}

/// A receipt with this member of its filters.
fn receipt_with(content: &[u8], name: &str, value: &Value) -> Presented {
    let claimed = Receipt { filters: json!({ name: value }), ..claimed(content) };
    Presented::parse(&claimed.issue(&key()).expect("a receipt")).expect("a receipt")
}

#[test]
fn rows_are_counted_as_the_format_has_them() {
    let object = "{\"id\":1,\"name\":\"\\n\\\"\"}";
    let lines = format!("{object}\n").repeat(4);
    let array = format!("[\n{object},\n{object},\n{object},\n{object}\n]\n");
    let headless = EXPORT.replacen("id,email,name\r\n", "", 1);
    for (content, receipt, most) in [
        (&lines, receipt_with(lines.as_bytes(), "format", &"ndjson".into()), ROWS - 1),
        (&array, receipt_with(array.as_bytes(), "format", &"json".into()), ROWS),
        (&headless, receipt_with(headless.as_bytes(), "header", &false.into()), ROWS - 1),
    ] {
        let content = content.as_bytes();
        assert!(matches!(compare(&receipt, content), Verdict::Unchanged { rows: ROWS, .. }));
        let rows = (0..content.len()).map(|length| match compare(&receipt, &content[..length]) {
            Verdict::Cut { rows, of_rows: ROWS, .. } => rows,
            verdict => panic!("{length}: {verdict:?}"),
        });
        let rows: Vec<_> = rows.collect();
        assert!(rows.is_sorted() && rows.last() == Some(&most), "{rows:?}");
    }
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, content).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn what_is_packed_is_read() {
    let content = EXPORT.as_bytes();
    let zipped = gzipped(content);
    let stored = StoredFile { file_bytes: zipped.len() as u64, file_sha256: hex(&Sha256::digest(&zipped)) };
    let of_file = Receipt { stored: Some(stored), ..claimed(content) }.issue(&key()).expect("a receipt");
    let of_file = Presented::parse(&of_file).expect("a receipt");
    let zstd = zstd::encode_all(content, 1).expect("memory");
    for (receipt, file, packing, is_as_written) in [
        (&receipt(content), &zipped, Compression::Gzip, None),
        (&receipt(content), &zstd, Compression::Zstd, None),
        (&of_file, &zipped, Compression::Gzip, Some(true)),
        (&of_file, &zstd, Compression::Zstd, Some(false)),
    ] {
        let packed = Some(Packed { packing, is_as_written });
        let bytes = content.len() as u64;
        assert_eq!(compare(receipt, file), Verdict::Unchanged { rows: ROWS, bytes, mark: None, packed });
        for length in packing.magic().len()..file.len() {
            let verdict = compare(receipt, &file[..length]);
            assert!(matches!(verdict, Verdict::Cut { of_rows: ROWS, .. }), "{length}: {verdict:?}");
        }
    }
    // In several members, as some programs write them, and as `cat` makes of several files.
    let (first, second) = content.split_at(content.len() / 2);
    let members = [gzipped(first), gzipped(second)].concat();
    assert!(matches!(compare(&of_file, &members), Verdict::Unchanged { rows: ROWS, .. }));
    let other = gzipped(EXPORT.replace("ada", "eve").as_bytes());
    assert_eq!(compare(&of_file, &other), Verdict::Changed(Changed::Content));
    // Behind its end and at each of its bytes: some make it seem to end too early.
    let mut longer = zipped.clone();
    longer.push(b'x');
    assert_eq!(compare(&of_file, &longer), Verdict::Changed(Changed::Damaged(Compression::Gzip)));
    for at in Compression::Gzip.magic().len()..zipped.len() {
        let mut damaged = zipped.clone();
        damaged[at] ^= 0x55;
        let verdict = compare(&of_file, &damaged);
        assert!(!matches!(verdict, Verdict::Cut { .. }), "{at}: {verdict:?}");
    }
}

#[test]
fn a_receipt_is_believed_only_as_it_was_signed() {
    let text = claimed(b"x").issue(&key()).expect("a receipt");
    let other = SigningKey::from_seed(&[8; 32]).expect("a key").public();
    let presented = Presented::parse(&text).expect("a receipt");
    assert_eq!(presented.check_signature(other), Err(Unfit::OtherKey(key().public().fingerprint())));

    // In another form it is the same.
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    assert_eq!(Presented::parse(&pretty).expect("a receipt").check_signature(key().public()), Ok(()));

    let members: Vec<String> = value.as_object().expect("members").keys().cloned().collect();
    for member in members {
        let mut without = value.clone();
        without.as_object_mut().expect("members").remove(&member);
        let presented = Presented::parse(&without.to_string());
        let is_believed = presented.is_ok_and(|receipt| receipt.check_signature(key().public()).is_ok());
        assert!(!is_believed, "{member}");
    }
    let mut with_more = value.clone();
    with_more["note"] = "all is well".into();
    let presented = Presented::parse(&with_more.to_string()).expect("a receipt");
    assert_eq!(presented.check_signature(key().public()), Err(Unfit::Signature));
}

#[test]
fn a_receipt_changed_at_any_byte_is_not_believed() {
    let text = claimed(b"x").issue(&key()).expect("a receipt");
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        let Ok(other) = String::from_utf8(other) else { continue };
        let presented = Presented::parse(&other);
        let is_believed = presented.is_ok_and(|receipt| receipt.check_signature(key().public()).is_ok());
        assert!(!is_believed, "{other}");
    }
}

#[test]
fn what_is_no_receipt_is_refused() {
    let text = claimed(b"x").issue(&key()).expect("a receipt");
    let twice = text.replacen('{', "{\"sha256\":\"00\",", 1);
    let later = text.replace("receipt-v1", "receipt-v2");
    let fraction = text.replace("\"rows\":4", "\"rows\":4.5");
    for other in ["", "[]", "{}", "no JSON", &twice, &later, &fraction] {
        assert!(Presented::parse(other).is_err(), "{other}");
    }
}

#[test]
fn exports_that_did_not_complete_prove_nothing() {
    for outcome in [None, Some("failed"), Some("disconnected"), Some("denied")] {
        let text = Receipt { outcome, ..claimed(b"x") }.issue(&key()).expect("a receipt");
        let verdict = compare(&Presented::parse(&text).expect("a receipt"), b"x");
        assert!(matches!(verdict, Verdict::Incomplete { .. }), "{verdict:?}");
    }
    let head = Receipt { sha256: None, rows: None, bytes: None, ..claimed(b"") };
    let text = head.issue(&key()).expect("a receipt");
    assert!(text.contains("\"rows\":null") && text.contains("\"bytes\":null"), "{text}");
    assert_eq!(compare(&Presented::parse(&text).expect("a receipt"), b""), Verdict::NoExport);
}

#[test]
fn a_running_export_is_not_signed() {
    let running = Receipt { outcome: None, sha256: None, ended_at: None, ..claimed(b"") };
    let text = running.issue(&key()).expect("a receipt");
    assert!(text.contains("\"outcome\":null") && !text.contains("sign"), "{text}");
    let presented = Presented::parse(&text).expect("a receipt");
    assert_eq!(presented.check_signature(key().public()), Err(Unfit::Unsigned));
}

proptest! {
    #[test]
    fn any_text_is_a_receipt_or_an_error(text in "(\\{\"type\":\"headcount-receipt-v1\",.{0,40}\\}|.{0,60})") {
        if let Ok(receipt) = Presented::parse(&text) {
            prop_assert!(receipt.check_signature(key().public()).is_err());
        }
    }

    /// White space and the order of members are nothing that is signed; all else is.
    #[test]
    fn a_receipt_that_was_changed_is_not_believed(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..3)) {
        let issued = claimed(EXPORT.as_bytes()).issue(&key()).expect("a receipt");
        let mut text: Vec<char> = issued.chars().collect();
        for (at, c) in edits {
            let at = at.index(text.len());
            text[at] = c;
        }
        let text: String = text.into_iter().collect();
        if let Ok(receipt) = Presented::parse(&text)
            && receipt.check_signature(key().public()).is_ok()
        {
            let [found, expected] = [&text, &issued].map(|text| serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_file_is_compared(file: Vec<u8>, at: prop::sample::Index, is_a_part: bool) {
        let whole = EXPORT.as_bytes();
        let file = if is_a_part { whole[..at.index(whole.len() + 1)].to_vec() } else { file };
        let is_unchanged = matches!(compare(&receipt(whole), &file), Verdict::Unchanged { mark: None, .. });
        prop_assert_eq!(is_unchanged, file == whole);
    }

    #[test]
    fn any_bytes_are_a_public_key_or_none(mut pem in prop::collection::vec(any::<u8>(), 0..80), edit in prop::option::of((any::<prop::sample::Index>(), any::<u8>()))) {
        let _ = PublicKey::from_pem(&pem);
        pem = key().public().to_pem().into_bytes();
        if let Some((at, byte)) = edit {
            let at = at.index(pem.len());
            pem[at] = byte;
        }
        let _ = PublicKey::from_pem(&pem);
    }
}
