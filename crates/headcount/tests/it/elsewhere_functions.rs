//! Functions that read what other servers hold, which nobody sees before they run.

use crate::harness::{Db, Download, MINIMAL, STANDARD_KEY, Site};
use crate::parts_postgres::{ANALYZE, SPARSE, USERS, fill, serve};

/// Users beside a foreign table of one of them, and a function, which is of this kind, that reads it for the first.
fn site(users: u32, kind: &str) -> Site {
    let site = Site::with_empty_table(Db::Postgres).storing_in_sqlite();
    site.database().reach_itself();
    site.sql(&format!("ALTER TABLE users SET ({SPARSE})"));
    fill(&site, users, "i");
    site.sql(&format!(
        "CREATE TABLE there (name TEXT); INSERT INTO there VALUES ('far');
         CREATE FOREIGN TABLE far (name TEXT) SERVER elsewhere OPTIONS (table_name 'there');
         CREATE FUNCTION far_name(bigint) RETURNS text LANGUAGE plpgsql {kind}
             AS $$ BEGIN RETURN (SELECT name FROM public.far); END $$;
         {ANALYZE}"
    ));
    site
}

const FIRST: &str = "name = { sql = \"CASE WHEN id = 1 THEN far_name(id) ELSE name END\" }\n";

#[test]
fn what_a_function_reads_elsewhere_fails_the_export() {
    let mut site = site(3, "STABLE");
    let refused = |site: &Site| {
        let finished = site.run(&["export", "minimal", "-o", "users.csv"]);
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(!site.path("users.csv").exists());
        for word in ["function", "foreign table public.far", "per_shard"] {
            assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
        }
    };
    site.configure(&format!("[source.columns]\n{FIRST}"));
    refused(&site);
    site.serve().get_with(STANDARD_KEY, MINIMAL).detail(500);
    site.findings().assert_one("problem", "values", &["minimal export", "foreign table public.far"]);
    site.configure(&format!("[source]\nconsistency = 'per_shard'\n[source.columns]\n{FIRST}"));
    assert!(site.done(&["export", "minimal"]).contains("1,user1@example.com,far\r\n"));

    site.configure("");
    assert_eq!(site.done(&["export", "minimal"]), Site::filled_minimal(3));
    site.sql("CREATE VIEW members AS SELECT id, email, far_name(id) AS name FROM users");
    site.set("HEADCOUNT_SOURCE_TABLE", "members");
    refused(&site);
}

/// It says that it always returns the same, so that several connections read.
#[test]
fn each_of_several_readers_looks_at_what_it_has_read() {
    let site = site(USERS, "IMMUTABLE");
    let server = serve(&site, 4, &format!("[source.columns]\n{FIRST}"));
    let download = Download::open(&server, MINIMAL, STANDARD_KEY);
    assert!(download.status() == 500 || !download.rest().complete);
    server.eventually_says("foreign table public.far");
    assert!(!server.said().contains("one connection reads"), "{}", server.said());
}
