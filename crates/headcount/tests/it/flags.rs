//! Switching endpoints on and off.

use crate::harness::{ALIVE, Db, EXPORT_KEY, FULL, MINIMAL, SIMPLE, Server, Site, within_a_second};

both! {
    everything_is_off_unless_switched_on,
    the_environment_lists_what_is_on,
    the_configuration_file_lists_what_is_on,
    a_flag_switched_by_the_command_counts_within_a_second,
    a_flag_set_by_the_command_outlives_a_restart,
    the_list_says_who_set_a_flag,
    starting_says_what_is_on_and_how_to_switch,
    unknown_flags_are_refused,
}

const FLAGS: [(&str, &str); 4] = [
    ("users:export", MINIMAL),
    ("users:export_full", FULL),
    ("users:export_alive", ALIVE),
    ("users:export_simple", SIMPLE),
];

fn without_features(db: Db) -> Site {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    site
}

fn is_on(server: &Server, path: &str) -> bool {
    let answer = server.get_with(EXPORT_KEY, path);
    match answer.status {
        200 => true,
        403 => {
            assert_eq!(answer.detail(403), "Export feature not enabled");
            false
        }
        other => panic!("{path}: {other}"),
    }
}

fn switched_on(server: &Server) -> Vec<&'static str> {
    let on = FLAGS.iter().filter(|(_, path)| is_on(server, path));
    on.map(|(name, _)| *name).collect()
}

fn everything_is_off_unless_switched_on(db: Db) {
    let site = without_features(db);
    assert!(switched_on(&site.serve()).is_empty());
}

fn the_environment_lists_what_is_on(db: Db) {
    let mut site = without_features(db);
    for (name, _) in FLAGS {
        site.set("HEADCOUNT_FEATURES", name);
        assert_eq!(switched_on(&site.serve()), [name]);
    }
    site.set("HEADCOUNT_FEATURES", "users:export_full,users:export_alive");
    assert_eq!(switched_on(&site.serve()), ["users:export_full", "users:export_alive"]);
}

fn the_configuration_file_lists_what_is_on(db: Db) {
    let site = without_features(db);
    site.configure("features = [\"users:export\", \"users:export_simple\"]\n");
    assert_eq!(switched_on(&site.serve()), ["users:export", "users:export_simple"]);
}

fn a_flag_switched_by_the_command_counts_within_a_second(db: Db) {
    let mut site = without_features(db);
    site.set("HEADCOUNT_FEATURES", "users:export_full");
    let server = site.serve();
    for (name, path) in FLAGS {
        site.done(&["flags", "enable", name]);
        within_a_second("it is on", || is_on(&server, path));
        site.done(&["flags", "disable", name]);
        within_a_second("it is off", || !is_on(&server, path));
    }
}

fn a_flag_set_by_the_command_outlives_a_restart(db: Db) {
    let mut site = without_features(db);
    site.set("HEADCOUNT_FEATURES", "users:export");
    site.done(&["flags", "disable", "users:export"]);
    site.done(&["flags", "enable", "users:export_alive"]);
    for _ in 0..2 {
        assert_eq!(switched_on(&site.serve()), ["users:export_alive"]);
    }
}

fn the_list_says_who_set_a_flag(db: Db) {
    let mut site = without_features(db);
    site.set("HEADCOUNT_FEATURES", "users:export,users:export_alive");
    site.done(&["flags", "disable", "users:export"]);
    for (name, enabled, set_by) in [
        ("users:export", false, "store"),
        ("users:export_full", false, "config"),
        ("users:export_alive", true, "config"),
        ("users:export_simple", false, "config"),
    ] {
        let expected = serde_json::json!({"name": name, "enabled": enabled, "set_by": set_by});
        assert_eq!(site.flag(name), expected);
    }
    let table = site.done(&["flags", "list"]);
    for (name, _) in FLAGS {
        assert!(table.contains(name), "{table}");
    }
}

fn starting_says_what_is_on_and_how_to_switch(db: Db) {
    let mut site = without_features(db);
    site.set("HEADCOUNT_FEATURES", "users:export");
    let said = site.serve().said();
    for (name, _) in FLAGS {
        assert!(said.contains(name), "{said}");
    }
    assert!(said.contains("flags enable"), "{said}");
}

fn unknown_flags_are_refused(db: Db) {
    let site = Site::with_people(db);
    for command in ["enable", "disable"] {
        let finished = site.run(&["flags", command, "users:exprot"]);
        assert_eq!(finished.code, Some(2));
        assert!(finished.stderr.contains("users:exprot"), "{}", finished.stderr);
    }
}
