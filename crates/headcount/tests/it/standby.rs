//! A source that is a hot standby of PostgreSQL.

use crate::harness::{Db, Download, EXPORT_KEY, FULL, HELD, Replication, Server, Site};

const USERS: u32 = 70_000;

/// A primary with users and a standby that has them too.
fn replicated(settings: &[&str]) -> Replication {
    let replication = Replication::start(settings);
    let (db, at) = (Db::Postgres, Db::Postgres.second_of_2025());
    let fill = format!(
        "SET TIME ZONE 'UTC'; {}
         INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, {at}, {at}, i % 3 <> 0, i % 10 = 0
         FROM {}; ANALYZE users; GRANT SELECT ON users TO app_reader",
        db.users_table(),
        db.series(USERS)
    );
    replication.primary().batch_execute(&fill).unwrap();
    replication.catch_up();
    replication
}

fn serve(site: &Site, parallelism: u32, wide: &str) -> Server {
    site.configure(&format!("[source]\nparallelism = {parallelism}\n{wide}{HELD}"));
    site.serve()
}

/// An export of 70 MB, which no pair of socket buffers holds.
const WIDE: &str = "[source.columns]\nname = { sql = \"name || repeat('x', 1000)\" }\n";

#[test]
fn a_standby_gives_what_its_primary_gives() {
    let replication = replicated(&[]);
    for url in [replication.primary_url(), replication.standby_url()] {
        let site = Replication::site(&url);
        for parallelism in [1, 4] {
            let server = serve(&site, parallelism, "");
            assert!(server.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS), "{url}");
            let filtered = format!("{FULL}?email=user60000@example.com&is_admin=true&fields=id");
            assert_eq!(server.get_with(EXPORT_KEY, &filtered).csv(), "id\r\n60000\r\n");
            assert_eq!(server.get("/readyz").status, 200);
            let preflight = server.get_with(EXPORT_KEY, &format!("{FULL}?preflight=true"));
            assert_eq!(preflight.json()["estimated_rows"], USERS);
            assert!(!server.said().contains("ERROR"), "{}", server.said());
        }
    }
}

/// What the primary commits meanwhile arrives, but not in this export.
#[test]
fn an_export_from_a_standby_is_of_one_moment() {
    for parallelism in [1, 4] {
        // Anew: what an update before this one left would be pruned from pages that the export holds, and the standby waits for
        // those.
        let replication = replicated(&["max_standby_streaming_delay=-1"]);
        let site = Replication::site(&replication.standby_url());
        let server = serve(&site, parallelism, WIDE);
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        let mut body = download.first_chunk();
        let later = "UPDATE users SET id = -id; UPDATE users SET email = 'later' WHERE id % 2 = 0";
        replication.primary().batch_execute(later).unwrap();
        replication.catch_up();
        let rest = download.rest();
        assert!(rest.complete);
        body.extend(rest.body);
        let csv = String::from_utf8(body).unwrap();
        let ids = csv.lines().skip(1).map(|line| line.split(',').next().unwrap().parse::<u32>().unwrap());
        assert!(ids.eq(1..=USERS), "{parallelism}");
        assert!(!csv.contains("later"));
        let server = serve(&site, parallelism, "");
        let ids = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id")).ids();
        let now = ids.iter().map(|id| id.parse::<i32>().unwrap());
        assert!(now.eq((1..=70_000).rev().map(|id: i32| -id)));
    }
}

/// A standby ends what keeps it from following its primary.
#[test]
fn an_export_that_its_standby_breaks_off_does_not_end_as_if_all_were_well() {
    let replication = replicated(&["max_standby_streaming_delay=0", "hot_standby_feedback=off"]);
    let site = Replication::site(&replication.standby_url());
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, WIDE);
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        let export = download.export_id();
        download.first_chunk();
        let mut primary = replication.primary();
        primary.batch_execute("UPDATE users SET email = 'later'").unwrap();
        primary.batch_execute("VACUUM users").unwrap();
        // A session that waits for its client cannot be told to stop, and the standby waits for it.
        replication.catch_up_or_wait();
        let rest = std::thread::spawn(move || download.rest());
        replication.catch_up();
        assert!(!rest.join().unwrap().complete);
        let record = site.settled(&export);
        assert_eq!(record["outcome"], "failed", "{record}");
        let again = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id"));
        assert_eq!(again.ids().len(), USERS as usize);
    }
}

#[test]
fn a_server_goes_on_when_its_standby_is_promoted() {
    let replication = replicated(&[]);
    let site = Replication::site(&replication.standby_url());
    let server = serve(&site, 4, "");
    assert!(server.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS));
    replication.promote();
    assert!(server.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS));
    replication.standby().batch_execute("DELETE FROM users WHERE id > 3").unwrap();
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), Site::filled_full(3));
}

/// The address may name several servers, and which of them is wanted.
#[test]
fn a_source_moves_with_its_primary() {
    let mut replication = replicated(&[]);
    let both = replication.url_of_both();
    let [writable, any] = ["?target_session_attrs=read-write", ""].map(|attributes| {
        let site = Replication::site(&format!("{both}{attributes}"));
        let server = serve(&site, 4, "");
        (site, server)
    });
    let sessions = |mut client: postgres::Client| -> i64 {
        let users = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_reader' AND state <> 'idle'";
        client.query_one(users, &[]).unwrap().get(0)
    };
    for ((site, _server), [on_standby, on_primary]) in [(&any, [true, false]), (&writable, [false, true])] {
        let server = serve(site, 1, WIDE);
        let mut download = Download::stalled(&server, FULL, EXPORT_KEY);
        download.first_chunk();
        assert_eq!(sessions(replication.standby()) > 0, on_standby);
        assert_eq!(sessions(replication.primary()) > 0, on_primary);
        assert!(download.rest().complete);
    }
    for (_, server) in [&writable, &any] {
        assert!(server.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS));
    }

    replication.lose_the_primary();
    writable.1.get_with(EXPORT_KEY, FULL).detail(503);
    assert!(any.1.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS));

    replication.promote();
    for (_, server) in [&writable, &any] {
        assert!(server.get_with(EXPORT_KEY, FULL).csv() == Site::filled_full(USERS));
    }
}

/// What a standby would refuse is not asked of it.
#[test]
fn check_finds_nothing_wrong_with_a_standby() {
    let replication = replicated(&[]);
    let site = Replication::site(&replication.standby_url());
    let problems = site.findings();
    assert!(problems.of("problem").is_empty(), "{problems:?}");
}
