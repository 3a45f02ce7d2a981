//! How the store's tables came about, step by step. What a released version has run never changes: the store keeps a
//! checksum of each step, and refuses one that differs.
//!
//! The driver's `migrate!` would read the directory itself, but it comes with macros that compile both drivers a second
//! time, as part of the compiler: a third of a build from nothing.

use crate::StoreError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Executor, Row, SqlSafeStr};

/// Number, description and text of each file in `migrations/`.
const STEPS: [(i64, &str, &str); 8] = [
    (1, "keys flags audit", include_str!("../migrations/0001_keys_flags_audit.sql")),
    (2, "secrets", include_str!("../migrations/0002_secrets.sql")),
    (3, "audit chain", include_str!("../migrations/0003_audit_chain.sql")),
    (4, "receipts", include_str!("../migrations/0004_receipts.sql")),
    (5, "budgets", include_str!("../migrations/0005_budgets.sql")),
    (6, "budgets that follow", include_str!("../migrations/0006_budgets_that_follow.sql")),
    (7, "claims of a day", include_str!("../migrations/0007_claims_of_a_day.sql")),
    (8, "audit scope", include_str!("../migrations/0008_audit_scope.sql")),
];

/// Brings the tables of the store up to date.
///
/// # Errors
///
/// [`StoreError::Newer`] where a later version was here, which has changed nothing then; or a step failed.
pub(super) async fn run(connection: &mut AnyConnection) -> Result<(), StoreError> {
    migrator().run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(step) => StoreError::Newer(step),
        error => StoreError::Migration(error),
    })
}

fn migrator() -> Migrator {
    let steps = STEPS.map(|(version, description, sql)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(steps.into());
    // The store may live in an application's database that is migrated by the same library.
    migrator.dangerous_set_table_name("headcount_migrations");
    migrator
}

/// Whether there are tables of the store in a PostgreSQL database, where this connection looks for them.
pub(super) async fn were_run(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let sql = "SELECT to_regclass('headcount_migrations') IS NOT NULL AS were_run";
    connection.fetch_one(sql).await?.try_get("were_run")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::STEPS;

    #[test]
    fn every_file_is_a_step() {
        let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
        let mut files: Vec<_> =
            directory.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let steps = STEPS.map(|(number, what, _)| format!("{number:04}_{}.sql", what.replace(' ', "_")));
        assert_eq!(files, steps);
    }
}
