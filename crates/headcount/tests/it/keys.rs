//! Who may export.

use reqwest::Method;

use crate::harness::{
    Answer, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, eventually, profile, within_a_second,
};

both! {
    a_key_is_sent_in_either_header,
    two_keys_in_one_request_must_be_equal,
    a_key_is_never_accepted_in_the_address,
    whatever_is_wrong_with_a_key_the_answer_is_the_same,
    a_typing_error_makes_a_key_unknown,
    the_two_kinds_have_their_grants,
    a_grant_can_be_added_or_left_out,
    static_keys_come_from_the_environment,
    a_static_key_may_be_a_phrase,
    creating_prints_the_key_alone,
    a_generated_key_has_the_documented_form,
    a_listed_key_shows_everything_but_itself,
    the_use_of_a_key_is_noted,
    a_key_ends_at_its_expiry,
    a_revoked_key_is_refused_within_a_second,
    rotating_replaces_a_key_by_its_like,
    commands_on_unknown_keys_fail,
    a_key_may_be_for_some_exports_only,
    a_key_is_named_by_a_name_that_no_other_has,
}

fn status(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let mut request = server.request(Method::GET, MINIMAL);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::to(request).status
}

fn a_key_is_sent_in_either_header(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["reader", "--kind", "standard"]);
    for key in [STANDARD_KEY, &key] {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let value = format!("{scheme} {key}");
            assert_eq!(status(&server, &[("authorization", &value)]), 200, "{scheme}");
        }
        assert_eq!(status(&server, &[("x-api-key", key)]), 200);
        for value in [format!("Basic {key}"), key.to_owned(), format!("Bearer{key}"), "Bearer".into()] {
            assert_eq!(status(&server, &[("authorization", &value)]), 401, "{value}");
        }
        assert_eq!(status(&server, &[("x-api-key", &format!("Bearer {key}"))]), 401);
    }
}

fn two_keys_in_one_request_must_be_equal(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let bearer = format!("Bearer {STANDARD_KEY}");
    let with_second = |second: &str| status(&server, &[("authorization", &bearer), ("x-api-key", second)]);
    assert_eq!(with_second(STANDARD_KEY), 200);
    assert_eq!(with_second(EXPORT_KEY), 401);
    assert_eq!(with_second("no-such-key-as-this-one"), 401);
    assert_eq!(with_second(""), 401);
}

fn a_key_is_never_accepted_in_the_address(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for name in ["api_key", "key", "access_token", "token", "X-API-Key", "authorization"] {
        let target = format!("{MINIMAL}?{name}={STANDARD_KEY}");
        server.get(&target).detail(401);
        server.get_with(STANDARD_KEY, &target).detail(400);
    }
    let form = format!("api_key={STANDARD_KEY}");
    let post =
        server.request(Method::POST, MINIMAL).header("content-type", "application/x-www-form-urlencoded");
    Answer::to(post.body(form)).detail(401);
    let basic = server.request(Method::GET, MINIMAL).basic_auth(STANDARD_KEY, Some(STANDARD_KEY));
    Answer::to(basic).detail(401);
}

fn whatever_is_wrong_with_a_key_the_answer_is_the_same(db: Db) {
    let site = Site::with_people(db);
    site.configure("[limits]\nfailed_keys_per_minute = 10000\n");
    let server = site.serve();
    let elsewhere = Site::embedded();
    let unknown = elsewhere.create_key(&["stranger", "--kind", "export"]);
    let expired = site.create_key(&["old", "--kind", "export", "--expires", "1s"]);
    let revoked = site.create_key(&["gone", "--kind", "export"]);
    site.done(&["keys", "revoke", &site.key_id("gone")]);
    eventually("both keys are dead", || {
        [&expired, &revoked].map(|key| server.status_with(key, MINIMAL)) == [401, 401]
    });

    for bad in [
        None,
        Some(""),
        Some("x"),
        Some("hc_"),
        Some("hc_std_123"),
        Some(&unknown),
        Some(&expired),
        Some(&revoked),
    ] {
        for path in [MINIMAL, FULL] {
            let request = server.request(Method::GET, path);
            let answer = Answer::to(match bad {
                None => request,
                Some(key) => request.header("x-api-key", key),
            });
            assert_eq!(answer.detail(401), "Invalid or missing API key", "{bad:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

fn a_typing_error_makes_a_key_unknown(db: Db) {
    let mut site = Site::with_people(db);
    site.configure("[limits]\nfailed_keys_per_minute = 1000\n");
    site.unset("HEADCOUNT_API_KEY");
    let server = site.serve();
    let key = site.create_key(&["reader", "--kind", "standard"]);
    for position in 0..key.len() {
        let mut typed = key.clone().into_bytes();
        typed[position] = if typed[position] == b'a' { b'b' } else { b'a' };
        let typed = String::from_utf8(typed).unwrap();
        assert_eq!(server.status_with(&typed, MINIMAL), 401, "{position}");
    }
    for typed in [&key[1..], &key[..key.len() - 1], &format!("{key}0"), &key.to_uppercase()] {
        assert_eq!(server.status_with(typed, MINIMAL), 401);
    }
    assert_eq!(server.status_with(&key, MINIMAL), 200);
}

fn assert_may(server: &Server, key: &str, minimal: bool, full: bool) {
    for (path, grant, may) in [(MINIMAL, "users:export", minimal), (FULL, "users:export_full", full)] {
        let answer = server.get_with(key, path);
        if may {
            assert_eq!(answer.status, 200, "{path}");
        } else {
            assert_eq!(answer.detail(403), format!("API key lacks the grant '{grant}'"));
        }
    }
}

fn the_two_kinds_have_their_grants(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let standard = site.create_key(&["a", "--kind", "standard"]);
    let export = site.create_key(&["b", "--kind", "export"]);
    assert_may(&server, &standard, true, false);
    assert_may(&server, &export, true, true);
    let grants = |name: &str| {
        let keys = site.keys();
        let key = keys.iter().find(|key| key["name"] == name).unwrap();
        key["grants"].to_string()
    };
    assert_eq!(grants("a"), r#"["users:export"]"#);
    assert_eq!(grants("b"), r#"["users:export","users:export_full"]"#);
}

fn a_grant_can_be_added_or_left_out(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for (name, kind, grants, minimal, full) in [
        ("a", "standard", &["users:export_full"][..], true, true),
        ("b", "standard", &["users:export"], true, false),
        ("c", "export", &["users:export"], true, false),
        ("d", "export", &["users:export_full"], false, true),
        ("e", "export", &["users:export", "users:export_full"], true, true),
    ] {
        let mut arguments = vec![name, "--kind", kind];
        for grant in grants {
            arguments.extend(["--grant", grant]);
        }
        let key = site.create_key(&arguments);
        assert_may(&server, &key, minimal, full);
    }
    let unknown = ["keys", "create", "f", "--kind", "export", "--grant", "users:delete"];
    assert_eq!(site.run(&unknown).code, Some(2));
}

fn static_keys_come_from_the_environment(db: Db) {
    let mut site = Site::with_people(db);
    let server = site.serve();
    assert_may(&server, STANDARD_KEY, true, false);
    assert_may(&server, EXPORT_KEY, true, true);
    drop(server);
    site.set("HEADCOUNT_EXPORT_API_KEY", "sixteen-letters!");
    site.unset("HEADCOUNT_API_KEY");
    let server = site.serve();
    assert_may(&server, "sixteen-letters!", true, true);
    for old in [STANDARD_KEY, EXPORT_KEY, "", "sixteen-letters"] {
        assert_eq!(server.status_with(old, MINIMAL), 401);
    }
}

fn a_static_key_may_be_a_phrase(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_API_KEY", "correct horse battery");
    assert_may(&site.serve(), "correct horse battery", true, false);
}

fn creating_prints_the_key_alone(db: Db) {
    let site = Site::with_people(db);
    let printed = site.done(&["keys", "create", "reader", "--kind", "standard"]);
    assert_eq!(printed.lines().count(), 1);
    assert!(printed.ends_with('\n') && !printed.contains(' '));
    assert_eq!(site.serve().status_with(printed.trim_end(), MINIMAL), 200);
}

fn a_generated_key_has_the_documented_form(db: Db) {
    let site = Site::with_people(db);
    let mut made = Vec::new();
    for (name, kind, prefix) in
        [("a", "standard", "hc_std_"), ("b", "export", "hc_exp_"), ("c", "export", "hc_exp_")]
    {
        let key = site.create_key(&[name, "--kind", kind]);
        let rest = key.strip_prefix(prefix).unwrap();
        assert_eq!(rest.len(), 43 + 6);
        assert!(rest.chars().all(|c| c.is_ascii_alphanumeric()));
        made.push(rest.to_owned());
    }
    made.dedup();
    assert_eq!(made.len(), 3);
}

fn a_listed_key_shows_everything_but_itself(db: Db) {
    let site = Site::with_people(db);
    let key = site.create_key(&["payroll", "--kind", "export", "--expires", "90d"]);
    site.create_key(&["for ever", "--kind", "standard"]);
    let keys = site.keys();
    assert_eq!(keys.len(), 2);
    for key in &keys {
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(
            members,
            [
                "created_at",
                "expires_at",
                "grants",
                "id",
                "kind",
                "last_used_at",
                "name",
                "revoked_at",
                "rows_per_day",
                "rows_today"
            ]
        );
    }
    let payroll = keys.iter().find(|key| key["name"] == "payroll").unwrap();
    assert_eq!(payroll["kind"], "export");
    for time in ["created_at", "expires_at"] {
        let time = payroll[time].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    assert!(payroll["expires_at"].as_str() > payroll["created_at"].as_str());
    assert!(payroll["last_used_at"].is_null() && payroll["revoked_at"].is_null());
    let lasting = keys.iter().find(|key| key["name"] == "for ever").unwrap();
    assert!(lasting["expires_at"].is_null());

    let json = site.done(&["keys", "list", "--json"]);
    let table = site.run(&["keys", "list"]);
    assert_eq!(table.code, Some(0));
    assert!(table.text().contains("payroll"));
    for shown in [json, table.everything()] {
        assert!(!shown.contains(&key[..20]), "{shown}");
    }
}

fn the_use_of_a_key_is_noted(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["reader", "--kind", "standard"]);
    assert_eq!(server.status_with(&key, MINIMAL), 200);
    eventually("last_used_at is set", || site.keys()[0]["last_used_at"].is_string());
}

fn a_key_ends_at_its_expiry(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["brief", "--kind", "standard", "--expires", "10s"]);
    assert_eq!(server.status_with(&key, MINIMAL), 200);
    eventually("the key has expired", || server.status_with(&key, MINIMAL) == 401);
    for nonsense in ["soon", "-1d", ""] {
        let arguments = ["keys", "create", "x", "--kind", "standard", "--expires", nonsense];
        assert_eq!(site.run(&arguments).code, Some(2), "{nonsense:?}");
    }
}

fn a_revoked_key_is_refused_within_a_second(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["reader", "--kind", "standard"]);
    let other = site.create_key(&["other", "--kind", "standard"]);
    for key in [&key, &other] {
        assert_eq!(server.status_with(key, MINIMAL), 200);
    }
    site.done(&["keys", "revoke", &site.key_id("reader")]);
    within_a_second("the key is refused", || server.status_with(&key, MINIMAL) == 401);
    assert_eq!(server.status_with(&other, MINIMAL), 200);
    let keys = site.keys();
    let revoked = keys.iter().find(|key| key["name"] == "reader").unwrap();
    assert!(revoked["revoked_at"].is_string());
}

fn rotating_replaces_a_key_by_its_like(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let old = site.create_key(&["payroll", "--kind", "export", "--grant", "users:export_full"]);
    let printed = site.done(&["keys", "rotate", &site.key_id("payroll")]);
    assert_eq!(printed.lines().count(), 1);
    let new = printed.trim_end();
    assert_ne!(new, old);
    assert_may(&server, new, false, true);
    within_a_second("the old key is refused", || server.status_with(&old, FULL) == 401);
    let keys = site.keys();
    let named: Vec<_> = keys.iter().filter(|key| key["name"] == "payroll").collect();
    let living = named.iter().filter(|key| key["revoked_at"].is_null());
    assert_eq!(living.count(), 1, "{named:?}");
}

fn a_key_may_be_for_some_exports_only(db: Db) {
    let mut site = Site::with_people(db);
    site.declare("[exports.support]\ncolumns = [\"id\"]\n", &["support"]);
    let grants = |name: &str| {
        let keys = site.keys();
        let key = keys.iter().find(|key| key["name"] == name).unwrap();
        (key["kind"].to_string(), key["grants"].to_string())
    };
    let helpdesk = site.create_key(&["helpdesk", "--export", "support"]);
    assert_eq!(grants("helpdesk"), ("\"standard\"".to_owned(), "[\"users:export_support\"]".to_owned()));
    site.create_key(&["two", "--export", "support", "--export", "full", "--grant", "audit:read"]);
    let two = "[\"audit:read\",\"users:export_full\",\"users:export_support\"]";
    assert_eq!(grants("two"), ("\"export\"".to_owned(), two.to_owned()));

    let server = site.serve();
    for (target, status) in [(profile("support"), 200), (MINIMAL.to_owned(), 403), (FULL.to_owned(), 403)] {
        assert_eq!(server.status_with(&helpdesk, &target), status, "{target}");
    }
    for (arguments, word) in [
        (&["--export", "suport"][..], "support"),
        (&["--kind", "support"], "--export"),
        (&["--kind", "standard", "--export", "support"], "--kind"),
        (&[], "--kind"),
    ] {
        let finished = site.run(&[&["keys", "create", "another"], arguments].concat());
        assert_eq!(finished.code, Some(2), "{arguments:?}");
        assert!(finished.stderr.contains(word), "{}", finished.stderr);
        // It may open more.
        assert!(!finished.stderr.contains("similar value"), "{}", finished.stderr);
    }
    site.done(&["flags", "disable", "support"]);
    within_a_second("it is off", || server.status_with(&helpdesk, &profile("support")) == 403);
}

fn a_key_is_named_by_a_name_that_no_other_has(db: Db) {
    let site = Site::with_people(db);
    let create = |name: &str| site.create_key(&[name, "--kind", "standard"]);
    let [first, _, _] = ["one", "several", "several"].map(create);
    let server = site.serve();
    let second = site.done(&["keys", "rotate", "one"]).trim_end().to_owned();
    within_a_second("the old one ends", || server.status_with(&first, MINIMAL) == 401);
    assert_eq!(server.status_with(&second, MINIMAL), 200);
    site.done(&["keys", "revoke", "one"]);
    assert!(site.run(&["keys", "revoke", "one"]).stderr.contains("one"));
    let finished = site.run(&["keys", "revoke", "several"]);
    assert_eq!(finished.code, Some(1));
    let keys = site.keys();
    for key in keys.iter().filter(|key| key["name"] == "several") {
        assert!(finished.stderr.contains(key["id"].as_str().unwrap()), "{}", finished.stderr);
        assert!(key["revoked_at"].is_null());
    }
}

fn commands_on_unknown_keys_fail(db: Db) {
    let site = Site::with_people(db);
    for command in ["revoke", "rotate"] {
        let finished = site.run(&["keys", command, "no-such-id"]);
        assert_eq!(finished.code, Some(1));
        assert!(finished.stdout.is_empty());
        assert!(finished.stderr.contains("no-such-id"), "{}", finished.stderr);
    }
}
