//! From a catalogue to a configuration: which table has the users, which column is what, and the file that says so.
//! Works on values only: what is read, asked and written is for `cli` to do.

pub mod check;
#[cfg(test)]
mod fixtures;
pub mod grants;
pub mod guess;
pub mod mask;
pub mod others;
pub mod presets;
pub mod rank;
pub mod samples;
pub mod tables;
mod times;
mod toml;
pub mod write;

use headcount_model::sensitive;
use headcount_source::catalogue::{Catalogue, Column, ColumnKind, Database, Table};
use headcount_source::{TableName, TimestampEncoding, quote};
use others::Others;
use presets::Preset;
use samples::Samples;

/// A column of the contract, to be found in somebody's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Id,
    Email,
    Name,
    CreatedAt,
    UpdatedAt,
    IsActive,
    IsAdmin,
}

impl Field {
    /// In the order of the contract.
    pub const ALL: [Self; 7] =
        [Self::Id, Self::Email, Self::Name, Self::CreatedAt, Self::UpdatedAt, Self::IsActive, Self::IsAdmin];

    /// The name in the configuration.
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

    /// Nothing, as an expression of the right type.
    pub fn null(self, database: Database) -> &'static str {
        match (database, self) {
            (Database::Sqlite, _) => "NULL",
            (Database::Postgres, Self::Id | Self::Email | Self::Name) => "NULL::text",
            (Database::Postgres, Self::CreatedAt | Self::UpdatedAt) => "NULL::timestamptz",
            (Database::Postgres, Self::IsActive | Self::IsAdmin) => "NULL::boolean",
        }
    }
}

/// Where a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A column as it is.
    Column(String),
    /// An expression in the database's dialect.
    Sql(String),
    /// Nowhere: it is NULL in every row.
    Nothing,
}

/// How sure a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    Low,
    Medium,
    High,
}

impl Confidence {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "a guess",
            Self::Medium => "likely",
            Self::High => "sure",
        }
    }
}

/// A field with its origin and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub field: Field,
    pub from: Origin,
    pub confidence: Confidence,
    pub reason: String,
    /// What else it could be, for somebody who knows.
    pub hints: Vec<Suggestion>,
    /// Columns of other tables that the expression reads.
    pub reads: Vec<(TableName, Vec<String>)>,
    /// The column that the expression is, but for what NULL means.
    but_for_null: Option<String>,
}

impl Mapped {
    /// From somewhere, with no doubt and nothing else to say.
    fn new(field: Field, from: Origin, confidence: Confidence, reason: String) -> Self {
        Self { field, from, confidence, reason, hints: Vec::new(), reads: Vec::new(), but_for_null: None }
    }

    /// What is selected for it.
    pub fn expression(&self, database: Database) -> String {
        match &self.from {
            Origin::Column(column) => quote(column),
            Origin::Sql(sql) => sql.clone(),
            Origin::Nothing => self.field.null(database).to_owned(),
        }
    }
}

/// SQL that the reader may want, with what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    pub comment: String,
    pub sql: String,
}

/// A column that is never mapped, with what gave it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    pub column: String,
    pub why: String,
}

/// Everything that the configuration will say about the source, but for the URL.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub database: Database,
    pub table: TableName,
    /// The schema in which expressions look for other tables, where it has to be said.
    pub search_path: Option<String>,
    pub preset: Option<&'static Preset>,
    /// Why this table.
    pub recognised: String,
    /// Every field once, in the order of the contract.
    pub columns: Vec<Mapped>,
    pub timestamps: TimestampEncoding,
    /// Whether the ids have a form of a UUID that is not the one in which UUIDs leave, and should stay as they are.
    pub id_as_text: bool,
    /// Mapped columns whose times have no zone.
    pub without_zone: Vec<String>,
    /// The condition that is part of the configuration.
    pub condition: Option<Suggestion>,
    /// Conditions that stand there as comments.
    pub suggestions: Vec<Suggestion>,
    pub warnings: Vec<String>,
    pub left_alone: Vec<LeftAlone>,
    /// Further columns that could be exported, in the order of the table.
    pub further: Vec<String>,
}

/// Two or more columns that fit a field equally well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    pub field: Field,
    pub columns: Vec<String>,
}

/// Somebody's decision for a field, which nothing here overrides.
pub type Choices = Vec<(Field, String)>;

/// A table with what its cells look like.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub catalogue: &'a Catalogue,
    pub table: &'a Table,
    pub samples: &'a Samples,
    pub others: &'a Others,
}

impl<'a> Subject<'a> {
    fn database(self) -> Database {
        self.catalogue.database
    }

    /// The columns that a field may come from: readable, and no credentials by name or content.
    pub fn usable(self) -> impl Iterator<Item = &'a Column> {
        self.table
            .columns
            .iter()
            .filter(move |column| column.is_readable && self.why_sensitive(column).is_none())
    }

    /// What makes a column a credential.
    pub fn why_sensitive(self, column: &Column) -> Option<String> {
        let cells = || self.samples.filled(&column.name);
        // Text that looks random may well be an id, here or of another table.
        let is_key = || column.in_primary_key || self.is_reference(column) || self.is_referred_to(column);
        let is_text = self.is_text(column);
        let content = sensitive::by_content(cells()).filter(|_| is_text && !is_key());
        let name = sensitive::by_name(&column.name);
        let is_called_id = guess::names::rank(&column.name, self.table, guess::names::ID).is_some()
            || sensitive::words(&column.name)
                .iter()
                .any(|word| matches!(word.as_str(), "id" | "uuid" | "guid"));
        match (content, name) {
            (Some(content), _) => Some(content.to_owned()),
            (None, Some(rule)) => Some(format!("named like a credential: {rule}")),
            (None, None) if is_text && column.is_unique && !is_called_id => {
                let is_secret = sensitive::is_random(cells()) && !is_key();
                is_secret.then(|| "random, of each user another, and nothing refers to it".to_owned())
            }
            (None, None) => None,
        }
    }

    /// Whether a column holds text, as declared, or, in SQLite, which lets any column do, as its cells show.
    fn is_text(self, column: &Column) -> bool {
        // Bytes are sampled in hexadecimal.
        let is_bytes =
            |cell: &str| cell.len().is_multiple_of(2) && cell.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut cells = self.samples.filled(&column.name).peekable();
        column.kind == ColumnKind::Text
            || self.database() == Database::Sqlite
                && column.kind == ColumnKind::Other
                && cells.peek().is_some()
                && !cells.all(is_bytes)
    }

    fn is_reference(self, column: &Column) -> bool {
        self.table.references.iter().any(|reference| reference.column == column.name)
    }

    fn is_referred_to(self, column: &Column) -> bool {
        let mut references = self.catalogue.tables.iter().flat_map(|table| &table.references);
        references.any(|reference| reference.table == self.table.name && reference.to == column.name)
    }

    /// Maps every field: as the preset has it, as somebody chose, or as the names and cells suggest.
    ///
    /// # Errors
    ///
    /// A field that two columns fit equally well and nobody chose.
    pub fn propose(
        self,
        preset: Option<&'static Preset>,
        recognised: String,
        choices: &Choices,
    ) -> Result<Proposal, Ambiguous> {
        let mut columns = Vec::new();
        for field in Field::ALL {
            let chosen = choices.iter().find(|(chosen, _)| *chosen == field);
            let mapped = match (chosen, preset) {
                (Some((_, column)), _) => {
                    let from = Origin::Column(column.clone());
                    Some(Mapped::new(field, from, Confidence::High, "chosen".to_owned()))
                }
                (None, Some(preset)) => preset.map(field, self)?,
                (None, None) => guess::field(field, self)?,
            };
            columns.push(mapped.unwrap_or_else(|| nothing(field, guess::why_none(field, self))));
        }
        // However it came about, no mapping names a credential.
        for mapped in &mut columns {
            if let Some(name) = check::credential(&mapped.from) {
                *mapped = nothing(mapped.field, format!("{name} is named like a credential"));
            }
        }
        let mut proposal = Proposal {
            database: self.database(),
            table: short_name(self.table),
            search_path: self.search_path(preset),
            preset,
            recognised,
            columns,
            timestamps: preset.map_or(TimestampEncoding::Auto, |preset| preset.timestamps),
            id_as_text: false,
            without_zone: Vec::new(),
            condition: preset.and_then(|preset| preset.condition(self.table)),
            suggestions: self.suggestions(preset),
            warnings: Vec::new(),
            left_alone: self.left_alone(),
            further: Vec::new(),
        };
        times::settle(&mut proposal, self);
        times::note_zones(&mut proposal, self);
        proposal.id_as_text = self.has_odd_uuids(&proposal);
        proposal.further = self.further(&proposal);
        proposal.warnings.extend(check::of_mapping(&proposal, self));
        Ok(proposal)
    }

    /// Whether the ids are UUIDs as text without hyphens or in upper case, as SQLite's users write them.
    fn has_odd_uuids(self, proposal: &Proposal) -> bool {
        let id = proposal.columns.iter().find(|mapped| mapped.field == Field::Id);
        let Some(Origin::Column(id)) = id.map(|id| &id.from) else { return false };
        let is_odd = |cell: &str| {
            let digits: String = cell.chars().filter(|c| *c != '-').collect();
            let is_uuid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_uuid && (!cell.contains('-') || cell != cell.to_lowercase())
        };
        self.database() == Database::Sqlite && self.samples.filled(id).any(is_odd)
    }

    /// The table's schema, where other tables beside it are read that another role would not find without it.
    fn search_path(self, preset: Option<&Preset>) -> Option<String> {
        let reads_others = preset.is_some_and(|preset| !preset.reads.is_empty());
        let schema = self.table.name.schema().filter(|_| reads_others && !is_found_by_all(self.table));
        schema.map(str::to_owned)
    }

    /// The preset's conditions, or, where it has none, those that the names suggest.
    fn suggestions(self, preset: Option<&Preset>) -> Vec<Suggestion> {
        let known = preset.map_or_else(Vec::new, |preset| preset.suggestions(self.table));
        if known.is_empty() { guess::conditions(self) } else { known }
    }

    fn further(self, proposal: &Proposal) -> Vec<String> {
        let named = grants::columns(proposal, self.table);
        let is_further = |column: &&Column| !named.contains(&column.name.as_str());
        self.usable().filter(is_further).map(|column| column.name.clone()).collect()
    }

    fn left_alone(self) -> Vec<LeftAlone> {
        let why = |column: &Column| {
            Some(LeftAlone { column: column.name.clone(), why: self.why_sensitive(column)? })
        };
        self.table.columns.iter().filter_map(why).collect()
    }
}

fn nothing(field: Field, reason: String) -> Mapped {
    Mapped::new(field, Origin::Nothing, Confidence::Low, reason)
}

/// Whether every role finds a table without its schema, as this one does: where PostgreSQL looks by itself, and in SQLite.
fn is_found_by_all(table: &Table) -> bool {
    table.is_found_by_name && matches!(table.name.schema(), None | Some("public"))
}

/// Without the schema where nobody needs it.
fn short_name(table: &Table) -> TableName {
    if is_found_by_all(table) {
        TableName::new(None, table.name.name().to_owned())
    } else {
        table.name.clone()
    }
}
