//! How requests ended that the store would not note when it was told. It is told again.

use super::{Answer, Write};
use crate::StoreError;
use crate::audit::Outcome;
use crate::audit::records::Record;

/// Writes that are kept, at most: more than exports run at the same time in all but odd deployments. Exports that find no room
/// become `interrupted` when this process is gone; requests without an export leave no record then.
pub(super) const ROOM: usize = 1024;

const NOT_IN_TIME: &str = "its outcome could not be recorded in time";

/// What the store is still to be told.
#[derive(Default)]
pub(super) struct RetryQueue {
    writes: Vec<Write>,
    /// How many found no room and were not logged yet.
    lost: usize,
}

impl RetryQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// At most so many, to try them again.
    pub(super) fn take(&mut self, most: usize) -> Vec<Write> {
        self.writes.drain(..most.min(self.writes.len())).collect()
    }

    /// Keeps what was not written.
    pub(super) fn add(&mut self, write: Write, answer: &Answer) {
        match (write, answer) {
            (_, Ok(()) | Err(StoreError::NotOpen)) | (Write::Nothing, _) => {}
            // There is no export.
            (Write::New(record), _) if record.outcome.is_none() => {}
            (Write::New(record), _) => self.keep(Write::New(as_it_looked(record))),
            (Write::Settled(record), _) => self.keep(Write::Settled(as_it_looked(record))),
        }
    }

    /// What was not tried again.
    pub(super) fn extend(&mut self, others: Self) {
        self.writes.extend(others.writes);
    }

    /// Says how many found no room since this was said last.
    pub(super) fn log_lost(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            tracing::error!(
                lost,
                "the store is away for too long and will not be told how these requests ended"
            );
        }
    }

    /// What is worth less gives way.
    fn keep(&mut self, write: Write) {
        if self.writes.len() == ROOM {
            self.lost += 1;
            let least = self.writes.iter().enumerate().min_by_key(|(_, kept)| kept.rank());
            match least.map(|(at, kept)| (at, kept.rank())) {
                Some((at, rank)) if rank < write.rank() => drop(self.writes.remove(at)),
                _ => return,
            }
        }
        self.writes.push(write);
    }
}

/// Whoever got all rows was told that they are not all, because there was no record of them; and who only wanted a look, that
/// it failed.
fn as_it_looked(record: Record) -> Record {
    match record.outcome {
        Some(Outcome::Completed) => {
            Record { outcome: Some(Outcome::Failed), reason: Some(NOT_IN_TIME.to_owned()), ..record }
        }
        _ => record,
    }
}
