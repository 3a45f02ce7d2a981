//! What names mean in a transaction. How that is found out: `lookup.rs`.

use tokio_postgres::error::SqlState;

/// The path for what we write. `pg_temp` stands in it because it would come first if it did not (PostgreSQL manual, section 20.11.1,
/// `search_path`).
pub(super) const OURS: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// What names mean in a transaction.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The table as it stands in SQL, with its schema, if there is such a table.
    pub(super) table: String,
    /// Sets the path for the administrator's SQL.
    pub(super) set_path: String,
    /// The schemas of the role's own path, or of the configured one, as PostgreSQL writes an array of them.
    pub(crate) schemas: String,
    /// The schemas in which others can create or have created something, and who they are: `public (PUBLIC)`.
    pub(super) others: Vec<String>,
    /// Which of them are not in the path, because the configuration names none.
    pub(super) left_out: Vec<String>,
    /// Whether the ids, if they are a column of text, are in the order of their bytes in UTF-8.
    pub(super) has_ids_in_order_of_bytes: bool,
    /// The collations in whose order something is kept that may have had another one.
    pub(super) outdated: Outdated,
}

impl Names {
    /// What else to know where the server knows no such name.
    pub(crate) fn hint(&self, error: &tokio_postgres::Error) -> String {
        let is_unknown = matches!(
            error.code(),
            Some(&(SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_FUNCTION | SqlState::UNDEFINED_OBJECT))
        );
        if !is_unknown || self.left_out.is_empty() {
            return String::new();
        }
        format!("; {}", self.not_looked_for("write its schema before it"))
    }

    /// Why something is not found, and what helps, beside this.
    pub(super) fn not_looked_for(&self, remedy: &str) -> String {
        format!(
            "it is not looked for in {}, where others can create or have created something: {remedy}, or set \
             source.search_path",
            self.others.join(", ")
        )
    }
}

/// Collations that have another order than they had.
#[derive(Debug, Default)]
pub(super) struct Outdated {
    pub(super) oids: Vec<u32>,
    pub(super) words: Vec<String>,
}
