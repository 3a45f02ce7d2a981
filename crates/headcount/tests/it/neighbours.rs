//! Others may create in a schema where PostgreSQL looks names up. Nothing of theirs runs in an export.

use crate::harness::{
    APP_BACKUP, APP_READER, Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, STANDARD_KEY, Server, Site, profile,
};
use crate::parts_postgres::{ANALYZE, SPARSE, USERS, fill, serve};

/// Lets everybody create in `public`, as servers before PostgreSQL 15 do, and makes there whatever fits better than what is meant: each
/// of these operators says no.
fn with_operators(site: &Site, operators: &[(&str, &str, &str)]) {
    site.sql("GRANT CREATE ON SCHEMA public TO PUBLIC");
    for (at, (operator, left, right)) in operators.iter().enumerate() {
        site.sql(&format!(
            "CREATE FUNCTION public.no{at}({left}, {right}) RETURNS boolean LANGUAGE sql AS 'SELECT false';
             CREATE OPERATOR public.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = public.no{at})"
        ));
    }
}

const OF_TEXT: [(&str, &str, &str); 8] = [
    (">", "varchar", "text"),
    ("<=", "varchar", "text"),
    ("=", "varchar", "text"),
    (">", "varchar", "varchar"),
    ("<", "varchar", "varchar"),
    ("=", "varchar", "varchar"),
    ("=", "text", "varchar"),
    ("=", "name", "varchar"),
];

fn page(server: &Server, query: &str) -> Vec<String> {
    server.get_with(EXPORT_KEY, &format!("{FULL}?{query}")).ids()
}

#[test]
fn an_operator_of_somebody_else_loses_no_user_to_several_readers() {
    let site = Site::bare(Db::Postgres);
    site.sql(&format!(
        "CREATE TABLE users (id VARCHAR(40) PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMPTZ,
         updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN) WITH ({SPARSE})"
    ));
    fill(&site, USERS, "'user-' || i");
    site.sql(ANALYZE);
    with_operators(&site, &OF_TEXT);
    for parallelism in [1, 4] {
        let ids = serve(&site, parallelism, "").get_with(STANDARD_KEY, MINIMAL).ids();
        assert!(ids == site.column("SELECT id FROM users ORDER BY id"), "{parallelism}: {}", ids.len());
    }
}

#[test]
fn filters_and_pages_find_whom_they_should() {
    let site = Site::bare(Db::Postgres);
    site.sql(
        "CREATE TABLE users (id VARCHAR(40) PRIMARY KEY, email VARCHAR(90), name TEXT, created_at VARCHAR(40),
         updated_at DATE, is_active SMALLINT, is_admin BOOLEAN);
         INSERT INTO users VALUES ('a', 'ada@example.com', 'Ada', '2025-01-08 10:30:00', '2025-01-08', 1, true),
         ('b', 'bob@example.com', 'Bob', '2025-01-09 10:30:00', '2025-01-09', 0, false)",
    );
    with_operators(&site, &OF_TEXT);
    with_functions(&site);
    let server = site.serve();
    for (query, ids) in [
        ("", vec!["a", "b"]),
        ("email=bob@example.com", vec!["b"]),
        ("after=a", vec!["b"]),
        ("created_after=2025-01-09T00:00:00Z", vec!["b"]),
        ("created_before=2025-01-09T00:00:00Z", vec!["a"]),
        ("updated_after=2025-01-09T00:00:00Z", vec!["b"]),
        ("is_active=true", vec!["a"]),
        ("is_admin=false", vec!["b"]),
    ] {
        assert_eq!(page(&server, query), ids, "{query}");
    }
}

/// Functions that fit better than the server's own, which take anything.
fn with_functions(site: &Site) {
    site.sql(
        "CREATE FUNCTION public.format(text, inet) RETURNS text LANGUAGE sql AS 'SELECT ''forged''';
         CREATE FUNCTION public.left(varchar, int) RETURNS text LANGUAGE sql AS 'SELECT ''forged''';
         CREATE FUNCTION public.concat(varchar, varchar) RETURNS text LANGUAGE sql AS 'SELECT ''forged''';
         CREATE FUNCTION public.regexp_replace(varchar, text, text) RETURNS text LANGUAGE sql AS 'SELECT ''forged'''",
    );
}

/// Whether they can create there now, or could once.
#[test]
fn an_expression_means_what_it_says() {
    for past in [
        String::new(),
        format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER FUNCTION public.no5 OWNER TO {APP_BACKUP}"
        ),
        format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             ALTER OPERATOR public.= (varchar, varchar) OWNER TO {APP_BACKUP}"
        ),
    ] {
        assert_expressions_mean_what_they_say(&past);
    }
}

fn assert_expressions_mean_what_they_say(past: &str) {
    let mut site = Site::bare(Db::Postgres);
    site.sql(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name VARCHAR(20), state VARCHAR(20), seen INET);
         INSERT INTO users VALUES (1, 'e', 'Ada', 'active', '10.0.0.1'), (2, 'e', 'Bob', 'gone', NULL)",
    );
    with_operators(&site, &OF_TEXT);
    with_functions(&site);
    site.sql(past);
    let key = site.declare(
        "[source]\nwhere = \"state = 'active'\"\n[source.columns]\nseen = 'seen'\n\
         label = { sql = \"concat(name, state)\" }\n[exports.seen]\ncolumns = ['id', 'seen', 'label']\n",
        &["seen"],
    );
    assert_eq!(
        site.serve().get_with(&key, &profile("seen")).csv(),
        "id,seen,label\r\n1,10.0.0.1,Adaactive\r\n"
    );
}

/// A schema of which nobody but trusted ones can say what is in it is looked in, and one that the file names.
#[test]
fn expressions_find_what_nobody_else_could_have_put_there() {
    let site = Site::with_people(Db::Postgres);
    site.sql("CREATE TABLE teams (user_id BIGINT, team TEXT); INSERT INTO teams VALUES (3, 'blue')");
    let expression = "name = { sql = \"(SELECT team FROM teams WHERE user_id = users.id)\" }\n";
    let team = |source: &str| {
        site.configure(&format!("[source]\n{source}[source.columns]\n{expression}"));
        site.run(&["export", "minimal"])
    };
    assert_eq!(team("").code, Some(0));
    site.sql(&format!("GRANT CREATE ON SCHEMA public TO {APP_BACKUP}"));
    let refused = team("");
    assert_eq!(refused.code, Some(1));
    for words in ["teams", "public (app_backup)", "source.search_path"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    for named in
        ["search_path = 'public'\n", "search_path = ['public']\n", "search_path = '\"$user\", public'\n"]
    {
        let found = team(named);
        assert_eq!(found.code, Some(0), "{named}: {}", found.stderr);
    }
    assert_eq!(team("search_path = []\n").code, Some(1));
    let bad = team("search_path = 'public,'\n");
    assert!(bad.stderr.contains("source.search_path") && bad.stderr.contains("expected"), "{}", bad.stderr);
}

#[test]
fn check_warns_of_a_path_that_others_can_write() {
    let site = Site::with_people(Db::Postgres);
    let findings = site.findings();
    findings.assert_one("ok", "search_path", &[]);
    findings.assert_well_but(&[]);
    site.sql("GRANT CREATE ON SCHEMA public TO PUBLIC");
    for source in ["", "[source]\nsearch_path = 'public'\n"] {
        site.configure(source);
        let findings = site.findings();
        findings.assert_one("warning", "search_path", &["public (PUBLIC)", "REVOKE CREATE"]);
        findings.assert_well_but(&["search_path"]);
    }
    site.sql(&format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO {APP_READER}"
    ));
    site.findings().assert_one("warning", "search_path", &["public (app_reader)"]);
    // The users are its own.
    site.sql(&format!("ALTER TABLE users OWNER TO {APP_READER}"));
    site.findings().assert_one("ok", "search_path", &[]);
}

/// And the path that a table is found by is still the role's.
#[test]
fn a_table_is_found_where_others_can_create() {
    let site = Site::with_people(Db::Postgres);
    site.sql(
        "GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE SCHEMA later; GRANT USAGE ON SCHEMA later TO app_reader;
         CREATE TABLE later.users AS SELECT * FROM users LIMIT 1; GRANT SELECT ON later.users TO app_reader;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = nowhere, public, later', current_database());
         END $$",
    );
    assert_eq!(site.run(&["export", "full"]).code, Some(1));
    site.sql("DROP TABLE later.users");
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
    site.sql(
        "CREATE TABLE later.users AS SELECT * FROM users LIMIT 1; GRANT SELECT ON later.users TO app_reader",
    );
    site.configure("[source]\nsearch_path = 'later, public'\n");
    assert_eq!(site.done(&["export", "full"]).lines().count(), 2);
}

#[test]
fn a_type_of_an_extension_is_compared_wherever_it_is() {
    let site = Site::bare(Db::Postgres);
    site.sql(
        "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions;
         CREATE DOMAIN address AS extensions.citext;
         CREATE TABLE users (id extensions.citext PRIMARY KEY, email extensions.citext UNIQUE, name TEXT, mail address);
         INSERT INTO users VALUES ('B', 'Ada@example.com', 'Ada', 'Ada@example.com'), ('a', 'b', 'Bob', 'b'),
         ('c', 'c', 'Eve', 'c')",
    );
    with_operators(
        &site,
        &[
            ("=", "extensions.citext", "extensions.citext"),
            (">", "extensions.citext", "extensions.citext"),
            ("=", "address", "extensions.citext"),
        ],
    );
    let assert_found = |email: &str| {
        site.configure(&format!("[source.columns]\nemail = '{email}'\n"));
        let server = site.serve();
        let found = |query: &str| server.get_with(STANDARD_KEY, &format!("{MINIMAL}?{query}")).ids();
        assert_eq!(found(""), ["a", "B", "c"]);
        assert_eq!(found("email=Ada@example.com"), ["B"]);
        assert_eq!(found("email=ada@example.com"), [""; 0]);
        server
    };
    // Who may not name the schema can still find an address, and is told what pages need.
    let server = assert_found("email");
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?after=A")).detail(503);
    server.eventually_says("GRANT USAGE ON SCHEMA");
    site.sql("GRANT USAGE ON SCHEMA extensions TO app_reader");
    for email in ["email", "mail"] {
        let server = assert_found(email);
        let found = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?after=A&limit=2")).ids();
        assert_eq!(found, ["B", "c"], "{email}");
    }
}
