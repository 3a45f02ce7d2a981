//! SIGHUP: the file is read again while the server runs.

use crate::harness::{Db, EXPORT_KEY, FULL, Site, eventually, profile};

both! {
    a_new_export_is_there_after_a_hangup,
    what_needs_a_restart_says_so,
    a_file_that_cannot_be_read_changes_nothing,
}

const SUPPORT: &str = "features = [\"users:export_full\", \"users:export_support\"]\n\
                       [exports.support]\ncolumns = [\"id\", \"email\"]\nmask = { email = \"redact\" }\n";

fn a_new_export_is_there_after_a_hangup(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    site.configure("features = [\"users:export_full\"]\n");
    let server = site.serve();
    site.configure(SUPPORT);
    let key = site.create_key(&["helpdesk", "--export", "support"]);
    let detail = server.get_with(&key, &profile("support")).detail(404);
    assert!(detail.contains("SIGHUP") && detail.contains("restart"), "{detail}");
    server.signal("HUP");
    eventually("the export", || server.status_with(&key, &profile("support")) == 200);
    let csv = server.get_with(&key, &profile("support")).csv();
    assert!(csv.contains("[redacted]") && !csv.contains('@'), "{csv}");
    assert!(server.get("/openapi.json").text().contains(&profile("support")));

    site.configure("features = []\n");
    server.signal("HUP");
    eventually("the end of it", || server.status_with(&key, &profile("support")) == 404);
    assert_eq!(server.status_with(EXPORT_KEY, FULL), 403, "its flag is off");
}

fn what_needs_a_restart_says_so(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    site.configure("features = [\"users:export_full\"]\n");
    let server = site.serve();
    site.configure(&format!("trusted_proxies = [\"10.0.0.0/8\"]\n{SUPPORT}[limits]\nqueue = 7\n"));
    server.signal("HUP");
    server.eventually_says("only a restart");
    assert!(server.said().contains("[limits], trusted_proxies"), "{}", server.said());
    eventually("the export", || server.status_with(EXPORT_KEY, &profile("support")) == 403);

    site.configure(&format!("{SUPPORT}[source.columns]\nname = \"email\"\n"));
    server.signal("HUP");
    server.eventually_says("[source] changed");
    assert_eq!(server.status_with(EXPORT_KEY, FULL), 200);
    // What is switched off is off.
    site.configure("[source.columns]\nname = \"email\"\n");
    server.signal("HUP");
    eventually("its flag is off", || server.status_with(EXPORT_KEY, FULL) == 403);
}

fn a_file_that_cannot_be_read_changes_nothing(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    site.configure("features = \"all of them\"\n");
    server.signal("HUP");
    server.eventually_says("the old one is kept");
    assert_eq!(server.status_with(EXPORT_KEY, FULL), 200);
}
