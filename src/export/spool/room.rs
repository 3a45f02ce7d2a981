//! The disk that the spools of all exports share, and what is taken of it.

use prometheus_client::metrics::gauge::Gauge;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where the spools of all exports are, and how much they may hold.
#[derive(Debug)]
pub struct SpoolLimits {
    /// Made where it is missing.
    pub directory: PathBuf,
    /// All of them together, in bytes; 0: nothing is ever written.
    pub bytes: usize,
    /// How long, in all, one export may wait while there is no room for what its client does not take.
    pub hold: Duration,
}

/// The disk that the spools of all exports share.
pub(in crate::export) struct Spools {
    limits: SpoolLimits,
    free: Semaphore,
    used: Gauge,
}

impl Spools {
    /// Shows in `used` how many bytes are taken.
    pub(in crate::export) fn new(limits: SpoolLimits, used: Gauge) -> Arc<Self> {
        let free = Semaphore::new(limits.bytes.min(Semaphore::MAX_PERMITS));
        Arc::new(Self { limits, free, used })
    }

    pub(in crate::export) fn hold(&self) -> Duration {
        self.limits.hold
    }

    /// So many bytes; waits for them, who came first is first.
    pub(in crate::export) async fn room(self: &Arc<Self>, bytes: u32) -> Room {
        match self.free.acquire_many(bytes).await {
            Ok(permit) => permit.forget(),
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
        self.used.inc_by(bytes.into());
        Room { spools: Arc::clone(self), bytes: bytes.into() }
    }

    /// A file that has no name, for its owner alone.
    pub(super) fn file(&self) -> io::Result<File> {
        let directory = &self.limits.directory;
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        tempfile::tempfile_in(directory)
    }
}

/// Bytes that are taken, and given back when this is dropped.
pub(in crate::export) struct Room {
    spools: Arc<Spools>,
    bytes: u64,
}

impl Room {
    pub(super) fn none(spools: &Arc<Spools>) -> Self {
        Self { spools: Arc::clone(spools), bytes: 0 }
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Parts with some of it.
    pub(super) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { spools: Arc::clone(&self.spools), bytes }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.spools.used.dec_by(self.bytes as i64);
        self.spools.free.add_permits(self.bytes as usize);
    }
}
