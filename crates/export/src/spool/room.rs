//! The disk that the spools of all exports share, and what is taken of it.

use headcount_files::links;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Once, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where the spools of all exports are, and how much they may hold.
#[derive(Debug)]
pub struct SpoolLimits {
    /// Made where it is missing.
    pub directory: PathBuf,
    /// All of them together, in bytes, of which one has at most half, and those of one key three quarters; 0: nothing is ever
    /// written.
    pub bytes: usize,
    /// How long one export may hold the source, beyond what its client would take at the pace, while there is no room for what
    /// that does not take.
    pub hold: Duration,
}

/// The disk that the spools of all exports share.
pub(crate) struct Spools {
    limits: SpoolLimits,
    free: Semaphore,
    /// What the exports of a key may still take together, as long as there are any.
    by_key: Mutex<HashMap<String, Weak<Semaphore>>>,
    used: Gauge,
    warned: Once,
}

impl Spools {
    /// Shows in `used` how many bytes are taken.
    pub(crate) fn new(limits: SpoolLimits, used: Gauge) -> Arc<Self> {
        let (free, by_key) = (bytes(limits.bytes), Mutex::default());
        Arc::new(Self { limits, free, by_key, used, warned: Once::new() })
    }

    pub(crate) fn hold(&self) -> Duration {
        self.limits.hold
    }

    /// Whether nothing may be written.
    pub(super) fn is_none(&self) -> bool {
        self.limits.bytes == 0
    }

    /// What the exports of a key have together, so that those of another find something.
    fn of_key(&self, key: Option<&str>) -> Arc<Semaphore> {
        let new = || Arc::new(bytes(self.limits.bytes / 4 * 3));
        let Some(key) = key else { return new() };
        let mut by_key = self.by_key.lock();
        if let Some(share) = by_key.get(key).and_then(Weak::upgrade) {
            return share;
        }
        by_key.retain(|_, share| share.strong_count() > 0);
        let share = new();
        by_key.insert(key.to_owned(), Arc::downgrade(&share));
        share
    }

    /// A file that has no name, for its owner alone.
    pub(super) fn file(&self) -> io::Result<File> {
        tempfile::tempfile_in(links::own_directory(&self.limits.directory)?)
    }

    /// Tells the log, once, that there can be no file.
    pub(super) fn warn(&self, error: &io::Error) {
        let directory = self.limits.directory.display();
        self.warned.call_once(|| {
            tracing::warn!(%directory, %error, "there is no spool: slow clients keep the source waiting, and may fail");
        });
    }
}

fn bytes(count: usize) -> Semaphore {
    Semaphore::new(count.min(Semaphore::MAX_PERMITS))
}

/// What one export may take of the disk: half of it, so that one slow client leaves room for others.
pub(super) struct Quota {
    spools: Arc<Spools>,
    of_key: Arc<Semaphore>,
    free: Semaphore,
}

impl Quota {
    pub(super) fn of(spools: &Arc<Spools>, key: Option<&str>) -> Arc<Self> {
        let (of_key, free) = (spools.of_key(key), bytes(spools.limits.bytes / 2));
        Arc::new(Self { spools: Arc::clone(spools), of_key, free })
    }

    /// So many bytes; waits for them, among exports that have not used up their share first come, first served.
    pub(super) async fn room(self: &Arc<Self>, bytes: u32) -> Reservation {
        let own = self.free.acquire_many(bytes).await;
        let of_key = self.of_key.acquire_many(bytes).await;
        match (own, of_key, self.spools.free.acquire_many(bytes).await) {
            (Ok(own), Ok(of_key), Ok(all)) => {
                own.forget();
                of_key.forget();
                all.forget();
            }
            // They are never closed.
            _ => std::future::pending().await,
        }
        self.spools.used.inc_by(bytes.into());
        Reservation { share: Arc::clone(self), bytes: bytes.into() }
    }
}

/// Bytes that are taken, and given back when this is dropped.
pub(crate) struct Reservation {
    share: Arc<Quota>,
    bytes: u64,
}

impl Reservation {
    pub(super) fn none(share: &Arc<Quota>) -> Self {
        Self { share: Arc::clone(share), bytes: 0 }
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Parts with some of it.
    pub(super) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { share: Arc::clone(&self.share), bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Quota { spools, of_key, free } = &*self.share;
        spools.used.dec_by(self.bytes as i64);
        spools.free.add_permits(self.bytes as usize);
        of_key.add_permits(self.bytes as usize);
        free.add_permits(self.bytes as usize);
    }
}
