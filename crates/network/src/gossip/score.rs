//! What gossip makes of the conduct of a peer: parameters of gossipsub's own
//! peer scoring.
//!
//! ```text
//!   −100        −50          −20            0                    +5
//!    │ cut off   │ own        │ neither      │ not in the mesh     │ full credit
//!    │           │ messages   │ offered nor  │                     │
//!    │           │ withheld   │ asked        │
//! ```
//!
//! One unit is one point of [`crate::Fault`]. How it was chosen:
//!
//! * Networks of nodes are small and some topics are silent for hours, so that
//!   nobody loses for delivering little (no mesh delivery deficit), and for
//!   delivering late neither (no slow peer penalty): back-pressure is honest.
//! * Credit for being in the mesh and for news is small: it must not pay for
//!   lies. It is what the better of two honest neighbours is found by.
//! * Invalid messages count squared: one is a defect, ten are an attack and cut
//!   the peer off; after ten minutes a tenth of them is left. Only peers that
//!   check what they pass on are blamed for it (see `node/verdict.rs`): a
//!   released node of upstream passes on everything.
//! * Broken promises and grafts during a back-off are forgiven up to six within
//!   ten minutes, as restarts cause some, and count squared above.
//! * Many peers behind one address are many nodes of one data centre or of one
//!   machine: not punished here, but bounded by the connection limits.

use std::{collections::HashMap, time::Duration};

use libp2p::gossipsub::{
    PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams, score_parameter_decay,
};

/// With this score a peer is cut off.
pub(crate) const CUT_OFF: f64 = -100.0;

/// How long counts of gossip take to fade to a tenth.
const FADE: Duration = Duration::from_secs(600);

/// The parameters for the topics.
pub(super) fn parameters<'a>(topics: impl Iterator<Item = &'a TopicHash>) -> PeerScoreParams {
    let topics: HashMap<TopicHash, TopicScoreParams> =
        topics.map(|topic| (topic.clone(), of_topic())).collect();
    PeerScoreParams {
        topics,
        topic_score_cap: 5.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(FADE),
        decay_interval: Duration::from_secs(1),
        decay_to_zero: 0.01,
        retain_score: Duration::from_secs(3_600),
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

/// What follows from which score.
pub(super) fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -50.0,
        graylist_threshold: CUT_OFF,
        accept_px_threshold: 1_000.0,
        opportunistic_graft_threshold: 0.5,
    }
}

fn of_topic() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.1,
        time_in_mesh_quantum: Duration::from_secs(60),
        time_in_mesh_cap: 10.0,
        first_message_deliveries_weight: 0.01,
        first_message_deliveries_decay: score_parameter_decay(FADE),
        first_message_deliveries_cap: 100.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: score_parameter_decay(FADE),
        ..TopicScoreParams::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_library_takes_them() {
        let topics = [TopicHash::from_raw("ALIVE")];
        parameters(topics.iter()).validate().unwrap();
        thresholds().validate().unwrap();
    }
}
