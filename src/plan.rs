//! What is to be exported: a request or a command line, validated once. Everything after a [`Plan`] is
//! infallible about the request.

mod parameters;

pub use parameters::{PARAMETERS, Parameter, ParameterError};

use crate::timestamp::Timestamp;
use sha2::{Digest, Sha256};

/// A column that can leave. What is not listed here cannot be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Id,
    Email,
    Name,
    CreatedAt,
    UpdatedAt,
    IsActive,
    IsAdmin,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer, a UUID or text; unique, and the order of every export.
    Id,
    Text,
    Timestamp,
    Bool,
}

impl Column {
    /// The name in the header, in `fields` and in the users table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Email => "email",
            Self::Name => "name",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::IsActive => "is_active",
            Self::IsAdmin => "is_admin",
        }
    }

    /// What its cells are.
    pub fn kind(self) -> Kind {
        match self {
            Self::Id => Kind::Id,
            Self::Email | Self::Name => Kind::Text,
            Self::CreatedAt | Self::UpdatedAt => Kind::Timestamp,
            Self::IsActive | Self::IsAdmin => Kind::Bool,
        }
    }
}

/// A declared set of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Minimal,
    Full,
}

impl Profile {
    /// The columns that it may show, in their default order.
    pub fn columns(self) -> &'static [Column] {
        use Column::*;
        match self {
            Self::Minimal => &[Id, Email, Name],
            Self::Full => &[Id, Email, Name, CreatedAt, UpdatedAt, IsActive, IsAdmin],
        }
    }

    /// The name on the command line and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Full => "full",
        }
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

/// One export, decided: which columns of which rows, in which dialect. The order is always ascending by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub profile: Profile,
    /// The columns to show, in order; never empty, none twice.
    pub columns: Vec<Column>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// At most so many rows, 1 or more.
    pub limit: Option<i64>,
    /// Only ids greater than this, written as the export writes ids. Whether it fits the table's ids is
    /// for the source to say.
    pub after: Option<String>,
    /// Whether the file starts with a byte order mark.
    pub bom: bool,
    /// Whether text that looks like a formula is marked.
    pub sanitize: bool,
}

impl Plan {
    /// The plan of a request without parameters: everybody.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            columns: profile.columns().to_vec(),
            filters: Vec::new(),
            limit: None,
            after: None,
            bom: false,
            sanitize: true,
        }
    }

    /// What the audit keeps of the plan: every parameter that differs from its default, the email only as
    /// `sha256:` and the hash in hexadecimal.
    pub fn summary(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut summary = serde_json::Map::new();
        if self.columns != self.profile.columns() {
            let names: Vec<_> = self.columns.iter().map(|column| column.name()).collect();
            summary.insert("fields".into(), names.join(",").into());
        }
        for filter in &self.filters {
            let (name, value) = match filter {
                Filter::Email(email) => {
                    let hash = crate::hex(&Sha256::digest(email.as_bytes()));
                    ("email".to_owned(), format!("sha256:{hash}").into())
                }
                Filter::AtOrAfter(column, time) => (bound(*column, "after"), time.to_string().into()),
                Filter::Before(column, time) => (bound(*column, "before"), time.to_string().into()),
                Filter::Is(column, value) => (column.name().to_owned(), (*value).into()),
            };
            summary.insert(name, value);
        }
        if let Some(limit) = self.limit {
            summary.insert("limit".into(), limit.into());
        }
        if let Some(after) = &self.after {
            summary.insert("after".into(), after.as_str().into());
        }
        if self.bom {
            summary.insert("bom".into(), true.into());
        }
        if !self.sanitize {
            summary.insert("sanitize".into(), false.into());
        }
        summary
    }
}

/// `created_at` and `after` make the parameter `created_after`.
fn bound(column: Column, side: &str) -> String {
    let stem = column.name().trim_end_matches("_at");
    format!("{stem}_{side}")
}
