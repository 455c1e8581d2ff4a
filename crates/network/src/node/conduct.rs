//! How peers behave, and what follows from it.
//!
//! ```text
//!   demote ─▶ standing: points ─▶ gossip: application score ─┐
//!   gossip: invalid messages, broken promises … ─────────────┤
//!                                          score ≤ −100 ─▶ cut off, blocked
//!                                          time over    ─▶ free
//! ```

use std::time::Instant;

use libp2p::PeerId;

use super::Node;
use crate::{fault::Fault, gossip::CUT_OFF};

impl Node {
    /// A peer did something wrong.
    pub(super) fn demote(&mut self, id: PeerId, fault: Fault) {
        let now = Instant::now();
        let points = self.standing.demote(id, fault.points(), now);
        tracing::debug!(peer = %id, fault = fault.as_str(), points, "a peer misbehaved");
        self.weigh(&id, now);
    }

    /// What a peer is worth.
    pub(super) fn score(&self, id: &PeerId) -> f64 {
        let gossip = &self.swarm.behaviour().gossip;
        gossip.peer_score(id).unwrap_or_default()
    }

    /// Lets points fade and blocks end, and cuts off whom gossip gave up.
    pub(super) fn review(&mut self) {
        let now = Instant::now();
        for id in self.standing.free(now) {
            tracing::info!(peer = %id, "a peer that was cut off may come back");
            self.swarm.behaviour_mut().blocks.unblock_peer(id);
        }
        let roster = &self.roster;
        self.redial.forget(now, |id| roster.peer(id).is_some());
        let connected: Vec<PeerId> = self.roster.iter().map(|(id, _)| *id).collect();
        for id in connected {
            self.weigh(&id, now);
        }
    }

    /// Brings the score of a peer up to date and cuts it off when it is too bad.
    pub(super) fn weigh(&mut self, id: &PeerId, now: Instant) {
        let points = self.standing.points(id, now);
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.set_application_score(id, -points);
        let score = gossip.peer_score(id).unwrap_or(-points);
        if score <= CUT_OFF && !self.standing.is_blocked(id) {
            let seconds = self.standing.block(*id, now).as_secs();
            tracing::warn!(peer = %id, score, seconds, "a peer misbehaved too often and is cut off");
            self.swarm.behaviour_mut().blocks.block_peer(*id);
        }
    }
}
