//! Tables beside that of the users that tell something of them, and what their cells look like.

use super::is_found_by_all;
use super::samples::Samples;
use headcount_source::catalogue::Table;
use headcount_source::{TableName, quote};

/// The samples of the tables beside.
#[derive(Clone, Debug, Default)]
pub struct Others(Vec<(TableName, Samples)>);

impl Others {
    /// Adds the sample of a table.
    pub fn add(&mut self, table: &Table, samples: Samples) {
        self.0.push((table.name.clone(), samples));
    }

    pub(super) fn samples(&self, table: &TableName) -> Option<&Samples> {
        self.0.iter().find(|(name, _)| name == table).map(|(_, samples)| samples)
    }

    /// A table as an expression names it: with its schema unless every role looks there by itself.
    pub(super) fn written(table: &Table) -> String {
        if is_found_by_all(table) { quote(table.name.name()) } else { table.name.quoted() }
    }
}
