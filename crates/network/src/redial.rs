//! When to call which bootstrap peer again.
//!
//! ```text
//!              due                  failed: pause doubles, 1 s … 60 s
//!   waiting ────────▶ calling ───────────────────────────▶ waiting
//!      ▲                 │ connected
//!      │  lost: 1 s      ▼
//!      └───────────── silent (connected: never called, network.md §2.1)
//! ```
//!
//! Pure: the clock is a parameter and dialling is done by the node.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};

use crate::{
    address::PeerAddress,
    limits::{REDIAL_FIRST, REDIAL_LONGEST},
};

/// The bootstrap peers and when each is called next.
#[derive(Debug)]
pub(crate) struct Redial {
    targets: BTreeMap<PeerId, Target>,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    failures: u32,
    /// `None` while the peer is being called or is connected.
    next: Option<Instant>,
}

impl Redial {
    /// All peers are due at once; several addresses of one peer are tried together.
    pub(crate) fn new(peers: Vec<PeerAddress>, now: Instant) -> Redial {
        let mut targets: BTreeMap<PeerId, Target> = BTreeMap::new();
        for peer in peers {
            let target = targets.entry(peer.id).or_insert_with(|| Target {
                addresses: Vec::new(),
                failures: 0,
                next: Some(now),
            });
            target.addresses.push(peer.address);
        }
        Redial { targets }
    }

    /// The next moment at which [`Redial::due`] is not empty.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.targets.values().filter_map(|target| target.next).min()
    }

    /// Takes the peers to call now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (id, target) in &mut self.targets {
            if target.next.is_some_and(|next| next <= now) {
                target.next = None;
                due.push((*id, target.addresses.clone()));
            }
        }
        due
    }

    /// The peer is connected, by whoever's call.
    pub(crate) fn connected(&mut self, id: &PeerId) {
        if let Some(target) = self.targets.get_mut(id) {
            target.failures = 0;
            target.next = None;
        }
    }

    /// The last connection with the peer ended.
    pub(crate) fn lost(&mut self, id: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(id) {
            target.failures = 0;
            target.next = Some(now + REDIAL_FIRST);
        }
    }

    /// A call failed. Returns how many have failed in a row; 0 for a peer that
    /// is not called again.
    pub(crate) fn failed(&mut self, id: &PeerId, now: Instant) -> u32 {
        let Some(target) = self.targets.get_mut(id) else {
            return 0;
        };
        target.next = Some(now + pause(target.failures));
        target.failures = target.failures.saturating_add(1);
        target.failures
    }
}

fn pause(failures: u32) -> Duration {
    REDIAL_FIRST
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(REDIAL_LONGEST)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(now: Instant) -> (Redial, PeerId) {
        let id = PeerId::random();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let peers = vec![
            PeerAddress {
                id,
                address: address.clone(),
            },
            PeerAddress { id, address },
        ];
        (Redial::new(peers, now), id)
    }

    #[test]
    fn pauses_double_to_a_minute() {
        let mut now = Instant::now();
        let (mut redial, id) = one(now);
        let mut failures = 0;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(redial.due(now).len(), 1);
            assert_eq!(redial.wake(), None);
            failures += 1;
            assert_eq!(redial.failed(&id, now), failures);
            let next = now + Duration::from_secs(seconds);
            assert_eq!(redial.wake(), Some(next));
            assert!(redial.due(next - Duration::from_millis(1)).is_empty());
            now = next;
        }
        assert_eq!(pause(u32::MAX), REDIAL_LONGEST);
    }

    #[test]
    fn connected_peers_are_not_called() {
        let now = Instant::now();
        let (mut redial, id) = one(now);
        redial.connected(&id);
        assert_eq!(redial.wake(), None);
        redial.lost(&id, now);
        assert_eq!(redial.wake(), Some(now + REDIAL_FIRST));
        assert_eq!(redial.failed(&PeerId::random(), now), 0);
        assert_eq!(redial.due(now + REDIAL_FIRST).len(), 1);
    }
}
