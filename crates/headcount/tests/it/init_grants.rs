//! The role that `init` proposes for PostgreSQL is enough, and no more than enough.

use crate::harness::{Db, EXPORT_KEY, FULL, Framework, Site};

postgres_frameworks!(the_role_is_enough_and_no_more);

fn the_role_is_enough_and_no_more(name: &str) {
    let framework = Framework::named(name);
    let mut site = framework.site();
    let finished = site.init(&["--print"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    // Roles are the cluster's, and other tests make theirs.
    let role = format!("headcount_{}", name.replace('-', "_"));
    let statements = statements(&finished.stderr);
    assert!(statements.len() >= 4, "{}", finished.stderr);
    for statement in &statements {
        site.sql(
            &statement
                .replace("ROLE headcount ", &format!("ROLE {role} "))
                .replace("TO headcount;", &format!("TO {role};")),
        );
    }

    site.configure(&finished.text());
    let url = site.source_url().replace("app_backup@", &format!("{role}@"));
    assert!(url.contains(&role));
    site.set("HEADCOUNT_SOURCE_URL", &url);
    let expected = framework.full_export();
    assert_eq!(site.serve().get_with(EXPORT_KEY, FULL).csv(), expected, "{name}");
    assert_eq!(site.done(&["export", "full"]), expected, "{name}");
    let findings = site.findings();
    assert!(findings.of("problem").is_empty(), "{name}: {findings:?}");
    findings.assert_one("ok", "privileges", &[]);
    assert_reads_no_credential(&site, name, &role);
    // Who may read no more than that is told the same.
    let columns = |text: &str| text.parse::<toml::Table>().unwrap()["source"]["columns"].clone();
    assert_eq!(columns(&site.printed_configuration(&[])), columns(&finished.text()), "{name}");
    site.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The statements for the owner, one a line.
fn statements(said: &str) -> Vec<&str> {
    let is_statement = |line: &&str| line.starts_with("CREATE ROLE") || line.starts_with("GRANT");
    said.lines().filter(is_statement).collect()
}

fn assert_reads_no_credential(site: &Site, name: &str, role: &str) {
    let columns = |condition: &str| {
        site.column(&format!(
            "SELECT format('SELECT %I FROM %I.%I', a.attname, n.nspname, c.relname)
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
             AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND {condition}"
        ))
    };
    let can_read = format!("has_column_privilege('{role}', c.oid, a.attnum, 'SELECT')");
    let readable = columns(&can_read);
    assert!((2..16).contains(&readable.len()), "{name}: {readable:?}");
    let secret = columns(&format!("{can_read} AND a.attname ~* 'pass|hash|salt|secret|token|otp|rands'"));
    assert!(secret.is_empty(), "{name}: {secret:?}");

    let passwords = columns("a.attname ~* 'passw'");
    let is_expected = ["devise", "django", "laravel"].contains(&name);
    assert!(!passwords.is_empty() || !is_expected, "{name}: no password to look for");
    let mut session = site.database().connect();
    session.batch_execute(&format!("SET ROLE {role}")).unwrap();
    for query in passwords {
        let error = session.batch_execute(&query).expect_err(&query);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{query}: {error:?}");
    }
}

#[test]
fn a_file_has_no_roles() {
    let site = Site::with_people(Db::Sqlite);
    let finished = site.init(&["--print"]);
    assert!(!finished.stderr.contains("GRANT"), "{}", finished.stderr);
}

/// Whatever was added by hand: columns, a condition, and another table.
#[test]
fn grants_are_those_of_the_configuration_as_it_stands() {
    let mut site = Site::with_people(Db::Postgres);
    site.set("HEADCOUNT_SOURCE_URL", &site.database().backup_url());
    site.sql(
        "CREATE SCHEMA crm; CREATE TABLE crm.roles (user_id BIGINT, name TEXT, token TEXT);
         INSERT INTO crm.roles SELECT id, 'root', 'x' FROM users; ALTER TABLE users ADD phone TEXT, ADD secret_note TEXT",
    );
    site.configure(
        "[source]\nwhere = \"is_active IS NOT NULL\"\n[source.columns]\nphone = \"phone\"\n\
         is_admin = { sql = \"EXISTS (SELECT 1 FROM crm.roles r WHERE r.user_id = users.id AND r.name = 'root')\" }\n\
         [exports.calls]\ncolumns = [\"id\", \"phone\"]\n",
    );
    let expected = site.done(&["export", "full"]);
    let statements = site.done(&["grants", "--role", "headcount_grants"]);
    assert_eq!(
        statements.lines().skip(2).collect::<Vec<_>>(),
        [
            "GRANT USAGE ON SCHEMA crm TO headcount_grants;",
            "GRANT USAGE ON SCHEMA public TO headcount_grants;",
            "GRANT SELECT (\"id\", \"email\", \"name\", \"created_at\", \"updated_at\", \"is_active\", \"phone\") \
             ON public.users TO headcount_grants;",
            "GRANT SELECT (\"user_id\", \"name\") ON crm.roles TO headcount_grants;",
        ]
    );
    assert!(
        statements
            .starts_with("CREATE ROLE headcount_grants LOGIN PASSWORD '...';\nGRANT CONNECT ON DATABASE ")
    );
    site.sql(&statements);
    site.set("HEADCOUNT_SOURCE_URL", &site.source_url().replace("app_backup@", "headcount_grants@"));
    assert_eq!(site.done(&["export", "full"]), expected);
    site.done(&["export", "calls"]);
    // The role is there now, and may not read what it needs not.
    assert!(!site.done(&["grants", "--role", "headcount_grants"]).contains("CREATE ROLE"));
    site.sql("REVOKE SELECT (name) ON crm.roles FROM headcount_grants");
    let problems = site.findings().texts("problem", "mapping").concat();
    assert!(problems.contains("GRANT SELECT (\\\"name\\\") ON crm.roles"), "{problems}");
    assert!(problems.contains("headcount grants"), "{problems}");
    site.sql("DROP OWNED BY headcount_grants; DROP ROLE headcount_grants");
}

/// What needs more than columns: functions, their schemas, and a table of which no column is named.
#[test]
fn whatever_an_expression_needs_is_granted_and_no_more() {
    let mut site = Site::with_people(Db::Postgres);
    site.set("HEADCOUNT_SOURCE_URL", &site.database().backup_url());
    site.sql(
        "CREATE SCHEMA api; CREATE SCHEMA app; CREATE SCHEMA crm;
         CREATE TABLE app.maintenance (access_token TEXT, since TIMESTAMPTZ);
         CREATE TABLE crm.labels (user_id BIGINT, label TEXT, internal TEXT);
         INSERT INTO crm.labels SELECT id, 'vip', 'x' FROM users;
         ALTER TABLE users ADD label TEXT, ADD internal TEXT;
         CREATE FUNCTION api.is_vip(BIGINT) RETURNS BOOLEAN SECURITY DEFINER LANGUAGE sql AS
         'SELECT count(*) > 0 FROM crm.labels WHERE user_id = $1';
         REVOKE EXECUTE ON FUNCTION api.is_vip FROM PUBLIC;
         CREATE FUNCTION api.shout(TEXT) RETURNS TEXT LANGUAGE sql AS 'SELECT upper($1)';
         GRANT USAGE ON SCHEMA api, app, crm TO app_backup;
         GRANT EXECUTE ON FUNCTION api.is_vip TO app_backup",
    );
    site.configure(
        "[source]\nwhere = \"NOT EXISTS (SELECT FROM app.maintenance)\"\n[source.columns]\n\
         is_admin = { sql = \"api.is_vip(id)\" }\n\
         name = { sql = \"(SELECT api.shout(l.label) FROM crm.labels AS l WHERE l.user_id = users.id)\" }\n",
    );
    let expected = site.done(&["export", "full"]);
    assert!(expected.contains("VIP"), "{expected}");
    let finished = site.run(&["grants", "--role", "headcount_functions"]);
    assert!(
        finished.stderr.contains("api.shout(text) reads with the rights of headcount_functions"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("is_vip"), "{}", finished.stderr);
    let statements = finished.text();
    assert_eq!(
        statements.lines().skip(2).collect::<Vec<_>>(),
        [
            "GRANT USAGE ON SCHEMA api TO headcount_functions;",
            "GRANT USAGE ON SCHEMA app TO headcount_functions;",
            "GRANT USAGE ON SCHEMA crm TO headcount_functions;",
            "GRANT USAGE ON SCHEMA public TO headcount_functions;",
            "GRANT SELECT (\"id\", \"email\", \"created_at\", \"updated_at\", \"is_active\") ON public.users TO \
             headcount_functions;",
            "GRANT SELECT (\"since\") ON app.maintenance TO headcount_functions;",
            "GRANT SELECT (\"user_id\", \"label\") ON crm.labels TO headcount_functions;",
            "GRANT EXECUTE ON FUNCTION api.is_vip(bigint) TO headcount_functions;",
        ]
    );
    site.sql(&statements);
    site.set("HEADCOUNT_SOURCE_URL", &site.source_url().replace("app_backup@", "headcount_functions@"));
    assert_eq!(site.done(&["export", "full"]), expected);
    assert!(site.findings().of("problem").is_empty(), "{:?}", site.findings());
    for (privilege, says) in [
        ("EXECUTE ON FUNCTION api.is_vip", "GRANT EXECUTE ON FUNCTION api.is_vip(bigint)"),
        ("SELECT (since) ON app.maintenance", "GRANT SELECT (\\\"since\\\") ON app.maintenance"),
        ("USAGE ON SCHEMA api", "GRANT USAGE ON SCHEMA api"),
    ] {
        site.sql(&format!("REVOKE {privilege} FROM headcount_functions"));
        let refused = site.run(&["export", "full"]);
        assert!(
            refused.stderr.contains("'headcount check' says what to GRANT"),
            "{privilege}: {}",
            refused.stderr
        );
        let problems = site.findings().texts("problem", "mapping").concat();
        assert!(problems.contains(says), "{privilege}: {problems}");
        site.sql(&format!("GRANT {privilege} TO headcount_functions"));
    }
    site.sql("DROP OWNED BY headcount_functions; DROP ROLE headcount_functions");
}

/// Of all exports, and of the schemas in which types and operators are.
#[test]
fn what_any_export_needs_is_granted() {
    let mut site = Site::with_people(Db::Postgres);
    site.set("HEADCOUNT_SOURCE_URL", &site.database().backup_url());
    site.sql(
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; GRANT USAGE ON SCHEMA ext TO app_backup;
         CREATE TABLE bans (member BIGINT, why TEXT); CREATE TABLE handles (handle ext.citext PRIMARY KEY, email TEXT, name TEXT);
         INSERT INTO handles VALUES ('ada', 'ada@example.com', 'Ada'), ('Bob', 'bob@example.com', 'Bob'), ('cat', 'c', 'C');
         CREATE VIEW named WITH (security_invoker) AS SELECT * FROM handles",
    );
    site.configure(
        "[source]\ntable = \"handles\"\nsearch_path = [\"ext\", \"public\"]\n[source.columns]\nid = \"handle\"\n\
         created_at = { sql = \"NULL::timestamptz\" }\nupdated_at = { sql = \"NULL::timestamptz\" }\n\
         is_active = { sql = \"email::citext = 'ADA@example.com'\" }\nis_admin = { sql = \"false\" }\n\
         [exports.calm]\ncolumns = [\"id\"]\nwhere = \"NOT EXISTS (SELECT FROM bans b WHERE b.why = handles.email)\"\n",
    );
    let statements = site.done(&["grants", "--role", "headcount_every"]);
    for statement in ["USAGE ON SCHEMA ext TO", "SELECT (\"why\") ON public.bans TO"] {
        assert!(statements.contains(statement), "{statement}: {statements}");
    }
    site.sql(&statements);
    let whole = site.done(&["export", "full"]);
    site.set("HEADCOUNT_SOURCE_URL", &site.source_url().replace("app_backup@", "headcount_every@"));
    assert_eq!(site.done(&["export", "full"]), whole);
    assert_eq!(
        site.done(&["export", "full", "--fields", "id", "--after", "ada", "--limit", "1"]),
        "id\r\nBob\r\n"
    );
    assert_eq!(site.done(&["export", "calm"]).lines().count(), 4);
    // Without its schema a name could mean something else: no export.
    site.sql("REVOKE USAGE ON SCHEMA ext FROM headcount_every");
    let finished = site.run(&["export", "calm"]);
    assert!(
        finished.code == Some(1) && finished.stderr.contains("the schema ext of source.search_path"),
        "{}",
        finished.stderr
    );
    site.findings().assert_one("problem", "source", &["the schema ext", "GRANT USAGE ON SCHEMA ext"]);
    site.sql("DROP OWNED BY headcount_every; DROP ROLE headcount_every");
}

#[test]
fn grants_names_the_views_that_read_with_the_rights_of_the_role() {
    let mut site = Site::with_people(Db::Postgres);
    site.set("HEADCOUNT_SOURCE_URL", &site.database().backup_url());
    site.sql("ALTER TABLE users RENAME TO people; CREATE VIEW users WITH (security_invoker) AS SELECT * FROM people");
    let finished = site.run(&["grants"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("the view public.users reads with the rights of headcount"),
        "{}",
        finished.stderr
    );
    site.sql("ALTER TABLE people RENAME COLUMN name TO title; DROP VIEW users");
    let finished = site.run(&["grants"]);
    assert!(
        finished.code == Some(1) && finished.stderr.contains("there is no")
            || finished.stderr.contains("does not exist"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_file_needs_no_grants() {
    let site = Site::with_people(Db::Sqlite);
    let finished = site.run(&["grants"]);
    assert_eq!((finished.code, finished.text().as_str()), (Some(0), ""));
    assert!(finished.stderr.contains("has no roles"), "{}", finished.stderr);
}
