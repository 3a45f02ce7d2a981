//! The chain of the audit, as Headcount makes it.

use serde_json::Value;

use crate::harness::{
    Db, Download, EXPORT_KEY, FULL, MINIMAL, STANDARD_KEY, Server, Site, eventually, hash_of_record,
};

both! {
    an_audit_without_records_is_whole,
    every_settled_export_is_in_the_chain,
    a_chain_can_be_recomputed_from_the_list,
    an_export_by_command_lengthens_the_chain,
    instances_that_export_at_once_keep_one_chain,
    an_export_cut_by_a_crash_is_in_the_chain_after_the_next_start,
    records_from_before_the_chain_are_put_into_it_once,
    a_hash_to_look_for_must_be_one,
}

const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn head(site: &Site) -> String {
    site.done(&["audit", "head"]).trim_end().to_owned()
}

/// The linked records, oldest first.
fn chain(site: &Site) -> Vec<Value> {
    let mut chain: Vec<_> = site.audit().into_iter().filter(|record| !record["sequence"].is_null()).collect();
    chain.sort_by_key(|record| record["sequence"].as_i64());
    chain
}

/// The outcomes in the chain, which has to be whole.
fn outcomes_of_a_whole_chain(site: &Site) -> Vec<String> {
    site.done(&["audit", "verify"]);
    let chain = chain(site);
    let numbers: Vec<_> = chain.iter().map(|record| record["sequence"].as_u64().unwrap() as usize).collect();
    assert_eq!(numbers, (1..=chain.len()).collect::<Vec<_>>());
    chain.iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
}

fn an_audit_without_records_is_whole(db: Db) {
    let site = Site::with_people(db);
    site.create_key(&["anybody", "--kind", "standard"]);
    assert_eq!(head(&site), START);
    assert!(site.done(&["audit", "verify"]).contains("0 settled records"));
    site.done(&["audit", "verify", "--head", START]);
}

fn every_settled_export_is_in_the_chain(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let disconnected = Download::stalled(&server, FULL, EXPORT_KEY);
    let export = disconnected.export_id();
    drop(disconnected);
    assert_eq!(site.settled(&export)["sequence"], 1);
    server.get(MINIMAL).detail(401);
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=1")).csv();
    server.get_with(STANDARD_KEY, &format!("{MINIMAL}?preflight=true")).json();
    let running = Download::stalled(&server, FULL, EXPORT_KEY);
    assert_eq!(outcomes_of_a_whole_chain(&site), ["disconnected", "completed"]);
    let outside: Vec<_> = site.audit().into_iter().filter(|record| record["hash"].is_null()).collect();
    assert_eq!(outside.len(), 3, "the denial, the look and the running export: {outside:?}");
    assert!(outside.iter().all(|record| record["sequence"].is_null() && record["previous"].is_null()));
    assert!(running.rest().complete);
    assert_eq!(outcomes_of_a_whole_chain(&site).len(), 3);
}

fn a_chain_can_be_recomputed_from_the_list(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let key = site.create_key(&["Zoë \"the\" \\ export", "--kind", "export"]);
    for target in [
        "?limit=2",
        "?email=ada@example.com&is_active=true",
        "?fields=id,name&after=1",
        "?limit=9223372036854775807",
        "?limit=x",
    ] {
        server.get_with(&key, &format!("{MINIMAL}{target}"));
    }
    let mut previous = START.to_owned();
    for record in chain(&site) {
        assert_eq!(record["previous"], previous);
        previous = record["hash"].as_str().unwrap().to_owned();
        assert_eq!(hash_of_record(&record), previous, "{record}");
    }
    assert_eq!(previous, head(&site));
    assert_eq!(outcomes_of_a_whole_chain(&site).len(), 4);
}

fn an_export_by_command_lengthens_the_chain(db: Db) {
    let site = Site::with_people(db);
    let server = site.serve();
    let mut heads = Vec::new();
    for _ in 0..2 {
        server.get_with(STANDARD_KEY, MINIMAL).csv();
        heads.push(head(&site));
        site.done(&["export", "minimal"]);
        heads.push(head(&site));
    }
    assert_eq!(outcomes_of_a_whole_chain(&site).len(), 4);
    for head in heads {
        site.done(&["audit", "verify", "--head", &head]);
        site.done(&["audit", "verify", "--head", &head.to_uppercase()]);
    }
}

fn instances_that_export_at_once_keep_one_chain(db: Db) {
    const EACH: usize = 40;
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_CONCURRENT_EXPORTS", "64");
    let servers = [site.serve(), site.serve()];
    let export = |server: &Server| {
        for _ in 0..EACH {
            server.get_with(STANDARD_KEY, MINIMAL).csv();
        }
    };
    std::thread::scope(|scope| {
        for server in &servers {
            for _ in 0..4 {
                scope.spawn(|| export(server));
            }
        }
        // One snapshot is whole, whatever is written meanwhile.
        site.done(&["audit", "verify"]);
    });
    assert_eq!(outcomes_of_a_whole_chain(&site).len(), 8 * EACH);
}

fn an_export_cut_by_a_crash_is_in_the_chain_after_the_next_start(db: Db) {
    let site = Site::with_wide_users(db);
    let server = site.serve();
    let one = format!("{MINIMAL}?limit=1");
    server.get_with(STANDARD_KEY, &one).csv();
    let running = [0, 1].map(|_| Download::stalled(&server, FULL, EXPORT_KEY));
    server.kill();
    let server = site.serve();
    for export in running {
        let export = export.export_id();
        eventually("the record is interrupted", || site.audit_record(&export)["outcome"] == "interrupted");
    }
    server.get_with(STANDARD_KEY, &one).csv();
    let expected = ["completed", "interrupted", "interrupted", "completed"];
    assert_eq!(outcomes_of_a_whole_chain(&site), expected);
}

fn records_from_before_the_chain_are_put_into_it_once(db: Db) {
    const OLD: usize = 1200;
    let site = Site::with_people(db);
    let server = site.serve();
    let exports = [0, 1, 2].map(|_| {
        let answer = server.get_with(STANDARD_KEY, MINIMAL);
        answer.header("x-export-id").to_owned()
    });
    server.get(MINIMAL).detail(401);
    drop(server);
    site.store_sql(
        "DROP INDEX headcount_audit_sequence; DROP TABLE headcount_audit_head; DROP TABLE headcount_budgets;
         DROP TABLE headcount_budget_claims;
         ALTER TABLE headcount_audit DROP COLUMN sequence;
         ALTER TABLE headcount_audit DROP COLUMN previous;
         ALTER TABLE headcount_audit DROP COLUMN hash;
         ALTER TABLE headcount_audit DROP COLUMN column_names;
         ALTER TABLE headcount_audit DROP COLUMN snapshot_at;
         ALTER TABLE headcount_audit DROP COLUMN ended_at;
         ALTER TABLE headcount_audit DROP COLUMN version;
         ALTER TABLE headcount_audit DROP COLUMN scope;
         DELETE FROM headcount_migrations WHERE version >= 3",
    );
    site.store_sql(&format!(
        "INSERT INTO headcount_audit (id, time, endpoint, client, filters, outcome, row_count, byte_count, instance)
         SELECT 'old' || i, i / 700, '/', '192.0.2.1', '{{}}', 'completed', 0, 0, 0 FROM {}",
        db.series(OLD as u32)
    ));
    assert_eq!(outcomes_of_a_whole_chain(&site), ["completed"; OLD + 3]);
    let chain = chain(&site);
    let ids: Vec<_> = chain[OLD..].iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, exports);
    site.done(&["export", "minimal"]);
    assert_eq!(outcomes_of_a_whole_chain(&site).len(), OLD + 4);

    site.store_sql(&format!(
        "UPDATE headcount_audit SET sequence = NULL, previous = NULL, hash = NULL WHERE id = '{}'",
        exports[1]
    ));
    assert_eq!(site.run(&["audit", "verify"]).code, Some(1));
}

fn a_hash_to_look_for_must_be_one(db: Db) {
    let site = Site::with_people(db);
    for bad in ["", "abc", &START[1..], &START.replace('0', "g")] {
        assert_eq!(site.run(&["audit", "verify", "--head", bad]).code, Some(2), "{bad}");
    }
}

#[test]
fn the_documented_record_has_the_documented_hash() {
    let page = include_str!("../../../../docs/audit.md");
    let shown = page.lines().find(|line| line.starts_with("{\"id\"")).unwrap();
    let record: Value = serde_json::from_str(shown).unwrap();
    assert_eq!(hash_of_record(&record), record["hash"]);
}
