//! What an export could show of whom: the part of a record and a receipt that tells a masked export from one in the clear.

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
