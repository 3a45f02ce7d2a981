//! A source behind PgBouncer in transaction mode, where each transaction may be on another connection.

use reqwest::Method;

use crate::harness::{
    APP_READER, Answer, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, PgBouncer, STANDARD_KEY, Server, Site,
    eventually, tries,
};
use crate::parts_postgres::{ANALYZE, USERS, with_ids};
use crate::parts_postgres_live::WIDE;

/// A site whose source is behind a PgBouncer that is set up so; its store is a file.
fn behind(site: &mut Site, settings: &str) -> PgBouncer {
    site.unset("HEADCOUNT_STORE_URL");
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "16");
    let bouncer = site.database().behind_pgbouncer(settings);
    site.set("HEADCOUNT_SOURCE_URL", &bouncer.source_url());
    bouncer
}

fn with_users(settings: &str) -> (Site, PgBouncer) {
    let mut site = with_ids("i");
    site.sql(ANALYZE);
    let bouncer = behind(&mut site, settings);
    (site, bouncer)
}

/// With types that the driver has to ask for, and remembers.
fn with_odd_types(settings: &str) -> (Site, PgBouncer) {
    let mut site = Site::bare(Db::Postgres);
    site.sql(
        "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('happy', 'sad');
         CREATE TABLE users (id BIGINT PRIMARY KEY, email CITEXT, name mood, created_at TIMESTAMPTZ,
         updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users SELECT i, 'User' || i || '@example.com', 'happy' FROM generate_series(1, 100) AS i",
    );
    let bouncer = behind(&mut site, settings);
    (site, bouncer)
}

fn odd(n: u32) -> String {
    let rows = (1..=n).map(|i| format!("{i},User{i}@example.com,happy\r\n"));
    format!("id,email,name\r\n{}", rows.collect::<String>())
}

fn serve(site: &Site, parallelism: u32, wide: &str) -> Server {
    site.configure(&format!("[source]\nparallelism = {parallelism}\n{wide}{HELD}"));
    site.serve()
}

/// PostgreSQL was asked for no statement that is there twice, or not at all.
fn assert_no_clash(site: &Site) {
    let mut said = site.database().server_log();
    said.retain(|line| line.contains("prepared statement"));
    assert!(said.is_empty(), "{said:?}");
}

/// Neither the source complains, unless of a pool that is too small for several connections, nor PgBouncer, nor PostgreSQL of
/// statements that are there twice or not at all. Of a store that is slow on a busy machine, others may say what they have to.
fn assert_quiet(site: &Site, server: &Server, bouncer: &PgBouncer) {
    let said = server.said();
    let is_loud = |line: &&str| {
        (line.contains("WARN") || line.contains("ERROR"))
            && (line.contains("headcount_source") || line.contains("\"outcome\":\"failed\""))
            && !line.contains("one connection reads it")
    };
    let loud: Vec<_> = said.lines().filter(is_loud).collect();
    assert!(loud.is_empty(), "{loud:#?}");
    let said = bouncer.log();
    assert!(!said.contains("ERROR") && !said.contains("FATAL"), "{said}");
    assert_no_clash(site);
}

fn assert_exports(server: &Server) {
    assert!(server.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS));
    assert!(server.get_with(STANDARD_KEY, MINIMAL).csv() == Site::filled_minimal(USERS));
    for (query, ids) in [
        ("email=user12000@example.com", vec!["12000"]),
        ("created_after=2025-01-01T00:00:05Z&created_before=2025-01-01T00:00:07Z&is_active=true", vec!["5"]),
        ("updated_after=2025-01-01T03:53:18Z", vec!["13998", "13999", "14000"]),
        ("after=13997&limit=2", vec!["13998", "13999"]),
        ("email=nobody@example.com", vec![]),
    ] {
        assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?{query}")).ids(), ids, "{query}");
    }
}

#[test]
fn every_export_is_right_behind_pgbouncer() {
    for settings in ["", "server_round_robin = 1"] {
        let (site, bouncer) = with_users(settings);
        for parallelism in [1, 4] {
            let server = serve(&site, parallelism, "");
            for _ in 0..3 {
                assert_exports(&server);
            }
            assert_eq!(server.get("/readyz").status, 200);
            let head = server.request(Method::HEAD, FULL).bearer_auth(EXPORT_KEY);
            assert_eq!(Answer::to(head).status, 200);
            let preflight = server.get_with(EXPORT_KEY, &format!("{FULL}?preflight=true"));
            assert_eq!(preflight.json()["estimated_rows"], 5 * USERS);
            assert!(site.run(&["export", "full"]).stdout == Site::filled_full(USERS).as_bytes());
            assert_quiet(&site, &server, &bouncer);
        }
        assert!(site.findings().of("problem").is_empty());
    }
}

#[test]
fn sixteen_exports_at_once_are_right_behind_pgbouncer() {
    for settings in ["", "default_pool_size = 3\nserver_round_robin = 1"] {
        let (site, bouncer) = with_users(settings);
        for parallelism in [1, 4] {
            let server = serve(&site, parallelism, "");
            let expected = Site::filled_full(USERS);
            std::thread::scope(|scope| {
                for i in 1..=16 {
                    let (server, expected) = (&server, &expected);
                    scope.spawn(move || {
                        let id = (i * 800).to_string();
                        let one = format!("{FULL}?email=user{id}@example.com");
                        assert_eq!(server.get_with(EXPORT_KEY, &one).ids(), [id]);
                        assert!(server.get_with(EXPORT_KEY, FULL).csv() == *expected);
                    });
                }
            });
            assert_quiet(&site, &server, &bouncer);
        }
    }
}

/// An export that waits for connections which another one holds, or it itself, waits for ever.
#[test]
fn a_pool_of_one_connection_is_enough() {
    let (site, _bouncer) = with_users("default_pool_size = 1\nquery_wait_timeout = 20");
    let server = serve(&site, 4, WIDE);
    for _ in 0..2 {
        let answer = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,name"));
        assert_eq!(answer.ids().len(), USERS as usize);
    }
    assert!(!server.said().contains("ERROR"), "{}", server.said());
}

/// The driver prepares statements by names that it counts from 0 in each process.
#[test]
fn statements_of_several_processes_do_not_clash() {
    for (connections, more) in [(1, ""), (3, "server_round_robin = 1")] {
        let (site, bouncer) = with_odd_types(&format!("default_pool_size = {connections}\n{more}"));
        bouncer.open_connections(connections);
        let servers = [1, 4].map(|parallelism| serve(&site, parallelism, ""));
        for i in 1..=10 {
            for server in &servers {
                assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), odd(100));
                let one = format!("{MINIMAL}?email=User{i}@example.com");
                assert_eq!(server.get_with(STANDARD_KEY, &one).ids(), [i.to_string()]);
            }
            let finished = site.run(&["export", "minimal", "--limit", "9"]);
            assert_eq!(finished.text(), odd(9), "{}", finished.stderr);
        }
        for server in &servers {
            assert_quiet(&site, server, &bouncer);
        }
    }
}

/// Whatever is asked to find out what went wrong leaves nothing behind on a connection that others get.
#[test]
fn a_refusal_spoils_no_connection_for_others() {
    for settings in ["", "default_pool_size = 3\nserver_round_robin = 1"] {
        let (site, bouncer) = with_odd_types(settings);
        bouncer.open_connections(3);
        for parallelism in [1, 4] {
            for _ in 0..tries(4) {
                let server = serve(&site, parallelism, "");
                assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), odd(100));
                site.sql("ALTER TABLE users RENAME name TO called");
                for _ in 0..3 {
                    server.get_with(STANDARD_KEY, MINIMAL).detail(503);
                }
                site.sql("ALTER TABLE users RENAME called TO name");
                bouncer.open_connections(3);
                assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), odd(100));
                server.eventually_says("table users has no column name");
                assert!(!server.said().contains("prepared statement"), "{}", server.said());
            }
        }
        assert_no_clash(&site);
        assert!(!bouncer.log().contains("ERROR"), "{}", bouncer.log());
    }
}

#[test]
fn a_refusal_to_one_process_fails_no_export_of_another() {
    let (site, bouncer) = with_odd_types("default_pool_size = 3\nserver_round_robin = 1");
    for _ in 0..3 {
        bouncer.open_connections(3);
        site.sql("ALTER TABLE users RENAME name TO called");
        assert_eq!(site.run(&["export", "minimal"]).code, Some(1));
        site.sql("ALTER TABLE users RENAME called TO name");
        for _ in 0..4 {
            let finished = site.run(&["export", "minimal"]);
            assert_eq!(finished.text(), odd(100), "{}", finished.stderr);
        }
    }
    assert_no_clash(&site);
}

#[test]
fn a_client_that_leaves_frees_the_connections_behind_pgbouncer() {
    let (site, _bouncer) = with_users("default_pool_size = 4");
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, WIDE);
        for _ in 0..6 {
            let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
            download.first_chunk();
            drop(download);
        }
        eventually("no session has a transaction open", || site.database().busy_sessions(APP_READER) == 0);
        assert_eq!(server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids().len(), USERS as usize);
    }
}

/// A server that computes does not notice that nobody waits for it any more: it has to be told.
fn assert_cancelled(site: &Site) {
    site.sql(
        "CREATE FUNCTION nap(id bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN
             IF id = 12000 THEN PERFORM pg_sleep(600); END IF;
             RETURN repeat('x', 1000);
         END $$;
         CREATE VIEW slow AS SELECT *, nap(id) AS nap FROM users;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
         END $$",
    );
    let server = serve(site, 1, "table = \"slow\"\n[source.columns]\nname = \"nap\"\n");
    let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
    while !String::from_utf8_lossy(&download.first_chunk()).contains("user11000@") {}
    let napping =
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    eventually("the server computes", || site.column(napping).len() == 1);
    drop(download);
    eventually("the statement does not run any more", || site.column(napping).is_empty());
}

#[test]
fn a_statement_that_nobody_waits_for_is_cancelled() {
    let (mut site, _bouncer) = with_users("");
    site.set("HEADCOUNT_SOURCE_URL", &site.database().source_url());
    assert_cancelled(&site);
}

#[test]
fn a_statement_that_nobody_waits_for_is_cancelled_through_pgbouncer() {
    let (site, _bouncer) = with_users("");
    assert_cancelled(&site);
}

/// A client that goes without a word in the middle of a transaction takes the connection behind PgBouncer with it.
#[test]
fn exports_one_after_the_other_share_the_connections_of_pgbouncer() {
    let (site, _bouncer) = with_odd_types("");
    let server = serve(&site, 4, "");
    let before = site.database().logins(APP_READER);
    for _ in 0..30 {
        assert_eq!(server.get_with(STANDARD_KEY, MINIMAL).csv(), odd(100));
    }
    let logins = site.database().logins(APP_READER) - before;
    assert!((1..=8).contains(&logins), "{logins}");
}
