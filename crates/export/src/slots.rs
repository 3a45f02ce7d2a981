//! Who may export now: so many read at a time, so many with one key, and a short queue before the rest are refused. Whoever was
//! read and waits for its client is parked, which keeps nobody from reading.

use super::pending_record::{LEFT, PendingRecord};
use super::{Exporter, StartError};
use crate::metrics::Metrics;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::metrics::gauge::Gauge;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Exports in flight for each slot, of which one key has half. Most of them wait for their clients, each with a file and a chunk
/// of memory.
pub const IN_FLIGHT_PER_SLOT: usize = 8;

/// From so many slots on, a key that has half of them leaves the last one to others. Of fewer, one that stands empty would cost
/// whoever has one key only too much.
const MANY: usize = 4;

/// How many, and how long.
#[derive(Clone, Copy, Debug)]
pub struct SlotLimits {
    /// Exports that read at the same time, 1 or more.
    pub exports: usize,
    /// Those of one key, 1 or more; `None`: no limit of its own, but who has half of four or more leaves the last one to others,
    /// and gets no further while they wait.
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
    taken: Gauge,
    parked: Gauge,
}

/// Exports in flight.
#[derive(Clone, Copy, Default)]
struct Held {
    /// With a slot.
    slots: usize,
    parked: usize,
}

impl Held {
    fn all(self) -> usize {
        self.slots + self.parked
    }
}

#[derive(Default)]
struct State {
    held: Held,
    /// The same by key; never nothing.
    by_key: HashMap<String, Held>,
    queue: VecDeque<Queued>,
    next_ticket: u64,
}

struct Queued {
    ticket: u64,
    key: Option<String>,
    grant: oneshot::Sender<Slot>,
}

/// The right to run one export. Parked or dropped, it goes to the first in the queue whose key has less than its share, or else
/// to the first whose key may run one more.
pub(super) struct Slot {
    slots: Arc<Slots>,
    key: Option<String>,
    is_parked: bool,
}

impl Slot {
    /// Whose it is.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Leaves reading to others: from now on the export only waits for its client.
    pub(super) fn park(&mut self) {
        if !std::mem::replace(&mut self.is_parked, true) {
            self.slots.change_and_go_on(self.key(), |held| {
                held.slots -= 1;
                held.parked += 1;
            });
        }
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
    /// Shows in `taken` how many are taken, and in `parked` how many exports go on without.
    pub(super) fn new(limits: SlotLimits, taken: Gauge, parked: Gauge) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), taken, parked })
    }

    /// A slot if one is free, else a place in the queue. Nobody with the same right to a slot is overtaken: while
    /// one is free, all that wait are kept back by the limit of their keys.
    pub(super) fn enter(self: &Arc<Self>, key: Option<&str>) -> Result<Entry, NoSlot> {
        let mut state = self.lock();
        let key = key.map(str::to_owned);
        if self.may_run(&state, key.as_deref()) {
            return Ok(Entry::Slot(self.run(&mut state, key)));
        }
        let is_same = |waiting: &&Queued| key.is_some() && waiting.key == key;
        let places_of_key = state.queue.iter().filter(is_same).count();
        if state.queue.len() >= self.limits.queue || places_of_key >= self.limits.queue.div_ceil(2) {
            return Err(self.reason(&state, key.as_deref()));
        }
        let (grant, granted) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(Queued { ticket, key: key.clone(), grant });
        Ok(Entry::Queue(Place { slots: Arc::clone(self), ticket, key, granted }))
    }

    fn may_run(&self, state: &State, key: Option<&str>) -> bool {
        let is_last = self.limits.exports >= MANY && state.held.slots + 1 == self.limits.exports;
        let would_take_the_last = is_last && self.has_its_share(state, key);
        !(self.is_full(state) || self.is_key_busy(state, key) || would_take_the_last)
    }

    /// Whether nobody may run one more.
    fn is_full(&self, state: &State) -> bool {
        state.held.slots >= self.limits.exports || state.held.all() >= self.in_flight()
    }

    /// Whether a key has all that it may: slots, or half of what may be in flight.
    fn is_key_busy(&self, state: &State, key: Option<&str>) -> bool {
        let held = state.held_by(key);
        self.limits.per_key.is_some_and(|limit| held.slots >= limit) || held.all() >= self.in_flight() / 2
    }

    /// Exports with a slot and without. Counted when they begin, so that none with a slot ever waits to be parked.
    fn in_flight(&self) -> usize {
        self.limits.exports * IN_FLIGHT_PER_SLOT
    }

    /// Whether a key has all that it gets while others wait.
    fn has_its_share(&self, state: &State, key: Option<&str>) -> bool {
        state.held_by(key).slots >= self.limits.per_key.unwrap_or(self.limits.exports.div_ceil(2))
    }

    fn run(self: &Arc<Self>, state: &mut State, key: Option<String>) -> Slot {
        self.change(state, key.as_deref(), |held| held.slots += 1);
        Slot { slots: Arc::clone(self), key, is_parked: false }
    }

    fn reason(&self, state: &State, key: Option<&str>) -> NoSlot {
        if self.is_key_busy(state, key) { NoSlot::KeyBusy } else { NoSlot::Busy }
    }

    /// Takes note of what somebody has less, and gives it to the first who may have it.
    fn change_and_go_on(self: &Arc<Self>, key: Option<&str>, change: impl Fn(&mut Held)) {
        let mut state = self.lock();
        self.change(&mut state, key, change);
        let may_run = |waiting: &Queued| self.may_run(&state, waiting.key.as_deref());
        let has_its_share = |waiting: &Queued| self.has_its_share(&state, waiting.key.as_deref());
        let first = state.queue.iter().position(|waiting| may_run(waiting) && !has_its_share(waiting));
        let next = first.or_else(|| state.queue.iter().position(may_run));
        let Some(next) = next.and_then(|at| state.queue.remove(at)) else { return };
        let slot = self.run(&mut state, next.key);
        drop(state);
        // Whoever left in this moment drops the slot, which comes back here.
        let _ = next.grant.send(slot);
    }

    fn change(&self, state: &mut State, key: Option<&str>, change: impl Fn(&mut Held)) {
        change(&mut state.held);
        if let Some(key) = key {
            let held = state.by_key.entry(key.to_owned()).or_default();
            change(held);
            if held.all() == 0 {
                state.by_key.remove(key);
            }
        }
        self.taken.set(state.held.slots as i64);
        self.parked.set(state.held.parked as i64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn held_by(&self, key: Option<&str>) -> Held {
        key.and_then(|key| self.by_key.get(key)).copied().unwrap_or_default()
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
        let is_parked = self.is_parked;
        self.slots.change_and_go_on(self.key(), |held| match is_parked {
            true => held.parked -= 1,
            false => held.slots -= 1,
        });
    }
}

impl Exporter {
    /// A slot, at once or after a short wait in the queue.
    ///
    /// # Errors
    ///
    /// There is none, or none for this key.
    pub(super) async fn slot(&self, draft: &mut PendingRecord) -> Result<Slot, StartError> {
        match self.slots.enter(draft.request.key_id.as_deref())? {
            Entry::Slot(slot) => Ok(slot),
            Entry::Queue(place) => {
                draft.if_left = "left while waiting for a slot";
                let _waiting = WaitingGauge::new(&self.metrics);
                let slot = place.wait().await;
                draft.if_left = LEFT;
                Ok(slot?)
            }
        }
    }
}

/// Counts a request that waits.
struct WaitingGauge<'a>(&'a Metrics);

impl<'a> WaitingGauge<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.waiting.inc();
        Self(metrics)
    }
}

impl Drop for WaitingGauge<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

impl From<NoSlot> for StartError {
    fn from(reason: NoSlot) -> Self {
        match reason {
            NoSlot::Busy => Self::Busy,
            NoSlot::KeyBusy => Self::KeyBusy,
        }
    }
}

#[cfg(test)]
mod tests;
