//! Turns to write in a SQLite file. There whoever waits for another writer looks again every 100 ms, and has hardly a chance
//! beside one that commits all the time. Here the writers of a process have their turns in the order of their coming, and
//! processes wait for a lock that wakes them.

use super::{StoreError, beside, open_file};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

/// The turns of one store.
#[derive(Clone)]
pub(super) struct Turns {
    path: Arc<PathBuf>,
    file: Arc<Mutex<File>>,
}

/// The right to write, until it is dropped. SQLite's own locks decide in the end: who knows nothing of turns, as a backup, waits as
/// SQLite has it.
pub(super) struct Turn(OwnedMutexGuard<File>);

impl Turns {
    /// Those of the store in this file.
    pub(super) fn of(store: &Path) -> Result<Self, StoreError> {
        let path = beside(store, ".turn");
        let file = open_file(&path)?;
        Ok(Self { path: Arc::new(path), file: Arc::new(Mutex::new(file)) })
    }

    /// Waits for a turn. If it is not waited for any more, it passes as soon as it comes.
    pub(super) async fn next(&self) -> Result<Turn, StoreError> {
        let file = Arc::clone(&self.file).lock_owned().await;
        let waiting = spawn_blocking(move || file.lock().map(|()| Turn(file)));
        let turn = waiting.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        turn.map_err(|cause| StoreError::File { path: self.path.to_path_buf(), cause })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // It cannot fail for a lock that is held.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_process_writes_at_a_time_and_who_leaves_lets_others_pass() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = directory.path().join("headcount.db");
        // Locks belong to open files: this is what two processes see of each other.
        let [here, there] = [(); 2].map(|()| Turns::of(&store).expect("turns"));
        let others = File::open(beside(&store, ".turn")).expect("the file");

        let turn = here.next().await.expect("a turn");
        assert!(others.try_lock().is_err());
        // One waits for the other process, one behind that, and both leave.
        let leaving = [(); 2].map(|()| {
            let there = there.clone();
            tokio::spawn(async move { there.next().await.map(drop) })
        });
        tokio::task::yield_now().await;
        for waiting in leaving {
            assert!(!waiting.is_finished());
            waiting.abort();
        }
        drop(turn);
        drop(here.next().await.expect("a turn"));
        drop(there.next().await.expect("a turn"));
        others.try_lock().expect("nobody has a turn");
    }
}
