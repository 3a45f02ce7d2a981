//! Several connections read one PostgreSQL table: that they do, and what becomes of them when something goes wrong.

use crate::harness::{
    APP_READER, Answer, Download, EXPORT_KEY, FULL, HELD, MINIMAL, STANDARD_KEY, Server, Site, eventually,
    wait_for,
};
use crate::parts_postgres::{ANALYZE, USERS, serve, with_ids};

/// An export of 70 MB, which no pair of socket buffers holds, from small rows.
pub(crate) const WIDE: &str = "[source.columns]\nname = { sql = \"name || repeat('x', 5000)\" }\n";

/// A table of several parts, as the server knows. The store is elsewhere, so that each session here is a reader's.
pub(crate) fn large() -> Site {
    let site = with_ids("i");
    site.sql(ANALYZE);
    site
}

/// Sessions that read the source now, or have a transaction open to do so.
pub(crate) fn readers(site: &Site) -> usize {
    site.database().busy_sessions(APP_READER)
}

/// How many further connections came too late to be waited for, as happens on a busy machine.
pub(crate) fn late(server: &Server) -> usize {
    server.said().matches("a further connection to the source could not be had").count()
}

fn all_are_gone(site: &Site) {
    eventually("no session has a transaction open", || readers(site) == 0);
}

/// Reads on until the end, and finds everybody there.
fn assert_whole(mut download: Download) {
    let mut body = download.first_chunk();
    let rest = download.rest();
    assert!(rest.complete);
    body.extend(rest.body);
    assert_everybody(&String::from_utf8(body).unwrap());
}

fn assert_everybody(csv: &str) {
    let ids = csv.lines().skip(1).map(|line| line.split(',').next().unwrap().parse::<u32>().unwrap());
    assert!(ids.eq(1..=USERS));
}

/// A download of everybody that so many sessions read, beside the one that holds the snapshot; another one if one of them was late.
fn divided(site: &Site, server: &Server, sessions: usize) -> Download {
    wait_for("an export is divided", || {
        let before = late(server);
        let download = Download::stalled(server, FULL, EXPORT_KEY);
        eventually("all sessions read, or one is late", || {
            readers(site) == sessions + 1 || late(server) > before
        });
        if late(server) == before {
            return Some(download);
        }
        drop(download);
        all_are_gone(site);
        None
    })
}

/// What the server cannot keep in memory is divided only where the ids lie in their order.
#[test]
fn a_table_that_is_larger_than_memory_is_divided_where_its_ids_are_in_order() {
    let site = large();
    site.sql(
        "DO $$ BEGIN
           EXECUTE format('ALTER DATABASE %I SET effective_cache_size = %L', current_database(), '8kB');
         END $$",
    );
    let server = serve(&site, 2, WIDE);
    assert_whole(divided(&site, &server, 2));
    all_are_gone(&site);
}

#[test]
fn a_large_table_is_read_by_as_many_connections_as_are_asked_for() {
    let site = large();
    for parallelism in [2, 3, 4] {
        let server = serve(&site, parallelism, WIDE);
        assert_whole(divided(&site, &server, usize::try_from(parallelism).unwrap()));
        all_are_gone(&site);
    }
}

#[test]
fn what_is_not_large_or_not_whole_is_read_by_one_connection() {
    let site = large();
    let alone = |parallelism, source: &str, target: &str, why: &str| {
        let server = serve(&site, parallelism, source);
        let before = site.database().logins(APP_READER);
        let mut download = Download::stalled(&server, target, EXPORT_KEY);
        download.first_chunk();
        assert!(readers(&site) == 1 && site.database().logins(APP_READER) == before + 1, "{source} {target}");
        server.eventually_says(why);
        drop(download);
        all_are_gone(&site);
    };
    alone(1, WIDE, FULL, "");
    alone(4, WIDE, &format!("{FULL}?limit=13999"), "a filter, a limit or 'after' chooses users");
    alone(4, &format!("{WIDE}id = {{ sql = \"id + 0\" }}\n"), FULL, "the id is an expression");
    site.sql("CREATE VIEW people AS SELECT * FROM users");
    alone(4, &format!("table = \"people\"\n{WIDE}"), FULL, "it is a view");
    site.sql("ALTER TABLE users DROP CONSTRAINT users_pkey; CREATE INDEX ON users (id)");
    alone(4, WIDE, FULL, "no unique index in its own order");
    site.sql("DELETE FROM users WHERE id > 5000; ALTER TABLE users ADD PRIMARY KEY (id)");
    site.sql("VACUUM FULL ANALYZE users");
    alone(4, &WIDE.replace("5000", "10000"), FULL, "the table is small");
}

/// The snapshot is of the first connection; one that comes later without it would see what was committed meanwhile.
#[test]
fn all_of_a_download_is_of_the_moment_of_its_beginning() {
    let site = large();
    let server = serve(&site, 4, WIDE);
    let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
    let mut body = download.first_chunk();
    site.sql(
        "INSERT INTO users (id) SELECT i FROM generate_series(14001, 28000) AS i; INSERT INTO users VALUES (0, '0');
         UPDATE users SET email = 'later'; DELETE FROM users WHERE id % 2 = 0",
    );
    site.sql(ANALYZE);
    let rest = download.rest();
    assert!(rest.complete);
    body.extend(rest.body);
    let csv = String::from_utf8(body).unwrap();
    assert_everybody(&csv);
    assert!(!csv.contains("later"));
}

#[test]
fn a_bad_value_in_a_late_part_breaks_the_transfer() {
    let site = large();
    site.sql("ALTER TABLE users ALTER is_admin TYPE INT USING is_admin::int; UPDATE users SET is_admin = 2 WHERE id = 12123");
    site.sql(ANALYZE);
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, WIDE);
        let download = Download::stalled(&server, FULL, EXPORT_KEY);
        let export = download.export_id();
        let received = download.rest();
        assert!(!received.complete);
        assert!(received.body.starts_with(b"id,email,name"));
        assert!(!received.has(b"\r\n12123,"));
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "failed", "{record}");
        assert!(record["rows"].as_u64().unwrap() < 12_123, "{record}");
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.contains("is_admin") && reason.contains("12123"), "{reason}");
        all_are_gone(&site);
        let good = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?fields=id"));
        assert_everybody(&good.csv());
    }
}

#[test]
fn a_bad_first_row_is_an_error_and_not_an_empty_export() {
    let site = large();
    site.sql("ALTER TABLE users ALTER is_admin TYPE INT USING is_admin::int; UPDATE users SET is_admin = 2 WHERE id = 1");
    site.sql(ANALYZE);
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, WIDE);
        server.get_with(EXPORT_KEY, FULL).detail(500);
        assert_eq!(site.audit()[0]["outcome"], "failed");
        all_are_gone(&site);
    }
}

/// Whichever of those that read it is that ends, the transfer does not end as if all were well.
#[test]
fn a_session_that_is_ended_breaks_the_transfer() {
    let site = large();
    let server = serve(&site, 4, WIDE);
    for oldest_first in ["ASC", "DESC"] {
        let download = divided(&site, &server, 4);
        let export = download.export_id();
        let scans = format!(
            "SELECT 1 FROM pg_stat_activity WHERE usename = '{APP_READER}' AND datname = current_database()
             AND state = 'active' AND query LIKE 'SELECT % AS \"headcount 0\"%'"
        );
        eventually("several of them read rows", || site.column(&scans).len() >= 2);
        site.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = '{APP_READER}'
             AND datname = current_database() AND state = 'active' AND query LIKE 'SELECT % AS \"headcount 0\"%' ORDER BY backend_start {oldest_first} LIMIT 1) AS one"
        ));
        assert!(!download.rest().complete, "{oldest_first}");
        assert_eq!(site.settled(&export)["outcome"], "failed", "{oldest_first}");
        all_are_gone(&site);
        assert_everybody(&server.get_with(STANDARD_KEY, MINIMAL).csv());
    }
}

#[test]
fn a_client_that_leaves_ends_every_session() {
    let site = large();
    let server = serve(&site, 4, WIDE);
    for _ in 0..3 {
        let http1 = divided(&site, &server, 4);
        let http2 = server.http2(FULL).bearer_auth(EXPORT_KEY).send().unwrap();
        let exports = [http1.export_id(), http2.headers()["x-export-id"].to_str().unwrap().to_owned()];
        // The second has what the first left it: one connection.
        eventually("both are read", || readers(&site) == 6);
        drop((http1, http2));
        all_are_gone(&site);
        for export in exports {
            assert_eq!(site.settled(&export)["outcome"], "disconnected");
        }
    }
    assert_everybody(&Answer::to(server.http2(FULL).bearer_auth(EXPORT_KEY)).csv());
}

/// A connection more than the server lets in is one less to read with, and the log says so.
#[test]
fn connections_that_are_refused_are_done_without() {
    let site = large();
    for (room, said) in [(1, true), (2, false), (3, false)] {
        let server = serve(&site, 4, WIDE);
        site.database().let_in_only(room);
        for _ in 0..2 {
            let download = Download::stalled(&server, FULL, EXPORT_KEY);
            assert_whole(download);
            all_are_gone(&site);
        }
        if said {
            server.eventually_says("one connection");
        }
        assert!(!server.said().contains("ERROR"), "{}", server.said());
        drop(server);
        eventually("all sessions are over", || site.database().sessions(APP_READER) == 0);
    }
}

/// Whoever waits for a lock lets nobody pass who comes later: a connection that wants the table only then would wait for the
/// export that waits for it.
#[test]
fn an_alteration_that_waits_for_an_export_does_not_stop_it() {
    let site = large();
    let server = serve(&site, 4, WIDE);
    for column in ["a", "b", "c"] {
        let download = Download::stalled(&server, FULL, EXPORT_KEY);
        std::thread::scope(|scope| {
            let mut owner = site.database().connect();
            let alteration = scope.spawn(move || {
                owner.batch_execute(&format!("SET lock_timeout = '60s'; ALTER TABLE users ADD {column} INT"))
            });
            let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            eventually("the alteration waits", || site.column(waiting).len() == 1);
            assert_whole(download);
            alteration.join().unwrap().unwrap();
        });
    }
}

#[test]
fn eight_exports_of_four_connections_each() {
    let site = large();
    // One key leaves the last slot to others, so that the eighth waits for as long as a busy machine takes.
    site.configure(&format!("[source]\nparallelism = 4\n{HELD}queue_timeout = \"1h\"\n"));
    let server = site.serve();
    let expected = Site::filled_full(USERS);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(server.get_with(EXPORT_KEY, FULL).csv() == expected));
        }
    });
    all_are_gone(&site);
}
