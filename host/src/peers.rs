//! Limits per peer: open connections and introductions per minute, in a table of bounded size.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Peers remembered at once, about 5 MiB. A peer is forgotten when it has no connection and its rate has
/// recovered; when the table is full of active peers, new ones are refused.
const PEERS: usize = 65_536;

/// Who counts as one peer: an IPv4 address, or the /64 of an IPv6 address, as one customer owns a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey(IpAddr);

impl From<IpAddr> for PeerKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
            v4 => Self(v4),
        }
    }
}

/// Counts of every active peer.
#[derive(Debug)]
pub(crate) struct Peers {
    max_open: u32,
    /// Time that one introduction costs.
    interval: Duration,
    /// Time's worth of introductions that may come at once.
    burst: Duration,
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    peers: HashMap<PeerKey, Peer>,
    /// When quiet peers may next be looked for, so that a full table costs a sweep per second, not per peer.
    next_sweep: Instant,
}

#[derive(Debug)]
struct Peer {
    open: u32,
    /// The time at which all introductions so far are paid for (generic cell rate algorithm).
    paid_until: Instant,
}

/// One open connection of a peer; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct PeerSlot {
    peers: Arc<Peers>,
    key: PeerKey,
}

impl Peers {
    /// Limits by `max_open` connections and `per_minute` introductions (at least 1).
    pub(crate) fn new(max_open: u32, per_minute: u32) -> Arc<Self> {
        Self::with_capacity(max_open, per_minute, PEERS)
    }

    fn with_capacity(max_open: u32, per_minute: u32, capacity: usize) -> Arc<Self> {
        let burst = Duration::from_secs(60);
        let interval = burst / per_minute.max(1);
        let table = Mutex::new(Table { peers: HashMap::new(), next_sweep: Instant::now() });
        Arc::new(Self { max_open, interval, burst, capacity, table })
    }

    /// A place for one more connection, or nothing if the peer has too many or there are too many peers.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<PeerSlot> {
        let key = PeerKey::from(address);
        let now = Instant::now();
        let mut table = self.table();
        if !table.peers.contains_key(&key) && table.peers.len() >= self.capacity {
            table.sweep(now);
            if table.peers.len() >= self.capacity {
                return None;
            }
        }
        let peer = table.peers.entry(key).or_insert(Peer { open: 0, paid_until: now });
        if peer.open >= self.max_open {
            return None;
        }
        peer.open += 1;
        Some(PeerSlot { peers: Arc::clone(self), key })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every update is complete when the lock is released, so the counts hold even after a panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn sweep(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.peers.retain(|_, peer| peer.open > 0 || peer.paid_until > now);
            self.next_sweep = now + Duration::from_secs(1);
        }
    }
}

impl PeerSlot {
    /// Counts an introduction; `false` when the peer has had too many.
    pub(crate) fn may_introduce(&self) -> bool {
        let now = Instant::now();
        let mut table = self.peers.table();
        let Some(peer) = table.peers.get_mut(&self.key) else { return false };
        let paid_until = peer.paid_until.max(now) + self.peers.interval;
        let allowed = paid_until <= now + self.peers.burst;
        if allowed {
            peer.paid_until = paid_until;
        }
        allowed
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut table = self.peers.table();
        if let Some(peer) = table.peers.get_mut(&self.key) {
            peer.open = peer.open.saturating_sub(1);
            if peer.open == 0 && peer.paid_until <= now {
                table.peers.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_limited_per_peer_and_given_back() {
        let peers = Peers::new(2, 60);
        let first = peers.admit(ip("192.0.2.1")).unwrap();
        let _second = peers.admit(ip("192.0.2.1")).unwrap();
        assert!(peers.admit(ip("192.0.2.1")).is_none());
        assert!(peers.admit(ip("::ffff:192.0.2.1")).is_none(), "the same peer in another form");
        assert!(peers.admit(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(peers.admit(ip("192.0.2.1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_network_is_one_peer() {
        let peers = Peers::new(1, 60);
        let _slot = peers.admit(ip("2001:db8:1:2::1")).unwrap();
        assert!(peers.admit(ip("2001:db8:1:2:ffff::9")).is_none());
        assert!(peers.admit(ip("2001:db8:1:3::1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn introductions_are_limited_per_minute() {
        let peers = Peers::new(8, 3);
        let slot = peers.admit(ip("192.0.2.1")).unwrap();
        assert_eq!((0..5).filter(|_| slot.may_introduce()).count(), 3);
        tokio::time::advance(Duration::from_secs(19)).await;
        assert!(!slot.may_introduce());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(slot.may_introduce());
        assert!(!slot.may_introduce());
    }

    #[tokio::test(start_paused = true)]
    async fn reconnecting_does_not_reset_the_rate() {
        let peers = Peers::new(8, 1);
        assert!(peers.admit(ip("192.0.2.1")).unwrap().may_introduce());
        assert!(!peers.admit(ip("192.0.2.1")).unwrap().may_introduce());
    }

    #[tokio::test(start_paused = true)]
    async fn f10_the_table_is_bounded_and_forgets_quiet_peers() {
        let peers = Peers::with_capacity(8, 60, 3);
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            assert!(peers.admit(ip(address)).unwrap().may_introduce());
        }
        assert!(peers.admit(ip("192.0.2.4")).is_none());
        assert_eq!(peers.table().peers.len(), 3);
        tokio::time::advance(Duration::from_secs(2)).await;
        let slot = peers.admit(ip("192.0.2.4")).unwrap();
        assert_eq!(peers.table().peers.len(), 1);
        drop(slot);
        assert_eq!(peers.table().peers.len(), 0);
    }
}
