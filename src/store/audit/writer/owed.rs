//! How requests ended that the store would not note when it was told. It is told again.

use super::{Answer, Write};
use crate::store::StoreError;
use crate::store::audit::Outcome;
use crate::store::audit::records::Record;

/// Writes that are kept, at most: more than exports run at the same time in all but odd deployments. Exports that find no room
/// become `interrupted` when this process is gone; requests without an export leave no record then.
const ROOM: usize = 1024;

const NOT_IN_TIME: &str = "its outcome could not be recorded in time";

/// What the store is still to be told.
#[derive(Default)]
pub(super) struct Owed(Vec<Write>);

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most so many, to try them again.
    pub(super) fn take(&mut self, most: usize) -> Vec<Write> {
        self.0.drain(..most.min(self.0.len())).collect()
    }

    /// Keeps what was not written at the first try.
    pub(super) fn add(&mut self, write: Write, answer: &Answer) {
        let write = match (write, answer) {
            (_, Ok(()) | Err(StoreError::NotOpen)) | (Write::Nothing, _) => return,
            // There is no export.
            (Write::New(record), _) if record.outcome.is_none() => return,
            (Write::Settled(record), _) => Write::Settled(as_it_looked(record)),
            (write, _) => write,
        };
        self.keep(write);
    }

    /// Keeps what was not written at a further try.
    pub(super) fn add_again(&mut self, write: Write, answer: &Answer) {
        match answer {
            Ok(()) | Err(StoreError::NotOpen) => {}
            // It is there already, from a try whose end was not seen.
            Err(StoreError::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => {}
            Err(_) => self.keep(write),
        }
    }

    /// What was not tried again.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    fn keep(&mut self, write: Write) {
        if self.0.len() < ROOM {
            self.0.push(write);
        }
    }
}

/// Whoever got all rows was told that they are not all, because there was no record of them.
fn as_it_looked(record: Record) -> Record {
    match record.outcome {
        Some(Outcome::Completed) => {
            Record { outcome: Some(Outcome::Failed), reason: Some(NOT_IN_TIME.to_owned()), ..record }
        }
        _ => record,
    }
}
