//! Gossip between core nodes over libp2p, wire-compatible with the network's
//! released nodes (network.md §2 and §3).
//!
//! ```text
//!   ccn ──publish──▶ Network ──commands──▶ Node (one task) ◀──▶ Swarm ◀──▶ peers
//!    ▲                                       │   gossip: what is said
//!    ├──────────── Received (bounded) ◀──────┘   redial: whom we keep calling
//!    └── Library ◀── sync: what was missed ◀──streams──▶ neighbours
//! ```
//!
//! [`Network`] is the handle, [`Received`] what arrives, [`payload`] the one
//! quirk of the text on the message topic. Addresses and peer ids cross this
//! border as text: nobody outside names libp2p.
//!
//! Invariants: one task owns the swarm; every queue is bounded; a full
//! `Received` queue stops reading from the peers instead of losing messages;
//! connections and the node task end, and are joined, at [`Network::stop`].
//!
//! Peers that speak more than upstream identify themselves and are pinged; all
//! are scored by their conduct. Not here yet: alive messages, which are payloads on
//! one more topic plus [`Network::dial`].

mod address;
mod allowance;
mod behaviour;
mod bitswap;
pub mod content;
mod error;
mod fault;
mod frame;
mod gossip;
mod identity;
pub mod limits;
mod message_id;
mod network;
mod node;
pub mod parameters;
pub mod payload;
mod pong;
mod redial;
mod roster;
mod routing;
mod standing;
mod status;
mod sync;
mod traffic;
mod transport;
mod verdict;

pub use bitswap::{Blocks, Exchange, Exchanged, Fetch, Found, Missing};
pub use error::{Error, PublishError};
pub use fault::Fault;
pub use identity::{Identity, IdentityError};
pub use message_id::message_id;
pub use network::{Config, Network, Published, Received};
pub use status::{BlockedPeer, Direction, PeerStatus, Status, TopicStatus, Transport};
pub use sync::{Batch, Judged, Library, LibraryError, Tally, Visit, Wanted};
pub use verdict::{Ticket, Verdict};
