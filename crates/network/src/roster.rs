//! What is known of the connected peers: their connections, and what they say
//! of themselves.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, core::ConnectedPoint, identify, multiaddr::Protocol, swarm::ConnectionId,
};

use crate::{
    allowance::Allowance,
    limits::{AGENT_CHARS, PROTOCOLS_OF_PEER},
    status::{Direction, Transport},
};

/// The connected peers.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    peers: HashMap<PeerId, Neighbour>,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Neighbour {
    /// The oldest first.
    pub(crate) connections: Vec<Connection>,
    pub(crate) agent: Option<String>,
    pub(crate) protocols: Vec<String>,
    pub(crate) round_trip: Option<Duration>,
    allowance: Option<Allowance>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    id: ConnectionId,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
}

impl Roster {
    /// A connection stands.
    pub(crate) fn connected(&mut self, peer: PeerId, id: ConnectionId, point: &ConnectedPoint) {
        let direction = match point {
            ConnectedPoint::Dialer { .. } => Direction::Outbound,
            ConnectedPoint::Listener { .. } => Direction::Inbound,
        };
        let mut address = point.get_remote_address().clone();
        if let Some(Protocol::P2p(last)) = address.iter().last()
            && last == peer
        {
            address.pop();
        }
        self.peers
            .entry(peer)
            .or_default()
            .connections
            .push(Connection {
                id,
                address,
                direction,
            });
    }

    /// How many peers gossip, as far as is known: whom a walk through another
    /// network met is none of ours.
    pub(crate) fn gossiping(&self) -> usize {
        let gossips = |neighbour: &&Neighbour| {
            let mut protocols = neighbour.protocols.iter();
            neighbour.protocols.is_empty() || protocols.any(|id| id.starts_with("/meshsub/"))
        };
        self.peers.values().filter(gossips).count()
    }

    /// A connection ended; with the last one the peer is forgotten.
    pub(crate) fn closed(&mut self, peer: &PeerId, id: ConnectionId) {
        if let Some(neighbour) = self.peers.get_mut(peer) {
            neighbour
                .connections
                .retain(|connection| connection.id != id);
            if neighbour.connections.is_empty() {
                self.peers.remove(peer);
            }
        }
    }

    /// What a peer said of itself, cut to a reasonable size.
    pub(crate) fn identified(&mut self, peer: &PeerId, info: &identify::Info) {
        if let Some(neighbour) = self.peers.get_mut(peer) {
            neighbour.agent = Some(info.agent_version.chars().take(AGENT_CHARS).collect());
            let protocols = info.protocols.iter().take(PROTOCOLS_OF_PEER);
            neighbour.protocols = protocols
                .map(|protocol| protocol.as_ref().chars().take(AGENT_CHARS).collect())
                .collect();
        }
    }

    /// A ping came back.
    pub(crate) fn answered(&mut self, peer: &PeerId, round_trip: Duration) {
        if let Some(neighbour) = self.peers.get_mut(peer) {
            neighbour.round_trip = Some(round_trip);
        }
    }

    /// Whether a peer may bring one more wrong message: it does not say that it
    /// checks what it passes on, and its allowance is not used up.
    pub(crate) fn excuses(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(neighbour) = self.peers.get_mut(peer) else {
            return true;
        };
        if neighbour.is_of_our_kind() {
            return false;
        }
        let allowance = neighbour
            .allowance
            .get_or_insert_with(|| Allowance::new(now));
        allowance.take(now)
    }

    /// One connected peer.
    pub(crate) fn peer(&self, id: &PeerId) -> Option<&Neighbour> {
        self.peers.get(id)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Neighbour)> {
        self.peers.iter()
    }
}

impl Neighbour {
    /// Whether the peer says that it speaks protocols of this program.
    pub(crate) fn is_of_our_kind(&self) -> bool {
        self.protocols.iter().any(|id| id.starts_with("/beth/"))
    }
}

impl Connection {
    /// What it runs over.
    pub(crate) fn transport(&self) -> Transport {
        let mut transport = Transport::Tcp;
        for part in &self.address {
            match part {
                Protocol::P2pCircuit => return Transport::Relay,
                Protocol::QuicV1 | Protocol::Quic => transport = Transport::Quic,
                _ => {}
            }
        }
        transport
    }
}
