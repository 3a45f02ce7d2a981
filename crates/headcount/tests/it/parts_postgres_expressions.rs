//! Expressions that would say something else to each of several connections are read by one.

use std::collections::BTreeSet;

use crate::harness::{APP_READER, Site, eventually, profile};
use crate::parts_postgres::{ANALYZE, USERS, serve, with_ids};

struct Labels {
    site: Site,
    key: String,
}

impl Labels {
    fn new() -> Self {
        let mut site = with_ids("i");
        site.sql(&format!(
            "CREATE FUNCTION moment() RETURNS timestamptz LANGUAGE sql AS 'SELECT transaction_timestamp()';
             CREATE FUNCTION steady(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
             CREATE FUNCTION here(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT pg_backend_pid()::text';
             CREATE OPERATOR ~# (RIGHTARG = text, FUNCTION = here);
             CREATE VIEW moments AS SELECT transaction_timestamp() AS at;
             {ANALYZE}"
        ));
        let key = site.declare(&format!("[source]\n{}", source("name", "true")), &["labels"]);
        Self { site, key }
    }

    /// Everybody with a label, as four connections may read it: how many different labels there are, and the connections that were
    /// opened to read them.
    fn read(&self, label: &str, condition: &str) -> (usize, usize) {
        self.site.database().terminate(APP_READER);
        eventually("no session is left", || self.site.database().sessions(APP_READER) == 0);
        let server = serve(&self.site, 4, &source(label, condition));
        let csv = server.get_with(&self.key, &profile("labels")).csv();
        assert_eq!(csv.lines().count(), USERS as usize + 1, "{label}");
        let labels: BTreeSet<_> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        (labels.len(), self.site.database().sessions(APP_READER))
    }
}

fn source(label: &str, condition: &str) -> String {
    format!(
        "where = {condition:?}\n[source.columns]\nlabel = {{ sql = {label:?}, type = \"text\" }}\n\
         [exports.labels]\ncolumns = [\"label\", \"id\"]\n"
    )
}

#[test]
fn what_depends_on_the_reader_has_one() {
    let users = Labels::new();
    for label in [
        "transaction_timestamp()",
        "pg_catalog . \"now\" ()",
        "'now'::timestamptz",
        "timestamptz 'Now'",
        "CAST('no' || 'w' AS timestamptz)",
        "moment()",
        "coalesce(nullif(trim(lower(here(name))), ''), 'x')",
        "~# name",
        "(SELECT at FROM moments)",
        "pg_backend_pid()",
    ] {
        assert_eq!(users.read(label, "true"), (1, 1), "{label}");
    }
    assert_eq!(users.read("'x'", "transaction_timestamp() > '2025-01-01'"), (1, 1));
}

#[test]
fn what_is_the_same_for_all_has_several() {
    let users = Labels::new();
    for label in ["steady('it is known')", "concat_ws(' ', 'a', nullif(trim(' '), ''))", "NULL::timestamptz"]
    {
        // On a busy machine the further connections may come too late.
        eventually("several connections read", || {
            let (labels, sessions) =
                users.read(label, "created_at > '2020-01-01'::timestamptz AT TIME ZONE 'UTC'");
            assert_eq!(labels, 1, "{label}");
            sessions > 1
        });
    }
}
