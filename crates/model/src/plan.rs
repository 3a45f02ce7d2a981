//! What is to be exported: a request or a command line, validated once. Everything after a [`Plan`] is
//! infallible about the request.

mod format;
mod parameters;
mod profile;

pub use format::{CsvOptions, Delimiter, FormatName, Formats, OutputFormat};
pub use parameters::{PARAMETERS, Parameter, ParameterError, ParameterKind, filterable_columns};
pub use profile::{Endpoint, Profile, ProfileColumn};

use crate::timestamp::Timestamp;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;

/// A column that can leave. What the configuration does not declare cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    name: Cow<'static, str>,
    kind: Kind,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer, a UUID or text; unique, and the order of every export.
    Id,
    Text,
    Timestamp,
    Bool,
    /// Whatever the database says that it is.
    AsStored,
}

impl Column {
    pub const ID: Self = Self::contract("id", Kind::Id);
    pub const EMAIL: Self = Self::contract("email", Kind::Text);
    pub const NAME: Self = Self::contract("name", Kind::Text);
    pub const CREATED_AT: Self = Self::contract("created_at", Kind::Timestamp);
    pub const UPDATED_AT: Self = Self::contract("updated_at", Kind::Timestamp);
    pub const IS_ACTIVE: Self = Self::contract("is_active", Kind::Bool);
    pub const IS_ADMIN: Self = Self::contract("is_admin", Kind::Bool);

    /// The columns of the full export, in its order. Every source has them.
    pub const CONTRACT: [Self; 7] = [
        Self::ID,
        Self::EMAIL,
        Self::NAME,
        Self::CREATED_AT,
        Self::UPDATED_AT,
        Self::IS_ACTIVE,
        Self::IS_ADMIN,
    ];

    const fn contract(name: &'static str, kind: Kind) -> Self {
        Self { name: Cow::Borrowed(name), kind }
    }

    /// A column that the configuration adds.
    pub fn further(name: String, kind: Kind) -> Self {
        Self { name: Cow::Owned(name), kind }
    }

    /// The name in the configuration, in `fields` and, unless it is renamed, in the header.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its cells are.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// A condition that a row must meet. A NULL meets none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The email equals this, case and all.
    Email(String),
    /// The timestamp in the column is at or after this.
    AtOrAfter(Column, Timestamp),
    /// The timestamp in the column is before this.
    Before(Column, Timestamp),
    /// The boolean in the column is this.
    Is(Column, bool),
}

impl Filter {
    /// The column that it is about.
    pub fn column(&self) -> Column {
        match self {
            Self::Email(_) => Column::EMAIL,
            Self::AtOrAfter(column, _) | Self::Before(column, _) | Self::Is(column, _) => column.clone(),
        }
    }

    /// The text that it compares with, if it compares texts.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Email(email) => Some(email),
            Self::AtOrAfter(..) | Self::Before(..) | Self::Is(..) => None,
        }
    }

    /// The parameter that asks for it: `created_after` is that of `created_at`.
    pub fn parameter(&self) -> &'static str {
        let name = match self {
            Self::Email(_) => Column::EMAIL.name().to_owned(),
            Self::AtOrAfter(column, _) => column.name().trim_end_matches("_at").to_owned() + "_after",
            Self::Before(column, _) => column.name().trim_end_matches("_at").to_owned() + "_before",
            Self::Is(column, _) => column.name().to_owned(),
        };
        let mut known = PARAMETERS.iter().map(|parameter| parameter.name);
        known.find(|known| *known == name).unwrap_or("filter")
    }
}

/// One export, decided: which columns of which rows, in which format. The order is always ascending by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub profile: Arc<Profile>,
    /// The columns to show, in order; never empty, none twice.
    pub columns: Vec<ProfileColumn>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// At most so many rows, 1 or more.
    pub limit: Option<i64>,
    /// Only ids greater than this, written as the export writes ids. Whether it fits the table's ids is
    /// for the source to say.
    pub after: Option<String>,
    pub format: OutputFormat,
    /// Whether the export is only to be described.
    pub preflight: bool,
    /// Exports whose conditions are looked at, too, though none of them is run.
    pub covered: Vec<Arc<Profile>>,
}

impl Plan {
    /// The plan of a request without parameters: everybody.
    pub fn new(profile: Arc<Profile>) -> Self {
        Self {
            columns: profile.columns.clone(),
            profile,
            filters: Vec::new(),
            limit: None,
            after: None,
            format: OutputFormat::default(),
            preflight: false,
            covered: Vec::new(),
        }
    }

    /// A plan that touches every column and condition of these profiles: for finding out whether all of them can be answered.
    pub fn covering(profiles: &[Arc<Profile>]) -> Self {
        let mut plan = Self { covered: profiles.to_vec(), ..Self::new(Arc::new(Profile::full())) };
        for shown in profiles.iter().flat_map(|profile| &profile.columns) {
            if !plan.columns.iter().any(|known| known.column == shown.column) {
                plan.columns.push(shown.column.clone().into());
            }
        }
        plan
    }

    /// Whether it asks for every row from where it begins.
    pub fn reads_to_the_end(&self) -> bool {
        self.limit.is_none() && self.filters.is_empty()
    }

    /// Whether it asks for every row.
    pub fn is_whole(&self) -> bool {
        self.reads_to_the_end() && self.after.is_none()
    }

    /// The texts that the database compares with its own, each with the parameter that it came in.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let filters =
            self.filters.iter().filter_map(|filter| filter.text().map(|text| (filter.parameter(), text)));
        filters.chain(self.after.as_deref().map(|after| ("after", after)))
    }

    /// The administrator's SQL that its users meet, each with the name of its setting; `of_all` is `source.where`.
    pub fn conditions<'a>(&'a self, of_all: Option<&'a str>) -> impl Iterator<Item = (String, &'a str)> {
        let of_profiles = std::iter::once(&self.profile).chain(&self.covered).filter_map(|profile| {
            let sql = profile.condition.as_deref()?;
            Some((format!("exports.{}.where", profile.name), sql))
        });
        of_all.map(|sql| ("source.where".to_owned(), sql)).into_iter().chain(of_profiles)
    }

    /// The names in the header.
    pub fn column_names(&self) -> Vec<String> {
        self.columns.iter().map(|shown| shown.shown_name().to_owned()).collect()
    }
}

/// A text that stands for a user in what the audit or the log is told: an address only as `sha256:` and the hash in hexadecimal.
pub fn discreet(text: &str) -> String {
    if text.contains('@') { hashed(text) } else { text.escape_debug().to_string() }
}

/// What stands for an address until it is recorded.
pub fn hashed(text: &str) -> String {
    format!("sha256:{}", crate::text::hex(&Sha256::digest(text.as_bytes())))
}
