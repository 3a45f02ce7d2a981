//! The first thing a newcomer sees.

use std::process::Command;

use crate::harness::{ALIVE, FULL, MINIMAL, SIMPLE, Server, Site, csv_records, eventually};

fn newcomer() -> Site {
    let mut site = Site::embedded();
    for name in ["HEADCOUNT_FEATURES", "HEADCOUNT_API_KEY", "HEADCOUNT_EXPORT_API_KEY"] {
        site.unset(name);
    }
    site
}

fn demo(site: &Site, users: &[&str]) -> Server {
    let mut command = site.command();
    command.args(["demo", "--listen", "127.0.0.1:0"]).args(users);
    let server = Server::start(command);
    eventually("the keys are printed", || {
        let said = server.said();
        said.contains("hc_std_") && said.contains("hc_exp_")
    });
    server
}

fn printed_key(server: &Server, prefix: &str) -> String {
    let said = server.said();
    let start = said.find(prefix).unwrap();
    let key: String = said[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    key
}

#[test]
fn the_demo_serves_sample_users_with_everything_on() {
    let site = newcomer();
    let server = demo(&site, &["--users", "50"]);
    let standard = printed_key(&server, "hc_std_");
    let export = printed_key(&server, "hc_exp_");
    assert_eq!(server.get_with(&standard, MINIMAL).ids().len(), 50);
    assert_eq!(server.get_with(&export, FULL).ids().len(), 50);
    assert_eq!(server.status_with(&standard, FULL), 403);
    for path in [ALIVE, SIMPLE] {
        assert_eq!(server.get(path).status, 200);
    }
    assert!(server.said().contains(&server.url("")));
}

#[test]
fn a_demo_that_finds_the_address_taken_leaves_the_other_one_its_keys() {
    let site = newcomer();
    let server = demo(&site, &["--users", "5"]);
    let standard = printed_key(&server, "hc_std_");
    let address = server.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let second = site.run_exactly(&["demo", "--listen", &address]);
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("cannot listen on") && !second.stderr.contains("hc_std_"),
        "{}",
        second.stderr
    );
    // What is known of a key counts for a second, so the store is asked.
    let keys = site.run_exactly(&["keys", "list", "--json"]).text();
    assert!(keys.contains("demo-standard") && !keys.contains("\"revoked_at\": \""), "{keys}");
    assert_eq!(server.get_with(&standard, MINIMAL).ids().len(), 5);
}

#[test]
fn the_demo_makes_a_thousand_users_by_default_and_the_same_every_time() {
    let exports = [0, 1].map(|_| {
        let site = newcomer();
        let server = demo(&site, &[]);
        let export = printed_key(&server, "hc_exp_");
        server.get_with(&export, FULL).csv()
    });
    assert_eq!(csv_records(exports[0].as_bytes()).len(), 1 + 1000);
    assert!(exports[0] == exports[1]);
    assert!(exports[0].contains('"'), "the samples show quoting");
}

#[test]
fn a_second_demo_keeps_the_users_that_are_there() {
    let site = newcomer();
    let first = demo(&site, &["--users", "20"]);
    let before = first.get_with(&printed_key(&first, "hc_exp_"), FULL).csv();
    drop(first);
    let second = demo(&site, &["--users", "30"]);
    let after = second.get_with(&printed_key(&second, "hc_exp_"), FULL).csv();
    assert_eq!(before, after);
}

#[test]
fn the_printed_curl_lines_work_as_they_stand() {
    let site = newcomer();
    let server = demo(&site, &["--users", "20"]);
    eventually("curl lines are printed", || curl_lines(&server.said()).len() >= 2);
    let downloads = site.path("downloads");
    std::fs::create_dir(&downloads).unwrap();
    for line in curl_lines(&server.said()) {
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(&downloads)
            .env("no_proxy", "*")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
        let mut received = output.stdout;
        for file in std::fs::read_dir(&downloads).unwrap() {
            let file = file.unwrap().path();
            received.extend(std::fs::read(&file).unwrap());
            std::fs::remove_file(file).unwrap();
        }
        let received = String::from_utf8(received).unwrap();
        assert!(!received.contains("status_code"), "{line}\n{received}");
        assert!(!received.is_empty(), "{line}");
    }
    let audit = site.run_exactly(&["audit", "list", "--json"]);
    assert!(audit.text().contains("completed"), "{}", audit.everything());
}

/// The commands among the lines, without a prompt and with continued lines joined.
fn curl_lines(said: &str) -> Vec<String> {
    let joined = said.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| {
        let line = line.trim_start_matches([' ', '$']);
        line.starts_with("curl ").then(|| line.to_owned())
    });
    lines.collect()
}
