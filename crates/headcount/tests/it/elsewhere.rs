//! Tables whose rows other servers hold: a foreign server, or the workers of Citus, of which there is only the catalogue here.

use crate::harness::{Db, EXPORT_KEY, MINIMAL, STANDARD_KEY, Site};

const COLUMNS: &str =
    "id BIGINT NOT NULL, email TEXT, name TEXT, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
                       is_active BOOLEAN, is_admin BOOLEAN";
const PER_SHARD: &str = "[source]\nconsistency = 'per_shard'\n";
const BOTH: &str = "id,email,name\r\n7,,Near\r\n30,,Far\r\n";

/// A site whose table is `app.users`, with a foreign server.
fn site() -> Site {
    let mut site = Site::bare(Db::Postgres);
    site.database().reach_itself();
    site.set("HEADCOUNT_SOURCE_TABLE", "app.users");
    site
}

/// Makes the schema anew, with a table of one user for the foreign server to show, and whatever else is wanted. `USERS` stands
/// for the columns.
fn make(site: &Site, sql: &str) {
    site.sql(
        "DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO app_reader;
         ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO app_reader; SET search_path = app, public",
    );
    let there = "CREATE TABLE there (USERS); INSERT INTO there (id, name) VALUES (30, 'Far')";
    site.sql(&format!("{there}; {sql}").replace("USERS", COLUMNS));
}

/// Users of which one is in a table of ours, and one in a foreign table.
const PARTITIONED: &str = "
    CREATE TABLE users (USERS) PARTITION BY RANGE (id);
    CREATE TABLE near PARTITION OF users FOR VALUES FROM (MINVALUE) TO (20);
    CREATE FOREIGN TABLE far PARTITION OF users FOR VALUES FROM (20) TO (MAXVALUE)
        SERVER elsewhere OPTIONS (table_name 'there');
    INSERT INTO users (id, name) VALUES (7, 'Near')";
const INHERITED: &str = "
    CREATE TABLE users (USERS);
    CREATE FOREIGN TABLE far () INHERITS (users) SERVER elsewhere OPTIONS (table_name 'there');
    INSERT INTO users (id, name) VALUES (7, 'Near')";

/// What is refused, in words that all of them stand in.
fn assert_refused(site: &Site, words: &[&str]) {
    let finished = site.run(&["export", "minimal"]);
    assert_eq!((finished.code, finished.text().as_str()), (Some(1), ""), "{words:?}: {}", finished.stderr);
    for word in words.iter().chain(&["source.consistency = \"per_shard\"", "moment"]) {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

#[test]
fn foreign_tables_are_found_wherever_they_are() {
    let site = site();
    let nested = PARTITIONED.replace("TABLE users", "TABLE others").replace("OF users", "OF others");
    let nested = nested.replace("INTO users", "INTO others");
    for sql in [
        PARTITIONED.to_owned(),
        INHERITED.to_owned(),
        format!("{nested}; CREATE VIEW users AS SELECT * FROM others"),
        format!(
            "{nested}; CREATE VIEW seen AS TABLE others; CREATE VIEW users AS SELECT * FROM seen WHERE id > 0"
        ),
        format!(
            "CREATE TABLE users (USERS) PARTITION BY LIST (is_admin); {nested};
             ALTER TABLE users ATTACH PARTITION others DEFAULT"
        ),
    ] {
        make(&site, &sql);
        site.configure("");
        assert_refused(&site, &["app.users", "foreign table app.far"]);
        site.configure(PER_SHARD);
        assert_eq!(site.done(&["export", "minimal"]), BOTH, "{sql}");
    }
    make(&site, "CREATE FOREIGN TABLE users (USERS) SERVER elsewhere OPTIONS (table_name 'there')");
    assert_eq!(site.done(&["export", "minimal"]), "id,email,name\r\n30,,Far\r\n");
    site.configure("");
    assert_refused(&site, &["foreign table app.users"]);
}

#[test]
fn what_an_expression_or_the_condition_reads_is_looked_at_too() {
    let site = site();
    make(
        &site,
        "CREATE FOREIGN TABLE far (USERS) SERVER elsewhere OPTIONS (table_name 'there');
         CREATE TABLE users (USERS); INSERT INTO users (id, name) VALUES (7, 'Near')",
    );
    for source in [
        "[source.columns]\nname = { sql = '(SELECT max(far.name) FROM far)' }\n",
        "[source]\nwhere = 'EXISTS (SELECT FROM app.far)'\n",
    ] {
        site.configure(&source.replace(" far)", " app.far)"));
        assert_refused(&site, &["foreign table app.far"]);
    }
    site.configure("");
    assert_eq!(site.done(&["export", "minimal"]), "id,email,name\r\n7,,Near\r\n");
}

#[test]
fn a_copy_of_what_others_hold_is_of_one_moment() {
    let site = site();
    make(&site, &PARTITIONED.replace("users", "others"));
    site.sql("CREATE MATERIALIZED VIEW users AS SELECT * FROM others");
    assert_eq!(site.done(&["export", "minimal"]), BOTH);
    site.findings().assert_well_but(&["privileges", "order"]);
}

#[test]
fn an_export_of_several_moments_says_so() {
    let site = site();
    make(&site, PARTITIONED);
    let findings = site.findings();
    findings.assert_one("problem", "mapping", &["minimal export", "foreign table app.far", "per_shard"]);
    findings.assert_one("warning", "policies", &["foreign table app.far", "row-level policy", "BYPASSRLS"]);
    let server = site.serve();
    server.get_with(STANDARD_KEY, MINIMAL).detail(503);
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?preflight=true")).detail(503);
    server.eventually_says("foreign table app.far");
    server.eventually_says("source.consistency");

    site.configure(&format!("{PER_SHARD}parallelism = 2\n"));
    let findings = site.findings();
    assert!(findings.of("problem").is_empty(), "{findings:?}");
    findings.assert_one("warning", "consistency", &["per_shard", "foreign table app.far", "one moment"]);
    findings.assert_one("warning", "policies", &["foreign table app.far"]);
    findings.assert_one("ok", "size", &["unknown"]);
    let server = site.serve();
    let answer = server.get_with(EXPORT_KEY, MINIMAL);
    assert_eq!(answer.csv(), BOTH);
    server.eventually_says("need not be of one moment");
    server.eventually_says("other servers hold rows, and share no snapshot: foreign table app.far");
    let id = answer.header("x-export-id");
    site.settled(id);
    let receipt = site.json(&["receipts", "show", id]);
    assert!(receipt["snapshot_at"].is_null() && receipt["ended_at"].is_string(), "{receipt}");
    assert_eq!(receipt["outcome"], "completed");
}

#[test]
fn a_word_that_is_no_consistency_stops_the_start() {
    let site = Site::bare(Db::Sqlite);
    site.configure("[source]\nconsistency = 'eventual'\n");
    let finished = site.run(&["check"]);
    assert!(matches!(finished.code, Some(1 | 2)), "{:?}", finished.code);
    for word in ["headcount.toml", "consistency", "snapshot", "per_shard"] {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

/// As Citus keeps its tables (its `pg_dist_partition.h`): how one is distributed, in which group, and how it is replicated.
fn imitate_citus(site: &Site, method: &str, group: u32, replication: &str) {
    site.sql(&format!(
        "SET allow_system_table_mods = on;
         CREATE TABLE IF NOT EXISTS pg_catalog.pg_dist_partition (
             logicalrelid regclass NOT NULL, partmethod \"char\" NOT NULL, partkey text, colocationid integer NOT NULL,
             repmodel \"char\" NOT NULL, autoconverted boolean NOT NULL DEFAULT false);
         GRANT SELECT ON pg_catalog.pg_dist_partition TO PUBLIC;
         DELETE FROM pg_catalog.pg_dist_partition;
         INSERT INTO pg_catalog.pg_dist_partition
         VALUES ('public.users', '{method}', NULL, {group}, '{replication}');
         RESET allow_system_table_mods"
    ));
}

#[test]
fn what_citus_distributes_is_found_in_its_catalogue() {
    let mut site = Site::with_users(Db::Postgres, 3);
    site.sql("CREATE VIEW people AS SELECT * FROM users");
    let everybody = Site::filled_minimal(3);
    // By hash, by range, by appending; without a distribution column on some node.
    for (method, group, replication) in
        [("h", 2, "s"), ("h", 2, "c"), ("r", 0, "c"), ("a", 0, "c"), ("n", 2, "s")]
    {
        imitate_citus(&site, method, group, replication);
        assert_refused(&site, &["Citus table", "users"]);
    }
    site.set("HEADCOUNT_SOURCE_TABLE", "people");
    assert_refused(&site, &["table people", "Citus table", "users"]);
    site.findings().assert_one("problem", "mapping", &["full export", "Citus table", "per_shard"]);

    site.configure(&format!("{PER_SHARD}parallelism = 2\n"));
    site.set("RUST_LOG", "info");
    let finished = site.run(&["export", "minimal"]);
    assert_eq!((finished.code, finished.text()), (Some(0), everybody.clone()), "{}", finished.stderr);
    assert!(finished.stderr.contains("share no snapshot: Citus table"), "{}", finished.stderr);
    site.unset("RUST_LOG");
    assert!(site.json(&["export", "minimal", "--preflight"])["estimated_rows"].is_null());
    let findings = site.findings();
    findings.assert_one("warning", "consistency", &["Citus table"]);
    assert!(!findings.of("warning").contains(&"policies"), "{findings:?}");

    // A reference table, of which each node has a copy, and one that is only listed.
    site.configure("");
    for (group, replication) in [(1, "t"), (0, "s"), (0, "c")] {
        imitate_citus(&site, "n", group, replication);
        assert_eq!(site.done(&["export", "minimal"]), everybody, "{group} {replication}");
    }
}

/// The workers of Citus get what is set after this, and to other servers it is nothing.
#[test]
fn settings_are_for_workers_too() {
    let site = Site::with_users(Db::Postgres, 1);
    site.configure(
        "[source]\nparallelism = 3\n[source.columns]\n\
         email = { sql = \"current_setting('citus.propagate_set_commands')\" }\n\
         name = { sql = \"current_setting('citus.max_adaptive_executor_pool_size')\" }\n",
    );
    site.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET log_statement = %L', current_database(), 'all'); END $$",
    );
    assert_eq!(site.done(&["export", "minimal"]), "id,email,name\r\n1,local,3\r\n");
    let log = site.database().server_log();
    let begins: Vec<_> =
        log.iter().filter(|line| line.contains("BEGIN TRANSACTION") && line.contains("READ ONLY")).collect();
    assert!(!begins.is_empty());
    for line in begins {
        let first = line.split("SET LOCAL ").nth(1).unwrap();
        assert!(first.starts_with("citus.propagate_set_commands = local;"), "{line}");
    }
}

/// Why one connection reads these, and how many users are expected: none, or about as many as there are.
#[test]
fn tables_of_several_are_read_by_one_connection_that_says_so() {
    let mut site = site();
    let fill = "INSERT INTO users (id, is_active) SELECT i, i % 2 = 0 FROM generate_series(1, 3000) AS i";
    let partitioned = format!(
        "CREATE TABLE users (USERS, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF users FOR VALUES FROM (MINVALUE) TO (1000);
         CREATE TABLE high PARTITION OF users FOR VALUES FROM (1000) TO (10000); {fill}"
    );
    let inherited = format!(
        "CREATE TABLE users (USERS, PRIMARY KEY (id)); CREATE TABLE more () INHERITS (users); {fill};
         INSERT INTO more (id) SELECT i FROM generate_series(3001, 4000) AS i"
    );
    let copied = format!(
        "{partitioned}; ALTER TABLE users RENAME TO others; CREATE MATERIALIZED VIEW users AS TABLE others"
    );
    site.configure("[source]\nparallelism = 2\n");
    for (sql, why, real) in [
        (&partitioned, "the table is partitioned", 3000),
        (&inherited, "other tables inherit from the table", 4000),
        (&copied, "it is a materialized view", 3000),
    ] {
        make(&site, sql);
        site.set("RUST_LOG", "info");
        let finished = site.run(&["export", "minimal"]);
        assert_eq!(finished.text().lines().count(), real + 1);
        assert!(finished.stderr.contains(why), "{why}: {}", finished.stderr);
        site.unset("RUST_LOG");
    }

    let estimate = |site: &Site, option: &[&str]| {
        let look = site.json(&[&["export", "minimal", "--preflight"], option].concat());
        look["estimated_rows"].as_u64()
    };
    for (sql, real) in [(&partitioned, 3000), (&inherited, 4000)] {
        make(&site, sql);
        let is_right = |rows: u64| (real / 2..=real * 2).contains(&rows);
        assert!(estimate(&site, &[]).is_none_or(is_right), "{sql}");
        assert!(estimate(&site, &["--is-active", "true"]).is_none(), "{sql}");
        site.findings().assert_one("ok", "size", &["unknown", "ANALYZE"]);
        site.sql("ANALYZE");
        assert!(estimate(&site, &[]).is_some_and(is_right), "{sql}");
        assert_eq!(estimate(&site, &["--limit", "17"]), Some(17));
    }
    // Partitions for later are empty, which the planner does not believe.
    make(&site, &partitioned);
    site.sql(
        "ANALYZE;
         DO $$ BEGIN
             FOR i IN 1..20 LOOP
                 EXECUTE format('CREATE TABLE later_%s PARTITION OF users FOR VALUES FROM (%s) TO (%s)', i,
                                i * 10000, (i + 1) * 10000);
             END LOOP;
         END $$",
    );
    assert!(estimate(&site, &[]).is_some_and(|rows| (1500..=6000).contains(&rows)));
    site.sql("ALTER TABLE users RENAME TO others; CREATE VIEW users AS SELECT * FROM others");
    assert_eq!(estimate(&site, &[]), None);
}
