//! An export shows one state of the table, whatever is written meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Db, Download, EXPORT_KEY, HELD, MINIMAL, Site, eventually};

both! {
    an_export_under_a_concurrent_writer_is_one_state_of_the_table,
}

const SLOTS: u64 = 2000;

/// Slot `n` is one user, whose id is either `2n` or `2n + 1`. Every transaction takes two
/// slots that belong together, moves both users to the other id and gives them the same email.
fn partner(slot: u64) -> u64 {
    SLOTS - 1 - slot
}

fn move_pair(slot: u64, round: u64) -> String {
    let other = partner(slot);
    format!(
        "UPDATE users SET id = id + 1 - 2 * (id % 2), email = 'round-{round}' WHERE id IN ({}, {}, {}, {})",
        2 * slot,
        2 * slot + 1,
        2 * other,
        2 * other + 1
    )
}

/// Commits without a pause until `stop`.
fn write(site: &Site, commits: &AtomicU64, stop: &AtomicBool) {
    let mut execute: Box<dyn FnMut(&str)> = match site.db {
        Db::Sqlite => {
            let connection = site.sqlite();
            Box::new(move |sql| connection.execute_batch(sql).unwrap())
        }
        Db::Postgres => {
            let mut client = site.database().connect();
            Box::new(move |sql| client.batch_execute(sql).unwrap())
        }
    };
    for round in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        execute(&move_pair(round * 1_237 % SLOTS, round));
        commits.fetch_add(1, Ordering::Relaxed);
    }
}

fn assert_one_state(csv: &str) {
    let mut emails = vec![None; usize::try_from(SLOTS).unwrap()];
    let mut previous = None;
    for record in csv.lines().skip(1) {
        let mut cells = record.split(',');
        let id: u64 = cells.next().unwrap().parse().unwrap();
        assert!(previous < Some(id), "{id} is out of order");
        previous = Some(id);
        let slot = usize::try_from(id / 2).unwrap();
        let before = emails[slot].replace(cells.next().unwrap());
        assert_eq!(before, None, "slot {slot} is there twice");
    }
    for slot in 0..SLOTS {
        let [this, other] = [slot, partner(slot)].map(|slot| &emails[usize::try_from(slot).unwrap()]);
        assert!(this.is_some(), "slot {slot} is missing");
        assert_eq!(this, other, "slot {slot} and its partner are of two states");
    }
}

fn an_export_under_a_concurrent_writer_is_one_state_of_the_table(db: Db) {
    let site = Site::with_empty_table(db);
    if db == Db::Sqlite {
        let mode = "PRAGMA journal_mode = WAL";
        site.sqlite().query_row(mode, (), |_| Ok(())).unwrap();
    }
    site.sql(&format!(
        "INSERT INTO users (id, email, name) SELECT 2 * i - 2, 'round-0', {} FROM {}",
        db.wide_text(),
        db.series(u32::try_from(SLOTS).unwrap())
    ));
    site.configure(HELD);
    let server = site.serve();

    let (commits, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&site, &commits, &stop));
        let enough_more = || {
            let seen = commits.load(Ordering::Relaxed);
            eventually("the writer goes on", || {
                commits.load(Ordering::Relaxed) >= seen + 50 || writer.is_finished()
            });
        };
        for _ in 0..2 {
            enough_more();
            let mut download = Download::stalled(&server, MINIMAL, EXPORT_KEY);
            let mut body = download.first_chunk();
            enough_more();
            let rest = download.rest();
            assert!(rest.complete);
            body.extend(rest.body);
            assert_one_state(&String::from_utf8(body).unwrap());
        }
        stop.store(true, Ordering::Relaxed);
    });
}
