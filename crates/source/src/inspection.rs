//! What a source says about itself, for those who run it.

use headcount_model::timestamp::Timestamp;
use std::fmt;
use std::time::Duration;

/// What a plan would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Users that it would give: from the statistics of PostgreSQL; counted by SQLite, which has none. `None` where
    /// counting takes too long, or the statistics cannot be trusted within a factor of two.
    pub rows: Option<u64>,
    /// Whether the rows are found by an index, rather than by looking at all of them; `None` where the server does not explain.
    pub uses_index: Option<bool>,
    /// Whether they have to be sorted, because no index has the order of the ids: nothing leaves before all are read.
    pub sorts: Option<bool>,
}

impl Estimate {
    /// Of a server that tells nothing.
    pub const UNKNOWN: Self = Self { rows: None, uses_index: None, sorts: None };
}

/// What an administrator should know about a source.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Of the database: `PostgreSQL 17.2`.
    pub version: String,
    /// Whether what is read travels encrypted; `None` where it does not travel.
    pub is_encrypted: Option<bool>,
    /// Whether this session can write nothing.
    pub is_read_only: bool,
    /// What this role could do beyond reading the mapped columns, in words: `may write table users`.
    pub excess: Vec<String>,
    /// Columns of the table that this role can read though they look like credentials.
    pub readable_credentials: Vec<String>,
    /// The database's clock.
    pub clock: Option<Timestamp>,
    /// After how long the database ends a statement of this role, whatever it does.
    pub statement_timeout: Option<Duration>,
    /// The schemas of the search path in which others can create or have created something, and who they are; `None` where nothing is
    /// looked up along a path.
    pub others_on_path: Option<Vec<String>>,
    /// Indexes of what is exported that may be in another order than texts have now, and why.
    pub outdated_indexes: Vec<String>,
    /// What is not read from this database alone.
    pub elsewhere: Elsewhere,
}

/// Tables whose rows, or some of them, other servers hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Foreign tables.
    pub foreign: Vec<String>,
    /// Tables that Citus distributes.
    pub distributed: Vec<String>,
}

impl Elsewhere {
    /// Whether everything is here.
    pub fn is_empty(&self) -> bool {
        self.foreign.is_empty() && self.distributed.is_empty()
    }
}

/// Names that are told of many.
const SHOWN: usize = 3;

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let kinds = [("foreign table", &self.foreign), ("Citus table", &self.distributed)];
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{kind} {}", names[..names.len().min(SHOWN)].join(", "))?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
            separator = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_tables_some_are_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let elsewhere =
            Elsewhere { foreign: names(&["a", "b", "c", "d", "e"]), distributed: names(&["users"]) };
        let text = "foreign table a, b, c and 2 more; Citus table users";
        assert_eq!(elsewhere.to_string(), text);
    }
}
