//! Peers beyond the configured ones.
//!
//! ```text
//!   identify ─▶ usable addresses ─▶ Kademlia of our own kind ─┐ fewer peers than
//!                                      ▲ asks about itself    │ wanted
//!                                      └── every few minutes  ▼
//!   introduced by the node above ──────────────────────────▶ redial
//! ```
//!
//! Why Kademlia and not an exchange of lists: answers are bounded, each peer
//! reveals only those near a key, and what it returns is probed by dialling
//! before it is returned to anybody else. The bootstrap peers are only the
//! beginning.

use std::{net::IpAddr, time::Instant};

use libp2p::{Multiaddr, PeerId, identify, multiaddr::Protocol, relay};

use super::Node;
use crate::{
    address::PeerAddress,
    behaviour::DISCOVERY,
    limits::{ADDRESSES_OF_PEER, PEERS_CALLED},
};

impl Node {
    /// A peer said who it is.
    pub(super) fn meet(&mut self, peer: PeerId, info: &identify::Info) {
        self.roster.identified(&peer, info);
        if !info.protocols.contains(&DISCOVERY) {
            return;
        }
        let is_near = self.roster.peer(&peer).is_some_and(|neighbour| {
            let mut connections = neighbour.connections.iter();
            connections.any(|connection| is_private(&connection.address))
        });
        let addresses = info.listen_addrs.iter();
        let usable = addresses.filter(|address| is_usable(address, is_near));
        if let Some(discovery) = self.swarm.behaviour_mut().discovery.as_mut() {
            for address in usable.take(ADDRESSES_OF_PEER) {
                discovery.add_address(&peer, address.clone());
            }
        }
    }

    /// The node above knows of peers.
    pub(super) fn introduced(&mut self, peers: Vec<PeerAddress>) {
        let own = *self.swarm.local_peer_id();
        let now = Instant::now();
        for peer in peers {
            if peer.id != own {
                let is_connected = self.swarm.is_connected(&peer.id);
                self.redial.introduce(peer, is_connected, now);
            }
        }
    }

    /// Calls more peers when there are too few.
    pub(super) fn widen(&mut self) {
        let connected = self.roster.gossiping();
        let missing = self.peers_wanted.saturating_sub(connected);
        let Some(discovery) = self.swarm.behaviour_mut().discovery.as_mut() else {
            return;
        };
        if missing == 0 {
            return;
        }
        let mut found = Vec::new();
        for bucket in discovery.kbuckets() {
            for entry in bucket.iter() {
                let id = *entry.node.key.preimage();
                let addresses: Vec<Multiaddr> = entry.node.value.iter().cloned().collect();
                found.push((id, addresses));
            }
        }
        found.retain(|(id, _)| {
            !self.swarm.is_connected(id) && !self.standing.is_blocked(id) && !self.redial.knows(id)
        });
        let peers = found.into_iter().take(missing).flat_map(|(id, addresses)| {
            let addresses = addresses.into_iter().take(ADDRESSES_OF_PEER);
            addresses.map(move |address| PeerAddress { id, address })
        });
        self.introduced(peers.collect());
    }

    /// Whether one more peer may be called that was not configured.
    pub(super) fn has_room(&self) -> bool {
        self.roster.gossiping() < PEERS_CALLED
    }

    /// Asks a neighbour to relay to us when nobody can reach us.
    pub(super) fn be_relayed(&mut self) {
        let is_reachable = self.swarm.external_addresses().next().is_some();
        if is_reachable || self.relay.is_some() || self.started.elapsed() < crate::limits::REACH {
            return;
        }
        let relay = self.roster.iter().find_map(|(id, neighbour)| {
            let mut protocols = neighbour.protocols.iter();
            let relays = protocols.any(|id| id == relay::HOP_PROTOCOL_NAME.as_ref());
            let outbound = neighbour
                .connections
                .iter()
                .find(|connection| connection.direction == crate::status::Direction::Outbound)?;
            relays.then(|| (*id, outbound.address.clone()))
        });
        let Some((id, address)) = relay else { return };
        let circuit = address.with(Protocol::P2p(id)).with(Protocol::P2pCircuit);
        match self.swarm.listen_on(circuit) {
            Ok(listener) => self.relay = Some(listener),
            Err(error) => tracing::debug!(peer = %id, %error, "a peer cannot relay to us"),
        }
    }
}

/// Whether others may be told of an address: one that is private is of use to
/// those who are near alone.
fn is_usable(address: &Multiaddr, is_near: bool) -> bool {
    let mut parts = address.iter();
    let is_host_fine = match parts.next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified() && !ip.is_multicast(),
        Some(Protocol::Ip6(ip)) => !ip.is_unspecified() && !ip.is_multicast(),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)) => true,
        _ => false,
    };
    let is_transport_fine = match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Tcp(port)), None, None) => port != 0,
        (Some(Protocol::Udp(port)), Some(Protocol::QuicV1), None) => port != 0,
        _ => false,
    };
    is_host_fine && is_transport_fine && (is_near || !is_private(address))
}

fn is_private(address: &Multiaddr) -> bool {
    let ip = match address.iter().next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return false,
    };
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_told_on() {
        for (address, far, near) in [
            ("/ip4/8.8.8.8/tcp/4025", true, true),
            ("/ip4/8.8.8.8/udp/4025/quic-v1", true, true),
            ("/dns/node.example/tcp/4025", true, true),
            ("/ip4/127.0.0.1/tcp/4025", false, true),
            ("/ip6/fd00::1/tcp/4025", false, true),
            ("/ip4/0.0.0.0/tcp/4025", false, false),
            ("/ip4/8.8.8.8/tcp/0", false, false),
            ("/ip4/8.8.8.8/tcp/4025/ws", false, false),
            ("/memory/7", false, false),
        ] {
            let parsed: Multiaddr = address.parse().unwrap();
            assert_eq!(is_usable(&parsed, false), far, "{address}");
            assert_eq!(is_usable(&parsed, true), near, "{address}");
        }
    }
}
