//! Who may export what a profile shows, and what is left of it: flags, grants, the audit, metrics, the documents.

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Answer, Db, EXPORT_KEY, FULL, MEMBERS, MINIMAL, STANDARD_KEY, SUPPORT, Server, Site, is_keyed_hash,
    profile, within_a_second,
};

both! {
    a_profile_needs_its_flag,
    a_profile_needs_its_grant,
    grants_of_profiles_are_added_and_left_out,
    unknown_names_are_answered_with_the_known_ones,
    a_feature_without_a_profile_stops_the_start,
    an_export_leaves_its_record_and_its_metrics,
    a_profile_is_documented,
}

fn support(db: Db) -> (Site, Server, String) {
    let mut site = Site::with_members(db);
    let key = site.declare(&format!("{MEMBERS}{SUPPORT}"), &["support", "logins"]);
    let server = site.serve();
    (site, server, key)
}

fn a_profile_needs_its_flag(db: Db) {
    let mut site = Site::with_members(db);
    let key = site.declare(&format!("{MEMBERS}{SUPPORT}"), &["support", "logins"]);
    site.set("HEADCOUNT_FEATURES", "users:export,users:export_full");
    let server = site.serve();
    let status = || server.status_with(&key, &profile("support"));
    assert_eq!(server.get_with(&key, &profile("support")).detail(403), "Export feature not enabled");
    site.done(&["flags", "enable", "users:export_support"]);
    within_a_second("it is on", || status() == 200);
    server.get_with(&key, &profile("logins")).detail(403);
    site.done(&["flags", "disable", "users:export_support"]);
    within_a_second("it is off", || status() == 403);
    let flag = site.flag("users:export_support");
    assert_eq!(flag, json!({"name": "users:export_support", "enabled": false, "set_by": "store"}));
    assert_eq!(site.flag("users:export_logins")["set_by"], "config");
    assert!(site.done(&["flags", "list"]).contains("users:export_logins"));
    assert!(server.said().contains("users:export_support: off"), "{}", server.said());
}

fn a_profile_needs_its_grant(db: Db) {
    let (site, server, _) = support(db);
    let plain = site.create_key(&["plain", "--kind", "export"]);
    for key in [STANDARD_KEY, EXPORT_KEY, &plain] {
        let detail = server.get_with(key, &profile("support")).detail(403);
        assert_eq!(detail, "API key lacks the grant 'users:export_support'");
    }
    server.get(&profile("support")).detail(401);
    server.get_with("hc_std_nonsense", &profile("support")).detail(401);
}

fn grants_of_profiles_are_added_and_left_out(db: Db) {
    let (site, server, _) = support(db);
    let support = "users:export_support";
    for (name, arguments, grants) in [
        ("added", &["--kind", "standard", "--grant", support][..], vec!["users:export", support]),
        (
            "two",
            &["--kind", "standard", "--grant", support, "--grant", "users:export_logins"],
            vec!["users:export", "users:export_logins", support],
        ),
        (
            "narrow",
            &["--kind", "export", "--grant", "users:export", "--grant", support],
            vec!["users:export", support],
        ),
        (
            "alone",
            &[
                "--kind",
                "export",
                "--grant",
                support,
                "--without",
                "users:export",
                "--without",
                "users:export_full",
            ],
            vec![support],
        ),
        ("without", &["--kind", "standard", "--without", support], vec!["users:export"]),
    ] {
        let key = site.create_key(&[&[name], arguments].concat());
        let listed = site.keys().into_iter().find(|key| key["name"] == name).unwrap();
        assert_eq!(listed["grants"], json!(grants), "{name}");
        for (path, grant) in [
            (MINIMAL.to_owned(), "users:export"),
            (FULL.to_owned(), "users:export_full"),
            (profile("support"), support),
            (profile("logins"), "users:export_logins"),
        ] {
            let expected = if grants.contains(&grant) { 200 } else { 403 };
            assert_eq!(server.status_with(&key, &path), expected, "{name} {grant}");
        }
    }
    let old = site.key_id("alone");
    let rotated = site.done(&["keys", "rotate", &old]);
    assert_eq!(server.status_with(rotated.trim_end(), &profile("support")), 200);
    assert_eq!(server.status_with(rotated.trim_end(), MINIMAL), 403);
}

fn unknown_names_are_answered_with_the_known_ones(db: Db) {
    let (site, server, key) = support(db);
    for arguments in [
        &["export", "suport"][..],
        &["export", "users:export_support"],
        &["flags", "enable", "users:export_suport"],
        &["flags", "disable", "suport"],
        &["keys", "create", "x", "--kind", "standard", "--grant", "users:export_suport"],
        &["keys", "create", "x", "--kind", "standard", "--grant", "support"],
        &["keys", "create", "x", "--kind", "standard", "--without", "users:export_suport"],
        &["keys", "create", "x", "--kind", "standard", "--without", "users:export"],
        &["export", "support", "--fields", "email"],
        &["export", "support", "--after", "x"],
    ] {
        let finished = site.run(arguments);
        assert_eq!(
            (finished.code, finished.stdout.len()),
            (Some(2), 0),
            "{arguments:?}: {}",
            finished.stderr
        );
        if arguments.iter().any(|argument| argument.contains("suport")) {
            for name in ["suport", "support", "logins"] {
                assert!(finished.stderr.contains(name), "{arguments:?}: {}", finished.stderr);
            }
        }
    }
    for path in [profile("suport"), profile("FULL"), profile("SUPPORT"), profile("support/"), profile("")] {
        assert_eq!(server.get_with(&key, &path).status, 404, "{path}");
    }
    assert_eq!(Answer::to(server.request(Method::DELETE, &profile("support"))).status, 405);
}

fn a_feature_without_a_profile_stops_the_start(db: Db) {
    let mut site = Site::with_members(db);
    site.declare(&format!("{MEMBERS}{SUPPORT}"), &["support"]);
    site.configure(MEMBERS);
    let finished = site.run(&["serve"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("'users:export_support' is not a feature"), "{}", finished.stderr);
}

fn an_export_leaves_its_record_and_its_metrics(db: Db) {
    let (site, server, key) = support(db);
    let target = format!("{}?fields=id,team&email=Ada@example.com&limit=9", profile("support"));
    let answer = server.get_with(&key, &target);
    assert_eq!(answer.csv(), "id,team\r\n2,guests\r\n");
    let record = site.settled(answer.header("x-export-id"));
    assert_eq!(record["endpoint"], json!(profile("support")));
    assert_eq!((&record["outcome"], &record["rows"]), (&json!("completed"), &json!(1)));
    assert_eq!(record["key_name"], "declared");
    let email = &record["filters"]["email"];
    assert!(is_keyed_hash(email), "{email}");
    assert_eq!(record["filters"], json!({"fields": "id,team", "email": email, "limit": 9}));

    server.get_with(EXPORT_KEY, &profile("support")).detail(403);
    let denied = &site.audit_of(2)[0];
    assert_eq!((&denied["outcome"], &denied["endpoint"]), (&json!("denied"), &json!(profile("support"))));
    let exports = |labels: &[&str]| server.metric("headcount_exports_total", labels);
    assert_eq!(exports(&["endpoint=\"support\"", "outcome=\"completed\""]), 1.0);
    assert_eq!(exports(&["endpoint=\"logins\""]), 0.0);
    assert_eq!(server.metric("headcount_refused_total", &["missing_grant"]), 1.0);
}

fn a_profile_is_documented(db: Db) {
    let (site, server, _) = support(db);
    let document = server.get("/openapi.json").json();
    assert_eq!(document, site.json(&["openapi"]));
    for name in ["support", "logins"] {
        for method in ["get", "head", "post"] {
            let operation = &document["paths"][profile(name)][method];
            let text = operation.to_string();
            assert!(text.contains(&format!("users:export_{name}")), "{name} {method}: {text}");
        }
    }
    let text = document["paths"][profile("support")].to_string();
    for column in ["E-mail \\\"Kontakt\\\"", "phone", "team"] {
        assert!(text.contains(column), "{column}: {text}");
    }
    assert!(!text.contains("password_hash"));
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let mut ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
    assert!(server.get("/docs").text().contains(&profile("support")));
}
