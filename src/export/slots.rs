//! Who may export now: so many at a time, so many with one key, and a short queue before the rest are refused.

use prometheus_client::metrics::gauge::Gauge;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How many, and how long.
#[derive(Clone, Copy, Debug)]
pub struct SlotLimits {
    /// Exports that run at the same time, 1 or more.
    pub exports: usize,
    /// Those of one key, 1 or more; `None`: no limit of its own, but while others wait it gets no further than half of all.
    pub per_key: Option<usize>,
    /// Requests that wait for a slot. One key has at most half of the places, so that it does not fill them all.
    pub queue: usize,
    /// How long each of them waits.
    pub patience: Duration,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// All are taken.
    Busy,
    /// The key has all that it may.
    KeyBusy,
}

/// All slots, and who waits for one, in the order of coming.
pub(super) struct Slots {
    limits: SlotLimits,
    state: Mutex<State>,
    /// How many are taken.
    taken: Gauge,
}

#[derive(Default)]
struct State {
    running: usize,
    /// Running exports by key; never a zero.
    by_key: HashMap<String, usize>,
    queue: VecDeque<Waiting>,
    next_ticket: u64,
}

struct Waiting {
    ticket: u64,
    key: Option<String>,
    grant: oneshot::Sender<Slot>,
}

/// The right to run one export. Dropped, it goes to the first in the queue whose key has less than its share, or else to the
/// first whose key may run one more.
pub(super) struct Slot {
    slots: Arc<Slots>,
    key: Option<String>,
}

impl Slot {
    /// Whose it is.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// A place in the queue. Dropped, it is free.
pub(super) struct Place {
    slots: Arc<Slots>,
    ticket: u64,
    key: Option<String>,
    granted: oneshot::Receiver<Slot>,
}

/// What a request gets at first.
pub(super) enum Entry {
    Slot(Slot),
    Queue(Place),
}

impl Slots {
    /// Shows in `taken` how many are taken.
    pub(super) fn new(limits: SlotLimits, taken: Gauge) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), taken })
    }

    /// A slot if one is free, else a place in the queue. Nobody with the same right to a slot is overtaken: while
    /// one is free, all that wait are kept back by the limit of their keys.
    pub(super) fn enter(self: &Arc<Self>, key: Option<&str>) -> Result<Entry, NoSlot> {
        let mut state = self.lock();
        let key = key.map(str::to_owned);
        if self.may_run(&state, key.as_deref()) {
            self.run(&mut state, key.as_deref());
            return Ok(Entry::Slot(Slot { slots: Arc::clone(self), key }));
        }
        let is_same = |waiting: &&Waiting| key.is_some() && waiting.key == key;
        let places_of_key = state.queue.iter().filter(is_same).count();
        if state.queue.len() >= self.limits.queue || places_of_key >= self.limits.queue.div_ceil(2) {
            return Err(self.reason(&state, key.as_deref()));
        }
        let (grant, granted) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(Waiting { ticket, key: key.clone(), grant });
        Ok(Entry::Queue(Place { slots: Arc::clone(self), ticket, key, granted }))
    }

    fn may_run(&self, state: &State, key: Option<&str>) -> bool {
        state.running < self.limits.exports && !self.is_key_busy(state, key)
    }

    fn is_key_busy(&self, state: &State, key: Option<&str>) -> bool {
        self.limits.per_key.is_some_and(|limit| state.running_with(key) >= limit)
    }

    /// Whether a key has all that it gets while others wait.
    fn has_its_share(&self, state: &State, key: Option<&str>) -> bool {
        state.running_with(key) >= self.limits.per_key.unwrap_or(self.limits.exports.div_ceil(2))
    }

    fn run(&self, state: &mut State, key: Option<&str>) {
        state.run(key);
        self.taken.inc();
    }

    fn reason(&self, state: &State, key: Option<&str>) -> NoSlot {
        if self.is_key_busy(state, key) { NoSlot::KeyBusy } else { NoSlot::Busy }
    }

    /// Takes a slot back and gives it to the first who may have it.
    fn release(self: &Arc<Self>, key: Option<&str>) {
        let mut state = self.lock();
        state.stop(key);
        self.taken.dec();
        let may_run = |waiting: &Waiting| self.may_run(&state, waiting.key.as_deref());
        let has_its_share = |waiting: &Waiting| self.has_its_share(&state, waiting.key.as_deref());
        let first = state.queue.iter().position(|waiting| may_run(waiting) && !has_its_share(waiting));
        let next = first.or_else(|| state.queue.iter().position(may_run));
        let Some(next) = next.and_then(|at| state.queue.remove(at)) else { return };
        self.run(&mut state, next.key.as_deref());
        drop(state);
        // Whoever left in this moment drops the slot, which comes back here.
        let _ = next.grant.send(Slot { slots: Arc::clone(self), key: next.key });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn running_with(&self, key: Option<&str>) -> usize {
        key.and_then(|key| self.by_key.get(key)).copied().unwrap_or(0)
    }

    fn run(&mut self, key: Option<&str>) {
        self.running += 1;
        if let Some(key) = key {
            *self.by_key.entry(key.to_owned()).or_insert(0) += 1;
        }
    }

    fn stop(&mut self, key: Option<&str>) {
        self.running -= 1;
        let Some(key) = key else { return };
        if let Some(running) = self.by_key.get_mut(key) {
            *running -= 1;
            if *running == 0 {
                self.by_key.remove(key);
            }
        }
    }
}

impl Place {
    /// Waits for a slot, as long as the limits allow.
    pub(super) async fn wait(mut self) -> Result<Slot, NoSlot> {
        match tokio::time::timeout(self.slots.limits.patience, &mut self.granted).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(self.slots.reason(&self.slots.lock(), self.key.as_deref())),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slots.lock().queue.retain(|waiting| waiting.ticket != self.ticket);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.release(self.key.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(exports: usize, per_key: Option<usize>, queue: usize) -> Arc<Slots> {
        let limits = SlotLimits { exports, per_key, queue, patience: Duration::from_secs(600) };
        Slots::new(limits, Gauge::default())
    }

    fn slot(slots: &Arc<Slots>, key: &str) -> Slot {
        match slots.enter(Some(key)) {
            Ok(Entry::Slot(slot)) => slot,
            _ => panic!("no slot for {key}"),
        }
    }

    fn place(slots: &Arc<Slots>, key: &str) -> Place {
        match slots.enter(Some(key)) {
            Ok(Entry::Queue(place)) => place,
            _ => panic!("no place for {key}"),
        }
    }

    fn refusal(slots: &Arc<Slots>, key: &str) -> NoSlot {
        slots.enter(Some(key)).err().expect("a refusal")
    }

    fn is_granted(place: &mut Place) -> Option<Slot> {
        place.granted.try_recv().ok()
    }

    #[test]
    fn who_came_first_is_served_first() {
        let slots = slots(1, None, 4);
        let running = slot(&slots, "a");
        let (mut first, mut second) = (place(&slots, "b"), place(&slots, "a"));
        drop(running);
        assert!(is_granted(&mut second).is_none());
        let granted = is_granted(&mut first).expect("a slot");
        drop(granted);
        assert!(is_granted(&mut second).is_some());
    }

    #[test]
    fn a_key_at_its_limit_is_overtaken_and_does_not_fill_the_queue() {
        let slots = slots(2, Some(1), 4);
        let running = slot(&slots, "a");
        let mut waiting = [place(&slots, "a"), place(&slots, "a")];
        assert_eq!(refusal(&slots, "a"), NoSlot::KeyBusy);
        let other = slot(&slots, "b");
        let mut third = place(&slots, "c");
        drop(other);
        assert!(waiting.iter_mut().all(|place| is_granted(place).is_none()));
        let third_slot = is_granted(&mut third).expect("a slot");
        drop(running);
        assert!(is_granted(&mut waiting[0]).is_some());
        drop(third_slot);
    }

    #[test]
    fn a_key_has_at_most_half_while_others_wait() {
        let slots = slots(3, None, 8);
        let mut running = vec![slot(&slots, "a"), slot(&slots, "a"), slot(&slots, "a")];
        let mut own = place(&slots, "a");
        let mut others = [place(&slots, "b"), place(&slots, "c")];
        running.pop();
        let first = is_granted(&mut others[0]).expect("a slot");
        assert!(is_granted(&mut own).is_none());
        running.pop();
        let own = is_granted(&mut own).expect("a slot");
        running.pop();
        let second = is_granted(&mut others[1]).expect("a slot");

        let (another, mut last) = (place(&slots, "a"), place(&slots, "a"));
        drop((first, another));
        assert!(is_granted(&mut last).is_some(), "nobody else waits");
        drop((own, second));
    }

    #[test]
    fn a_place_that_is_left_is_free_and_its_slot_goes_on() {
        let slots = slots(1, None, 2);
        let running = slot(&slots, "a");
        let leaving = place(&slots, "b");
        let mut staying = place(&slots, "c");
        assert_eq!(refusal(&slots, "d"), NoSlot::Busy);
        // Granted, but gone before it was seen.
        drop(running);
        drop(leaving);
        assert!(is_granted(&mut staying).is_some());
        assert!(slots.lock().queue.is_empty());
        assert_eq!(slots.lock().running, 0);
        assert!(slots.lock().by_key.is_empty());
    }
}
