//! What an operator looks at: health, readiness, metrics, the API's own description.

use crate::harness::{
    ALIVE, Db, Download, EXPORT_KEY, FULL, HEADCOUNT_STORE, MINIMAL, SIMPLE, STANDARD_KEY, Server, Site,
    eventually,
};

both! {
    health_and_readiness_are_open_to_all,
    exports_are_counted_by_outcome,
    an_export_is_in_flight_until_its_last_byte,
    refusals_are_counted,
    the_description_is_served_and_printed_alike,
    the_documentation_page_loads_nothing_from_elsewhere,
}

fn health_and_readiness_are_open_to_all(db: Db) {
    let mut site = Site::with_people(db);
    site.unset("HEADCOUNT_FEATURES");
    let server = site.serve();
    assert_eq!(server.get("/healthz").status, 200);
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["status"], "ready");
}

#[test]
fn without_its_store_an_instance_lives_but_is_not_ready() {
    let site = Site::with_people(Db::Postgres);
    let server = site.serve();
    site.database().cut_off(HEADCOUNT_STORE);
    eventually("it is not ready", || server.get("/readyz").status == 503);
    assert!(server.get("/readyz").detail(503).contains("store"));
    assert_eq!(server.get("/healthz").status, 200);
    let (status, _) = server.get_with(STANDARD_KEY, MINIMAL).refusal();
    assert!([500, 503].contains(&status), "{status}");

    site.database().let_in_again(HEADCOUNT_STORE);
    server.eventually_ready();
    assert_eq!(server.status_with(STANDARD_KEY, MINIMAL), 200);
}

fn assert_metric(server: &Server, name: &str, fragments: &[&str], value: usize) {
    let value = u32::try_from(value).map(f64::from).unwrap();
    eventually(&format!("{name} {fragments:?} is {value}"), || {
        (server.metric(name, fragments) - value).abs() < f64::EPSILON
    });
}

fn exports_are_counted_by_outcome(db: Db) {
    let site = Site::with_users(db, 100);
    let server = site.serve();
    let minimal = server.get_with(STANDARD_KEY, MINIMAL).csv();
    let full = server.get_with(EXPORT_KEY, FULL).csv();
    let bytes = minimal.len() + full.len();
    assert_metric(&server, "headcount_exports_total", &["completed"], 2);
    assert_metric(&server, "headcount_export_rows_total", &[], 200);
    assert_metric(&server, "headcount_export_bytes_total", &[], bytes);
    assert_metric(&server, "headcount_export_duration_seconds_count", &[], 2);
    assert_metric(&server, "headcount_exports_in_flight", &[], 0);
    let text = server.get("/metrics").text();
    for label in ["endpoint=", "outcome=", "# TYPE headcount_export_duration_seconds histogram"] {
        assert!(text.contains(label), "{text}");
    }
}

fn an_export_is_in_flight_until_its_last_byte(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    assert_metric(&server, "headcount_exports_in_flight", &[], 1);
    assert_metric(&server, "headcount_exports_total", &["completed"], 0);
    assert_metric(&server, "headcount_export_duration_seconds_count", &[], 0);
    assert!(running.rest().complete);
    assert_metric(&server, "headcount_exports_in_flight", &[], 0);
    assert_metric(&server, "headcount_exports_total", &["completed"], 1);
    assert_metric(&server, "headcount_export_duration_seconds_count", &[], 1);

    drop(Download::stalled(&server, FULL, EXPORT_KEY));
    assert_metric(&server, "headcount_exports_total", &["disconnected"], 1);
}

fn refusals_are_counted(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let reasons = "headcount_refused_total";
    server.get(MINIMAL).detail(401);
    assert_metric(&server, reasons, &["reason="], 1);
    server.get_with(STANDARD_KEY, FULL).detail(403);
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=0")).detail(400);
    assert_metric(&server, reasons, &["reason="], 3);
    let text = server.get("/metrics").text();
    assert!(!text.contains(STANDARD_KEY));
}

fn the_description_is_served_and_printed_alike(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let served = server.get("/openapi.json");
    assert_eq!(served.status, 200);
    assert!(served.header("content-type").starts_with("application/json"));
    assert_eq!(served.json(), site.json(&["openapi"]));
    let document = served.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for path in [MINIMAL, FULL, ALIVE, SIMPLE] {
        assert!(document["paths"][path]["get"].is_object(), "{path}");
    }
    for path in [MINIMAL, FULL] {
        assert!(document["paths"][path]["post"].is_object(), "{path}");
        let parameters = document["paths"][path]["get"]["parameters"].to_string();
        for name in [
            "format",
            "email",
            "fields",
            "created_after",
            "created_before",
            "updated_after",
            "updated_before",
            "is_active",
            "is_admin",
            "limit",
            "after",
            "bom",
            "sanitize",
        ] {
            let named = format!("\"{name}\"");
            let referenced = format!("/{name}\"");
            assert!(parameters.contains(&named) || parameters.contains(&referenced), "{path}: {name}");
        }
    }
}

fn the_documentation_page_loads_nothing_from_elsewhere(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let page = server.get("/docs");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    let html = page.text();
    for loader in ["src=", "<link", "url(", "@import", "fetch(", "import("] {
        for (position, _) in html.match_indices(loader) {
            let what = html[position..].split('>').next().unwrap();
            let what: String = what.chars().take(200).collect();
            assert!(!what.contains("//"), "{what}");
        }
    }
}
