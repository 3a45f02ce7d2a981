//! What may be asked of, and said about, a large PostgreSQL table means the same for one connection and for several.

use crate::harness::{EXPORT_KEY, FULL, Site, profile};
use crate::parts::assert_each_way_out;
use crate::parts_postgres::{ANALYZE, USERS, assert_all, fill, same, serve, with_ids};

#[test]
fn each_way_out_gives_the_same_bytes() {
    let site = with_ids("i");
    site.sql(ANALYZE);
    let expected = Site::filled_full(USERS);
    for parallelism in [1, 2, 4, 7, 16] {
        let server = serve(&site, parallelism, "");
        assert!(server.get_with(EXPORT_KEY, FULL).csv() == expected, "{parallelism}");
    }
    assert_each_way_out(&site, &serve(&site, 4, ""), &expected, USERS);
}

#[test]
fn the_parameters_mean_the_same() {
    let site = with_ids("i * 3 - 12000");
    site.sql(&format!(
        "CREATE INDEX active ON users (is_active, email); CREATE INDEX admin ON users (is_admin); {ANALYZE}"
    ));
    let queries = [
        "is_active=true",
        "is_active=false&is_admin=true",
        "is_admin=true&bom=true",
        "created_after=2025-01-01T01:00:00Z&created_before=2025-01-01T02:00:00Z",
        "updated_after=2025-01-01T03:00:00Z",
        "updated_after=2030-01-01T00:00:00Z",
        "after=-9223372036854775808",
        "after=-70000",
        "after=0",
        "after=14444&is_active=false",
        "after=29999",
        "after=30000",
        "after=9223372036854775807",
        "fields=email",
        "fields=is_admin,id,name&after=100",
        "bom=true&sanitize=false",
        "limit=8000",
        "limit=8000&after=-6000&is_active=true",
        "limit=14001",
        "email=user13000@example.com",
        "email=nobody@example.com%27OR(true)--",
    ];
    let targets: Vec<_> = queries.iter().map(|query| format!("{FULL}?{query}")).collect();
    let answers = same(&site, "", EXPORT_KEY, &targets);
    let conditions = [
        "is_active",
        "NOT is_active AND is_admin",
        "is_admin",
        "created_at >= '2025-01-01T01:00:00Z' AND created_at < '2025-01-01T02:00:00Z'",
        "updated_at >= '2025-01-01T03:00:00Z'",
        "false",
        "true",
        "true",
        "id > 0",
        "id > 14444 AND NOT is_active",
        "id > 29999",
        "false",
        "false",
    ];
    for ((query, condition), csv) in queries.iter().zip(conditions).zip(answers) {
        let expected = site.column(&format!("SELECT id FROM users WHERE {condition} ORDER BY id"));
        let ids: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert!(ids == expected, "{query}: {} and {}", ids.len(), expected.len());
    }
}

#[test]
fn uuids_and_texts_are_paged_as_they_are_ordered() {
    for (id_type, id, middle) in [
        ("UUID", "md5(i::text)::uuid", "80000000-0000-0000-0000-000000000000"),
        ("TEXT COLLATE \"en-x-icu\"", "CASE i % 2 WHEN 0 THEN 'É' ELSE 'e' END || i", "é4"),
        ("TEXT COLLATE \"C\"", "CASE i % 2 WHEN 0 THEN 'Z''\\' ELSE 'a' END || i", "Z'\\5"),
    ] {
        let site = with_ids("i");
        site.sql(&format!("ALTER TABLE users DROP id; ALTER TABLE users ADD id {id_type}"));
        let number = "substr(name, 6)::int";
        site.sql(&format!("UPDATE users SET id = (SELECT {id} FROM (SELECT {number} AS i) AS number)"));
        site.sql(&format!("ALTER TABLE users ADD PRIMARY KEY (id); {ANALYZE}"));
        assert_all(&site, "", "true");
        let after: String = form_urlencoded::byte_serialize(middle.as_bytes()).collect();
        let target = format!("{FULL}?sanitize=false&after={after}");
        let csv = same(&site, "", EXPORT_KEY, &[target]).remove(0);
        let quoted = middle.replace('\'', "''");
        let ids = site.column(&format!("SELECT id FROM users WHERE id > '{quoted}' ORDER BY users.id"));
        assert!(ids.len() > 1000 && ids.len() < 13_000, "{}", ids.len());
        let exported: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert!(exported == ids, "{id_type}: {} and {}", exported.len(), ids.len());
    }
}

#[test]
fn a_mapping_means_the_same() {
    let mut site = with_ids("i * 2");
    site.sql(&format!(
        "ALTER TABLE users RENAME COLUMN id TO \"User Id\";
         CREATE TABLE members (user_id INTEGER, team TEXT);
         INSERT INTO members SELECT \"User Id\", 'team ' || \"User Id\" % 7 FROM users WHERE \"User Id\" % 3 = 0;
         CREATE INDEX backwards ON members (user_id DESC);
         ALTER TABLE users ADD COLUMN desk INTEGER; UPDATE users SET desk = \"User Id\" % 1999;
         ALTER TABLE users ADD COLUMN id TEXT DEFAULT 'decoy';
         CREATE INDEX desks ON users (desk, email); {ANALYZE}"
    ));
    let exports = "[exports.masked]\ncolumns = [\"id\", \"email\", \"name\", \"team\"]\n\
                   mask = { email = \"partial\", name = \"pseudonym\" }\n";
    let team = "team = { sql = \"(SELECT team FROM members WHERE user_id = 'User Id')\" }";
    let team = team.replace("'User Id'", "users.\\\"User Id\\\"");
    let columns = format!("[source.columns]\nid = \"User Id\"\n{team}\n");
    let mut key = String::new();
    for condition in [
        "name <> 'User 12'",
        "is_active OR is_admin",
        "desk = 7",
        "desk IN (7, 5, 1)",
        "\"User Id\" IN (SELECT user_id FROM members)",
        "\"User Id\" IN (28000, 4, 14000, 2) OR \"User Id\" = 3",
        "name > 'User 5' -- by no index",
    ] {
        let source = format!("where = '''{condition}'''\n{columns}{exports}");
        if key.is_empty() {
            key = site.declare(&format!("[source]\n{source}"), &["masked"]);
        }
        let whole = profile("masked");
        let targets = [whole.clone(), format!("{whole}?is_active=true&after=5000"), FULL.to_owned()];
        let csv = same(&site, &source, &key, &targets).remove(2);
        let ids = site.column(&format!("SELECT \"User Id\" FROM users WHERE ({condition}\n) ORDER BY 1"));
        let exported: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert!(exported == ids, "{condition}");
    }
}

/// Its order, and what lies between two of its values, only the expression knows.
#[test]
fn the_id_may_be_an_expression() {
    let site = with_ids("i");
    site.sql(&format!("CREATE UNIQUE INDEX backwards ON users ((-id)); {ANALYZE}"));
    for (expression, order) in [
        ("-id", "-id"),
        ("id + 1", "id"),
        ("id % 14000", "id % 14000"),
        ("(id::bigint * 7919 % 70001)", "(id::bigint * 7919 % 70001)"),
        ("'u' || id", "'u' || id"),
        ("md5(id::text)::uuid", "md5(id::text)::uuid"),
        ("id", "id"),
    ] {
        let source = format!("[source.columns]\nid = {{ sql = {expression:?} }}\n");
        let csv = same(&site, &source, EXPORT_KEY, &[format!("{FULL}?sanitize=false")]).remove(0);
        let ids = site.column(&format!("SELECT {expression} FROM users ORDER BY {order}"));
        let exported: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert!(exported == ids, "{expression}");
    }
}

/// Each part would have a window, or a sum, of its own.
#[test]
fn an_expression_that_looks_at_other_rows_sees_all_of_them() {
    let site = with_ids("i");
    site.sql(&format!("CREATE TABLE teams (team TEXT); INSERT INTO teams VALUES ('a'), ('b'); {ANALYZE}"));
    for expression in
        ["count(*) OVER ()", "coalesce(lag(id) OVER (ORDER BY id), 0)", "(SELECT count(*) FROM teams)"]
    {
        let source = format!("[source.columns]\nname = {{ sql = \"{expression}\" }}\n");
        let csv = same(&site, &source, EXPORT_KEY, &[format!("{FULL}?fields=name,id")]).remove(0);
        let expected = site.column(&format!("SELECT {expression} || ',' || id FROM users ORDER BY id"));
        assert!(csv.lines().skip(1).eq(expected.iter().map(String::as_str)), "{expression}");
    }
}

/// The server is set to New York, days first, and intervals as in the standard.
#[test]
fn values_are_written_alike_on_every_connection() {
    let mut site = with_ids("i");
    site.sql(&format!(
        "ALTER TABLE users ADD stay INTERVAL, ADD born DATE, ADD seen TIMESTAMPTZ, ADD score FLOAT8;
         UPDATE users SET stay = i * INTERVAL '1 day 1 hour', born = DATE '1970-01-01' + i % 20000,
         seen = created_at, score = i / 3.0::float8 FROM generate_series(1, 14000) AS i WHERE i = id;
         {ANALYZE}"
    ));
    let columns = "[source.columns]\nstay = \"stay\"\nborn = \"born\"\nscore = \"score\"\n\
                   seen = { sql = \"seen::text\" }\n\
                   [exports.typed]\ncolumns = [\"id\", \"stay\", \"born\", \"score\", \"seen\"]\n";
    let key = site.declare(&format!("[source]\n{columns}"), &["typed"]);
    let csv = same(&site, columns, &key, &[profile("typed")]).remove(0);
    site.sql("SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'");
    let expected =
        site.column("SELECT concat_ws(',', id, stay, born, score, seen::text) FROM users ORDER BY id");
    assert!(csv.lines().skip(1).eq(expected.iter().map(String::as_str)));
}

#[test]
fn a_policy_hides_nobody_from_any_connection() {
    let mut site = with_ids("i");
    site.sql(&format!(
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON users USING (id % 2 = 1); {ANALYZE}"
    ));
    for parallelism in [1, 4] {
        let server = serve(&site, parallelism, "");
        server.get_with(EXPORT_KEY, FULL).detail(503);
    }
    site.set("HEADCOUNT_SOURCE_URL", &site.database().backup_url());
    assert_all(&site, "", "true");
}

#[test]
fn pages_of_a_large_table_make_up_the_whole() {
    let site = with_ids("i * 7");
    site.sql(ANALYZE);
    fill(&site, 1, "0");
    let server = serve(&site, 4, "");
    let (mut ids, mut after) = (Vec::new(), "-1".to_owned());
    while let Some(last) = {
        let page = server.get_with(EXPORT_KEY, &format!("{FULL}?limit=6000&after={after}")).ids();
        let last = page.last().cloned();
        ids.extend(page);
        last
    } {
        after = last;
    }
    assert!(ids == site.column("SELECT id FROM users ORDER BY id"), "{}", ids.len());
}
