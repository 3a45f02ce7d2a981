//! Times as administrators write them on the command line.

use crate::harness::{Db, Site};

both! {
    dates_are_those_of_a_zone,
    a_period_is_a_month_a_day_or_a_year,
    what_does_not_fit_is_named_as_an_option,
}

/// A user in each of some hours around the end of October in Berlin, where the winter begins on the 25th.
fn around_october(db: Db) -> Site {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    for (id, time) in [
        (1, "2026-09-30 21:59:59"),
        (2, "2026-09-30 22:00:00"),
        (3, "2026-09-30 23:59:59"),
        (4, "2026-10-01 00:00:00"),
        (5, "2026-10-31 22:59:59"),
        (6, "2026-10-31 23:00:00"),
        (7, "2026-11-01 00:00:00"),
    ] {
        site.sql(&format!(
            "INSERT INTO users (id, email, name, created_at, updated_at, is_active, is_admin) \
             VALUES ({id}, 'u{id}@example.com', 'U', '{time}', '{time}', true, false)"
        ));
    }
    site
}

fn ids(site: &Site, arguments: &[&str]) -> String {
    let export = site.done(&[&["export", "minimal", "--fields", "id"], arguments].concat());
    export.lines().skip(1).collect::<Vec<_>>().join(",")
}

fn dates_are_those_of_a_zone(db: Db) {
    let site = around_october(db);
    assert_eq!(ids(&site, &["--created-after", "2026-10-01", "--created-before", "2026-11"]), "4,5,6");
    let berlin = ["--time-zone", "Europe/Berlin"];
    let of = |arguments: &[&str]| ids(&site, &[arguments, &berlin].concat());
    assert_eq!(of(&["--created-after", "2026-10-01", "--created-before", "2026-11"]), "2,3,4,5");
    assert_eq!(of(&["--created-after", "2026-10-01T01:59:59"]), "3,4,5,6,7");
    assert_eq!(of(&["--updated-after", "2026-10-01T00:00:00Z"]), "4,5,6,7", "an offset is an offset");

    site.configure("[source]\nurl = \"sqlite:unused\"\ntime_zone = \"Europe/Berlin\"\n");
    assert_eq!(ids(&site, &["--created-in", "2026-10"]), "2,3,4,5", "the file says so for all");
    assert_eq!(ids(&site, &["--created-in", "2026-10", "--time-zone", "UTC"]), "4,5,6");
    site.configure("[source]\nurl = \"sqlite:unused\"\ntime_zone = \"Berlin\"\n");
    let finished = site.run(&["export", "minimal"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("source.time_zone"), "{}", finished.stderr);
}

fn a_period_is_a_month_a_day_or_a_year(db: Db) {
    let site = around_october(db);
    for (period, expected) in
        [("2026-10", "4,5,6"), ("2026-10-31", "5,6"), ("2026", "1,2,3,4,5,6,7"), ("2025", "")]
    {
        assert_eq!(ids(&site, &["--created-in", period]), expected, "{period}");
        assert_eq!(ids(&site, &["--updated-in", period]), expected, "{period}");
    }
    site.done(&["export", "minimal", "--created-in", "2026-10"]);
    let filters = &site.audit()[0]["filters"];
    assert_eq!(filters["created_after"], "2026-10-01T00:00:00Z");
    assert_eq!(filters["created_before"], "2026-11-01T00:00:00Z");
}

fn what_does_not_fit_is_named_as_an_option(db: Db) {
    let site = around_october(db);
    for (arguments, words) in [
        (&["--created-after", "01.10.2026"][..], &["--created-after must be a time", "2026-10-01T08:30"][..]),
        (&["--created-after", "2026-10-01T08:30:00 02:00"], &["--created-after must be a time"]),
        (&["--created-in", "30d"], &["--created-in must be a month"]),
        (&["--created-in", "2026-10", "--created-after", "2026-10"], &["cannot be used with"]),
        (
            &["--created-after", "2026-10", "--created-before", "2026-10-01"],
            &["--created-after must be earlier than --created-before"],
        ),
        (&["--time-zone", "CEST+2"], &["--time-zone", "Europe/Berlin"]),
        (&["--email", ""], &["--email is empty"]),
    ] {
        let finished = site.run(&[&["export", "minimal"], arguments].concat());
        assert_eq!(finished.code, Some(2), "{arguments:?}");
        for word in words {
            assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("%2B"), "{}", finished.stderr);
    }
}
