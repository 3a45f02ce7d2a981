//! The cells that a proposal may look at.

use headcount_model::sensitive;
use headcount_source::catalogue::{Column, ColumnKind, Database, Row, Sample, Table};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Rows that one sample takes.
pub const ROWS: u32 = 50;

/// More different values than this are no status and no role.
const FEW: usize = 12;

/// Words of columns that hold lists of roles, as arrays or as JSON.
const LISTS: [&str; 6] = ["role", "roles", "group", "groups", "permission", "permissions"];

/// A question for cells of some columns of a table.
#[derive(Clone, Debug)]
pub struct Request {
    columns: Vec<String>,
    /// What to ask the database.
    pub sample: Sample,
}

impl Request {
    /// Every column that can be read and shown as text.
    pub fn of_table(database: Database, table: &Table) -> Self {
        // PostgreSQL's other types (bytes, documents, vectors) are large and never mapped, but for lists of roles.
        let is_shown = |column: &&Column| {
            let is_list = matches!(column.type_name.as_str(), "_text" | "_varchar" | "json" | "jsonb");
            let is_role = sensitive::words(&column.name).iter().any(|word| LISTS.contains(&word.as_str()));
            column.is_readable
                && (database == Database::Sqlite || column.kind != ColumnKind::Other || is_list && is_role)
        };
        let columns = table.columns.iter().filter(is_shown).map(|column| column.name.clone());
        Self::of_columns(database, table, columns.collect(), ROWS)
    }

    /// These columns, of at most so many rows.
    pub fn of_columns(database: Database, table: &Table, columns: Vec<String>, rows: u32) -> Self {
        let expressions = columns.iter().map(|column| database.excerpt(column)).collect();
        let sample = Sample::of(&table.name, expressions, rows);
        Self { columns, sample }
    }

    /// The answer.
    pub fn answered(&self, rows: &[Row]) -> Samples {
        let cells = |at: usize| rows.iter().map(|row| row.get(at).cloned().flatten()).collect();
        let columns = self.columns.iter().enumerate();
        Samples {
            columns: columns.map(|(at, column)| (column.clone(), cells(at))).collect(),
            rows: rows.len(),
        }
    }
}

/// The first characters of a few cells of each column.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    columns: Vec<(String, Vec<Option<String>>)>,
    rows: usize,
}

impl Samples {
    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether a column has a cell that is neither NULL nor empty.
    pub fn is_filled(&self, column: &str) -> bool {
        self.filled(column).next().is_some()
    }

    /// Whether the cell of a column in a row is neither NULL nor empty.
    pub fn is_filled_in(&self, column: &str, row: usize) -> bool {
        self.cells(column).get(row).is_some_and(|cell| cell.as_ref().is_some_and(|cell| !cell.is_empty()))
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The value that most of the filled cells have.
    pub fn most_frequent(&self, column: &str) -> Option<&str> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.filled(column).for_each(|cell| *counts.entry(cell).or_default() += 1);
        counts.into_iter().max_by_key(|(cell, count)| (*count, Reverse(*cell))).map(|(cell, _)| cell)
    }

    /// Whether a cell of a column is NULL.
    pub fn has_nulls(&self, column: &str) -> bool {
        self.cells(column).iter().any(Option::is_none)
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

    /// Whether most cells of a column look like addresses: `@ada` is a name.
    pub fn are_addresses(&self, column: &str) -> bool {
        let is_address = |cell: &str| {
            cell.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        };
        let (addresses, all) = self
            .filled(column)
            .fold((0, 0), |(addresses, all), cell| (addresses + usize::from(is_address(cell)), all + 1));
        addresses * 2 > all
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

    /// The cells of a column, NULL as `None`; none where it was not asked for.
    pub fn cells(&self, column: &str) -> &[Option<String>] {
        self.columns.iter().find(|(name, _)| name == column).map_or(&[], |(_, cells)| cells)
    }

    #[cfg(test)]
    pub(crate) fn with(mut self, column: &str, cells: &[&str]) -> Self {
        let cells: Vec<_> =
            cells.iter().map(|cell| Some((*cell).to_owned()).filter(|cell| cell != "NULL")).collect();
        self.rows = self.rows.max(cells.len());
        self.columns.push((column.to_owned(), cells));
        self
    }
}
