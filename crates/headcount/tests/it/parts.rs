//! A large SQLite table is read in parts by several threads, and nobody can tell from the bytes.

use std::collections::BTreeSet;
use std::io::Read;

use reqwest::Method;

use crate::harness::{
    Answer, Db, Download, EXPORT_KEY, FULL, HELD, MINIMAL, Server, Site, csv_records, profile,
};

/// As many as make several parts where the ids are dense, and with [`with_ids`] a table of more than 4 MiB.
const USERS: u32 = 20_000;

/// An export of 30 MB, which no pair of socket buffers holds.
const WIDE_NAME: &str = "hex(zeroblob(5000))";

/// Users in this table, the `i`-th of whom has this id and name.
fn fill(site: &Site, rows: u32, id: &str, name: &str) {
    site.sql(&format!(
        "INSERT INTO users (id, email, name, created_at, updated_at, is_active, is_admin)
         SELECT {id}, 'user' || i || '@example.com', {name}, {at}, {at}, i % 3 <> 0, i % 10 = 0
         FROM {series}",
        at = site.db.second_of_2025(),
        series = site.db.series(rows)
    ));
}

fn with_ids(id: &str) -> Site {
    let site = Site::with_empty_table(Db::Sqlite);
    site.sql(&format!("ALTER TABLE users ADD COLUMN unused TEXT DEFAULT '{}'", "unused ".repeat(40)));
    fill(&site, USERS, id, "'User ' || i");
    site
}

/// Serves with so many threads for a scan; `source` is what else `[source]` says, and whatever follows it.
fn serve(site: &Site, parallelism: u32, source: &str) -> Server {
    site.configure(&format!("[source]\nparallelism = {parallelism}\n{source}"));
    site.serve()
}

/// One thread and four give the same to each of these requests, which is returned.
fn same(site: &Site, source: &str, key: &str, targets: &[String]) -> Vec<String> {
    same_by(|parallelism| serve(site, parallelism, source), source, key, targets)
}

/// The same with servers of these numbers of readers.
pub(crate) fn same_by(
    serve: impl Fn(u32) -> Server,
    source: &str,
    key: &str,
    targets: &[String],
) -> Vec<String> {
    let ask = |parallelism| -> Vec<String> {
        let server = serve(parallelism);
        targets.iter().map(|target| server.get_with(key, target).csv()).collect()
    };
    let one = ask(1);
    for ((target, one), four) in targets.iter().zip(&one).zip(ask(4)) {
        assert!(*one == four, "{source} {target}: {} and {} bytes", one.len(), four.len());
    }
    one
}

/// The export `csv` has just the users of these ids, in this order.
fn assert_ids(csv: &str, site: &Site, ids: &str) {
    let records = csv_records(csv.as_bytes());
    let exported: Vec<_> = records[1..].iter().map(|record| &record[0]).collect();
    assert!(exported == site.column(ids).iter().collect::<Vec<_>>(), "{ids}");
}

/// All users of the table are exported in the order of their ids, however they are read.
fn assert_all(site: &Site, source: &str, ids: &str) {
    assert_ids(&same(site, source, EXPORT_KEY, &[FULL.to_owned()])[0], site, ids);
}

const IN_ORDER: &str = "SELECT id FROM users ORDER BY id";

#[test]
fn each_way_out_gives_the_same_bytes() {
    let site = with_ids("i");
    let expected = Site::filled_full(USERS);
    for parallelism in [1, 2, 4, 7] {
        let server = serve(&site, parallelism, "");
        assert!(server.get_with(EXPORT_KEY, FULL).csv() == expected, "{parallelism}");
    }
    assert_each_way_out(&site, &serve(&site, 4, ""), &expected, USERS);
}

/// Over HTTP/1.1 and HTTP/2, compressed, and from the command line a full export of so many users is this.
pub(crate) fn assert_each_way_out(site: &Site, server: &Server, expected: &str, users: u32) {
    assert!(Answer::to(server.http2(FULL).bearer_auth(EXPORT_KEY)).csv() == expected);
    for request in [server.request(Method::GET, FULL), server.http2(FULL)] {
        let packed = Answer::to(request.bearer_auth(EXPORT_KEY).header("accept-encoding", "gzip"));
        assert_eq!(packed.header("content-encoding"), "gzip");
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == expected);
        let record = site.settled(packed.header("x-export-id"));
        assert_eq!((&record["rows"], &record["bytes"]), (&users.into(), &expected.len().into()));
    }
    assert!(site.run(&["export", "full"]).stdout == expected.as_bytes());
}

#[test]
fn a_large_table_is_divided_and_others_are_not() {
    let site = Site::with_empty_table(Db::Sqlite);
    fill(&site, 3000, "i / 300 * 1000000 + i", WIDE_NAME);
    let readers = |parallelism, source: &str, target: &str| {
        let server = serve(&site, parallelism, source);
        let _download = Download::stalled(&server, target, EXPORT_KEY);
        server.times_open(&site.sqlite_source())
    };
    // The connection that watched over the snapshot may wait for the others before it is closed.
    assert!((4..=5).contains(&readers(4, HELD, FULL)));
    assert!((3..=4).contains(&readers(3, HELD, FULL)));
    assert_eq!(readers(1, HELD, FULL), 1);
    assert_eq!(readers(4, HELD, &format!("{FULL}?limit=2999")), 1);
}

#[test]
fn the_log_says_why_one_thread_reads() {
    const COLUMNS: &str = "email TEXT, name TEXT, created_at TIMESTAMP, updated_at TIMESTAMP, is_active BOOLEAN, is_admin BOOLEAN";
    let large = "CREATE TABLE large AS SELECT zeroblob(5000000) AS bytes";
    let table = |id: &str| format!("CREATE TABLE users ({id}, {COLUMNS}); {large}");
    let ordinary = table("id INTEGER PRIMARY KEY");
    let view = format!(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, {COLUMNS}); {large}; CREATE VIEW users AS SELECT * FROM people"
    );
    let rowid = "column id is not the rowid of table users";
    for (sql, source, options, why) in [
        (&ordinary, "", &["--limit", "5"][..], "a filter or a limit"),
        (&ordinary, "", &["--is-active", "true"], "a filter or a limit"),
        (&ordinary, "", &["--email", "a@example.com", "--after", "1"], "a filter or a limit"),
        (&ordinary.replace("5000000", "5"), "", &[], "its file has no more than 4 MiB"),
        (&view, "", &[], "users is a view"),
        (&table("id TEXT PRIMARY KEY"), "", &[], rowid),
        (&table("id INT PRIMARY KEY"), "", &["--after", "1"], rowid),
        (
            &ordinary,
            "[source.columns]\nid = { sql = 'id + 1' }\n",
            &[],
            "the expression for id is not the rowid",
        ),
        (&ordinary, "where = 'random() <> 0'\n", &[], "random() can give something else each time"),
    ] {
        let mut site = Site::bare(Db::Sqlite);
        site.sql(sql);
        site.set("RUST_LOG", "info");
        for parallelism in [1, 4] {
            site.configure(&format!("[source]\nparallelism = {parallelism}\n{source}"));
            let finished = site.run(&[&["export", "minimal"], options].concat());
            assert_eq!(finished.code, Some(0), "{}", finished.stderr);
            let says_why = finished.stderr.contains("one thread reads the source: ");
            assert_eq!(says_why, parallelism > 1, "{why}: {}", finished.stderr);
            assert!(!says_why || finished.stderr.contains(why), "{why}: {}", finished.stderr);
        }
    }
    let site = Site::with_empty_table(Db::Sqlite);
    fill(&site, 3000, "i", WIDE_NAME);
    let server = serve(&site, 4, HELD);
    let _download = Download::stalled(&server, FULL, EXPORT_KEY);
    server.get_with(EXPORT_KEY, &format!("{MINIMAL}?fields=id")).csv();
    server.eventually_says("one thread reads the source: other exports have all further readers");
}

#[test]
fn ids_may_lie_as_they_like() {
    for id in [
        "i * 5000000",
        "((1700000000000 + i * 37) << 22) | (i % 4096)",
        "i - 10000",
        "9223372036854775807 - 20000 + i",
        "-9223372036854775807 - 1 + i",
        "i / 300 * 1000000 + i",
        "CASE WHEN i < 300 THEN i * 100000 ELSE 30000000 + i END",
        "CASE WHEN i < 9000 THEN i ELSE 4000000000000000000 + i * 1000 END",
    ] {
        assert_all(&with_ids(id), "", IN_ORDER);
    }
}

#[test]
fn the_first_and_the_last_id_that_there_can_be_are_ids() {
    let site = with_ids("i");
    for id in ["-9223372036854775807 - 1", "-9223372036854775807", "-70000", "-1", "0"] {
        fill(&site, 1, id, "'First'");
    }
    for id in ["9223372036854775806", "9223372036854775807"] {
        fill(&site, 1, id, "'Last'");
    }
    assert_all(&site, "", IN_ORDER);
}

#[test]
fn rows_may_be_very_large() {
    let site = Site::with_empty_table(Db::Sqlite);
    fill(&site, 8, "i * 1000", "hex(zeroblob(500000)) || i");
    assert_all(&site, "", IN_ORDER);
    fill(&site, 1200, "i / 300 * 1000000 + 100000 + i", "'User ' || i");
    assert_all(&site, "", IN_ORDER);
}

#[test]
fn the_parameters_mean_the_same() {
    let site = with_ids("i * 3 - 20000");
    site.sql(
        "CREATE INDEX active ON users (is_active, email); CREATE INDEX admin ON users (is_admin); ANALYZE",
    );
    let queries = [
        "is_active=true",
        "is_active=false&is_admin=true",
        "is_admin=true&bom=true",
        "created_after=2025-01-01T01:00:00Z&created_before=2025-01-01T04:00:00Z",
        "updated_after=2025-01-01T05:00:00Z",
        "updated_after=2030-01-01T00:00:00Z",
        "after=-9223372036854775808",
        "after=-70000",
        "after=0",
        "after=14444&is_active=false",
        "after=39999",
        "after=40000",
        "after=9223372036854775806",
        "after=9223372036854775807",
        "fields=email",
        "fields=is_admin,id,name&after=100",
        "bom=true&sanitize=false",
        "limit=12000",
        "email=user19000@example.com",
    ];
    let targets: Vec<_> = queries.iter().map(|query| format!("{FULL}?{query}")).collect();
    same(&site, "", EXPORT_KEY, &targets);
}

/// Not once for each part, nor, where the arguments are not the same for all, for each user.
#[test]
fn an_expression_that_reads_the_clock_gives_one_time() {
    let site = with_ids("i");
    for clock in ["strftime('%f', 'now')", "strftime('%f', 'now', (id % 7 * 0) || ' seconds')"] {
        let server = serve(&site, 4, &format!("[source.columns]\nname = {{ sql = \"{clock}\" }}\n"));
        for (query, users) in [("", USERS), ("&limit=300&after=3000", 300), ("&is_admin=true", USERS / 10)] {
            let answer = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,name{query}")).csv();
            let (ids, names): (Vec<u32>, BTreeSet<&str>) = answer
                .lines()
                .skip(1)
                .map(|record| record.split_once(',').unwrap())
                .map(|(id, name)| (id.parse::<u32>().unwrap(), name))
                .unzip();
            assert_eq!(ids.len(), usize::try_from(users).unwrap(), "{query}");
            assert!(ids.is_sorted(), "{query}");
            assert_eq!(names.len(), 1, "{clock}{query}: {names:?}");
        }
        server.eventually_says("strftime() can give something else");
    }
}

#[test]
fn nobody_after_the_last_id_is_a_header() {
    let site = with_ids("i");
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, "");
        for after in ["20000", "9223372036854775806", "9223372036854775807"] {
            let csv = server.get_with(EXPORT_KEY, &format!("{FULL}?after={after}&fields=id")).csv();
            assert_eq!(csv, "id\r\n", "{parallelism} {after}");
        }
        for after in ["9223372036854775808", "1.5", "x"] {
            server.get_with(EXPORT_KEY, &format!("{FULL}?after={after}")).detail(400);
        }
    }
}

#[test]
fn a_mapping_means_the_same() {
    let mut site = with_ids("i * 2");
    site.sql(
        "ALTER TABLE users RENAME COLUMN id TO \"User Id\";
         CREATE TABLE members (user_id INTEGER, team TEXT);
         INSERT INTO members SELECT \"User Id\", 'team ' || \"User Id\" % 7 FROM users WHERE \"User Id\" % 3 = 0;
         CREATE INDEX backwards ON members (user_id DESC);
         CREATE INDEX tall ON users (name);
         ALTER TABLE users ADD COLUMN desk INTEGER; UPDATE users SET desk = \"User Id\" % 1999;
         CREATE INDEX desks ON users (desk, email); ANALYZE",
    );
    let exports = "[exports.masked]\ncolumns = [\"id\", \"email\", \"name\", \"team\"]\n\
                   mask = { email = \"partial\", name = \"pseudonym\" }\n";
    let team = "team = { sql = \"(SELECT team FROM members WHERE user_id = 'User Id')\" }";
    let team = team.replace("'User Id'", "users.\\\"User Id\\\"");
    let columns = format!("[source.columns]\nid = \"User Id\"\n{team}\n");
    let mut key = String::new();
    for condition in [
        "name <> 'User 12'",
        "is_active",
        "desk = 7",
        "desk IN (7, 5, 1)",
        "\"User Id\" IN (SELECT user_id FROM members)",
        "\"User Id\" IN (40000, 4, 20000, 2) OR \"User Id\" = 3",
        "EXISTS (SELECT 1 FROM members WHERE user_id = users.\"User Id\")",
        "name > 'User 5' -- by no index",
    ] {
        let source = format!("where = '''{condition}'''\n{columns}{exports}");
        if key.is_empty() {
            key = site.declare(&format!("[source]\n{source}"), &["masked"]);
        }
        let whole = profile("masked");
        let targets = [whole.clone(), format!("{whole}?is_active=true&after=5000"), FULL.to_owned()];
        let exported = same(&site, &source, &key, &targets);
        assert_ids(
            &exported[2],
            &site,
            &format!("SELECT \"User Id\" FROM users WHERE ({condition}\n) ORDER BY 1"),
        );
    }
}

#[test]
fn an_expression_may_look_at_other_tables() {
    let site = with_ids("i");
    site.sql("CREATE TABLE teams (team TEXT); INSERT INTO teams VALUES ('a'), ('b')");
    let source = "[source.columns]\nname = { sql = \"(SELECT max(team) FROM teams)\" }\n";
    assert_all(&site, source, IN_ORDER);
}

/// It would see only the rows of a part.
#[test]
fn an_expression_may_not_look_at_other_rows() {
    let site = with_ids("i");
    for sql in ["lag(id) OVER (ORDER BY id)", "count(*) OVER ()", "max(name)"] {
        site.configure(&format!("[source.columns]\nname = {{ sql = \"{sql}\" }}\n"));
        let server = site.serve();
        server.get_with(EXPORT_KEY, FULL).detail(503);
        server.eventually_says("the expression for name: misuse of");
    }
}

#[test]
fn tables_that_are_not_in_the_order_of_their_ids_are_exported_all_the_same() {
    for definition in [
        "(id INTEGER PRIMARY KEY, COLUMNS) WITHOUT ROWID",
        "(id INT PRIMARY KEY, COLUMNS)",
        "(id BIGINT PRIMARY KEY, COLUMNS)",
        "(id INTEGER PRIMARY KEY DESC, COLUMNS)",
        "(id INTEGER, COLUMNS, PRIMARY KEY (id DESC))",
        "(id INTEGER UNIQUE, COLUMNS)",
        "(id INTEGER, COLUMNS)",
        "(id TEXT PRIMARY KEY, COLUMNS)",
        "(id INTEGER, COLUMNS, PRIMARY KEY (id, email))",
        "(id INTEGER UNIQUE, COLUMNS, number INTEGER PRIMARY KEY)",
    ] {
        let site = Site::bare(Db::Sqlite);
        let columns = "email TEXT, name TEXT, created_at TIMESTAMP, updated_at TIMESTAMP, is_active BOOLEAN,
                       is_admin BOOLEAN";
        site.sql(&format!("CREATE TABLE users {}", definition.replace("COLUMNS", columns)));
        site.sql(&format!(
            "INSERT INTO users (id, email, name, is_active) SELECT i * 7919 % 70001, 'user' || i || '@example.com',
             {WIDE_NAME} || i, true FROM {series}",
            series = site.db.series(600)
        ));
        assert_all(&site, "", IN_ORDER);
        site.sql("CREATE VIEW people AS SELECT * FROM users ORDER BY email");
        assert_all(&site, "table = \"people\"\n", IN_ORDER);
    }
}

#[test]
fn an_id_that_is_none_is_never_passed_over() {
    let site = Site::bare(Db::Sqlite);
    site.sql(
        "CREATE TABLE users (id INTEGER PRIMARY KEY DESC, email TEXT, name TEXT, created_at TIMESTAMP,
         updated_at TIMESTAMP, is_active BOOLEAN, is_admin BOOLEAN)",
    );
    fill(&site, USERS, "i", "'User ' || i");
    fill(&site, 1, "'seven'", "'Nobody'");
    for parallelism in ["1", "4"] {
        site.configure(&format!("[source]\nparallelism = {parallelism}\n"));
        let finished = site.run(&["export", "full"]);
        assert_eq!(finished.code, Some(1), "{parallelism}");
        assert!(finished.stderr.contains("seven"), "{}", finished.stderr);
    }
}

#[test]
fn a_number_of_threads_is_a_whole_number() {
    let site = with_ids("i");
    for wrong in ["0", "1.5", "\"x\"", "-1", "true", "[4]", "17"] {
        site.configure(&format!("[source]\nparallelism = {wrong}\n"));
        let finished = site.run(&["export", "full"]);
        assert!(matches!(finished.code, Some(1 | 2)), "{wrong}: {:?}", finished.code);
        assert!(finished.stderr.contains("parallelism"), "{wrong}: {}", finished.stderr);
    }
    for right in ["", "parallelism = 1", "parallelism = 16"] {
        site.configure(&format!("[source]\n{right}\n"));
        assert!(site.run(&["export", "full"]).stdout == Site::filled_full(USERS).as_bytes(), "{right}");
    }
}
