//! An audit that somebody changed behind Headcount's back.

use serde_json::Value;

use crate::harness::{Db, MINIMAL, STANDARD_KEY, Site, hash_of_record};

both! {
    every_column_that_is_changed_is_found,
    a_record_that_is_removed_is_found,
    a_record_that_is_put_in_is_found,
    two_records_that_are_swapped_are_found,
    a_record_that_is_changed_and_hashed_again_is_found,
    a_cut_end_is_found_by_the_head_of_the_store_or_by_a_kept_one,
    a_chain_made_anew_is_found_by_a_kept_head,
    a_head_that_is_changed_is_found,
}

const COUNT: usize = 5;

/// A chain of five records, newest last.
fn with_a_chain(db: Db) -> (Site, Vec<Value>) {
    let site = Site::with_people(db);
    let server = site.serve();
    for n in 1..=COUNT {
        server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit={n}")).csv();
    }
    drop(server);
    site.done(&["audit", "verify"]);
    site.store_sql("CREATE TABLE untouched AS SELECT * FROM headcount_audit");
    let mut records = site.audit();
    records.reverse();
    (site, records)
}

fn undo(site: &Site) {
    site.store_sql("DELETE FROM headcount_audit; INSERT INTO headcount_audit SELECT * FROM untouched");
}

/// Verifies an audit that is not whole and returns what is said of it.
fn flaw(site: &Site, arguments: &[&str]) -> String {
    let finished = site.run(&[&["audit", "verify"], arguments].concat());
    assert_eq!(finished.code, Some(1), "{}", finished.everything());
    assert!(finished.stdout.is_empty());
    finished.stderr
}

fn assert_names(flaw: &str, record: &Value, what: &str) {
    let number = format!("(number {})", record["sequence"]);
    for part in [record["id"].as_str().unwrap(), record["time"].as_str().unwrap(), &number, what] {
        assert!(flaw.contains(part), "{part}: {flaw}");
    }
}

fn every_column_that_is_changed_is_found(db: Db) {
    let (site, records) = with_a_chain(db);
    for (column, value) in [
        ("time", "time + 1"),
        ("endpoint", "'/api/v1/users/export-full'"),
        ("key_id", "NULL"),
        ("key_name", "'somebody else'"),
        ("client", "'192.0.2.1'"),
        ("request_id", "request_id || 'x'"),
        ("filters", "'{}'"),
        ("filters", "filters || ' '"),
        ("filters", "'no JSON'"),
        ("outcome", "'failed'"),
        ("outcome", "'denied'"),
        ("outcome", "'unheard of'"),
        ("outcome", "NULL"),
        ("reason", "'head'"),
        ("row_count", "row_count + 1"),
        ("byte_count", "0"),
        ("sha256", "NULL"),
        ("duration_ms", "duration_ms + 1"),
        ("previous", "hash"),
        ("previous", "NULL"),
        ("hash", "previous"),
        ("hash", "NULL"),
    ] {
        site.store_sql(&format!("UPDATE headcount_audit SET {column} = {value} WHERE sequence = 3"));
        let flaw = flaw(&site, &[]);
        assert!(flaw.contains("was changed after it was written"), "{column}: {flaw}");
        assert!(flaw.contains(records[2]["id"].as_str().unwrap()), "{column}: {flaw}");
        undo(&site);
    }
    site.store_sql("UPDATE headcount_audit SET id = 'another' WHERE sequence = 3");
    assert!(flaw(&site, &[]).contains("record another of"));
    undo(&site);
    for number in ["NULL", "99", "-3"] {
        site.store_sql(&format!("UPDATE headcount_audit SET sequence = {number} WHERE sequence = 3"));
        flaw(&site, &[]);
        undo(&site);
    }
    site.done(&["audit", "verify"]);
}

fn a_record_that_is_removed_is_found(db: Db) {
    let (site, records) = with_a_chain(db);
    for (n, next) in [(1, &records[1]), (3, &records[3])] {
        site.store_sql(&format!("DELETE FROM headcount_audit WHERE sequence = {n}"));
        let flaw = flaw(&site, &[]);
        assert_names(&flaw, next, &format!("number {n} was removed"));
        undo(&site);
    }
    site.store_sql("DELETE FROM headcount_audit WHERE sequence = 3");
    site.store_sql("UPDATE headcount_audit SET sequence = 3 WHERE sequence = 4");
    site.store_sql("UPDATE headcount_audit SET sequence = 4 WHERE sequence = 5");
    assert!(flaw(&site, &[]).contains(records[3]["id"].as_str().unwrap()));
    undo(&site);
    site.store_sql("DELETE FROM headcount_audit");
    assert!(flaw(&site, &[]).contains("were removed"));
}

/// A row of the table like that of record 2, but for its id, number and hashes.
fn put_in(site: &Site, number: &str, previous: &str, hash: &str) {
    site.store_sql(&format!(
        "CREATE TABLE another AS SELECT * FROM headcount_audit WHERE sequence = 2;
         UPDATE another SET id = 'another', sequence = {number}, previous = {previous}, hash = {hash};
         INSERT INTO headcount_audit SELECT * FROM another;
         DROP TABLE another"
    ));
}

fn a_record_that_is_put_in_is_found(db: Db) {
    let (site, records) = with_a_chain(db);
    put_in(&site, "NULL", "NULL", "NULL");
    let said = flaw(&site, &[]);
    assert!(said.contains("record another") && said.contains("was put in"), "{said}");
    undo(&site);

    // At the end, as a good link.
    let mut forged = records[1].clone();
    forged["id"] = "another".into();
    forged["sequence"] = (COUNT + 1).into();
    forged["previous"] = records[COUNT - 1]["hash"].clone();
    let previous = format!("'{}'", forged["previous"].as_str().unwrap());
    put_in(&site, "6", &previous, &format!("'{}'", hash_of_record(&forged)));
    let said = flaw(&site, &[]);
    assert!(said.contains("record another") && said.contains("was put in"), "{said}");
    undo(&site);

    // In the middle, with a number that is there, or with all others moved on.
    site.store_sql("DROP INDEX headcount_audit_sequence");
    put_in(&site, "3", "previous", "hash");
    assert!(flaw(&site, &[]).contains("(number 3)"));
    undo(&site);
    site.store_sql("UPDATE headcount_audit SET sequence = sequence + 1 WHERE sequence >= 3");
    put_in(&site, "3", "hash", "hash");
    assert!(flaw(&site, &[]).contains("record another"));
}

fn two_records_that_are_swapped_are_found(db: Db) {
    let (site, records) = with_a_chain(db);
    for columns in ["sequence", "sequence, previous", "sequence, previous, hash"] {
        site.store_sql("UPDATE headcount_audit SET sequence = 100 WHERE sequence = 2");
        site.store_sql("UPDATE headcount_audit SET sequence = 2 WHERE sequence = 4");
        site.store_sql("UPDATE headcount_audit SET sequence = 4 WHERE sequence = 100");
        for column in columns.split(", ").skip(1) {
            for number in [2, 4] {
                site.store_sql(&format!(
                    "UPDATE headcount_audit SET {column} = \
                     (SELECT {column} FROM untouched WHERE sequence = {number}) WHERE sequence = {number}"
                ));
            }
        }
        let flaw = flaw(&site, &[]);
        assert!(flaw.contains(records[3]["id"].as_str().unwrap()), "{columns}: {flaw}");
        undo(&site);
    }
    site.done(&["audit", "verify"]);
}

fn a_record_that_is_changed_and_hashed_again_is_found(db: Db) {
    let (site, mut records) = with_a_chain(db);
    records[2]["rows"] = 0.into();
    let hash = hash_of_record(&records[2]);
    site.store_sql(&format!("UPDATE headcount_audit SET row_count = 0, hash = '{hash}' WHERE sequence = 3"));
    let flaw = flaw(&site, &[]);
    assert_names(&flaw, &records[2], "was changed");
    assert_names(&flaw, &records[3], "holds another hash");
}

fn set_head(site: &Site, record: &Value) {
    let (number, hash) = (&record["sequence"], record["hash"].as_str().unwrap());
    site.store_sql(&format!("UPDATE headcount_audit_head SET sequence = {number}, hash = '{hash}'"));
}

fn a_cut_end_is_found_by_the_head_of_the_store_or_by_a_kept_one(db: Db) {
    let (site, records) = with_a_chain(db);
    let kept = |n: usize| records[n - 1]["hash"].as_str().unwrap();
    site.store_sql("DELETE FROM headcount_audit WHERE sequence > 3");
    assert_names(&flaw(&site, &[]), &records[2], "the newest records were removed");

    set_head(&site, &records[2]);
    // Nothing in the store tells of what was there.
    site.done(&["audit", "verify"]);
    site.done(&["audit", "verify", "--head", kept(3)]);
    for n in [4, 5] {
        assert_names(&flaw(&site, &["--head", kept(n)]), &records[2], kept(n));
    }
    // It does not help to go on from there.
    site.done(&["export", "minimal"]);
    site.done(&["audit", "verify"]);
    flaw(&site, &["--head", kept(5)]);
}

fn a_chain_made_anew_is_found_by_a_kept_head(db: Db) {
    let (site, mut records) = with_a_chain(db);
    let kept: Vec<String> =
        records.iter().map(|record| record["hash"].as_str().unwrap().to_owned()).collect();
    records[2]["client"] = "192.0.2.1".into();
    for n in 2..COUNT {
        let previous = records[n - 1]["hash"].clone();
        records[n]["previous"] = previous.clone();
        let hash = hash_of_record(&records[n]);
        records[n]["hash"] = hash.clone().into();
        let (client, previous) = (records[n]["client"].as_str().unwrap(), previous.as_str().unwrap());
        site.store_sql(&format!(
            "UPDATE headcount_audit SET client = '{client}', previous = '{previous}', hash = '{hash}' \
             WHERE sequence = {}",
            n + 1
        ));
    }
    set_head(&site, &records[COUNT - 1]);
    site.done(&["audit", "verify"]);
    site.done(&["audit", "verify", "--head", &kept[1]]);
    for kept in &kept[2..] {
        assert!(flaw(&site, &["--head", kept]).contains(kept));
    }
}

fn a_head_that_is_changed_is_found(db: Db) {
    let (site, records) = with_a_chain(db);
    set_head(&site, &records[3]);
    assert_names(&flaw(&site, &[]), &records[4], "was put in");
    site.store_sql(&format!("UPDATE headcount_audit_head SET sequence = {COUNT}"));
    assert_names(&flaw(&site, &[]), &records[4], "was changed");
    site.store_sql("DELETE FROM headcount_audit_head");
    flaw(&site, &[]);
    assert_eq!(site.run(&["export", "minimal"]).code, Some(1));
    // What is urgent can still be done.
    site.create_key(&["reader", "--kind", "standard"]);
    site.done(&["keys", "revoke", &site.key_id("reader")]);
}
