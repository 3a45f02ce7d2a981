//! A declared set of columns: what one export may show, and what guards it.

use super::{Column, FormatName, Formats};
use crate::mask::Mask;

/// One export: its columns, the name of its file, and what guards it.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// On the command line, in metrics and in the audit.
    pub name: String,
    /// Where it is as CSV and nothing else, beside where all exports are.
    pub csv_path: Option<&'static str>,
    /// In their default order; never empty, no name twice.
    pub columns: Vec<ProfileColumn>,
    /// Columns that anybody with its grant may ask about, though it does not show them as they are.
    pub filters: Vec<Column>,
    /// SQL, in the database's own dialect, that a user must meet to be in this export; `None`: all are.
    pub condition: Option<String>,
    /// The format that is given unasked, but where there is only CSV.
    pub format: FormatName,
    /// What a download in that format is called.
    pub filename: String,
    /// The grant that a key needs for it.
    pub grant: String,
}

/// Where an export is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub path: String,
    pub formats: Formats,
}

/// A column as a profile shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileColumn {
    pub column: Column,
    /// Its name in the header and in `fields`, where that is not the column's own.
    pub renamed: Option<String>,
    pub mask: Option<Mask>,
}

/// The path under which every export is, in all formats.
const PROFILES: &str = "/api/v1/users/exports/profiles/";
/// What the audit has before the name of an export by command.
const COMMAND: &str = "cli export ";

impl Profile {
    /// `id,email,name`.
    pub fn minimal() -> Self {
        Self {
            name: "minimal".to_owned(),
            csv_path: Some("/api/v1/users/export"),
            columns: [Column::ID, Column::EMAIL, Column::NAME].map(ProfileColumn::from).to_vec(),
            filters: Vec::new(),
            condition: None,
            format: FormatName::Csv,
            filename: "users_export.csv".to_owned(),
            grant: "users:export".to_owned(),
        }
    }

    /// All columns of the contract.
    pub fn full() -> Self {
        Self {
            name: "full".to_owned(),
            csv_path: Some("/api/v1/users/export-full"),
            columns: Column::CONTRACT.map(ProfileColumn::from).to_vec(),
            filters: Vec::new(),
            condition: None,
            format: FormatName::Csv,
            filename: "users_full_export.csv".to_owned(),
            grant: "users:export_full".to_owned(),
        }
    }

    /// One that the configuration declares.
    pub fn declared(name: &str, columns: Vec<ProfileColumn>) -> Self {
        Self {
            name: name.to_owned(),
            csv_path: None,
            columns,
            filters: Vec::new(),
            condition: None,
            format: FormatName::Csv,
            filename: format!("users_{name}_export.csv"),
            grant: format!("users:export_{name}"),
        }
    }

    /// Where it is served.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let as_csv = self.csv_path.map(|path| Endpoint { path: path.to_owned(), formats: Formats::CSV });
        let path = format!("{PROFILES}{}", self.name);
        as_csv.into_iter().chain([Endpoint { path, formats: Formats::any(self.format) }])
    }

    /// What the audit calls exports of this name: its endpoints, and its command. It may be one that is declared no more.
    pub fn recorded_as(name: &str) -> Vec<String> {
        let built_in = Self::built_in().into_iter().find(|profile| profile.name == name);
        let profile = built_in.unwrap_or_else(|| Self::declared(name, Vec::new()));
        let endpoints = profile.endpoints().map(|endpoint| endpoint.path);
        endpoints.chain([profile.command()]).collect()
    }

    /// The export whose endpoint or command the audit calls so.
    pub fn name_of(endpoint: &str) -> Option<&str> {
        let built_in = Self::built_in().into_iter().find(|profile| profile.csv_path == Some(endpoint));
        match built_in {
            Some(profile) => ["minimal", "full"].into_iter().find(|name| profile.name == *name),
            None => endpoint.strip_prefix(COMMAND).or_else(|| endpoint.strip_prefix(PROFILES)),
        }
    }

    fn built_in() -> [Self; 2] {
        [Self::minimal(), Self::full()]
    }

    /// What a download in a format is called: the ending is the format's.
    pub fn filename_in(&self, format: FormatName) -> String {
        let stem = match self.filename.rsplit_once('.') {
            _ if format == self.format => return self.filename.clone(),
            Some((stem, ending)) if FormatName::parse(ending).is_some() => stem,
            _ => &self.filename,
        };
        format!("{stem}.{}", format.name())
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
