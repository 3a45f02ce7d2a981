//! Why a client is gone: whether it was cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a client was cut off because it took nothing of its answer for too long. Whoever cuts it off says so
/// before it drops the body; the account reads it when the body is dropped.
#[derive(Clone, Debug, Default)]
pub struct Stall {
    connection: Arc<AtomicBool>,
    stream: Arc<AtomicBool>,
}

impl Stall {
    /// That of a stream in HTTP/2, which may be cut off alone or with its connection, whose this is.
    #[must_use]
    pub fn of_stream(&self, stream: &Arc<AtomicBool>) -> Self {
        Self { connection: Arc::clone(&self.connection), stream: Arc::clone(stream) }
    }

    /// From now on whatever ends on this connection was cut off.
    pub fn cut_off(&self) {
        self.connection.store(true, Ordering::Release);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.connection.load(Ordering::Acquire) || self.stream.load(Ordering::Acquire)
    }
}
