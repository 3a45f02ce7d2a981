//! Finding records again: `audit list` and the same over HTTP.

use crate::harness::{Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, csv_records};
use serde_json::Value;

const RECORDS: &str = "/api/v1/users/exports";

both! {
    records_are_found_by_what_is_in_them,
    pages_reach_every_record_once,
    only_auditors_may_list,
    a_list_for_people_fits_and_says_its_zone,
    verify_says_what_is_chained_and_what_was_kept,
}

/// Two minimal exports, of which one is refused, a full one, and one by command.
fn exported(db: Db) -> (Site, Server) {
    let site = Site::with_people(db);
    let server = site.serve();
    for (key, path) in [(STANDARD_KEY, MINIMAL), (EXPORT_KEY, FULL)] {
        let answer = server.get_with(key, path);
        site.settled(answer.header("x-export-id"));
    }
    server.get_with("nobody", MINIMAL);
    site.done(&["export", "minimal", "--is-active", "true"]);
    (site, server)
}

fn ids(records: &Value) -> Vec<String> {
    records.as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

fn records_are_found_by_what_is_in_them(db: Db) {
    let (site, server) = exported(db);
    let auditor = site.create_key(&[
        "auditor",
        "--kind",
        "standard",
        "--grant",
        "audit:read",
        "--without",
        "users:export",
    ]);
    let all = site.audit();
    let id = |n: usize| all[n]["id"].as_str().unwrap().to_owned();
    let (by_command, denied, full, minimal) = (id(0), id(1), id(2), id(3));
    let time = |n: usize| all[n]["time"].as_str().unwrap().to_owned();
    for (name, value, expected) in [
        ("key", "HEADCOUNT_API_KEY", vec![&minimal]),
        ("profile", "minimal", vec![&by_command, &denied, &minimal]),
        ("profile", "full", vec![&full]),
        ("profile", "gone", vec![]),
        ("outcome", "denied", vec![&denied]),
        ("outcome", "running", vec![]),
        ("since", &time(1), vec![&by_command, &denied]),
        ("until", &time(1), vec![&full, &minimal]),
        ("limit", "2", vec![&by_command, &denied]),
    ] {
        let listed = site.json(&["audit", "list", "--json", &format!("--{name}"), value]);
        assert_eq!(ids(&listed).iter().collect::<Vec<_>>(), expected, "--{name} {value}");
        let answer = server.get_with(&auditor, &format!("{RECORDS}?{name}={value}")).json();
        let found = ids(&answer["exports"]);
        // By their ids, which say the millisecond.
        assert_eq!(found.len(), expected.len(), "{name}={value}");
        assert!(name == "limit" || found.iter().all(|id| expected.contains(&id)), "{name}={value}");
    }
    let all_again = server.get_with(&auditor, RECORDS).json();
    let mut listed = all_again["exports"].as_array().unwrap().clone();
    listed.sort_by_key(|record| std::cmp::Reverse(record["time"].as_str().unwrap().to_owned()));
    assert_eq!(listed, all, "what is told is the same");
    assert_eq!(ids(&site.json(&["audit", "list", "--json", "--since", "1h"])).len(), 4);
    assert_eq!(ids(&site.json(&["audit", "list", "--json", "--until", "-1h"])).len(), 0);

    for (arguments, words) in [
        (&["--since", "yesterday"][..], "--since must be a time"),
        (&["--outcome", "good"], "must be one of completed"),
        (&["--since", "1h", "--until", "2h"], "--since must be earlier than --until"),
        (&["--time-zone", "Mars/Olympus"], "Mars/Olympus"),
    ] {
        let finished = site.run(&[&["audit", "list"], arguments].concat());
        assert_eq!(finished.code, Some(2), "{arguments:?}");
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
    }
    for (query, words) in [
        ("since=yesterday", "'since' must be a time"),
        ("outcome=good", "must be one of completed"),
        ("limit=0", "from 1 to 1000"),
        ("key=%00", "NUL"),
        ("before=a%00b", "NUL"),
        ("limit=1&limit=2", "more than once"),
        ("email=a@b.c", "Unknown parameter 'email'"),
        ("since=2026-02&until=2026-01", "'since' must be earlier than 'until'"),
    ] {
        let detail = server.get_with(&auditor, &format!("{RECORDS}?{query}")).detail(400);
        assert!(detail.contains(words), "{query}: {detail}");
    }
}

fn pages_reach_every_record_once(db: Db) {
    let (site, server) = exported(db);
    let auditor = site.create_key(&["auditor", "--kind", "standard", "--grant", "audit:read"]);
    let (mut found, mut before) = (Vec::new(), String::new());
    loop {
        let page = server.get_with(&auditor, &format!("{RECORDS}?limit=3{before}")).json();
        found.extend(ids(&page["exports"]));
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let mut all: Vec<_> =
        site.audit().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all.reverse();
    assert_eq!(found, all, "and a look leaves no record");
}

fn only_auditors_may_list(db: Db) {
    let (_site, server) = exported(db);
    assert_eq!(server.get(RECORDS).status, 401);
    let detail = server.get_with(EXPORT_KEY, RECORDS).detail(403);
    assert_eq!(detail, "API key lacks the grant 'audit:read'");
}

fn a_list_for_people_fits_and_says_its_zone(db: Db) {
    let (site, _server) = exported(db);
    let text = site.done(&["audit", "list", "--time-zone", "Asia/Kathmandu"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let first = || text.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(first().count(), 4, "{text}");
    assert!(first().all(|line| line[16..].starts_with("+05:45  ")), "{text}");
    for words in
        ["key HEADCOUNT_API_KEY", "denied", "  minimal  user ", "\n    is_active=true", "\n    malformed key"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let csv = csv_records(site.done(&["audit", "list", "--csv", "--time-zone", "Asia/Kathmandu"]).as_bytes());
    assert_eq!(csv.len(), 5);
    let column = |name: &str| csv[0].iter().position(|found| found == name).unwrap();
    assert!(csv[1][column("time")].ends_with("+05:45"), "{csv:?}");
    assert_eq!(csv[2][column("outcome")], "denied");
    // To be compared with JSON and receipts; and of a period without a record it is a table all the same.
    let plain = csv_records(site.done(&["audit", "list", "--csv"]).as_bytes());
    assert_eq!(plain[1][column("time")], site.audit()[0]["time"].as_str().unwrap());
    let empty = csv_records(site.done(&["audit", "list", "--csv", "--until", "2001"]).as_bytes());
    assert_eq!(empty, csv[..1]);
    assert!(csv[0].contains(&"masks".to_owned()) && csv[1][column("filters")].contains("is_active"));
    let nothing = site.run(&["audit", "list", "--profile", "gone"]);
    assert_eq!((nothing.code, nothing.text().as_str()), (Some(0), ""));
    assert!(nothing.stderr.contains("no record"), "{}", nothing.stderr);
}

fn verify_says_what_is_chained_and_what_was_kept(db: Db) {
    let (site, server) = exported(db);
    let head = site.done(&["audit", "head"]);
    let answer = server.get_with(STANDARD_KEY, MINIMAL);
    site.settled(answer.header("x-export-id"));
    let said = site.done(&["audit", "verify", "--head", head.trim_end()]);
    assert!(said.contains("4 settled records, 1 denial is not chained"), "{said}");
    assert!(said.contains("is record 3, still there"), "{said}");
}
