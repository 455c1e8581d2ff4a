//! When to call which peer again: the configured ones for ever, others as long
//! as somebody speaks of them.
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
    limits::{ADDRESSES_OF_PEER, REDIAL_FIRST, REDIAL_LONGEST, REDIAL_MEMORY, REDIAL_PEERS},
};

/// The peers and when each is called next.
#[derive(Debug)]
pub(crate) struct Redial {
    targets: BTreeMap<PeerId, Target>,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    failures: u32,
    /// When it was spoken of last; `None`: it is configured.
    introduced: Option<Instant>,
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
                introduced: None,
                next: Some(now),
            });
            target.addresses.push(peer.address);
        }
        Redial { targets }
    }

    /// Somebody speaks of a peer, which is due at once if it is new.
    pub(crate) fn introduce(&mut self, peer: PeerAddress, is_connected: bool, now: Instant) {
        if let Some(target) = self.targets.get_mut(&peer.id) {
            target.introduced = target.introduced.map(|_| now);
            if !target.addresses.contains(&peer.address)
                && target.addresses.len() < ADDRESSES_OF_PEER
            {
                target.addresses.push(peer.address);
            }
        } else if self.targets.len() < REDIAL_PEERS {
            let target = Target {
                addresses: vec![peer.address],
                failures: 0,
                introduced: Some(now),
                next: (!is_connected).then_some(now),
            };
            self.targets.insert(peer.id, target);
        }
    }

    /// Whether a peer is called when it is due.
    pub(crate) fn knows(&self, id: &PeerId) -> bool {
        self.targets.contains_key(id)
    }

    /// Whether a peer is configured.
    pub(crate) fn is_configured(&self, id: &PeerId) -> bool {
        let target = self.targets.get(id);
        target.is_some_and(|target| target.introduced.is_none())
    }

    /// Forgets the peers of whom nobody has spoken for long, unless `keep`.
    pub(crate) fn forget(&mut self, now: Instant, keep: impl Fn(&PeerId) -> bool) {
        self.targets.retain(|id, target| {
            let spoken_of = target
                .introduced
                .is_none_or(|last| now.saturating_duration_since(last) < REDIAL_MEMORY);
            spoken_of || keep(id)
        });
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

    #[test]
    fn peers_are_introduced_and_forgotten() {
        let start = Instant::now();
        let (mut redial, configured) = one(start);
        redial.due(start);
        let met = PeerId::random();
        let speak = |redial: &mut Redial, port: usize, now| {
            let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
            redial.introduce(PeerAddress { id: met, address }, false, now);
        };
        for port in 1..20 {
            speak(&mut redial, port, start);
        }
        let due = redial.due(start);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].1.len(), ADDRESSES_OF_PEER);
        assert_eq!(redial.failed(&met, start), 1);
        // Speaking of it again does not hurry the next call.
        speak(&mut redial, 1, start);
        assert!(redial.due(start).is_empty());

        let later = start + REDIAL_MEMORY;
        redial.forget(later, |id| *id == met);
        assert!(redial.knows(&met) && !redial.is_configured(&met));
        redial.forget(later, |_| false);
        assert!(!redial.knows(&met) && redial.is_configured(&configured));
    }
}
