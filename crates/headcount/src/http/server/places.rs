//! Who has a place among the connections, and who gives it up when another needs one.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a connection without a request is safe: one may be on its way.
pub(super) const IDLE_GRACE: Duration = Duration::from_millis(100);
/// How long one is safe that nobody with a key vouches for, though it has something to do: an answer that asks for no key is
/// given at once, and is taken at once by whoever wants it.
const BUSY_GRACE: Duration = Duration::from_secs(5);
/// The same where its address holds more than its share.
const BUSY_GRACE_BEYOND_SHARE: Duration = Duration::from_secs(1);

/// The connections that can be spared. Those with an export are not among them.
pub(super) struct Places {
    /// How many connections one address may hold when others need them.
    share: usize,
    list: Mutex<List>,
    /// Told of every connection that is added.
    added: Notify,
}

#[derive(Default)]
struct List {
    next: u64,
    idle: BTreeMap<Since, Spare>,
    busy: BTreeMap<Since, Spare>,
    holders: HashMap<IpAddr, OfAddress>,
    /// Those who hold more than their share.
    beyond: HashSet<IpAddr>,
}

/// Since when it has been so, and a number that tells apart those of one moment.
type Since = (Instant, u64);

struct Spare {
    holder: Option<IpAddr>,
    closing: CancellationToken,
}

#[derive(Default)]
struct OfAddress {
    connections: usize,
    idle: BTreeSet<Since>,
    busy: BTreeSet<Since>,
}

/// Where a connection stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Idle(Since),
    Busy(Since),
}

impl Places {
    pub(super) fn new(share: usize) -> Self {
        Self { share, list: Mutex::default(), added: Notify::new() }
    }

    /// Counts a connection of this address; `None`: of a trusted proxy, which speaks for many.
    pub(super) fn enter(&self, holder: Option<IpAddr>) {
        let Some(address) = holder else { return };
        let mut list = self.lock();
        let held = list.holders.entry(address).or_default();
        held.connections += 1;
        if held.connections > self.share {
            list.beyond.insert(address);
        }
    }

    pub(super) fn leave(&self, holder: Option<IpAddr>) {
        let Some(address) = holder else { return };
        let mut list = self.lock();
        let Some(held) = list.holders.get_mut(&address) else { return };
        held.connections -= 1;
        let left = held.connections;
        if left <= self.share {
            list.beyond.remove(&address);
        }
        if left == 0 {
            list.holders.remove(&address);
        }
    }

    /// A connection that has had nothing to do since then.
    pub(super) fn add_idle(&self, since: Instant, holder: Option<IpAddr>, closing: &CancellationToken) -> At {
        self.add(At::Idle, since, holder, closing)
    }

    /// A connection that has had something to do since then, for which nobody with a key vouches.
    pub(super) fn add_busy(&self, since: Instant, holder: Option<IpAddr>, closing: &CancellationToken) -> At {
        self.add(At::Busy, since, holder, closing)
    }

    fn add(
        &self,
        state: fn(Since) -> At,
        since: Instant,
        holder: Option<IpAddr>,
        closing: &CancellationToken,
    ) -> At {
        let mut list = self.lock();
        let at = state((since, list.next));
        list.next += 1;
        list.insert(at, Spare { holder, closing: closing.clone() });
        self.added.notify_one();
        at
    }

    pub(super) fn remove(&self, at: At) {
        self.lock().take(at);
    }

    /// Closes the connection that can be spared best, or waits until there is one.
    pub(super) async fn close_one(&self) {
        loop {
            let Err(left) = self.close_best(Instant::now()) else { return };
            let wait = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.added.notified() => {}
            }
        }
    }

    /// Closes the connection that can be spared best, or says for how long there is none; `None`: nobody knows.
    fn close_best(&self, now: Instant) -> Result<(), Option<Duration>> {
        let mut list = self.lock();
        let mut wait: Option<Duration> = None;
        for (at, grace) in list.candidates() {
            let left = grace.saturating_sub(now.saturating_duration_since(at.since()));
            if left.is_zero() {
                if let Some(spare) = list.take(at) {
                    spare.closing.cancel();
                }
                return Ok(());
            }
            wait = Some(wait.map_or(left, |wait| wait.min(left)));
        }
        Err(wait)
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock()
    }
}

impl At {
    fn since(self) -> Instant {
        let (Self::Idle((since, _)) | Self::Busy((since, _))) = self;
        since
    }
}

impl List {
    /// Who may have to go, in this order, and how long each must have been so: those of addresses that hold more than their
    /// share, then who has had nothing to do for the longest time, then who has been busy for the longest time.
    fn candidates(&self) -> Vec<(At, Duration)> {
        let beyond = self.beyond.iter().filter_map(|address| self.holders.get(address)).flat_map(|held| {
            let idle = held.idle.first().map(|&since| (At::Idle(since), IDLE_GRACE));
            let busy = held.busy.first().map(|&since| (At::Busy(since), BUSY_GRACE_BEYOND_SHARE));
            [idle, busy].into_iter().flatten()
        });
        let idle = self.idle.keys().next().map(|&since| (At::Idle(since), IDLE_GRACE));
        let busy = self.busy.keys().next().map(|&since| (At::Busy(since), BUSY_GRACE));
        beyond.chain(idle).chain(busy).collect()
    }

    fn insert(&mut self, at: At, spare: Spare) {
        if let Some(held) = spare.holder.and_then(|address| self.holders.get_mut(&address)) {
            match at {
                At::Idle(since) => held.idle.insert(since),
                At::Busy(since) => held.busy.insert(since),
            };
        }
        match at {
            At::Idle(since) => self.idle.insert(since, spare),
            At::Busy(since) => self.busy.insert(since, spare),
        };
    }

    /// Takes a connection out of the list, if it is there.
    fn take(&mut self, at: At) -> Option<Spare> {
        let spare = match at {
            At::Idle(since) => self.idle.remove(&since),
            At::Busy(since) => self.busy.remove(&since),
        }?;
        if let Some(held) = spare.holder.and_then(|address| self.holders.get_mut(&address)) {
            match at {
                At::Idle(since) => held.idle.remove(&since),
                At::Busy(since) => held.busy.remove(&since),
            };
        }
        Some(spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const GREEDY: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    const MODEST: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
    const PROXY: Option<IpAddr> = None;

    /// Connections, each of this address and of this state since so many milliseconds.
    fn places(share: usize, connections: &[(Option<IpAddr>, bool, u64)]) -> (Places, Vec<CancellationToken>) {
        let (places, now) = (Places::new(share), Instant::now());
        let closing = connections.iter().map(|&(holder, is_busy, milliseconds)| {
            let closing = CancellationToken::new();
            let since = now.checked_sub(Duration::from_millis(milliseconds)).expect("a machine that is up");
            places.enter(holder);
            if is_busy {
                places.add_busy(since, holder, &closing);
            } else {
                places.add_idle(since, holder, &closing);
            }
            closing
        });
        let closing = closing.collect();
        (places, closing)
    }

    /// Which of them go one after the other, as long as some do.
    fn order(share: usize, connections: &[(Option<IpAddr>, bool, u64)]) -> Vec<usize> {
        let (places, closing) = places(share, connections);
        let mut order = Vec::new();
        let now = Instant::now();
        while places.close_best(now).is_ok() {
            for (number, closing) in closing.iter().enumerate() {
                if closing.is_cancelled() && !order.contains(&number) {
                    order.push(number);
                    places.leave(connections[number].0);
                }
            }
        }
        order
    }

    #[test]
    fn the_longest_idle_goes_first_and_then_the_longest_busy() {
        let connections =
            [(MODEST, true, 9000), (MODEST, false, 500), (PROXY, true, 8000), (PROXY, false, 700)];
        assert_eq!(order(2, &connections), [3, 1, 0, 2]);
    }

    #[test]
    fn who_has_just_come_is_safe() {
        assert!(order(2, &[(MODEST, false, 0), (MODEST, true, 3000), (PROXY, true, 3000)]).is_empty());
    }

    #[test]
    fn an_address_beyond_its_share_goes_first_and_keeps_its_share() {
        let mut connections = vec![(GREEDY, true, 2000); 4];
        connections.extend([(MODEST, false, 900), (GREEDY, false, 200)]);
        assert_eq!(order(2, &connections), [5, 0, 1, 4]);
    }

    #[test]
    fn a_proxy_has_no_share() {
        assert!(order(2, &[(PROXY, true, 2000); 6]).is_empty());
    }

    #[test]
    fn the_wait_is_known_or_over_when_somebody_is_added() {
        let (places, _closing) = places(2, &[(MODEST, true, 3000)]);
        let left = places.close_best(Instant::now()).expect_err("nobody goes").expect("a time");
        assert!(left <= Duration::from_secs(2), "{left:?}");
        assert_eq!(Places::new(2).close_best(Instant::now()), Err(None));
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let (places, _closing) = places(1, &[(GREEDY, true, 0), (GREEDY, true, 0)]);
        let at = places.add_idle(Instant::now(), GREEDY, &CancellationToken::new());
        places.remove(at);
        let busy: Vec<_> = places.lock().busy.keys().copied().collect();
        for busy in busy {
            places.remove(At::Busy(busy));
            places.leave(GREEDY);
        }
        let list = places.lock();
        assert!(list.idle.is_empty() && list.busy.is_empty());
        assert!(list.holders.is_empty() && list.beyond.is_empty());
    }
}
