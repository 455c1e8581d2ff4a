//! The snapshot of the network.

use std::time::Instant;

use libp2p::{Multiaddr, PeerId, gossipsub::TopicHash};

use super::Node;
use crate::{
    roster::Neighbour,
    status::{BlockedPeer, Direction, PeerStatus, Status, TopicStatus, Transport},
};

impl Node {
    pub(super) fn status(&self) -> Status {
        let now = Instant::now();
        let own = *self.swarm.local_peer_id();
        let full = |address: &Multiaddr| {
            let full = address.clone().with_p2p(own);
            full.unwrap_or_else(|address| address).to_string()
        };
        let mut peers: Vec<PeerStatus> = self
            .roster
            .iter()
            .map(|(id, neighbour)| self.peer_status(id, neighbour, now))
            .collect();
        peers.sort_by(|one, other| one.id.cmp(&other.id));
        let mut blocked: Vec<BlockedPeer> = self
            .standing
            .blocked()
            .map(|(id, until)| BlockedPeer {
                id: id.to_string(),
                remaining: until.saturating_duration_since(now),
            })
            .collect();
        blocked.sort_by(|one, other| one.id.cmp(&other.id));
        Status {
            peer_id: own.to_string(),
            listening: self.addresses.borrow().clone(),
            external: self.swarm.external_addresses().map(full).collect(),
            peers,
            topics: self.topic_statuses(),
            rejected: self.rejected,
            blocked,
        }
    }

    fn peer_status(&self, id: &PeerId, neighbour: &Neighbour, now: Instant) -> PeerStatus {
        let gossip = &self.swarm.behaviour().gossip;
        let oldest = neighbour.connections.first();
        let mut topics: Vec<String> = gossip
            .all_peers()
            .find(|(peer, _)| *peer == id)
            .map(|(_, topics)| topics.into_iter().map(TopicHash::to_string).collect())
            .unwrap_or_default();
        topics.sort();
        let mut meshes: Vec<String> = gossip
            .topics()
            .filter(|topic| gossip.mesh_peers(topic).any(|peer| peer == id))
            .map(TopicHash::to_string)
            .collect();
        meshes.sort();
        let points = self.standing.points(id, now);
        PeerStatus {
            id: id.to_string(),
            address: oldest.map_or_else(String::new, |oldest| oldest.address.to_string()),
            direction: oldest.map_or(Direction::Inbound, |oldest| oldest.direction),
            transport: oldest.map_or(Transport::Tcp, |oldest| oldest.transport()),
            connections: neighbour.connections.len(),
            agent: neighbour.agent.clone(),
            round_trip: neighbour.round_trip,
            gossip: gossip
                .peer_protocol()
                .find(|(peer, _)| *peer == id)
                .and_then(|(_, kind)| version(kind.as_ref())),
            protocols: neighbour.protocols.clone(),
            score: self.score(id),
            points,
            topics,
            meshes,
        }
    }

    fn topic_statuses(&self) -> Vec<TopicStatus> {
        let gossip = &self.swarm.behaviour().gossip;
        let mut topics: Vec<TopicStatus> = gossip
            .topics()
            .map(|topic| TopicStatus {
                topic: topic.to_string(),
                peers: gossip
                    .all_peers()
                    .filter(|(_, topics)| topics.contains(&topic))
                    .count(),
                mesh: gossip.mesh_peers(topic).count(),
                ..TopicStatus::default()
            })
            .collect();
        topics.sort_by(|one, other| one.topic.cmp(&other.topic));
        self.traffic.read(&mut topics);
        topics
    }
}

/// The protocol id of what the library calls `Gossipsub v1.1`.
fn version(kind: &str) -> Option<String> {
    let version = kind.strip_prefix("Gossipsub v")?;
    Some(format!("/meshsub/{version}.0"))
}
