//! A table that is read in parts while somebody writes is exported in one state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Db, Download, HELD, MINIMAL, STANDARD_KEY, Server, Site, eventually, tries};
use crate::parts_live::{CLUSTER, FOUR, GAP, readers};

fn id_of(slot: u64) -> u64 {
    slot / CLUSTER * GAP + slot % CLUSTER
}

const SLOTS: u64 = 6000;
const UNITS: u64 = 1_000_000;

const LAST: u64 = SLOTS / CLUSTER - 1;

/// Where the user of a slot is half of the time: in a gap at the other end of the table.
fn away(slot: u64) -> u64 {
    (LAST - slot / CLUSTER) * GAP + GAP / 2 + slot % CLUSTER
}

/// Whose id it is.
fn slot_of(id: u64) -> u64 {
    let (cluster, offset) = (id / GAP, id % GAP);
    let cluster = if offset < GAP / 2 { cluster } else { LAST - cluster };
    cluster * CLUSTER + offset % (GAP / 2)
}

/// Small rows that are exported as wide ones: writing is fast, reading is not.
fn in_motion(journal: &str) -> Site {
    let site = Site::with_empty_table(Db::Sqlite);
    // Many small pages are several parts, too, where they are read as such.
    site.sql("PRAGMA page_size = 512; VACUUM");
    site.sqlite().query_row(&format!("PRAGMA journal_mode = {journal}"), (), |_| Ok(())).unwrap();
    site.sql(&format!(
        "CREATE TABLE padding (size TEXT, text TEXT);
         INSERT INTO padding VALUES ('some', hex(zeroblob(2500))), ('much', zeroblob(6000000));
         INSERT INTO users (id, email, name)
         SELECT (i - 1) / {CLUSTER} * {GAP} + (i - 1) % {CLUSTER}, 'generation-0', '{UNITS}' FROM {}",
        site.db.series(u32::try_from(SLOTS).unwrap())
    ));
    site.configure(&format!(
        "{FOUR}{HELD}[source.columns]\nname = {{ sql = \"name || ' ' || (SELECT text FROM padding WHERE size = 'some')\" }}\n"
    ));
    site
}

/// Commits without a pause until `stop`: a unit goes from one user to another, a user goes to the other end of the table as
/// another comes from there, and now and then all get a new email.
fn write(site: &Site, commits: &AtomicU64, stop: &AtomicBool) {
    let connection = site.sqlite();
    let mut ids: Vec<u64> = (0..SLOTS).map(id_of).collect();
    for round in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let [giver, taker] =
            [round * 1_237 % SLOTS, round * 4_441 % SLOTS].map(|slot| usize::try_from(slot).unwrap());
        let mut sql = format!(
            "BEGIN IMMEDIATE;
             UPDATE users SET name = name - 1 WHERE id = {};
             UPDATE users SET name = name + 1 WHERE id = {};",
            ids[giver], ids[taker]
        );
        for slot in [giver, usize::try_from(SLOTS).unwrap() - 1 - giver] {
            let number = u64::try_from(slot).unwrap();
            let to = if ids[slot] == id_of(number) { away(number) } else { id_of(number) };
            sql += &format!(
                "INSERT INTO users SELECT {to}, email, name, NULL, NULL, NULL, NULL FROM users WHERE id = {from};
                 DELETE FROM users WHERE id = {from};",
                from = ids[slot]
            );
            ids[slot] = to;
        }
        if round % 40 == 0 {
            sql += &format!("UPDATE users SET email = 'generation-{round}';");
        }
        connection.execute_batch(&(sql + "COMMIT")).unwrap();
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

/// Exports, large enough to be looked at half way, until three of them were read in parts.
fn export_slowly(site: &Site, server: &Server, meanwhile: impl Fn()) {
    let mut divided = 0;
    for _ in 0..30 {
        let mut download = Download::stalled(server, MINIMAL, STANDARD_KEY);
        let mut body = download.first_chunk();
        divided += u32::from(readers(site, server) >= 2);
        meanwhile();
        let rest = download.rest();
        assert!(rest.complete, "{}", server.said());
        body.extend(rest.body);
        assert_one_state(&String::from_utf8(body).unwrap());
        if divided == 3 {
            return;
        }
    }
    panic!("only {divided} were read in parts: {}", server.said());
}

const QUICK: u32 = 60;

/// Exports, so many that some begin between two commits.
fn export_quickly(server: &Server) {
    let target = format!("{MINIMAL}?fields=id,email");
    let times = tries(QUICK);
    for _ in 0..times {
        assert_one_state(&server.get_with(STANDARD_KEY, &target).csv());
    }
    let undivided = server.said().matches("read by one thread").count();
    assert!(undivided < times as usize, "{undivided}");
}

/// Exports while somebody writes.
fn assert_snapshots(journal: &str, writes_go_on_meanwhile: bool) {
    let site = in_motion(journal);
    let server = site.serve();
    let (commits, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&site, &commits, &stop));
        // However it ends, the writer is told.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let enough_more = || {
                let seen = commits.load(Ordering::Relaxed);
                eventually("the writer goes on", || {
                    commits.load(Ordering::Relaxed) >= seen + 100 || writer.is_finished()
                });
            };
            enough_more();
            export_quickly(&server);
            export_slowly(&site, &server, || {
                if writes_go_on_meanwhile {
                    enough_more();
                }
            });
            enough_more();
        }));
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        result.unwrap();
    });
}

#[test]
fn parts_are_of_one_state_in_wal_mode() {
    assert_snapshots("WAL", true);
}

#[test]
fn parts_are_of_one_state_in_rollback_mode() {
    assert_snapshots("DELETE", false);
}
