//! Who sends wrong keys waits, twice as long every time, in bounded memory.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many addresses are remembered. Where there are more, those go that would be forgotten next: an attacker with
/// that many addresses does not make anybody else wait.
const CAPACITY: usize = 10_000;
/// How long failures that are allowed are remembered.
const MINUTE: Duration = Duration::from_secs(60);
/// The longest wait.
const HOUR: Duration = Duration::from_secs(3600);

/// Failures by address.
pub(super) struct Backoff<K> {
    /// How many of them in a minute cost nothing.
    allowed: u32,
    failures: Mutex<HashMap<K, Failures>>,
}

struct Failures {
    count: u32,
    blocked_until: Instant,
    forgotten_at: Instant,
}

impl<K: Hash + Eq> Backoff<K> {
    pub(super) fn new(allowed: u32) -> Self {
        Self { allowed, failures: Mutex::default() }
    }

    /// Seconds until this address may try again, rounded up; `None`: it may.
    pub(super) fn wait(&self, address: &K, now: Instant) -> Option<u64> {
        let left = self.lock().get(address)?.blocked_until.saturating_duration_since(now);
        (!left.is_zero()).then(|| left.as_millis().div_ceil(1000) as u64)
    }

    /// Counts a failure. Each that is more than allowed blocks the address: for a second, two, four, up to an hour. It
    /// is forgotten when the address has kept quiet for as long again, and for a minute at least.
    pub(super) fn failed(&self, address: K, now: Instant) {
        let mut failures = self.lock();
        if failures.len() >= CAPACITY && !failures.contains_key(&address) {
            make_room(&mut failures, now);
        }
        let fresh = Failures { count: 0, blocked_until: now, forgotten_at: now + MINUTE };
        let known = failures.entry(address).or_insert(fresh);
        if known.forgotten_at <= now {
            *known = Failures { count: 0, blocked_until: now, forgotten_at: now + MINUTE };
        }
        known.count = known.count.saturating_add(1);
        if let Some(excess) = known.count.checked_sub(self.allowed.saturating_add(1)) {
            let wait = Duration::from_secs(1 << excess.min(12)).min(HOUR);
            known.blocked_until = now + wait;
            known.forgotten_at = known.forgotten_at.max(now + wait + wait.max(MINUTE));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Failures>> {
        self.failures.lock()
    }
}

/// Drops what is forgotten, or else the eighth that would be next, so that this happens once in many failures.
fn make_room<K: Hash + Eq>(failures: &mut HashMap<K, Failures>, now: Instant) {
    failures.retain(|_, known| known.forgotten_at > now);
    if failures.len() < CAPACITY {
        return;
    }
    let mut ends: Vec<_> = failures.values().map(|known| known.forgotten_at).collect();
    let (_, &mut last_to_go, _) = ends.select_nth_unstable(CAPACITY / 8);
    failures.retain(|_, known| known.forgotten_at > last_to_go);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        let (backoff, start) = (Backoff::new(2), Instant::now());
        for _ in 0..2 {
            backoff.failed("a", start);
            assert_eq!(backoff.wait(&"a", start), None);
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] {
            backoff.failed("a", start);
            assert_eq!(backoff.wait(&"a", start), Some(expected));
        }
        assert_eq!(backoff.wait(&"a", after(3599, start)), Some(1));
        assert_eq!(backoff.wait(&"a", after(3600, start)), None);
        assert_eq!(backoff.wait(&"b", start), None);
    }

    #[test]
    fn quiet_is_rewarded() {
        let (backoff, start) = (Backoff::new(1), Instant::now());
        backoff.failed("a", start);
        backoff.failed("a", after(60, start));
        assert_eq!(backoff.wait(&"a", after(60, start)), None, "a minute later it is the first again");
        backoff.failed("a", after(61, start));
        assert_eq!(backoff.wait(&"a", after(61, start)), Some(1));
        backoff.failed("a", after(121, start));
        assert_eq!(backoff.wait(&"a", after(121, start)), Some(2), "not quiet for long enough");
    }

    #[test]
    fn memory_is_bounded_and_the_blocked_stay() {
        let (backoff, start) = (Backoff::new(1), Instant::now());
        for _ in 0..10 {
            backoff.failed(usize::MAX, start);
        }
        for address in 0..3 * CAPACITY {
            backoff.failed(address, start + Duration::from_millis(address as u64 / 1000));
            assert!(backoff.lock().len() <= CAPACITY);
        }
        assert!(backoff.wait(&usize::MAX, after(1, start)).is_some());
    }
}
