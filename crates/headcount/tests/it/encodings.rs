//! Databases whose texts are not in UTF-8, or in nobody knows what; and what no database can compare with.

use reqwest::Method;

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, Site};

both! {
    the_year_0_is_refused_where_there_is_none,
    an_address_of_any_letters_is_looked_for,
}

fn the_year_0_is_refused_where_there_is_none(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let everybody = site.column("SELECT id FROM users WHERE created_at IS NOT NULL ORDER BY id");
    let ask = |query: &str| server.get_with(EXPORT_KEY, &format!("{FULL}?{query}"));
    for value in ["0000-01-01T00:00:00Z", "0000-12-31T23:59:59.999999Z", "0001-01-01T00:00:00%2B00:01"] {
        if db == Db::Sqlite {
            assert_eq!(ask(&format!("created_after={value}")).ids(), everybody);
            assert!(ask(&format!("created_before={value}")).ids().is_empty());
            continue;
        }
        for name in ["created_after", "created_before", "updated_after", "updated_before"] {
            let detail = ask(&format!("{name}={value}")).detail(400);
            assert!(detail.contains(name) && detail.contains("0001"), "{detail}");
        }
    }
    for name in ["created_after", "created_before", "updated_after", "updated_before"] {
        for value in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
            assert_eq!(ask(&format!("{name}={value}")).status, 200, "{name} {value}");
        }
    }
    assert_eq!(ask("created_after=0001-01-01T00:00:00Z").ids(), everybody);
    let finished = site.run(&["export", "full", "--created-before", "0000-06-01T00:00:00Z"]);
    assert_eq!(finished.code, Some(if db == Db::Sqlite { 0 } else { 2 }), "{}", finished.stderr);
}

fn an_address_of_any_letters_is_looked_for(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    for email in ["%D0%96@example.com", "%F0%9F%A6%80", "%EF%BF%BE", "%C2%A1"] {
        assert!(server.get_with(EXPORT_KEY, &format!("{FULL}?email={email}")).ids().is_empty(), "{email}");
    }
}

#[test]
fn a_text_that_the_database_has_no_letters_for_is_refused() {
    let site = Site::encoded("LATIN1");
    site.sql(
        "INSERT INTO users (id, email) VALUES (1, 'josé@example.com'), (2, 'zoe@example.com');
         CREATE TABLE named AS SELECT email AS id, email, email AS name FROM users",
    );
    let server = site.serve();
    let ask = |query: &str| server.get_with(EXPORT_KEY, &format!("{MINIMAL}?{query}"));
    assert_eq!(ask("email=jos%C3%A9@example.com").csv(), "id,email,name\r\n1,josé@example.com,\r\n");
    for query in ["email=%D0%96@example.com", "email=%D0%96@example.com&preflight=true"] {
        let detail = ask(query).detail(400);
        assert!(detail.contains("'email'") && detail.contains("encoding"), "{detail}");
    }
    server.post_with(EXPORT_KEY, MINIMAL, "email=%F0%9F%A6%80").detail(400);
    let head = server.request(Method::HEAD, &format!("{MINIMAL}?email=%D0%96")).bearer_auth(EXPORT_KEY);
    assert_eq!(Answer::to(head).status, 400);
    assert!(site.audit_of(5)[..4].iter().all(|record| record["outcome"] == "denied"));
    let finished = site.run(&["export", "minimal", "--email", "Ж@example.com"]);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);

    let mut named = site;
    named.set("HEADCOUNT_SOURCE_TABLE", "named");
    let server = named.serve();
    let after = |id: &str| server.get_with(EXPORT_KEY, &format!("{MINIMAL}?after={id}"));
    assert_eq!(after("jos%C3%A9@example.com").ids(), ["zoe@example.com"]);
    assert!(after("%D0%96").detail(400).contains("'after'"));
}

/// The mapping that an error tells of.
fn printed(said: &str) -> &str {
    let (_, mapping) = said.split_once("[source.columns] ").unwrap_or_else(|| panic!("{said}"));
    &mapping[..mapping.find("\" }").unwrap() + 3]
}

#[test]
fn a_text_of_an_unknown_encoding_is_named_with_what_helps() {
    let mut site = Site::encoded("SQL_ASCII");
    site.sql(
        "INSERT INTO users (id, email, name) VALUES (1, 'ada@example.com', 'Ada'),
         (7, NULL, E'Jos\\xe9 \"x\"'), (8, NULL, E'Jos\\xc3\\xa9 \\xf0\\x9f\\xa6\\x80'), (9, NULL, NULL)",
    );
    let expected = "id,email,name\r\n1,ada@example.com,Ada\r\n7,,\"José \"\"x\"\"\"\r\n8,,José 🦀\r\n9,,\r\n";
    // In the text format, and, through the driver, in the binary one.
    for url in [site.database().source_url(), site.database().several_hosts_url()] {
        site.set("HEADCOUNT_SOURCE_URL", &url);
        for (columns, name) in [
            ("", "name"),
            ("[source.columns]\nname = { sql = \"coalesce(\\\"name\\\", NULL)\" }\n", "name"),
            ("[source.columns]\n\"a name\" = 'name'\n[exports.odd]\ncolumns = ['id', 'a name']\n", "a name"),
        ] {
            site.configure(columns);
            let export = if name == "name" { "minimal" } else { "odd" };
            let finished = site.run(&["export", export]);
            assert_eq!(finished.code, Some(1), "{}", finished.stderr);
            for word in ["table users", &format!("column {name}"), "id 7", "UTF-8", "SQL_ASCII", "LATIN1"] {
                assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
            }
            let mapping = printed(&finished.stderr);
            let declared = columns.split_once("[exports").map_or("", |(_, rest)| rest);
            let declared = if declared.is_empty() { String::new() } else { format!("[exports{declared}") };
            site.configure(&format!("[source.columns]\n{mapping}\n{declared}"));
            let mended = site.done(&["export", export]);
            if export == "minimal" {
                assert_eq!(mended, expected);
            } else {
                assert!(mended.contains("8,José 🦀\r\n"), "{mended}");
            }
        }
    }
    site.configure("");
    let server = site.serve();
    server.get_with(EXPORT_KEY, MINIMAL).detail(500);
    server.eventually_says("table users, column name, id 7: ");
    assert_eq!(server.get_with(EXPORT_KEY, &format!("{MINIMAL}?email=ada@example.com")).ids(), ["1"]);
    site.findings().assert_one("problem", "values", &["minimal export", "column name", "id 7", "LATIN1"]);
}

/// The bytes that a message of the server names are in no character.
#[test]
fn a_text_that_cannot_be_converted_is_told_with_what_helps() {
    for (encoding, bytes, remedies, rest) in [
        ("WIN1252", "chr(129) || chr(157)", &["chr(129)", "chr(157)"][..], "Ada\u{20ac}"),
        ("EUC_KR", "convert_from('\\xc9a1', 'EUC_KR')", &["0xc9 0xa1"], "Ada"),
    ] {
        let mut site = Site::encoded(encoding);
        let euro = if encoding == "WIN1252" { "|| chr(128)" } else { "" };
        site.sql(&format!(
            "INSERT INTO users (id, email, name) VALUES (1, 'a@example.com', 'A'), (7, 'b@example.com', 'B'),
             (9, 'ada@example.com', 'Ada' {euro} || {bytes}), (10, 'c@example.com', 'C')"
        ));
        // In the text format, and, through the driver, in the binary one.
        for url in [site.database().source_url(), site.database().several_hosts_url()] {
            site.set("HEADCOUNT_SOURCE_URL", &url);
            site.configure("");
            for remedy in remedies {
                let finished = site.run(&["export", "minimal"]);
                assert_eq!(finished.code, Some(1), "{}", finished.stderr);
                for word in
                    ["table users", "email or name", "after id 7", "UTF-8", "22P05", encoding, "0x", remedy]
                {
                    assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
                }
                let (_, mapping) = finished.stderr.split_once("as for this one, ").unwrap();
                let mapping = &mapping[..mapping.find("\" }").unwrap() + 3];
                site.configure(&format!("[source.columns]\n{mapping}\n"));
            }
            let mended = site.done(&["export", "minimal"]);
            assert!(mended.contains(&format!("9,ada@example.com,{rest}\r\n10,")), "{mended}");
        }
        site.configure("");
        let finished = site.run(&["export", "minimal", "--email", "ada@example.com"]);
        assert!(finished.stderr.contains("of the first user"), "{}", finished.stderr);
        site.done(&["export", "minimal", "--email", "c@example.com"]);
    }
}
