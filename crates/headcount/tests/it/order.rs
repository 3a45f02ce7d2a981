//! An index of PostgreSQL whose order is not that of its ids any more, as after an update of the system's collations.

use crate::harness::{APP_READER, Db, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Site, eventually};
use crate::parts_postgres::{ANALYZE, SPARSE, USERS, fill, serve};

/// Users whose ids and addresses are in the order of `ordering`, which sees numbers in texts.
fn with_collation(rows: u32) -> Site {
    let site = Site::bare(Db::Postgres).storing_in_sqlite();
    site.sql(&format!(
        "CREATE COLLATION ordering (provider = icu, locale = 'en-u-kn-true');
         CREATE TABLE users (id TEXT COLLATE ordering PRIMARY KEY, email TEXT COLLATE ordering UNIQUE, name TEXT,
         created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN) WITH ({SPARSE})"
    ));
    fill(&site, rows, "'u' || i");
    site.sql(ANALYZE);
    site.sql(
        "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
             EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database());
             -- Plans that look so costly would be compiled.
             EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
         END $$",
    );
    site
}

/// Makes of the collation one that does not see numbers, as if it had been updated; whether the server notices depends on the version
/// that it remembers.
fn update_collation(site: &Site, is_noticed: bool) {
    site.sql(
        "DO $$ DECLARE locale name := (
             SELECT attname FROM pg_attribute WHERE attrelid = 'pg_collation'::regclass
                AND attname IN ('collcollate', 'colliculocale', 'colllocale')
              ORDER BY attname = 'colllocale' DESC, attname = 'colliculocale' DESC LIMIT 1);
         BEGIN
             EXECUTE format('UPDATE pg_collation SET %I = ''en'' WHERE collname = ''ordering''', locale);
         END $$",
    );
    if is_noticed {
        site.sql("UPDATE pg_collation SET collversion = '1' WHERE collname = 'ordering'");
    }
}

#[test]
fn an_order_that_is_broken_is_an_error_however_it_is_read() {
    let site = with_collation(USERS);
    let all = |parallelism: u32| {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        site.run(&["export", "minimal"])
    };
    for parallelism in [1, 4] {
        let finished = all(parallelism);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(finished.text().lines().count(), USERS as usize + 1, "{parallelism}");
    }
    update_collation(&site, false);
    for parallelism in [1, 4] {
        let finished = all(parallelism);
        assert_eq!(finished.code, Some(1), "{parallelism}");
        assert!(
            finished.stderr.contains("REINDEX") && finished.stderr.contains("users"),
            "{}",
            finished.stderr
        );
    }
    // In a session that has not compared with the old one.
    site.database().connect().batch_execute("REINDEX TABLE users").unwrap();
    assert_eq!(all(4).text().lines().count(), USERS as usize + 1);
}

#[test]
fn an_outdated_index_hides_nobody_from_filters_and_pages() {
    let site = with_collation(40);
    update_collation(&site, true);
    let server = site.serve();
    for i in 1..=40 {
        let one = format!("{MINIMAL}?email=user{i}@example.com");
        assert_eq!(server.get_with(STANDARD_KEY, &one).ids(), [format!("u{i}")]);
    }
    assert_eq!(server.get_with(STANDARD_KEY, &format!("{MINIMAL}?after=u8")).ids(), ["u9"]);
    assert_eq!(server.get_with(STANDARD_KEY, &format!("{MINIMAL}?after=u9")).ids(), [""; 0]);
}

/// Whatever a condition or an expression is looked for with: an index, one on an expression, a partition, and behind a view.
#[test]
fn what_is_in_an_outdated_order_hides_nobody_from_expressions() {
    let mut site = with_collation(40);
    site.sql(
        "ALTER TABLE users ADD plan TEXT COLLATE ordering;
         UPDATE users SET plan = 'plan-' || ltrim(id, 'u');
         CREATE INDEX plans ON users (plan);
         CREATE INDEX mails ON users ((email || ''));
         CREATE VIEW few AS SELECT * FROM users WHERE plan BETWEEN 'plan-10' AND 'plan-2';
         CREATE TABLE parted (id BIGINT, email TEXT, name TEXT, plan TEXT COLLATE ordering) PARTITION BY RANGE (plan);
         CREATE TABLE low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('plan-5');
         CREATE TABLE high PARTITION OF parted FOR VALUES FROM ('plan-5') TO (MAXVALUE);
         INSERT INTO parted SELECT i, 'e', 'n', 'plan-' || i FROM generate_series(1, 40) AS i;
         CREATE TABLE numbered (id BIGINT PRIMARY KEY, email TEXT, name TEXT, plan TEXT COLLATE ordering);
         CREATE INDEX late ON numbered (id) WHERE plan > 'plan-3'",
    );
    update_collation(&site, true);
    let plans: Vec<_> = (1..=40).map(|i| format!("'plan-{i}'")).collect();
    let everybody = format!("[source]\nparallelism = 4\nwhere = \"plan IN ({})\"\n", plans.join(", "));
    site.set("RUST_LOG", "info");
    for (table, source, users) in [
        ("users", everybody.as_str(), 40),
        ("few", "", 11),
        ("parted", "[source]\nwhere = \"plan = 'plan-10'\"\n", 1),
        ("numbered", "", 0),
    ] {
        site.set("HEADCOUNT_SOURCE_TABLE", table);
        site.configure(source);
        let finished = site.run(&["export", "minimal"]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(finished.text().lines().count(), users + 1, "{table}");
        let says_so = finished.stderr.contains("outdated order")
            && finished.stderr.contains("ordering, version 1 then");
        assert_eq!(says_so, users > 0, "{}", finished.stderr);
        let is_alone = finished.stderr.contains("one connection reads the source: indexes");
        assert!(is_alone || table != "users", "{}", finished.stderr);
    }
    site.unset("RUST_LOG");
    site.findings().assert_one("warning", "collation", &["index public.late (collation ordering"]);
    site.set("HEADCOUNT_SOURCE_TABLE", "parted");
    site.findings().assert_one("warning", "collation", &["the partitions of public.parted"]);

    site.set("HEADCOUNT_SOURCE_TABLE", "users");
    site.configure("[source.columns]\nemail = { sql = \"email || ''\" }\n");
    let server = site.serve();
    for i in 1..=40 {
        let one = format!("{MINIMAL}?email=user{i}@example.com");
        assert_eq!(server.get_with(STANDARD_KEY, &one).ids(), [format!("u{i}")]);
    }
}

/// As where a database moves to a C library that tells no versions.
#[test]
fn a_version_that_is_no_more_is_another_one() {
    let site = Site::with_people(Db::Postgres).storing_in_sqlite();
    site.sql("ALTER TABLE users ADD UNIQUE (email)");
    let order = |collate: &str, version: &str| {
        site.sql(&format!(
            "UPDATE pg_database SET datcollate = '{collate}', datctype = '{collate}', datcollversion = {version}
              WHERE datname = current_database()"
        ));
    };
    order("C.UTF-8", "'2.36'");
    let findings = site.findings();
    findings.assert_one(
        "warning",
        "collation",
        &["collation of the database, version 2.36 then and none now"],
    );
    order("C", "NULL");
    assert_eq!(site.findings().texts("warning", "collation"), [""; 0]);
}

#[test]
fn check_compares_the_versions_of_collations() {
    let site = with_collation(3);
    assert_eq!(site.findings().texts("warning", "collation"), [""; 0]);
    update_collation(&site, true);
    let findings = site.findings();
    findings.assert_one(
        "warning",
        "collation",
        &["index public.users_pkey (collation ordering, version 1 then", "users_email_key", "REINDEX INDEX"],
    );
    site.database().connect().batch_execute("ALTER COLLATION ordering REFRESH VERSION").unwrap();
    assert_eq!(site.findings().texts("warning", "collation"), [""; 0]);
}

/// Several connections read ranges only of ids whose order nothing changes.
#[test]
fn ranges_are_read_only_where_the_order_lasts() {
    for (id_type, id, is_divided) in [
        ("BIGINT", "i", true),
        ("UUID", "md5(i::text)::uuid", true),
        ("VARCHAR(40) COLLATE \"C\"", "'u' || i", true),
        ("TEXT COLLATE \"en-x-icu\"", "'u' || i", false),
        ("CITEXT", "'u' || i", false),
    ] {
        let site = Site::bare(Db::Postgres).storing_in_sqlite();
        site.sql(&format!(
            "CREATE EXTENSION citext;
             CREATE TABLE users (id {id_type} PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMPTZ,
             updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN) WITH ({SPARSE})"
        ));
        fill(&site, USERS, id);
        site.sql(ANALYZE);
        let server = serve(&site, 4, "");
        let sessions = || {
            assert_eq!(server.get_with(EXPORT_KEY, FULL).ids().len(), USERS as usize, "{id_type}");
            site.database().sessions(APP_READER)
        };
        if is_divided {
            // On a busy machine the further ones may come too late.
            eventually("several connections read", || sessions() > 1);
        } else {
            // A connection that had to look a type up is not kept.
            assert!(sessions() <= 1, "{id_type}");
        }
    }
}
