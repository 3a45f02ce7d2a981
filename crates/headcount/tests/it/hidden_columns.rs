//! Filters tell who has which value. Nobody learns by them what an export hides.

use reqwest::Method;

use crate::harness::{Answer, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, profile};

both! {
    what_the_minimal_export_hides_its_key_may_not_ask_about,
    whoever_may_see_a_column_may_ask_about_it,
    a_masked_column_is_hidden,
    an_export_of_some_users_lets_nobody_ask_about_others,
    without_ids_there_are_no_pages,
    the_configuration_may_let_everybody_ask,
}

/// Every way to ask, with what is refused.
fn assert_hidden(server: &Server, key: &str, path: &str, query: &str, column: &str) {
    let get = server.get_with(key, &format!("{path}?{query}"));
    let preflight = server.get_with(key, &format!("{path}?preflight=true&{query}"));
    for answer in [get, preflight, server.post_with(key, path, query)] {
        let detail = answer.detail(403);
        assert!(detail.contains(&format!("'{column}'")), "{query}: {detail}");
    }
    let head = server.request(Method::HEAD, &format!("{path}?{query}")).bearer_auth(key);
    assert_eq!(Answer::to(head).status, 403, "{query}");
}

fn ids(server: &Server, key: &str, path: &str, query: &str) -> String {
    server.get_with(key, &format!("{path}?{query}")).ids().join(",")
}

fn what_the_minimal_export_hides_its_key_may_not_ask_about(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    let made = site.create_key(&["crm", "--kind", "standard"]);
    for key in [STANDARD_KEY, &made] {
        for (query, column) in [
            ("is_admin=true", "is_admin"),
            ("is_admin=maybe&limit=0", "is_admin"),
            ("fields=name&is_active=false", "is_active"),
            ("created_after=2025-01", "created_at"),
            ("email=ada@example.com&created_before=2025-01", "created_at"),
            ("updated_after=2025-01-09T00:00:00Z", "updated_at"),
            ("updated_before=2025-01-09T00:00:00Z&limit=1", "updated_at"),
        ] {
            assert_hidden(&server, key, MINIMAL, query, column);
        }
        assert_eq!(ids(&server, key, MINIMAL, "email=ada@example.com"), "1");
        assert_eq!(ids(&server, key, MINIMAL, "after=3&fields=id"), "5,8");
    }
    // Not even that there is such a column is told to others.
    server.get(&format!("{MINIMAL}?is_admin=true")).detail(401);
    let detail = server.get_with(STANDARD_KEY, &format!("{FULL}?is_admin=true")).detail(403);
    assert_eq!(detail, "API key lacks the grant 'users:export_full'");
    let detail = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?is_admin=true")).detail(403);
    assert!(detail.contains("users:export_full"), "{detail}");

    let records = site.audit_of(63);
    let hidden = records.iter().filter(|record| record["reason"] == "hidden column is_admin");
    assert_eq!(hidden.filter(|record| record["outcome"] == "denied").count(), 17, "{records:?}");
    assert!(server.metric("headcount_refused_total", &["hidden_column"]) >= 17.0);
    // Whoever has the command line has the database.
    assert_eq!(site.done(&["export", "minimal", "--fields=id", "--is-admin=true"]), "id\r\n2\r\n");
}

fn whoever_may_see_a_column_may_ask_about_it(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    let full = ["full", "--kind", "export", "--without", "users:export"];
    let both = site.create_key(&["both", "--kind", "standard", "--grant", "users:export_full"]);
    let full = site.create_key(&full);
    // A flag switches an endpoint, and says nothing of what a key may know.
    for features in ["users:export,users:export_full", "users:export"] {
        site.set("HEADCOUNT_FEATURES", features);
        let server = site.serve();
        for key in [EXPORT_KEY, &both] {
            assert_eq!(ids(&server, key, MINIMAL, "is_admin=true"), "2");
            assert_eq!(ids(&server, key, MINIMAL, "fields=id&created_after=2025-01&is_active=true"), "1,2");
        }
        if features.contains("full") {
            assert_eq!(
                server.get_with(&full, &format!("{FULL}?fields=id&is_admin=true")).csv(),
                "id\r\n2\r\n"
            );
        }
    }
}

fn a_masked_column_is_hidden(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    let key = site.declare(
        "[exports.full]\nmask = { created_at = 'redact', is_admin = 'pseudonym' }\n\
         [exports.masked]\ncolumns = ['id', 'email', { column = 'email', as = 'again' }]\nmask = { email = 'partial' }\n",
        &["masked"],
    );
    let alone = ["alone", "--kind", "export", "--grant", "users:export_masked", "--without", "users:export"];
    let alone = site.create_key(&[&alone[..], &["--without", "users:export_full"]].concat());
    let server = site.serve();
    // To the microsecond, if it was answered fifty times.
    assert_hidden(&server, &key, FULL, "created_before=2025-01-08T10:30:00.123456Z", "created_at");
    assert_hidden(&server, &key, MINIMAL, "is_admin=true", "is_admin");
    let detail = server.get_with(&key, &format!("{FULL}?is_admin=true")).detail(403);
    assert!(detail.contains("no export shows it"), "{detail}");
    assert_eq!(ids(&server, &key, FULL, "is_active=true&updated_before=2025-01-09"), "1");

    assert_hidden(&server, &alone, &profile("masked"), "email=ada@example.com", "email");
    assert_eq!(ids(&server, &alone, &profile("masked"), "after=3"), "5,8");
    // The minimal export shows it.
    assert_eq!(ids(&server, &key, &profile("masked"), "email=ada@example.com"), "1");
    let document =
        server.get("/openapi.json").json()["paths"][profile("masked")]["get"]["parameters"].clone();
    let about = |name: &str| {
        let parameters = document.as_array().unwrap();
        parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["description"].to_string()
    };
    assert!(about("email").contains("Needs a key") && !about("after").contains("Needs a key"), "{document}");
}

/// A column that is shown of active users only is hidden of all others.
fn an_export_of_some_users_lets_nobody_ask_about_others(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    let active = if db == Db::Sqlite { "is_active = 1" } else { "is_active" };
    site.declare(
        &format!(
            "[exports.team]\ncolumns = ['id', 'is_admin']\nwhere = '{active}'\n\
             [exports.mail]\ncolumns = ['email']\nwhere = '{active}'\n"
        ),
        &["team", "mail"],
    );
    let grants = ["--grant", "users:export_team", "--grant", "users:export_mail"];
    let key = site.create_key(&[&["team", "--kind", "standard"], &grants[..]].concat());
    let server = site.serve();
    assert_hidden(&server, &key, MINIMAL, "is_admin=true", "is_admin");
    let detail = server.get_with(&key, &format!("{MINIMAL}?is_admin=true")).detail(403);
    assert!(detail.contains("'users:export_full'") && !detail.contains("team"), "{detail}");
    // It is of the same users.
    let mail = server.get_with(&key, &format!("{}?is_admin=true", profile("mail"))).csv();
    assert_eq!(
        mail.lines().count(),
        server.get_with(&key, &format!("{}?is_admin=true", profile("team"))).csv().lines().count()
    );
    // All users are these users, too.
    assert_eq!(ids(&server, &key, &profile("team"), "email=ada@example.com"), "1");
}

fn without_ids_there_are_no_pages(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    site.declare(
        "[exports.names]\ncolumns = ['name']\n[exports.tokens]\ncolumns = ['id']\nmask = { id = 'pseudonym' }\n",
        &["names", "tokens"],
    );
    let grants = ["--grant", "users:export_names", "--grant", "users:export_tokens"];
    let alone = ["alone", "--kind", "standard", "--without", "users:export"];
    let alone = site.create_key(&[&alone[..], &grants].concat());
    let more = site.create_key(&[&["more", "--kind", "standard"], &grants[..]].concat());
    let server = site.serve();
    assert_hidden(&server, &alone, &profile("names"), "after=2&limit=1", "id");
    assert_hidden(&server, &alone, &profile("tokens"), "after=2", "id");
    assert_eq!(
        server.get_with(&alone, &format!("{}?limit=1", profile("names"))).csv(),
        "name\r\nAda Lovelace\r\n"
    );
    let page = server.get_with(&more, &format!("{}?after=1&limit=1", profile("names")));
    assert_eq!(page.csv(), "name\r\n\"Hopper, Grace\"\r\n");
    assert_eq!(site.done(&["export", "names", "--after=1", "--limit=1"]), page.csv());
}

fn the_configuration_may_let_everybody_ask(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    site.declare(
        "[exports.minimal]\nfilters = ['is_active']\n\
         [exports.masked]\ncolumns = ['name', 'id', 'created_at']\n\
         mask = { id = 'pseudonym', created_at = 'redact' }\nfilters = ['created_at', 'id', 'email']\n",
        &["masked"],
    );
    let alone =
        ["alone", "--kind", "standard", "--grant", "users:export_masked", "--without", "users:export"];
    let alone = site.create_key(&alone);
    let server = site.serve();
    assert_eq!(ids(&server, STANDARD_KEY, MINIMAL, "is_active=false"), "3");
    assert_hidden(&server, STANDARD_KEY, MINIMAL, "is_admin=true", "is_admin");
    let names =
        |query: &str| server.get_with(&alone, &format!("{}?fields=name&{query}", profile("masked"))).csv();
    assert_eq!(names("created_after=2025-01-08&after=1&limit=1"), "name\r\n\"Hopper, Grace\"\r\n");
    assert_eq!(names("email=ada@example.com"), "name\r\nAda Lovelace\r\n");
    assert_hidden(&server, &alone, &profile("masked"), "is_active=true", "is_active");
    let document = server.get("/openapi.json").json()["paths"][profile("masked")]["get"].to_string();
    assert!(document.contains("\"after\""), "{document}");
}

#[test]
fn a_column_that_nobody_can_ask_about_is_refused() {
    let site = Site::with_people(Db::Sqlite);
    for name in ["name", "created_after", "phone", ""] {
        site.configure(&format!("[exports.minimal]\nfilters = ['{name}']\n"));
        let finished = site.run(&["serve"]);
        assert_eq!(finished.code, Some(1), "{name}");
        for word in ["headcount.toml", "exports.minimal.filters", &format!("'{name}'"), "created_at"] {
            assert!(finished.stderr.contains(word), "{name}: {}", finished.stderr);
        }
    }
}
