//! The chunks that a client has not taken yet, in a file that nobody else can open and that is gone with this process.

mod room;

use super::reader::Next;
use bytes::Bytes;
use headcount_source::SourceError;
use parking_lot::{Mutex, MutexGuard};
use room::Quota;
pub use room::SpoolLimits;
pub(super) use room::{Reservation, Spools};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// Chunks begin at a multiple of what file systems give and take back. What says that its blocks are larger is a network's, which
/// means something else.
const BLOCKS: RangeInclusive<u64> = 4096..=128 * 1024;

/// The spool of one export.
pub(super) struct Spool {
    file: Arc<SpoolFile>,
    /// What it may take of the disk.
    share: Arc<Quota>,
    block: u64,
    /// Where the next chunk goes. It only grows: what lies before was taken back.
    end: u64,
}

struct SpoolFile {
    file: Arc<File>,
    /// What it takes of the disk.
    room: Mutex<Reservation>,
}

impl Spool {
    /// `None`: nothing may be written; or nothing can be, of which the log is told.
    pub(super) async fn open(spools: &Arc<Spools>, key: Option<&str>, patience: Duration) -> Option<Self> {
        if spools.is_none() {
            return None;
        }
        let opening = Arc::clone(spools);
        let opening = spawn_blocking(move || {
            let file = opening.file()?;
            let block = file.metadata()?.blksize().clamp(*BLOCKS.start(), *BLOCKS.end());
            Ok((file, block))
        });
        let opened = match timeout(patience, opening).await {
            Ok(opened) => opened.map_err(io::Error::other).flatten(),
            Err(late) => Err(late.into()),
        };
        let (file, block) = opened.inspect_err(|error| spools.warn(error)).ok()?;
        let share = Quota::of(spools, key);
        let room = Mutex::new(Reservation::none(&share));
        Some(Self { file: Arc::new(SpoolFile { file: Arc::new(file), room }), share, block, end: 0 })
    }

    /// Waits for room for a chunk.
    pub(super) async fn room(&self, chunk: &Bytes) -> Reservation {
        // No chunk comes near 4 GiB.
        self.share.room(self.size_on_disk(chunk).try_into().unwrap_or(u32::MAX)).await
    }

    fn size_on_disk(&self, chunk: &Bytes) -> u64 {
        (chunk.len() as u64).next_multiple_of(self.block)
    }

    /// Writes a chunk into the room that was taken for it.
    pub(super) async fn append(&mut self, bytes: Bytes, rows: u64, room: Reservation) -> io::Result<Stored> {
        let (at, size) = (self.end, self.size_on_disk(&bytes));
        let stored = Stored { file: Arc::clone(&self.file), at, size, length: bytes.len(), rows };
        self.end += size;
        self.file.room().add(room);
        let writing = spawn_blocking(move || {
            stored.file.file.write_all_at(&bytes, stored.at)?;
            Ok(stored)
        });
        writing.await.map_err(io::Error::other)?
    }
}

impl SpoolFile {
    fn room(&self) -> MutexGuard<'_, Reservation> {
        self.room.lock()
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        let (file, room) = (Arc::clone(&self.file), self.room().split(u64::MAX));
        // The kernel takes its time over a large file. Without a runtime the process ends, and with it the file.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || {
                let _ = file.set_len(0);
                drop((file, room));
            });
        }
    }
}

/// A chunk in a spool.
pub(super) struct Stored {
    file: Arc<SpoolFile>,
    at: u64,
    /// Of the disk.
    size: u64,
    length: usize,
    rows: u64,
}

impl Stored {
    /// Reads the chunk, on a thread that may block.
    pub(super) fn fetch(self) -> JoinHandle<Next> {
        spawn_blocking(move || match self.read() {
            Ok(bytes) => Next::Chunk { bytes, rows: self.rows },
            Err(error) => Next::Verdict(Err(broken(&error))),
        })
    }

    fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.length];
        self.file.file.read_exact_at(&mut bytes, self.at)?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Not every file system takes back a part of a file; then it takes back all of it at the end.
        if fallocate(&self.file.file, flags, self.at, self.size).is_ok() {
            drop(self.file.room().split(self.size));
        }
        Ok(Bytes::from(bytes))
    }
}

/// Why an export whose spool fails is not complete.
pub(super) fn broken(error: &io::Error) -> SourceError {
    SourceError::Failed(format!("the spool of a client that is slower than the source: {error}"))
}
