//! Which connections have something to do, and since when the others have not.

use crate::export::Stall;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The connections that have nothing to do, in the order in which they came to have nothing to do.
pub(super) struct IdleList {
    waiting: Mutex<Waiting>,
    /// How long each of them is safe: a request may be on its way.
    grace: Duration,
    /// Told of every connection that is added.
    added: Notify,
}

#[derive(Default)]
struct Waiting {
    next_place: u64,
    connections: BTreeMap<u64, Idle>,
}

struct Idle {
    since: Instant,
    closing: CancellationToken,
}

impl IdleList {
    pub(super) fn new(grace: Duration) -> Self {
        Self { waiting: Mutex::default(), grace, added: Notify::new() }
    }

    fn add(&self, closing: CancellationToken) -> u64 {
        let mut waiting = lock(&self.waiting);
        let place = waiting.next_place;
        waiting.next_place += 1;
        waiting.connections.insert(place, Idle { since: Instant::now(), closing });
        self.added.notify_one();
        place
    }

    fn remove(&self, place: u64) {
        lock(&self.waiting).connections.remove(&place);
    }

    /// Closes the connection that has had nothing to do for the longest time, or waits for one to close.
    pub(super) async fn close_one(&self) {
        loop {
            match self.close_longest() {
                Some(Duration::ZERO) => return,
                // It may have something to do by then.
                Some(left) => tokio::time::sleep(left).await,
                None => self.added.notified().await,
            }
        }
    }

    /// Closes the connection that has had nothing to do for the longest time, or says for how long that is still safe.
    fn close_longest(&self) -> Option<Duration> {
        let mut waiting = lock(&self.waiting);
        let longest = waiting.connections.first_entry()?;
        let left = self.grace.saturating_sub(longest.get().since.elapsed());
        if left.is_zero() {
            longest.remove().closing.cancel();
        }
        Some(left)
    }
}

/// What one connection is doing.
pub(super) struct Activity {
    idle: Arc<IdleList>,
    state: Mutex<State>,
    /// Cancelled when the connection has to make room for another.
    pub(super) closing: CancellationToken,
    /// Set when the kernel gives the client up.
    pub(super) stall: Stall,
}

struct State {
    /// Answers that are not given yet, and a write that the client does not take.
    tasks: usize,
    /// The place in the list of idle ones; of no meaning while there are tasks.
    place: u64,
    /// When the last task ended, or the connection began.
    idle_since: Instant,
}

impl Activity {
    pub(super) fn new(idle: &Arc<IdleList>) -> Arc<Self> {
        let closing = CancellationToken::new();
        let state = State { tasks: 0, place: idle.add(closing.clone()), idle_since: Instant::now() };
        Arc::new(Self { idle: Arc::clone(idle), state: Mutex::new(state), closing, stall: Stall::default() })
    }

    /// Something to do, until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Task {
        let mut state = lock(&self.state);
        if state.tasks == 0 {
            self.idle.remove(state.place);
        }
        state.tasks += 1;
        Task(Arc::clone(self))
    }

    fn end(&self) {
        let mut state = lock(&self.state);
        state.tasks -= 1;
        if state.tasks == 0 {
            state.idle_since = Instant::now();
            state.place = self.idle.add(self.closing.clone());
        }
    }

    /// Resolves when there has been nothing to do for so long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let left = {
                let state = lock(&self.state);
                if state.tasks > 0 { limit } else { limit.saturating_sub(state.idle_since.elapsed()) }
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Counts the idle time from now on.
    pub(super) fn restart(&self) {
        lock(&self.state).idle_since = Instant::now();
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.tasks == 0 {
            self.idle.remove(state.place);
        }
    }
}

/// Keeps a connection from being idle.
pub(super) struct Task(Arc<Activity>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let idle = Arc::new(IdleList::new(Duration::ZERO));
        let connections = [(); 3].map(|()| Activity::new(&idle));
        let task = connections[0].begin();
        assert!(idle.close_one().now_or_never().is_some());
        let closed = |at: usize| connections[at].closing.is_cancelled();
        assert_eq!([closed(0), closed(1), closed(2)], [false, true, false]);
        drop(task);
        assert!(idle.close_one().now_or_never().is_some());
        assert_eq!([closed(0), closed(2)], [false, true]);
    }

    #[tokio::test]
    async fn who_has_just_come_is_safe() {
        let idle = Arc::new(IdleList::new(Duration::from_secs(3600)));
        let fresh = Activity::new(&idle);
        assert!(idle.close_one().now_or_never().is_none());
        assert!(!fresh.closing.is_cancelled());
    }

    #[test]
    fn where_all_are_busy_nobody_is_closed() {
        let idle = Arc::new(IdleList::new(Duration::ZERO));
        let busy = Activity::new(&idle);
        let tasks = [busy.begin(), busy.begin()];
        let ended = Activity::new(&idle);
        drop(ended);
        assert!(idle.close_one().now_or_never().is_none());
        drop(tasks);
        assert!(idle.close_one().now_or_never().is_some());
        assert!(busy.closing.is_cancelled());
    }
}
