//! A table that several connections read while somebody writes is exported in one state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Db, Download, HELD, MINIMAL, STANDARD_KEY, Server, Site, eventually, tries};
use crate::parts_postgres::{ANALYZE, SPARSE};
use crate::parts_postgres_live::{late, readers};

/// Users, of whom each has an id in the first or in the second half of the ids.
const SLOTS: u64 = 12_800;
const UNITS: u64 = 1_000_000;

/// Where the user of a slot is half of the time: at the other end of the table.
fn away(slot: u64) -> u64 {
    2 * SLOTS - 1 - slot
}

/// Whose id it is.
fn slot_of(id: u64) -> u64 {
    if id < SLOTS { id } else { 2 * SLOTS - 1 - id }
}

/// Small rows that are exported as wide ones: writing is fast, reading is not.
fn in_motion() -> Site {
    let site = Site::with_empty_table(Db::Postgres).storing_in_sqlite();
    site.sql(&format!("ALTER TABLE users SET ({SPARSE})"));
    site.sql(&format!(
        "INSERT INTO users (id, email, name)
         SELECT CASE i % 2 WHEN 0 THEN i - 1 ELSE {} - i END, 'generation-0', '{UNITS}' FROM {}",
        2 * SLOTS,
        site.db.series(u32::try_from(SLOTS).unwrap())
    ));
    site.sql(ANALYZE);
    site.configure(&format!(
        "[source]\nparallelism = 4\n[source.columns]\nname = {{ sql = \"name || repeat(' ', 3000)\" }}\n{HELD}"
    ));
    site
}

/// Commits without a pause until `stop`: a unit goes from one user to another, two users go to the other ends of the table, and
/// now and then all get a new email.
fn write(site: &Site, commits: &AtomicU64, stop: &AtomicBool) {
    let mut client = site.database().connect();
    let is_away = |slot: u64| slot.is_multiple_of(2);
    let mut ids: Vec<u64> = (0..SLOTS).map(|slot| if is_away(slot) { away(slot) } else { slot }).collect();
    for round in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let [giver, taker] = [round * 12_377 % SLOTS, round * 44_417 % SLOTS];
        let id = |ids: &[u64], slot: u64| ids[usize::try_from(slot).unwrap()];
        let mut sql = format!(
            "BEGIN;
             UPDATE users SET name = name::int - 1 WHERE id = {};
             UPDATE users SET name = name::int + 1 WHERE id = {};",
            id(&ids, giver),
            id(&ids, taker)
        );
        for slot in [giver, SLOTS - 1 - giver] {
            let from = id(&ids, slot);
            let to = if from == slot { away(slot) } else { slot };
            sql += &if round % 2 == 0 {
                format!("UPDATE users SET id = {to} WHERE id = {from};")
            } else {
                format!(
                    "INSERT INTO users (id, email, name) SELECT {to}, email, name FROM users WHERE id = {from};
                     DELETE FROM users WHERE id = {from};"
                )
            };
            ids[usize::try_from(slot).unwrap()] = to;
        }
        if round % 2000 == 0 {
            sql += &format!("UPDATE users SET email = 'generation-{round}';");
        }
        client.batch_execute(&(sql + "COMMIT")).unwrap();
        commits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every user is there once, all are of one generation and, where the names are shown, they have all units.
fn assert_one_state(csv: &str) {
    let (mut previous, mut generation, mut sum) = (None, None, 0);
    let mut is_there = vec![false; usize::try_from(SLOTS).unwrap()];
    let has_names = csv.starts_with("id,email,name");
    for record in csv.lines().skip(1) {
        let cells: Vec<_> = record.split(',').collect();
        let id: u64 = cells[0].parse().unwrap();
        assert!(previous < Some(id), "{id} is out of order");
        previous = Some(id);
        assert_eq!(*generation.get_or_insert(cells[1]), cells[1], "{id} is of another generation");
        if has_names {
            sum += cells[2].split(' ').next().unwrap().parse::<u64>().unwrap();
        }
        let slot = usize::try_from(slot_of(id)).unwrap();
        assert!(!std::mem::replace(&mut is_there[slot], true), "slot {slot} is there twice");
    }
    assert!(is_there.iter().all(|is_there| *is_there), "a slot is missing");
    assert!(!has_names || sum == SLOTS * UNITS, "{sum}");
}

/// Exports that begin between two commits, one after the other.
fn export_quickly(server: &Server, times: u32) {
    let target = format!("{MINIMAL}?fields=id,email");
    for _ in 0..times {
        assert_one_state(&server.get_with(STANDARD_KEY, &target).csv());
    }
}

/// Exports, so large that much is committed before they are read to the end; returns how many sessions read
/// the last that none came too late for.
fn export_slowly(site: &Site, server: &Server, meanwhile: impl Fn()) -> usize {
    let mut sessions = 0;
    for _ in 0..3 {
        let before = late(server);
        let mut download = Download::stalled(server, MINIMAL, STANDARD_KEY);
        let mut body = download.first_chunk();
        meanwhile();
        if late(server) == before {
            sessions = readers(site);
        }
        let rest = download.rest();
        assert!(rest.complete, "{}", server.said());
        body.extend(rest.body);
        assert_one_state(&String::from_utf8(body).unwrap());
    }
    sessions
}

/// Exports, also so many small ones, while somebody writes; returns what [`export_slowly`] does.
fn sessions_of_exports_in_motion(quick: u32) -> usize {
    let site = in_motion();
    let server = site.serve();
    let (commits, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&site, &commits, &stop));
        // However it ends, the writer is told.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let enough_more = || {
                let seen = commits.load(Ordering::Relaxed);
                eventually("the writer goes on", || {
                    commits.load(Ordering::Relaxed) >= seen + 600 || writer.is_finished()
                });
            };
            enough_more();
            export_quickly(&server, tries(quick));
            let sessions = export_slowly(&site, &server, enough_more);
            enough_more();
            sessions
        }));
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        result.unwrap()
    })
}

#[test]
fn an_export_is_of_one_state() {
    sessions_of_exports_in_motion(20);
}

/// A table that changes all the time is no reason to read it by one connection.
#[test]
fn parts_are_of_one_state() {
    // Four read, and one holds the snapshot.
    assert_eq!(sessions_of_exports_in_motion(0), 5);
}
