//! Feature flags: off, unless the configuration or, above it, the store says otherwise.

use super::{Store, StoreError};
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;

/// One of the four endpoints, as something that can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Flag {
    #[serde(rename = "users:export")]
    #[value(name = "users:export")]
    Export,
    #[serde(rename = "users:export_full")]
    #[value(name = "users:export_full")]
    ExportFull,
    #[serde(rename = "users:export_alive")]
    #[value(name = "users:export_alive")]
    ExportAlive,
    #[serde(rename = "users:export_simple")]
    #[value(name = "users:export_simple")]
    ExportSimple,
}

impl Flag {
    /// Every flag, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Export, Self::ExportFull, Self::ExportAlive, Self::ExportSimple];

    /// As it stands in the configuration, in the store and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Export => "users:export",
            Self::ExportFull => "users:export_full",
            Self::ExportAlive => "users:export_alive",
            Self::ExportSimple => "users:export_simple",
        }
    }

    /// The flag of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }
}

/// Whether a flag is on, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FlagState {
    pub name: Flag,
    pub enabled: bool,
    pub set_by: SetBy,
}

/// Who decided a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SetBy {
    Config,
    Store,
}

impl Store {
    /// The state of every flag, where `features` are those that the configuration switches on.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn flags(&self, features: &[Flag]) -> Result<[FlagState; 4], StoreError> {
        let rows = sqlx::query("SELECT name, enabled FROM headcount_flags").fetch_all(&self.pool).await?;
        let mut states = Flag::ALL.map(|name| FlagState {
            name,
            enabled: features.contains(&name),
            set_by: SetBy::Config,
        });
        for row in rows {
            let name: String = row.try_get("name")?;
            if let Some(state) = states.iter_mut().find(|state| state.name.name() == name) {
                state.enabled = row.try_get::<i64, _>("enabled")? != 0;
                state.set_by = SetBy::Store;
            }
        }
        Ok(states)
    }

    /// Whether one flag is on.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn is_enabled(&self, flag: Flag, features: &[Flag]) -> Result<bool, StoreError> {
        let states = self.flags(features).await?;
        Ok(states.iter().any(|state| state.name == flag && state.enabled))
    }

    /// Switches a flag, whatever the configuration says.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub async fn set_flag(&self, flag: Flag, enabled: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO headcount_flags (name, enabled, changed_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, changed_at = excluded.changed_at";
        sqlx::query(sql)
            .bind(flag.name())
            .bind(i64::from(enabled))
            .bind(now.micros())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
