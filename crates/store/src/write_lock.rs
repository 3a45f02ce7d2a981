//! A fair write lock for a SQLite file. SQLite itself polls every 100 ms, so that a writer has hardly a chance beside one that
//! commits all the time. Here the writers of a process queue in order, and processes wait for a file lock that wakes them.

use super::{StoreError, beside, open_file};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

/// The write lock of one store.
#[derive(Clone)]
pub(super) struct WriteLock {
    path: Arc<PathBuf>,
    file: Arc<Mutex<File>>,
}

/// The right to write, until it is dropped. SQLite's own locks decide in the end: a program that does not know this one, as a backup,
/// waits as SQLite has it.
pub(super) struct WriteGuard(OwnedMutexGuard<File>);

impl WriteLock {
    /// That of the store in this file.
    pub(super) fn of(store: &Path) -> Result<Self, StoreError> {
        let path = beside(store, ".turn");
        let file = open_file(&path)?;
        Ok(Self { path: Arc::new(path), file: Arc::new(Mutex::new(file)) })
    }

    /// Waits for the lock. If the caller stops waiting, it is released as soon as it is acquired.
    pub(super) async fn acquire(&self) -> Result<WriteGuard, StoreError> {
        let file = Arc::clone(&self.file).lock_owned().await;
        let waiting = spawn_blocking(move || file.lock().map(|()| WriteGuard(file)));
        let guard = waiting.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        guard.map_err(|cause| StoreError::File { path: self.path.to_path_buf(), cause })
    }
}

impl Drop for WriteGuard {
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
        let [here, there] = [(); 2].map(|()| WriteLock::of(&store).expect("a lock"));
        let others = File::open(beside(&store, ".turn")).expect("the file");

        let guard = here.acquire().await.expect("the lock");
        assert!(others.try_lock().is_err());
        // One waits for the other process, one behind that, and both leave.
        let leaving = [(); 2].map(|()| {
            let there = there.clone();
            tokio::spawn(async move { there.acquire().await.map(drop) })
        });
        tokio::task::yield_now().await;
        for waiting in leaving {
            assert!(!waiting.is_finished());
            waiting.abort();
        }
        drop(guard);
        drop(here.acquire().await.expect("the lock"));
        drop(there.acquire().await.expect("the lock"));
        others.try_lock().expect("nobody holds the lock");
    }
}
