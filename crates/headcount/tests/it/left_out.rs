//! Schemas in which names are not looked up because others can create in them: what the file means there is refused, not replaced.

use crate::harness::{APP_BACKUP, Db, PEOPLE_FULL, Site};

/// Users of whom two are customers by a type that is in a schema where everybody can create.
fn customers() -> Site {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(
        "CREATE EXTENSION citext; CREATE DOMAIN kind AS citext;
         CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, kind citext, kinds citext[], label kind);
         INSERT INTO users SELECT row_number() OVER (), 'e', 'n', k, ARRAY[k]::citext[], k
           FROM unnest(ARRAY['Customer', 'customer', 'staff']) AS k;
         GRANT CREATE ON SCHEMA public TO PUBLIC",
    );
    site
}

fn condition(site: &Site, condition: &str, source: &str) {
    site.configure(&format!("[source]\nwhere = {condition:?}\n{source}"));
}

#[test]
fn what_would_mean_something_else_is_refused() {
    let site = customers();
    for (sql, written) in [
        ("kind = 'customer'", "OPERATOR(public.=)"),
        ("kind != 'staff'", "OPERATOR(public.<>)"),
        ("kind IN ('customer')", "OPERATOR(public.=)"),
        ("kind LIKE 'cust%'", "OPERATOR(public.~~)"),
        ("label = 'customer'", "OPERATOR(public.=)"),
        ("'customer' = ANY (kinds)", "OPERATOR(public.=)"),
        ("strpos(users.kind, 'c') > 0", "public.strpos(…)"),
        ("name::public.citext = 'N'", "OPERATOR(public.=)"),
        ("EXISTS (SELECT FROM public.users AS u (a, b, c, d) WHERE d = 'customer')", "OPERATOR(public.=)"),
    ] {
        condition(&site, sql, "");
        let finished = site.run(&["export", "minimal"]);
        assert_eq!((finished.code, finished.text().as_str()), (Some(1), ""), "{sql}: {}", finished.stderr);
        for word in ["source.where", written, "public (PUBLIC)", "source.search_path"] {
            assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
        }
    }
    site.findings().assert_one(
        "problem",
        "mapping",
        &["minimal export", "OPERATOR(public.=)", "REVOKE CREATE"],
    );
    site.configure("[source.columns]\nname = { sql = \"CASE kind WHEN 'customer' THEN 'c' END\" }\n");
    let finished = site.run(&["export", "minimal"]);
    assert!(finished.stderr.contains("the expression for name"), "{}", finished.stderr);
}

#[test]
fn what_means_the_same_is_exported() {
    let site = customers();
    let users = |count: usize| {
        let csv = site.done(&["export", "minimal"]);
        assert_eq!(csv.lines().count() - 1, count, "{csv}");
    };
    for sql in ["kind OPERATOR(public.=) 'customer'", "public.strpos(kind, 'C') OPERATOR(pg_catalog.=) 1"] {
        condition(&site, sql, "");
        users(2);
    }
    for (sql, count) in [("name = 'n' AND id>-1", 3), ("kind IS NOT NULL", 3), ("users.name LIKE 'x%'", 0)] {
        condition(&site, sql, "");
        users(count);
    }
    condition(&site, "kind = 'customer'", "search_path = 'public'\n");
    users(2);
    site.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    condition(&site, "kind IN ('customer')", "");
    users(2);
}

/// Whoever can create where the role looks first could make a table there.
#[test]
fn one_of_two_tables_of_a_name_is_not_guessed() {
    let site = Site::with_people(Db::Postgres).storing_in_sqlite();
    site.sql(&format!(
        "CREATE SCHEMA early AUTHORIZATION {APP_BACKUP}; GRANT USAGE ON SCHEMA early TO app_reader;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = nowhere, early, public', current_database());
         END $$"
    ));
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
    site.sql(&format!(
        "CREATE TABLE early.users AS SELECT * FROM users LIMIT 1; GRANT SELECT ON early.users TO app_reader;
         ALTER TABLE early.users OWNER TO {APP_BACKUP}"
    ));
    let finished = site.run(&["export", "full"]);
    assert_eq!((finished.code, finished.text().as_str()), (Some(1), ""), "{}", finished.stderr);
    for word in ["users", "schema early", "schema public", "source.table", "source.search_path"] {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    site.findings().assert_one("problem", "source", &["schema early", "schema public", "source.table"]);
    site.configure("[source]\ntable = 'public.users'\n");
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
    site.configure("[source]\nsearch_path = 'early, public'\n");
    assert_eq!(site.done(&["export", "full"]).lines().count(), 2);
    // Nobody but those who could change the users themselves.
    site.configure("");
    site.sql("ALTER SCHEMA early OWNER TO headcount_store; ALTER TABLE early.users OWNER TO headcount_store");
    assert_eq!(site.done(&["export", "full"]).lines().count(), 2);
}

#[test]
fn whatever_of_others_could_run_counts() {
    let site = Site::with_people(Db::Postgres).storing_in_sqlite();
    for (kind, name, made) in [
        ("DOMAIN", "theirs", "CREATE DOMAIN theirs AS text"),
        ("TYPE", "theirs", "CREATE TYPE theirs AS RANGE (subtype = integer)"),
        ("COLLATION", "theirs", "CREATE COLLATION theirs FROM \"C\""),
        ("VIEW", "theirs", "CREATE VIEW theirs AS SELECT 1 AS one"),
    ] {
        site.sql(&format!("{made}; ALTER {kind} {name} OWNER TO {APP_BACKUP}"));
        site.findings().assert_one("warning", "search_path", &["public (app_backup)"]);
        site.sql(&format!("DROP {kind} {name}"));
    }
    site.sql(&format!(
        "CREATE TABLE theirs (id INTEGER); ALTER TABLE theirs OWNER TO {APP_BACKUP};
         CREATE TYPE word AS ENUM ('a'); ALTER TYPE word OWNER TO {APP_BACKUP}"
    ));
    site.findings().assert_one("ok", "search_path", &[]);
}
