//! The numbers of gossip and reconciliation, as values.
//!
//! ```text
//!   GOSSIP ──▶ gossip: the real behaviour       (network.md §2.3)
//!      │
//!   VISITS ──▶ sync: the real keeper            (network.md §26, target 1)
//!      │
//!      └─────▶ examples/simulate: the model of both, in virtual time
//! ```
//!
//! They are here once, so that what is simulated is what runs. Upstream's nodes
//! have those of [`GOSSIP`] too, except [`Gossip::dont_want_bytes`].

use std::time::Duration;

use crate::limits::{
    DIAL, REDIAL_FIRST, REDIAL_LONGEST, SYNC_AGAIN, SYNC_BATCH_BYTES, SYNC_PERIOD, SYNC_POLITENESS,
    SYNC_QUESTIONS, SYNC_VISITORS,
};

/// How a node gossips.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// From the start of a node to one heartbeat before its first.
    pub heartbeat_delay: Duration,
    /// Whom messages are passed on to.
    pub mesh: Mesh,
    /// Own messages go to all neighbours, not only to those of the mesh.
    pub flood_publish: bool,
    /// Neighbours outside of the mesh that are told at each heartbeat which
    /// messages there are: at least so many,
    pub lazy: usize,
    /// and at least this share of them.
    pub lazy_share: f64,
    /// Heartbeats for which a message can be asked for.
    pub history: usize,
    /// Heartbeats at which a message is told of.
    pub history_told: usize,
    /// How long a message is known as a duplicate.
    pub duplicates: Duration,
    /// Messages from this size on are cancelled at the others of the mesh when
    /// they arrive (gossipsub 1.2).
    pub dont_want_bytes: usize,
    /// A neighbour that was removed from a mesh is not taken again for so long.
    pub prune_backoff: Duration,
    /// Heartbeats added to that.
    pub backoff_slack: u32,
    /// How long an asked message is waited for.
    pub want_patience: Duration,
    /// How often one neighbour is given the same message.
    pub want_answers: u32,
    /// Announcements that are read of one neighbour between two heartbeats.
    pub haves_read: usize,
    /// Message ids in one announcement, and asked of one neighbour between two
    /// heartbeats.
    pub ids_max: usize,
}

/// The neighbours to whom a topic's messages are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// How many there should be.
    pub peers: usize,
    /// With fewer, others are taken in.
    pub low: usize,
    /// With as many or more, some are removed.
    pub high: usize,
    /// Of those that we called, at least so many.
    pub outbound_min: usize,
    /// The best of them stay when some are removed.
    pub best: usize,
}

/// How a node reconciles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visits {
    /// To a neighbour that had nothing new.
    pub period: Duration,
    /// To one that had, and the first pause after a failure.
    pub again: Duration,
    /// For which one of two neighbours that meet lets the other visit first.
    pub politeness: Duration,
    /// Bytes of messages that are sent together, unless one has more.
    pub batch_bytes: usize,
    /// Questions in one visit.
    pub questions: usize,
    /// Visitors that are received at once.
    pub visitors: usize,
}

/// How a lost neighbour is called again: pauses double from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redials {
    /// The first pause.
    pub first: Duration,
    /// The longest one.
    pub longest: Duration,
    /// How long a call is waited for that nobody answers.
    pub patience: Duration,
}

/// The numbers of our nodes.
pub const GOSSIP: Gossip = Gossip {
    heartbeat: Duration::from_secs(1),
    heartbeat_delay: Duration::from_secs(4),
    mesh: Mesh {
        peers: 6,
        low: 5,
        high: 12,
        outbound_min: 2,
        best: 4,
    },
    flood_publish: true,
    lazy: 6,
    lazy_share: 0.25,
    history: 5,
    history_told: 3,
    duplicates: Duration::from_secs(1_800),
    dont_want_bytes: 1_000,
    prune_backoff: Duration::from_secs(60),
    backoff_slack: 1,
    want_patience: Duration::from_secs(3),
    want_answers: 3,
    haves_read: 10,
    ids_max: 5_000,
};

/// See [`GOSSIP`].
pub const VISITS: Visits = Visits {
    period: SYNC_PERIOD,
    again: SYNC_AGAIN,
    politeness: SYNC_POLITENESS,
    batch_bytes: SYNC_BATCH_BYTES,
    questions: SYNC_QUESTIONS,
    visitors: SYNC_VISITORS,
};

/// See [`GOSSIP`].
pub const REDIALS: Redials = Redials {
    first: REDIAL_FIRST,
    longest: REDIAL_LONGEST,
    patience: DIAL,
};
