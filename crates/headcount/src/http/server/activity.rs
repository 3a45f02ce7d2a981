//! What one connection is doing, and whether it can be spared.

use super::places::{At, IDLE_GRACE, Places};
use headcount_export::Stall;
use parking_lot::{Mutex, MutexGuard};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What one connection is doing.
pub(super) struct Activity {
    places: Arc<Places>,
    /// Whose share of the places it takes.
    holder: Option<IpAddr>,
    state: Mutex<State>,
    /// Cancelled when the connection has to make room for another.
    pub(super) closing: CancellationToken,
    /// Set when the kernel gives the client up.
    pub(super) stall: Stall,
    /// In HTTP/1.1, an answer in chunks is under way: whoever sees the connection end must not take what came for all of it.
    pub(super) is_midway: AtomicBool,
    /// Such an answer is to end now, within a chunk.
    pub(super) is_torn: AtomicBool,
}

struct State {
    /// Answers that are not given yet, and a write that the client does not take.
    tasks: usize,
    /// Those of them for which somebody with a key vouches.
    kept: usize,
    /// Where the connection stands among those that can be spared, if it can.
    at: Option<At>,
    /// When the last task ended, or the connection began.
    idle_since: Instant,
    /// When the first task began after which there was always one, but for moments in which the next may have been on its way.
    busy_since: Instant,
}

impl Activity {
    pub(super) fn new(places: &Arc<Places>, holder: Option<IpAddr>) -> Arc<Self> {
        let (closing, now) = (CancellationToken::new(), Instant::now());
        places.enter(holder);
        let at = Some(places.add_idle(now, holder, &closing));
        Arc::new(Self {
            places: Arc::clone(places),
            holder,
            state: Mutex::new(State { tasks: 0, kept: 0, at, idle_since: now, busy_since: now }),
            closing,
            stall: Stall::default(),
            is_midway: AtomicBool::new(false),
            is_torn: AtomicBool::new(false),
        })
    }

    /// Something to do, until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Task {
        let is_kept = self.lock().kept > 0;
        self.begin_as(is_kept)
    }

    /// A request, for which nobody vouches yet.
    pub(super) fn begin_request(self: &Arc<Self>) -> Task {
        self.begin_as(false)
    }

    fn begin_as(self: &Arc<Self>, is_kept: bool) -> Task {
        let mut state = self.lock();
        if state.tasks == 0 && state.idle_since.elapsed() >= IDLE_GRACE {
            state.busy_since = Instant::now();
        }
        state.tasks += 1;
        state.kept += usize::from(is_kept);
        self.put(&mut state);
        Task { activity: Arc::clone(self), is_kept: AtomicBool::new(is_kept) }
    }

    /// Puts the connection where it belongs now.
    fn put(&self, state: &mut State) {
        let is_there = match state.at {
            None => state.kept > 0,
            Some(At::Busy(_)) => state.kept == 0 && state.tasks > 0,
            Some(At::Idle(_)) => state.tasks == 0,
        };
        if is_there {
            return;
        }
        if let Some(at) = state.at.take() {
            self.places.remove(at);
        }
        // What is closing is not closed again.
        if state.kept > 0 || self.closing.is_cancelled() {
            return;
        }
        state.at = Some(if state.tasks > 0 {
            self.places.add_busy(state.busy_since, self.holder, &self.closing)
        } else {
            self.places.add_idle(state.idle_since, self.holder, &self.closing)
        });
    }

    /// Resolves when there has been nothing to do for so long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let left = {
                let state = self.lock();
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
        self.lock().idle_since = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if let Some(at) = state.at.take() {
            self.places.remove(at);
        }
        self.places.leave(self.holder);
    }
}

/// Keeps a connection from being idle.
pub(super) struct Task {
    pub(super) activity: Arc<Activity>,
    is_kept: AtomicBool,
}

impl Task {
    /// Says whether this keeps the connection from making room for another.
    pub(super) fn set_kept(&self, is_kept: bool) {
        let mut state = self.activity.lock();
        match (self.is_kept.swap(is_kept, Ordering::Relaxed), is_kept) {
            (false, true) => state.kept += 1,
            (true, false) => state.kept -= 1,
            _ => return,
        }
        self.activity.put(&mut state);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.tasks -= 1;
        state.kept -= usize::from(*self.is_kept.get_mut());
        if state.tasks == 0 {
            state.idle_since = Instant::now();
        }
        self.activity.put(&mut state);
    }
}

/// The request that somebody with a key makes, in whose connection's favour that counts.
#[derive(Clone)]
pub(in crate::http) struct Voucher(pub(super) Arc<Task>);

impl Voucher {
    /// The connection makes no room for others until this request is answered.
    pub(in crate::http) fn give(&self) {
        self.0.set_kept(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn is_spared(places: &Places) -> bool {
        places.close_one().now_or_never().is_some()
    }

    /// A connection that has been idle for a minute.
    fn aged(places: &Arc<Places>) -> Arc<Activity> {
        let activity = Activity::new(places, None);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that is up");
        let mut state = activity.lock();
        (state.idle_since, state.busy_since) = (long_ago, long_ago);
        places.remove(state.at.expect("a spare connection"));
        state.at = Some(places.add_idle(long_ago, None, &activity.closing));
        drop(state);
        activity
    }

    #[tokio::test]
    async fn who_has_something_to_do_goes_after_who_has_nothing() {
        let places = Arc::new(Places::new(1));
        let connections = [(); 2].map(|()| aged(&places));
        let task = connections[0].begin_request();
        assert!(is_spared(&places));
        assert!(connections[1].closing.is_cancelled() && !connections[0].closing.is_cancelled());
        assert!(!is_spared(&places), "it has only begun");
        drop(task);
    }

    #[tokio::test]
    async fn a_pause_between_two_requests_does_not_make_a_connection_new() {
        let places = Arc::new(Places::new(1));
        let connection = aged(&places);
        let first = connection.begin_request();
        let began = connection.lock().busy_since;
        drop(first);
        let _second = connection.begin_request();
        assert_eq!(connection.lock().busy_since, began);
    }

    #[tokio::test]
    async fn who_has_a_key_is_not_sent_away() {
        let places = Arc::new(Places::new(1));
        let connection = Activity::new(&places, None);
        let task = Arc::new(connection.begin_request());
        Voucher(Arc::clone(&task)).give();
        let blocked = connection.begin();
        assert_eq!(connection.lock().at, None);
        drop(task);
        assert_eq!(connection.lock().at, None, "what is not taken yet is a part of it");
        drop(blocked);
        assert!(matches!(connection.lock().at, Some(At::Idle(_))));
        drop(connection);
    }
}
