//! Reconciliation with neighbours: each finds out what the other has, fetches
//! that and offers what the other lacks (network.md §26, target 1).
//!
//! ```text
//!   neighbours (watch) ─▶ keeper: who is due ─▶ visit ──stream──▶ serve
//!                                                │  compare, sketch     │
//!                                                │  messages ◀───────── │
//!                                                │  ──────────▶ offers  │
//!                                                ▼                      ▼
//!                                             Library                Library
//! ```
//!
//! The protocol has an id of its own, so nodes that do not know it are not
//! troubled. How a difference is found is [`beth_protocol::reconcile`]; what a
//! node has and takes is its [`Library`]. Visits are paid one after another, the
//! next already when one stalls; a few are received; of two neighbours one visits
//! at a time. Every frame is bounded and waited for with a deadline.

mod frame;
mod guests;
mod keeper;
mod library;
mod pulse;
mod serve;
mod visit;

use libp2p::{PeerId, StreamProtocol};

use crate::fault::Fault;
use crate::limits::WRONG_BLAMED;
use crate::network::Network;

pub(crate) use guests::Guests;
pub(crate) use keeper::Keeper;
pub use library::{Batch, Judged, Library, LibraryError, Tally, Wanted};
pub(crate) use serve::serve;
pub use visit::Visit;

/// What a peer is blamed for when it sent so many wrong messages: for each, but
/// not more than cuts it off.
fn blame(network: &Network, peer: PeerId, wrong: u64) {
    for _ in 0..wrong.min(WRONG_BLAMED) {
        network.demote(&peer.to_string(), Fault::InvalidMessage);
    }
}

/// The protocol id.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/beth/sync/1.0.0");
