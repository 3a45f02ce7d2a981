//! Threads that read: a pool of their own, so that nobody else works on a nice one.

use crate::SourceError;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::io;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

/// How nice they are (`setpriority(2)`): a scan uses all of its core, and whatever else wants to answer somebody meanwhile comes
/// first.
const NICENESS: i32 = 10;

/// More than are ever wanted: how many exports run is for their slots to say.
const MOST: usize = 65_536;

/// Nothing runs in this runtime. What it has is a pool of threads, which end when they were not needed for a while.
static POOL: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let mut pool = Builder::new_current_thread();
    pool.thread_name("headcount-scan").max_blocking_threads(MOST);
    pool.on_thread_start(|| {
        // Of this thread only; where it is refused all are equal.
        let _ = setpriority_process(Some(gettid()), NICENESS);
    });
    pool.build()
});

fn pool() -> Result<&'static Handle, SourceError> {
    match &*POOL {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(SourceError::Failed(format!("there are no threads to read with: {error}"))),
    }
}

/// `work`, in the runtime of whoever asks for it.
fn within_this_runtime<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let runtime = Handle::current();
    move || {
        let _entered = runtime.enter();
        work()
    }
}

/// Runs `work` on a thread that may block.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match pool()?.spawn_blocking(within_this_runtime(work)).await {
        Ok(result) => result,
        Err(error) => Err(SourceError::Failed(format!("the scanning thread died: {error}"))),
    }
}

/// Starts `work` on such a thread, as one of several.
pub(super) fn start<T: Send + 'static>(
    readers: &mut JoinSet<T>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(), SourceError> {
    readers.spawn_blocking_on(within_this_runtime(work), pool()?);
    Ok(())
}
