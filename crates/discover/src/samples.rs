//! The cells that a proposal may look at.

use headcount_source::catalogue::{ColumnKind, Database, Row, Sample, Table};
use std::collections::BTreeSet;

/// Rows that one sample takes.
pub const ROWS: u32 = 50;

/// More different values than this are no status and no role.
const FEW: usize = 12;

/// The first characters of a few cells of each column.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    columns: Vec<(String, Vec<Option<String>>)>,
}

impl Samples {
    /// What to ask the database for: every column that can be read and shown as text.
    pub fn request(database: Database, table: &Table) -> Sample {
        let columns = Self::sampled(database, table);
        Sample {
            table: table.name.clone(),
            expressions: columns.iter().map(|column| database.excerpt(column)).collect(),
            condition: None,
            order_by: None,
            limit: ROWS,
            search_path: None,
        }
    }

    /// The answer to [`Samples::request`].
    pub fn of(database: Database, table: &Table, rows: &[Row]) -> Self {
        let columns = Self::sampled(database, table).into_iter().enumerate();
        let cells = |at: usize| rows.iter().map(|row| row.get(at).cloned().flatten()).collect();
        Self { columns: columns.map(|(at, column)| (column.to_owned(), cells(at))).collect() }
    }

    fn sampled(database: Database, table: &Table) -> Vec<&str> {
        // PostgreSQL's other types (bytes, documents, vectors) are large and never mapped.
        let is_shown = |kind| database == Database::Sqlite || kind != ColumnKind::Other;
        let columns = table.columns.iter().filter(|column| column.is_readable && is_shown(column.kind));
        columns.map(|column| column.name.as_str()).collect()
    }

    /// The cells of a column that are neither NULL nor empty.
    pub fn filled(&self, column: &str) -> impl Iterator<Item = &str> {
        self.cells(column).iter().flatten().map(String::as_str).filter(|cell| !cell.is_empty())
    }

    /// The cells of two columns in the rows that have both.
    pub fn pairs<'a>(&'a self, one: &str, other: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.cells(one).iter().zip(self.cells(other));
        let pairs = pairs.filter_map(|(one, other)| Some((one.as_deref()?, other.as_deref()?)));
        pairs.filter(|(one, other)| !one.is_empty() && !other.is_empty())
    }

    /// Whether most cells of a column look like addresses.
    pub fn are_addresses(&self, column: &str) -> bool {
        let (with_at, all) = self
            .filled(column)
            .fold((0, 0), |(with_at, all), cell| (with_at + usize::from(cell.contains('@')), all + 1));
        with_at * 2 > all
    }

    /// The different values of a column, if they are few enough to be a status.
    pub fn few_values(&self, column: &str) -> BTreeSet<&str> {
        let values: BTreeSet<_> = self.filled(column).collect();
        if values.len() > FEW { BTreeSet::new() } else { values }
    }

    /// The cells of a column that are whole numbers.
    pub fn integers(&self, column: &str) -> Vec<i64> {
        self.filled(column).filter_map(|cell| cell.parse().ok()).collect()
    }

    fn cells(&self, column: &str) -> &[Option<String>] {
        self.columns.iter().find(|(name, _)| name == column).map_or(&[], |(_, cells)| cells)
    }

    #[cfg(test)]
    pub(crate) fn with(mut self, column: &str, cells: &[&str]) -> Self {
        self.columns.push((column.to_owned(), cells.iter().map(|cell| Some((*cell).to_owned())).collect()));
        self
    }
}
