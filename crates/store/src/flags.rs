//! Feature flags: off, unless the configuration or, above it, the store says otherwise.

use super::{Store, StoreError, answered};
use headcount_model::timestamp::Timestamp;
use serde::Serialize;
use sqlx::Row;

/// `GET /api/v1/users/export-alive`.
pub const ALIVE: &str = "users:export_alive";
/// `GET /api/v1/users/export-simple`.
pub const SIMPLE: &str = "users:export_simple";

/// Whether a flag is on, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlagState {
    pub name: String,
    pub enabled: bool,
    pub set_by: SetBy,
}

/// The flags that there are, and which of them the configuration switches on.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// In the order in which they are listed.
    pub known: Vec<String>,
    pub features: Vec<String>,
}

/// Who decided a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SetBy {
    Config,
    Store,
}

impl Store {
    /// The state of every flag.
    pub async fn flags(&self, flags: &Flags) -> Result<Vec<FlagState>, StoreError> {
        let rows =
            answered(sqlx::query("SELECT name, enabled FROM headcount_flags").fetch_all(&self.pool)).await?;
        let mut states: Vec<_> = flags
            .known
            .iter()
            .map(|name| FlagState {
                name: name.clone(),
                enabled: flags.features.contains(name),
                set_by: SetBy::Config,
            })
            .collect();
        for row in rows {
            let name: String = row.try_get("name")?;
            if let Some(state) = states.iter_mut().find(|state| state.name == name) {
                state.enabled = row.try_get::<i64, _>("enabled")? != 0;
                state.set_by = SetBy::Store;
            }
        }
        Ok(states)
    }

    /// Switches a flag, whatever the configuration says.
    pub async fn set_flag(&self, flag: &str, enabled: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO headcount_flags (name, enabled, changed_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, changed_at = excluded.changed_at";
        self.write(sqlx::query(sql).bind(flag).bind(i64::from(enabled)).bind(now.micros())).await.map(drop)
    }
}
