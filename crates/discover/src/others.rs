//! Tables beside that of the users that tell something of them, and what their cells look like.

use super::guess::roles;
use super::samples::{Request, Samples};
use headcount_source::catalogue::{Catalogue, Table};
use headcount_source::{TableName, quote};

/// Rows of one such table that are looked at: roles are few.
pub const ROWS: u32 = 100;

/// The samples of the tables beside.
#[derive(Clone, Debug, Default)]
pub struct Others(Vec<(TableName, Samples)>);

impl Others {
    /// What to ask the database for, each with its table.
    pub fn requests<'a>(catalogue: &'a Catalogue, users: &'a Table) -> Vec<(&'a Table, Request)> {
        let mut requests: Vec<(&Table, Request)> = Vec::new();
        for path in roles::paths(catalogue, users) {
            let is_new = !requests.iter().any(|(table, _)| table.name == path.table.name);
            if let Some(word) = path.word.filter(|_| is_new) {
                let columns = vec![word.name.clone()];
                requests
                    .push((path.table, Request::of_columns(catalogue.database, path.table, columns, ROWS)));
            }
        }
        requests
    }

    /// Adds the sample of a table.
    pub fn add(&mut self, table: &Table, samples: Samples) {
        self.0.push((table.name.clone(), samples));
    }

    pub(super) fn samples(&self, table: &TableName) -> Option<&Samples> {
        self.0.iter().find(|(name, _)| name == table).map(|(_, samples)| samples)
    }

    /// A table as an expression names it: with its schema where the name alone would not find it.
    pub(super) fn written(table: &Table) -> String {
        if table.is_found_by_name { quote(table.name.name()) } else { table.name.quoted() }
    }
}
