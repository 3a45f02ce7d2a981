//! A declared set of columns: what one export may show, and what guards it.

use super::Column;
use crate::mask::Mask;

/// One export: its columns, the name of its file, and what guards it.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// On the command line, in metrics and in the audit.
    pub name: String,
    /// Of its endpoint.
    pub path: String,
    /// In their default order; never empty, no name twice.
    pub columns: Vec<ProfileColumn>,
    /// Columns that anybody with its grant may ask about, though it does not show them as they are.
    pub filters: Vec<Column>,
    /// SQL, in the database's own dialect, that a user must meet to be in this export; `None`: all are.
    pub condition: Option<String>,
    /// What a download is called.
    pub filename: String,
    /// The grant that a key needs for it.
    pub grant: String,
}

/// A column as a profile shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileColumn {
    pub column: Column,
    /// Its name in the header and in `fields`, where that is not the column's own.
    pub renamed: Option<String>,
    pub mask: Option<Mask>,
}

/// The path under which every export is.
const BASE: &str = "/api/v1/users";
/// The same of those that are declared.
const DECLARED: &str = "/api/v1/users/exports/profiles/";
/// What the audit has before the name of an export by command.
const COMMAND: &str = "cli export ";

impl Profile {
    /// `id,email,name`.
    pub fn minimal() -> Self {
        Self {
            name: "minimal".to_owned(),
            path: format!("{BASE}/export"),
            columns: [Column::ID, Column::EMAIL, Column::NAME].map(ProfileColumn::from).to_vec(),
            filters: Vec::new(),
            condition: None,
            filename: "users_export.csv".to_owned(),
            grant: "users:export".to_owned(),
        }
    }

    /// All columns of the contract.
    pub fn full() -> Self {
        Self {
            name: "full".to_owned(),
            path: format!("{BASE}/export-full"),
            columns: Column::CONTRACT.map(ProfileColumn::from).to_vec(),
            filters: Vec::new(),
            condition: None,
            filename: "users_full_export.csv".to_owned(),
            grant: "users:export_full".to_owned(),
        }
    }

    /// One that the configuration declares.
    pub fn declared(name: &str, columns: Vec<ProfileColumn>) -> Self {
        Self {
            name: name.to_owned(),
            path: format!("{DECLARED}{name}"),
            columns,
            filters: Vec::new(),
            condition: None,
            filename: format!("users_{name}_export.csv"),
            grant: format!("users:export_{name}"),
        }
    }

    /// What the audit calls an export of this name: its endpoint, and its command. It may be one that is declared no more.
    pub fn endpoints(name: &str) -> [String; 2] {
        let built_in = [Self::minimal(), Self::full()].into_iter().find(|profile| profile.name == name);
        let profile = built_in.unwrap_or_else(|| Self::declared(name, Vec::new()));
        [profile.command(), profile.path]
    }

    /// The export whose endpoint or command the audit calls so.
    pub fn name_of(endpoint: &str) -> Option<&str> {
        let built_in = [Self::minimal(), Self::full()].into_iter().find(|profile| profile.path == endpoint);
        match built_in {
            Some(profile) => ["minimal", "full"].into_iter().find(|name| profile.name == *name),
            None => endpoint.strip_prefix(COMMAND).or_else(|| endpoint.strip_prefix(DECLARED)),
        }
    }

    /// What the audit calls its command.
    pub fn command(&self) -> String {
        format!("{COMMAND}{}", self.name)
    }

    /// The column that the header calls `name`.
    pub fn column(&self, name: &str) -> Option<&ProfileColumn> {
        self.columns.iter().find(|column| column.shown_name() == name)
    }

    /// Whether a column is shown as it is.
    pub fn shows(&self, column: &Column) -> bool {
        self.columns.iter().any(|shown| shown.column == *column && shown.mask.is_none())
    }

    /// Whether everybody who may have the export may ask about a column: its answers say no more than what it shows, or the
    /// configuration has it so.
    pub fn answers_about(&self, column: &Column) -> bool {
        self.shows(column) || self.filters.contains(column)
    }

    /// Whether `after` is of use: what is shown of a masked id cannot be given back.
    pub fn takes_after(&self) -> bool {
        let is_masked = |shown: &ProfileColumn| shown.column == Column::ID && shown.mask.is_some();
        self.filters.contains(&Column::ID) || !self.columns.iter().any(is_masked)
    }

    /// The flag that switches it on, which is called as the grant is.
    pub fn flag(&self) -> &str {
        &self.grant
    }

    /// The names in the header.
    pub fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(ProfileColumn::shown_name).collect()
    }
}

impl ProfileColumn {
    /// Its name in the header and in `fields`.
    pub fn shown_name(&self) -> &str {
        self.renamed.as_deref().unwrap_or(self.column.name())
    }
}

impl From<Column> for ProfileColumn {
    fn from(column: Column) -> Self {
        Self { column, renamed: None, mask: None }
    }
}
