//! Answers of the store that count for a moment, in bounded memory.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// How long an answer counts, from before the store was asked. A revoked key or a switched flag has to count on every
/// instance within a second; the other half of it is for whoever is slow.
const LIFETIME: Duration = Duration::from_millis(500);
/// How many answers are kept. More than a deployment has keys in use; a flood of others only costs it their benefit.
const CAPACITY: usize = 1024;

/// What was lately asked of the store. Failures are not kept, and many who ask the same at once ask the store once.
pub(super) struct Recent<K, V> {
    slots: Mutex<HashMap<K, Slot<V>>>,
}

struct Slot<V> {
    since: Instant,
    answer: Arc<OnceCell<V>>,
}

impl<V> Clone for Slot<V> {
    fn clone(&self) -> Self {
        Self { since: self.since, answer: Arc::clone(&self.answer) }
    }
}

impl<V> Slot<V> {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < LIFETIME
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// The answer to `key`, for somebody who asks at `asked`: one that still counts, or that of `look`.
    ///
    /// # Errors
    ///
    /// Those of `look`.
    pub(super) async fn get<E, F>(&self, key: K, asked: Instant, look: impl Fn() -> F) -> Result<V, E>
    where
        K: Clone,
        F: Future<Output = Result<V, E>>,
    {
        loop {
            let slot = self.slot(key.clone(), asked.max(Instant::now()));
            match slot.answer.get_or_try_init(&look).await {
                // Whoever waited long for an answer that others asked for needs a newer one.
                Ok(answer) if slot.since >= asked || slot.counts(Instant::now()) => return Ok(answer.clone()),
                Ok(_) => {}
                Err(error) => {
                    self.forget(&key, &slot);
                    return Err(error);
                }
            }
        }
    }

    fn slot(&self, key: K, now: Instant) -> Slot<V> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(&key).filter(|slot| slot.counts(now)) {
            return slot.clone();
        }
        if slots.len() >= CAPACITY {
            slots.retain(|_, slot| slot.counts(now));
        }
        if slots.len() >= CAPACITY {
            slots.clear();
        }
        let slot = Slot { since: now, answer: Arc::default() };
        slots.insert(key, slot.clone());
        slot
    }

    /// Makes room again for a question without an answer.
    fn forget(&self, key: &K, failed: &Slot<V>) {
        let mut slots = self.slots.lock();
        if slots.get(key).is_some_and(|slot| Arc::ptr_eq(&slot.answer, &failed.answer)) {
            slots.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A store that counts how often it is asked.
    #[derive(Default)]
    struct Asked(AtomicU32);

    impl Asked {
        async fn look(&self) -> Result<u32, u32> {
            tokio::task::yield_now().await;
            Ok(self.0.fetch_add(1, Ordering::Relaxed))
        }

        async fn fail(&self) -> Result<u32, u32> {
            Err(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    /// Ahead of the clock, so that no test depends on it.
    fn start() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn an_answer_counts_for_its_lifetime_and_no_longer() {
        let (recent, store, start) = (Recent::default(), Asked::default(), start());
        let almost = start + LIFETIME - Duration::from_nanos(1);
        for (key, asked, answer) in
            [("key", start, 0), ("key", almost, 0), ("other", almost, 1), ("key", start + LIFETIME, 2)]
        {
            assert_eq!(recent.get(key, asked, || store.look()).await, Ok(answer));
        }
    }

    #[tokio::test]
    async fn who_ask_at_once_ask_once() {
        let (recent, store, now) = (Recent::default(), Asked::default(), start());
        let ask = || recent.get("key", now, || store.look());
        assert_eq!(tokio::join!(ask(), ask(), ask()), (Ok(0), Ok(0), Ok(0)));
    }

    #[tokio::test]
    async fn failures_are_not_kept() {
        let (recent, store, now) = (Recent::default(), Asked::default(), start());
        assert_eq!(recent.get("key", now, || store.fail()).await, Err(0));
        assert!(recent.slots.lock().is_empty());
        assert_eq!(recent.get("key", now, || store.look()).await, Ok(1));
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (recent, store, now) = (Recent::default(), Asked::default(), start());
        for key in 0..3 * CAPACITY {
            recent.get(key, now, || store.look()).await.expect("an answer");
        }
        assert!(recent.slots.lock().len() <= CAPACITY);
    }
}
