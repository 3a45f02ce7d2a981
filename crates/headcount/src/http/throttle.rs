//! Counting per minute, in bounded memory.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// How many different keys are counted in a minute; more share one count, so that a flood of addresses cannot grow it.
const CAPACITY: usize = 10_000;
const WINDOW_SECONDS: u64 = 60;

/// How often something happened in the current minute, by key.
pub(super) struct Throttle<K> {
    started: Instant,
    window: Mutex<Window<K>>,
}

struct Window<K> {
    number: u64,
    counts: HashMap<K, u32>,
    others: u32,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        let window = Window { number: 0, counts: HashMap::new(), others: 0 };
        Self { started: Instant::now(), window: Mutex::new(window) }
    }
}

impl<K: Hash + Eq> Throttle<K> {
    /// Counts one more, and says how many that makes in this minute.
    pub(super) fn count(&self, key: K, now: Instant) -> u32 {
        let number = now.duration_since(self.started).as_secs() / WINDOW_SECONDS;
        let mut window = self.window.lock();
        if window.number != number {
            *window = Window { number, counts: HashMap::new(), others: 0 };
        }
        let is_full = window.counts.len() >= CAPACITY && !window.counts.contains_key(&key);
        let count = if is_full { &mut window.others } else { window.counts.entry(key).or_insert(0) };
        *count = count.saturating_add(1);
        *count
    }

    /// Seconds until the counts start again from zero: 1 to 60.
    pub(super) fn seconds_left(&self, now: Instant) -> u64 {
        WINDOW_SECONDS - now.duration_since(self.started).as_secs() % WINDOW_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn counts_start_again_every_minute() {
        let throttle = Throttle::default();
        let start = throttle.started;
        assert_eq!(throttle.count("a", start), 1);
        assert_eq!(throttle.count("a", start + Duration::from_secs(59)), 2);
        assert_eq!(throttle.seconds_left(start + Duration::from_secs(59)), 1);
        assert_eq!(throttle.count("a", start + Duration::from_secs(60)), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        let start = throttle.started;
        for key in 0..2 * CAPACITY {
            throttle.count(key, start);
        }
        assert_eq!(throttle.window.lock().counts.len(), CAPACITY);
        assert_eq!(throttle.count(usize::MAX, start), CAPACITY as u32 + 1);
    }
}
