//! What an export could show of whom: the part of a record that tells a masked export from one in the clear.

use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// As the configuration had it when the export began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// As `source.table` names it.
    pub table: Option<String>,
    /// The mask of each column that has one, by the column's name in the header.
    pub masks: BTreeMap<String, String>,
    /// The administrator's SQL that every user met, by the name of its setting.
    pub conditions: BTreeMap<String, String>,
    /// Who ran the command.
    pub system_user: Option<String>,
}

impl Scope {
    /// As the store keeps it.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        serde_json::from_str(text)
            .map_err(|_| StoreError::Unreadable("what an export could show, which is not JSON".to_owned()))
    }
}
