//! The chunks that a client has not taken yet, in a file that nobody else can open and that is gone with this process.

mod room;

use super::reader::Next;
use crate::source::SourceError;
use bytes::Bytes;
pub use room::SpoolLimits;
pub(super) use room::{Room, Spools};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

/// Chunks begin at a multiple of what file systems give and take back.
const BLOCK: usize = 4096;

/// The spool of one export.
pub(super) struct Spool {
    file: Arc<SpoolFile>,
    /// Where the next chunk goes. It only grows: what lies before was taken back.
    end: u64,
}

struct SpoolFile {
    file: Arc<File>,
    /// What it takes of the disk.
    room: Mutex<Room>,
}

/// The bytes of disk that a chunk takes.
pub(super) fn size_on_disk(chunk: &Bytes) -> u32 {
    // No chunk comes near 4 GiB.
    chunk.len().next_multiple_of(BLOCK).try_into().unwrap_or(u32::MAX)
}

impl Spool {
    pub(super) async fn open(spools: &Arc<Spools>) -> io::Result<Self> {
        let (opening, room) = (Arc::clone(spools), Mutex::new(Room::none(spools)));
        let file = spawn_blocking(move || opening.file()).await.map_err(io::Error::other)??;
        Ok(Self { file: Arc::new(SpoolFile { file: Arc::new(file), room }), end: 0 })
    }

    /// Writes a chunk into the room that was taken for it.
    pub(super) async fn append(&mut self, bytes: Bytes, rows: u64, room: Room) -> io::Result<Stored> {
        let stored = Stored { file: Arc::clone(&self.file), at: self.end, length: bytes.len(), rows };
        self.end += u64::from(size_on_disk(&bytes));
        self.file.room().add(room);
        let writing = spawn_blocking(move || {
            stored.file.file.write_all_at(&bytes, stored.at)?;
            Ok(stored)
        });
        writing.await.map_err(io::Error::other)?
    }
}

impl SpoolFile {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
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
        let bytes = Bytes::from(bytes);
        let (flags, size) =
            (FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, size_on_disk(&bytes).into());
        // Not every file system takes back a part of a file; then it takes back all of it at the end.
        if fallocate(&self.file.file, flags, self.at, size).is_ok() {
            drop(self.file.room().split(size));
        }
        Ok(bytes)
    }
}

/// Why an export whose spool fails is not complete.
pub(super) fn broken(error: &io::Error) -> SourceError {
    SourceError::Failed(format!("the spool of a client that is slower than the source: {error}"))
}
