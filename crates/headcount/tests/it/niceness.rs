//! Threads that scan give way to others, and do nothing else afterwards.

use crate::harness::{Db, EXPORT_KEY, FULL, Site};
use crate::parts_live::FOUR;

/// How nice they are (`setpriority(2)`).
const NICENESS: i32 = 10;

#[test]
fn only_threads_that_scan_are_nice() {
    let site = Site::with_users(Db::Sqlite, 70_000);
    site.configure(FOUR);
    let server = site.serve();
    for query in ["", "?limit=1", "?preflight=true"] {
        assert_eq!(server.status_with(EXPORT_KEY, &format!("{FULL}{query}")), 200);
    }
    let (scanning, others): (Vec<_>, Vec<_>) =
        server.threads().into_iter().partition(|(name, _)| name == "headcount-scan");
    let usual = others.iter().map(|(_, niceness)| *niceness).min().unwrap();
    assert!(others.iter().all(|(_, niceness)| *niceness == usual), "{others:?}");
    assert!(!scanning.is_empty());
    // Somebody who is nicer already cannot become less so.
    assert!(scanning.iter().all(|(_, niceness)| *niceness == usual.max(NICENESS)), "{scanning:?}");
}
