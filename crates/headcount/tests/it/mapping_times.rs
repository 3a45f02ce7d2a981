//! Times that a table keeps as integers or as text.

use crate::harness::{Db, EXPORT_KEY, FULL, MEMBERS, MINIMAL, Server, Site};

both! {
    bounds_between_two_milliseconds_round_up,
    integers_are_times_in_the_unit_that_is_set,
    a_table_of_times_as_text_has_no_integers,
    times_of_another_unit_say_where_it_is_set,
    what_stands_where_a_time_should_is_not_logged,
    a_time_as_text_is_filtered_as_it_is_shown,
    a_text_that_is_no_time_fails_a_filter_too,
    what_a_filter_takes_for_a_time_is_what_is_shown_as_one,
    what_is_often_there_instead_of_a_time_comes_with_what_helps,
}

/// The ids of the matching users, which do not show their times.
fn ids(server: &Server, query: &str) -> String {
    server.get_with(EXPORT_KEY, &format!("{MINIMAL}?{query}")).ids().join(",")
}

fn bounds_between_two_milliseconds_round_up(db: Db) {
    let site = Site::with_members(db).storing_in_sqlite();
    site.configure(MEMBERS);
    let server = site.serve();
    for (bound, after, before) in [
        ("2025-01-08T10:30:00.123Z", "1,2,7", "10"),
        ("2025-01-08T10:30:00.123000001Z", "2,7", "1,10"),
        ("2025-01-08T10:30:00.123001Z", "2,7", "1,10"),
        ("2025-01-08T10:30:00.123999Z", "2,7", "1,10"),
        ("1969-12-31T23:59:59.998001Z", "1,2,7,10", ""),
        ("1969-12-31T23:59:59.999Z", "1,2,7,10", ""),
        ("1969-12-31T23:59:59.999001Z", "1,2,7", "10"),
        ("1970-01-01T00:00:00Z", "1,2,7", "10"),
        ("0000-01-01T00:00:00Z", "1,2,7,10", ""),
        ("9999-12-31T23:59:59.999999Z", "", "1,2,7,10"),
    ] {
        assert_eq!(ids(&server, &format!("created_after={bound}")), after, "after {bound}");
        assert_eq!(ids(&server, &format!("created_before={bound}")), before, "before {bound}");
    }
}

fn with_created_at(db: Db, column: &str, value: &str, timestamps: &str) -> Site {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(&format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at {column});
         INSERT INTO users VALUES (4242, 'e', 'n', {value})"
    ));
    let nothing = if db == Db::Sqlite { "NULL" } else { "NULL::boolean" };
    site.configure(&format!(
        "[source]\ntimestamps = '{timestamps}'\n[source.columns]\nupdated_at = 'created_at'\n\
         is_active = {{ sql = \"{nothing}\" }}\nis_admin = {{ sql = \"{nothing}\" }}\n"
    ));
    site
}

fn integers_are_times_in_the_unit_that_is_set(db: Db) {
    for (timestamps, column, value, shown) in [
        ("auto", "BIGINT", "1736332200", "2025-01-08T10:30:00Z"),
        ("auto", "TEXT", "'2025-01-08 10:30:00'", "2025-01-08T10:30:00Z"),
        ("seconds", "INTEGER", "-1", "1969-12-31T23:59:59Z"),
        ("milliseconds", "BIGINT", "1736332200", "1970-01-21T02:18:52.200000Z"),
        ("milliseconds", "BIGINT", "253402300799999", "9999-12-31T23:59:59.999000Z"),
        ("milliseconds", "TIMESTAMP", "'2025-01-08 10:30:00'", "2025-01-08T10:30:00Z"),
        ("text", "TEXT", "'2025-01-08T12:30:00+02:00'", "2025-01-08T10:30:00Z"),
    ] {
        let site = with_created_at(db, column, value, timestamps);
        let server = site.serve();
        let csv = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,created_at")).csv();
        assert_eq!(csv, format!("id,created_at\r\n4242,{shown}\r\n"), "{timestamps} {column}");
        assert_eq!(ids(&server, &format!("created_after={shown}")), "4242", "{timestamps} {column}");
        assert_eq!(ids(&server, &format!("updated_before={shown}")), "", "{timestamps} {column}");
    }
}

fn a_table_of_times_as_text_has_no_integers(db: Db) {
    let site = with_created_at(db, "BIGINT", "1736332200", "text");
    let server = site.serve();
    for target in [FULL.to_owned(), format!("{MINIMAL}?created_after=2025-01-01T00:00:00Z")] {
        let (status, _) = server.get_with(EXPORT_KEY, &target).refusal();
        assert!(matches!(status, 500 | 503), "{target}: {status}");
    }
    server.eventually_says("created_at");
}

fn times_of_another_unit_say_where_it_is_set(db: Db) {
    let site = with_created_at(db, "BIGINT", "1736332200123", "auto");
    let server = site.serve();
    server.get_with(EXPORT_KEY, FULL).detail(500);
    for word in ["created_at", "4242", "source.timestamps"] {
        server.eventually_says(word);
    }
}

/// One user, created at this text.
fn with_text(db: Db, text: &str) -> Site {
    let site = Site::bare(db).storing_in_sqlite();
    site.sql(&format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at TEXT, updated_at TEXT,
         is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users (id, created_at) VALUES (4242, '{text}')"
    ));
    site
}

fn what_stands_where_a_time_should_is_not_logged(db: Db) {
    let site = with_text(db, "the-secret-of-jane");
    let server = site.serve();
    for target in [FULL.to_owned(), format!("{MINIMAL}?created_after=2025-01-01T00:00:00Z")] {
        server.get_with(EXPORT_KEY, &target).detail(500);
    }
    server.eventually_says("created_at");
    let said = server.said();
    assert!(!said.contains("the-secret-of-jane"), "{said}");
    assert!(site.audit().iter().all(|record| !record.to_string().contains("the-secret-of-jane")));
}

/// What is shown and what is filtered is one reading of the text.
fn a_time_as_text_is_filtered_as_it_is_shown(db: Db) {
    for (stored, shown, next) in [
        ("2025-01-08 10:30:00.1234567", "2025-01-08T10:30:00.123456Z", "2025-01-08T10:30:00.123457Z"),
        ("2025-01-08T10:30", "2025-01-08T10:30:00Z", "2025-01-08T10:30:00.000001Z"),
        ("2025-01-08 10:30:00+0530", "2025-01-08T05:00:00Z", "2025-01-08T05:00:00.000001Z"),
        ("2025-01-08", "2025-01-08T00:00:00Z", "2025-01-08T00:00:00.000001Z"),
        ("2025-01-08t10:30:00z", "2025-01-08T10:30:00Z", "2025-01-08T10:30:00.000001Z"),
        // Sequelize, and Go.
        ("2020-06-19 09:54:44.033 +00:00", "2020-06-19T09:54:44.033000Z", "2020-06-19T09:54:44.033001Z"),
        ("2020-06-19 09:54:44 +02:00", "2020-06-19T07:54:44Z", "2020-06-19T07:54:44.000001Z"),
        (
            "2021-01-02 16:39:17.123456789 +0000 UTC",
            "2021-01-02T16:39:17.123456Z",
            "2021-01-02T16:39:17.123457Z",
        ),
        (
            "2021-07-02 16:39:17.5 +0200 CEST m=+0.000012345",
            "2021-07-02T14:39:17.500000Z",
            "2021-07-02T14:39:17.500001Z",
        ),
        ("2021-01-02 16:39:17.1 -0330 -0330", "2021-01-02T20:09:17.100000Z", "2021-01-02T20:09:17.100001Z"),
        ("2021-01-02 16:39:17 UTC", "2021-01-02T16:39:17Z", "2021-01-02T16:39:17.000001Z"),
    ] {
        let site = with_text(db, stored);
        let server = site.serve();
        let csv = server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,created_at")).csv();
        assert_eq!(csv, format!("id,created_at\r\n4242,{shown}\r\n"));
        assert_eq!(ids(&server, &format!("created_after={shown}")), "4242", "{stored}");
        assert_eq!(ids(&server, &format!("created_before={shown}")), "", "{stored}");
        assert_eq!(ids(&server, &format!("created_after={next}")), "", "{stored}");
        assert_eq!(ids(&server, &format!("created_before={next}")), "4242", "{stored}");
    }
}

fn a_text_that_is_no_time_fails_a_filter_too(db: Db) {
    for stored in ["tomorrow", "08/01/2025", "infinity", "epoch", "Jan 8 2025", ""] {
        let site = with_text(db, stored);
        let server = site.serve();
        server.get_with(EXPORT_KEY, FULL).detail(500);
        let answer = server.get_with(EXPORT_KEY, &format!("{MINIMAL}?created_after=1960-01-01T00:00:00Z"));
        assert_eq!(answer.status, 500, "{stored}: {}", String::from_utf8_lossy(&answer.body));
    }
}

/// Texts that are times, or nearly: each part of one in turn beside usual others.
fn nearly_times() -> Vec<String> {
    let dates = [
        "2025-02-30",
        "2025-02-29",
        "2024-02-29",
        "1900-02-29",
        "2000-02-29",
        "2100-02-29",
        "0400-02-29",
        "0004-02-29",
        "0000-02-29",
        "0000-01-08",
        "0001-01-01",
        "0010-12-31",
        "0100-06-30",
        "2025-04-31",
        "2025-06-31",
        "2025-09-31",
        "2025-11-31",
        "2025-12-31",
        "2025-07-31",
        "2025-08-32",
        "2025-00-10",
        "2025-13-10",
        "2025-01-00",
        "9999-12-31",
        "25-01-08",
        "2025-1-08",
        "2025/01/08",
        "20250108",
        "12025-01-08",
    ];
    let times = [
        "",
        " 10:30",
        "T10:30",
        "t10:30:00",
        " 10:30:60",
        " 10:30:60.5",
        " 23:59:60",
        " 23:59:60.5",
        " 10:30:61",
        " 24:00:00",
        " 10:60:00",
        " 10:30:00.",
        " 10:30:00.1234567",
        " 23:59:59.9999999",
        " 10:30:00,5",
        "T103000",
        "  10:30:00",
        " 1:30:00",
        " 10:30:00 AM",
        "_10:30:00",
    ];
    let zones = [
        "Z",
        "z",
        " Z",
        " UTC",
        " utc",
        "UTC",
        "+15:59",
        "-15:59",
        "+1559",
        "+15",
        "+16",
        "-16:00",
        "+23:59",
        "+24:00",
        "+15:60",
        "+05:30:00",
        " +16:00",
        " +1500 CEST",
        " +1600 CEST",
        " -0330 -0330",
        " +0000 +2359",
        " +0000 +2400",
        " +0100 CEST m=+0.5",
        " +0100 CEST m=0.5",
        " +0100 CESTCEST",
        " CEST",
        "+1",
        "+",
        " Europe/Paris",
        " BC",
    ];
    let dated = dates.iter().map(|date| format!("{date} 10:30:00"));
    let timed = times.iter().map(|time| format!("2025-01-08{time}"));
    let zoned = zones.iter().map(|zone| format!("2025-01-08 10:30:00{zone}"));
    let ends = ["0001-01-01 00:00:00+15:59", "9999-12-31 08:00:01-15:59", "9999-12-31 08:00:00-15:59"];
    let ends = ends.into_iter().chain([
        "9999-12-31 23:59:60",
        "0001-01-01 00:00:00-15:59",
        " 2025-01-08",
        "2025-01-08 ",
    ]);
    dated.chain(timed).chain(zoned).chain(ends.map(str::to_owned)).collect()
}

fn what_a_filter_takes_for_a_time_is_what_is_shown_as_one(db: Db) {
    let site = with_text(db, "2025-01-08");
    let texts = nearly_times();
    let rows: Vec<_> =
        texts.iter().enumerate().map(|(id, text)| format!("({id}, 'user{id}', '{text}')")).collect();
    site.sql(&format!("INSERT INTO users (id, email, created_at) VALUES {}", rows.join(", ")));
    let server = site.serve();
    let mut readable = 0;
    for (id, text) in texts.iter().enumerate() {
        // Only this user; on PostgreSQL the condition on the time is asked of all of them.
        let ask = |query: &str| {
            server.get_with(EXPORT_KEY, &format!("{FULL}?fields=id,created_at&email=user{id}{query}"))
        };
        let bounds = ["&created_after=9999-12-31T23:59:59.999999Z", "&created_before=0001-01-02"];
        let shown = ask("");
        if shown.status != 200 {
            for bound in bounds {
                assert_eq!(ask(bound).status, 500, "{text} {bound}");
            }
            continue;
        }
        readable += 1;
        let shown = shown.csv();
        let time = shown.lines().nth(1).unwrap().split_once(',').unwrap().1;
        let has = |query: String| !ask(&query).ids().is_empty();
        if !time.starts_with("0000") || db == Db::Sqlite {
            assert!(has(format!("&created_after={time}")), "{text}");
            assert!(!has(format!("&created_before={time}")), "{text}");
        }
        for (bound, is_in) in bounds.into_iter().zip([false, time < "0001-01-02"]) {
            assert_eq!(has(bound.to_owned()), is_in, "{text} {bound}");
        }
    }
    // Two more in the year 0.
    assert_eq!(readable, if db == Db::Sqlite { 38 } else { 36 });
}

/// What an error text says to write into the configuration.
fn remedy(said: &str) -> String {
    let (_, remedy) = said.split_once(", map ").unwrap_or_else(|| panic!("no remedy: {said}"));
    remedy[..remedy.rfind(" }").unwrap() + 2].to_owned()
}

/// The expression in the error works as it is printed.
fn what_is_often_there_instead_of_a_time_comes_with_what_helps(db: Db) {
    for (stored, shown) in [
        ("", ""),
        ("0000-00-00 00:00:00", ""),
        ("-Infinity", ""),
        ("1736332200", "2025-01-08T10:30:00Z"),
        ("1736332200.5", "2025-01-08T10:30:00.500000Z"),
        ("-1.25", "1969-12-31T23:59:58.750000Z"),
        ("1736332200123", "2025-01-08T10:30:00.123000Z"),
        ("1736332200123456", "2025-01-08T10:30:00.123456Z"),
        ("1736332200123456789", "2025-01-08T10:30:00.123456Z"),
    ] {
        let site = with_text(db, stored);
        site.sql("INSERT INTO users (id, created_at) VALUES (4243, '2025-01-08 12:30:00+02:00')");
        let all = ["export", "full", "--fields=id,created_at"];
        let filtered = ["export", "minimal", "--fields=id", "--created-after=2025-01-08T10:30:00Z"];
        let failed = site.run(&all);
        assert_eq!(failed.code, Some(1), "{stored}");
        let remedy = remedy(&failed.stderr);
        assert_eq!(self::remedy(&site.run(&filtered).stderr), remedy);
        site.configure(&format!("[source.columns]\n{remedy}\n"));
        let csv = site.done(&all);
        assert_eq!(
            csv,
            format!("id,created_at\r\n4242,{shown}\r\n4243,2025-01-08T10:30:00Z\r\n"),
            "{remedy}"
        );
    }
}

/// In each unit that the mapping may be in.
#[test]
fn sqlite_epochs_as_text_are_read_in_the_unit_of_the_mapping() {
    for timestamps in ["auto", "seconds", "milliseconds", "text"] {
        for (stored, fraction) in [
            ("1736332200", ""),
            ("1736332200.123456", ".123456"),
            ("1736332200123", ".123000"),
            ("1736332200123.25", ".123250"),
            ("1736332200123456", ".123456"),
            ("1736332200123456789", ".123456"),
        ] {
            let site = with_created_at(Db::Sqlite, "TEXT", &format!("'{stored}'"), timestamps);
            let all = ["export", "full", "--fields=id,created_at"];
            let toml = std::fs::read_to_string(site.path("headcount.toml")).unwrap();
            let remedy = remedy(&site.run(&all).stderr);
            site.configure(&toml.replace("[source.columns]", &format!("[source.columns]\n{remedy}")));
            let time = format!("2025-01-08T10:30:00{fraction}Z");
            assert_eq!(site.done(&all), format!("id,created_at\r\n4242,{time}\r\n"), "{timestamps} {remedy}");
            let after = format!("--created-after={time}");
            assert_eq!(site.done(&["export", "minimal", "--fields=id", &after]), "id\r\n4242\r\n");
        }
    }
}

#[test]
fn postgres_times_that_cannot_be_shown_come_with_what_helps() {
    for (declared, value) in [
        ("TIMESTAMPTZ", "'infinity'"),
        ("TIMESTAMP", "'-infinity'"),
        ("DATE", "'infinity'"),
        ("TIMESTAMPTZ", "'20000-01-01'"),
        ("DATE", "'0044-03-15 BC'"),
    ] {
        let site = with_created_at(Db::Postgres, declared, value, "auto");
        let all = ["export", "full", "--fields=id,created_at"];
        let toml = std::fs::read_to_string(site.path("headcount.toml")).unwrap();
        let remedy = remedy(&site.run(&all).stderr);
        site.configure(&toml.replace("[source.columns]", &format!("[source.columns]\n{remedy}")));
        assert_eq!(site.done(&all), "id,created_at\r\n4242,\r\n", "{remedy}");
    }
}
