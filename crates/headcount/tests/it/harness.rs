//! What a test needs to set up a site, drive it, and wait for it.

mod account;
mod answer;
mod cluster;
mod chain;
mod commands;
mod db;
mod doctor;
mod download;
pub(crate) mod encrypted;
mod frameworks;
mod init;
mod members;
mod people;
mod outage;
mod pgbouncer;
mod postgres;
mod proxy;
mod replication;
mod server;
mod site;

use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, csv_records, header_of};
pub(crate) use chain::hash_of_record;
pub(crate) use commands::Finished;
pub(crate) use db::Db;
pub(crate) use doctor::Findings;
pub(crate) use download::{Download, Received, connect, raw_exchange};
pub(crate) use encrypted::Encrypted;
pub(crate) use frameworks::Framework;
pub(crate) use members::{MEMBERS, MEMBERS_FULL, SUPPORT};
pub(crate) use outage::Outage;
pub(crate) use people::{PEOPLE_FULL, PEOPLE_MINIMAL};
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use postgres::{APP_BACKUP, APP_READER, HEADCOUNT_STORE};
pub(crate) use proxy::Proxy;
pub(crate) use replication::Replication;
pub(crate) use server::{Server, wait_for_exit};
pub(crate) use site::{EXPORT_KEY, STANDARD_KEY, Site};

pub(crate) const MINIMAL: &str = "/api/v1/users/export";
pub(crate) const FULL: &str = "/api/v1/users/export-full";
pub(crate) const ALIVE: &str = "/api/v1/users/export-alive";
pub(crate) const SIMPLE: &str = "/api/v1/users/export-simple";

/// Nothing is kept for slow clients: one that waits holds the source for as long as `limits.source_hold` says, a minute.
pub(crate) const HELD: &str = "[limits]\nspool_bytes = 0\n";

/// The endpoint of a declared export.
pub(crate) fn profile(name: &str) -> String {
    format!("/api/v1/users/exports/profiles/{name}")
}

/// Makes of each named case one test on SQLite and one on PostgreSQL.
macro_rules! both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $case() { super::$case($crate::harness::Db::Sqlite) })+
        }
        mod postgres {
            $(#[test] fn $case() { super::$case($crate::harness::Db::Postgres) })+
        }
    };
}

/// Makes of a case one test for each framework of the fixtures whose database is PostgreSQL.
macro_rules! postgres_frameworks {
    ($case:ident) => {
        mod postgres {
            each_framework! {
                $case,
                devise: "devise",
                discourse: "discourse",
                django: "django",
                django_custom_user: "django-custom-user",
                fastapi_sqlalchemy: "fastapi-sqlalchemy",
                gitea: "gitea",
                gitlab: "gitlab",
                keycloak: "keycloak",
                laravel: "laravel",
                mattermost: "mattermost",
                nextauth_prisma: "nextauth-prisma",
                supabase: "supabase",
            }
        }
    };
}

/// The same for every framework of the fixtures.
macro_rules! frameworks {
    ($case:ident) => {
        postgres_frameworks!($case);
        mod sqlite {
            each_framework! {
                $case,
                django: "django-sqlite",
                fastapi_sqlalchemy: "fastapi-sqlalchemy-sqlite",
            }
        }
    };
}

macro_rules! each_framework {
    ($case:ident, $($test:ident: $name:literal),+ $(,)?) => {
        #[test]
        fn no_fixture_is_left_out() {
            $crate::harness::Framework::assert_all_of_their_database(&[$($name),+]);
        }
        $(#[test] fn $test() { super::$case($name) })+
    };
}

/// Generous, so that it passes in vain only where something is wrong.
const EVENTUALLY: Duration = Duration::from_secs(30);
/// Whether this is how the audit holds an address: hashed under a key of the deployment.
pub(crate) fn is_keyed_hash(value: &serde_json::Value) -> bool {
    let digest = value.as_str().and_then(|text| text.strip_prefix("hmac-sha256:"));
    digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// How often something is tried that chance decides: that often by `scripts/test --all`, and before each change a third of it,
/// because each run tries others.
pub(crate) fn tries(whole: u32) -> u32 {
    if std::env::var_os("HEADCOUNT_TEST_ALL").is_some() { whole } else { whole.div_ceil(3) }
}

/// Polls until `attempt` yields something; panics when a generous deadline has passed.
pub(crate) fn wait_for<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    poll(EVENTUALLY, attempt).unwrap_or_else(|| panic!("waited {EVENTUALLY:?} in vain: {what}"))
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// For the promises that name one second; the second on top is for a busy machine.
pub(crate) fn within_a_second(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Duration::from_secs(2);
    assert!(poll(patience, || holds().then_some(())).is_some(), "waited {patience:?} in vain: {what}");
}

/// Tries again and again, the more rarely the longer it takes: an attempt may cost a process.
fn poll<T>(patience: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    let deadline = started + patience;
    loop {
        // An attempt that began in time may be late itself, and rightly find what was so before.
        let is_last = Instant::now() >= deadline;
        if let Some(found) = attempt() {
            return Some(found);
        }
        if is_last {
            return None;
        }
        std::thread::sleep((started.elapsed() / 10).max(Duration::from_millis(5)));
    }
}
