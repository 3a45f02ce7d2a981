//! Several instances on one store.

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, MINIMAL, PEOPLE_MINIMAL, STANDARD_KEY, Server, Site, within_a_second,
};

both! {
    instances_that_start_at_once_all_serve,
    keys_and_flags_count_on_every_instance,
    an_instance_that_starts_leaves_the_exports_of_others_alone,
    a_command_leaves_running_exports_alone,
}

fn start_at_once(site: &Site, n: usize) -> Vec<Server> {
    std::thread::scope(|scope| {
        let starting: Vec<_> = (0..n).map(|_| scope.spawn(|| site.serve())).collect();
        let servers = starting.into_iter().map(|server| server.join().unwrap());
        servers.collect()
    })
}

fn instances_that_start_at_once_all_serve(db: Db) {
    let site = Site::with_people(db);
    for server in start_at_once(&site, 3) {
        let csv = server.get_with(STANDARD_KEY, MINIMAL).csv();
        assert_eq!(csv, PEOPLE_MINIMAL);
    }
    assert_eq!(site.audit_of(3).len(), 3);
}

#[test]
fn instances_that_start_at_once_make_one_embedded_table() {
    let site = Site::embedded();
    for server in start_at_once(&site, 3) {
        let csv = server.get_with(STANDARD_KEY, MINIMAL).csv();
        assert_eq!(csv, "id,email,name\r\n");
    }
}

#[test]
fn the_file_of_a_process_that_died_with_nothing_open_does_not_stay() {
    let site = Site::with_people(Db::Sqlite);
    let files = || std::fs::read_dir(site.data_dir().join("headcount.db.instances")).unwrap().count();
    let idle = site.serve();
    site.serve().kill();
    assert_eq!(files(), 2);
    site.done(&["export", "minimal"]);
    assert_eq!(files(), 1, "that of the process that lives");
    assert_eq!(idle.get_with(STANDARD_KEY, MINIMAL).status, 200);
}

fn keys_and_flags_count_on_every_instance(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    let servers = start_at_once(&site, 2);
    let key = site.create_key(&["reader", "--kind", "standard"]);
    let each_answers = |status: u16| {
        let mut answers = servers.iter().map(|server| server.status_with(&key, MINIMAL));
        answers.all(|actual| actual == status)
    };
    assert!(each_answers(403));
    site.done(&["flags", "enable", "users:export"]);
    within_a_second("the flag is on everywhere", || each_answers(200));
    site.done(&["keys", "revoke", &site.key_id("reader")]);
    within_a_second("the key is dead everywhere", || each_answers(401));
    site.done(&["flags", "disable", "users:export"]);
    within_a_second("the flag is off everywhere", || each_answers(403));
}

fn an_instance_that_starts_leaves_the_exports_of_others_alone(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = running.export_id();
    let second = site.serve();
    let target = format!("{MINIMAL}?limit=1");
    assert_eq!(second.status_with(STANDARD_KEY, &target), 200);
    assert!(site.audit_record(&export)["outcome"].is_null());
    drop(second);
    assert!(running.rest().complete);
    assert_eq!(site.settled(&export)["outcome"], "completed");
}

fn a_command_leaves_running_exports_alone(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = running.export_id();
    site.done(&["export", "minimal", "--limit", "1"]);
    site.done(&["check"]);
    assert!(site.audit_record(&export)["outcome"].is_null());
    assert!(running.rest().complete);
    assert_eq!(site.settled(&export)["outcome"], "completed");
}
