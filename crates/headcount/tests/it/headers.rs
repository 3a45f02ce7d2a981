//! The headers of a response to an export.

use reqwest::Method;

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site};

both! {
    an_export_is_csv_that_nobody_stores_or_sniffs,
    every_export_has_a_ulid_which_its_audit_record_bears,
    a_good_request_id_is_kept,
    any_other_request_id_is_replaced,
    errors_carry_a_request_id_too,
    file_names_are_configurable,
    a_file_name_beyond_ascii_is_also_sent_encoded,
}

fn an_export_is_csv_that_nobody_stores_or_sniffs(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for (target, file) in [(MINIMAL, "users_export.csv"), (FULL, "users_full_export.csv")] {
        let answer = server.get_with(EXPORT_KEY, target);
        assert_eq!(answer.status, 200);
        for (name, value) in [
            ("content-type", "text/csv; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-disposition", &format!("attachment; filename=\"{file}\"")),
        ] {
            assert_eq!(answer.header(name), value, "{target}");
        }
    }
}

fn every_export_has_a_ulid_which_its_audit_record_bears(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let ids = [0, 1].map(|_| {
        let answer = server.get_with(STANDARD_KEY, MINIMAL);
        answer.header("x-export-id").to_owned()
    });
    assert_ne!(ids[0], ids[1]);
    for id in ids {
        assert_eq!(id.len(), 26, "{id}");
        let crockford = |c: char| c.is_ascii_digit() || (c.is_ascii_uppercase() && !"ILOU".contains(c));
        assert!(id.chars().all(crockford), "{id}");
        assert_eq!(site.settled(&id)["outcome"], "completed");
    }
}

fn request_id(server: &Server, sent: Option<&str>) -> String {
    let mut request = server.request(Method::GET, MINIMAL).bearer_auth(STANDARD_KEY);
    if let Some(sent) = sent {
        request = request.header("x-request-id", sent);
    }
    let answer = Answer::to(request);
    assert_eq!(answer.status, 200);
    answer.header("x-request-id").to_owned()
}

fn a_good_request_id_is_kept(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let longest = "x".repeat(64);
    for id in ["a", "Job-7.retry_2", "0", "...", &longest] {
        assert_eq!(request_id(&server, Some(id)), id);
    }
}

fn any_other_request_id_is_replaced(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let too_long = "x".repeat(65);
    let mut fresh = Vec::new();
    for sent in [None, None, Some(""), Some("two words"), Some("a/b"), Some("id=\"1\""), Some(&too_long)] {
        let id = request_id(&server, sent);
        assert_ne!(Some(id.as_str()), sent);
        assert!((1..=64).contains(&id.len()), "{id}");
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{id}");
        fresh.push(id);
    }
    let count = fresh.len();
    fresh.sort_unstable();
    fresh.dedup();
    assert_eq!(fresh.len(), count);
}

fn errors_carry_a_request_id_too(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for (target, status) in [(MINIMAL.to_owned(), 401), (format!("{MINIMAL}/nowhere"), 404)] {
        let request = server.request(Method::GET, &target);
        let answer = Answer::to(request.header("x-request-id", "trace-me"));
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-request-id"), "trace-me");
    }
}

fn disposition(site: &Site, target: &str) -> String {
    let answer = site.serve().get_with(EXPORT_KEY, target);
    assert_eq!(answer.status, 200);
    answer.header("content-disposition").to_owned()
}

fn file_names_are_configurable(db: Db) {
    let site = Site::with_people(db);
    site.configure(
        "[exports.minimal]\nfilename = \"members.csv\"\n\
         [exports.full]\nfilename = \"all members.csv\"\n",
    );
    assert_eq!(disposition(&site, MINIMAL), r#"attachment; filename="members.csv""#);
    assert_eq!(disposition(&site, FULL), r#"attachment; filename="all members.csv""#);
}

fn a_file_name_beyond_ascii_is_also_sent_encoded(db: Db) {
    let site = Site::with_people(db);
    site.configure("[exports.minimal]\nfilename = \"Nutzer für März.csv\"\n");
    let value = disposition(&site, MINIMAL);
    assert!(value.starts_with("attachment; filename=\""), "{value}");
    assert!(value.contains("filename*=UTF-8''Nutzer%20f%C3%BCr%20M%C3%A4rz.csv"), "{value}");
}
