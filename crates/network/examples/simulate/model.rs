//! A network of nodes in virtual time.
//!
//! ```text
//!   settings ─▶ world ─ agenda: what happens when ──▶ one event after the other
//!                 │
//!     node, port ─┼─ gossip, mesh: a model of gossipsub 1.1 and 1.2
//!     link, wire ─┼─ latency, bandwidth, loss; bytes of every frame
//!        library ─┼─ visits: the real reconciliation, its real schedule
//!       scenario ─┤  who leaves, what is cut
//!                 ▼
//!               ledger ─▶ outcome
//! ```
//!
//! The library that nodes gossip with reads the clock and draws its own random
//! numbers, so it cannot run here: `gossip` and `mesh` are written after its
//! behaviour and take their numbers from [`beth_network::parameters`], as the
//! nodes do. Message names are those of [`beth_network::message_id`], and what
//! two nodes tell each other to reconcile is asked and answered by
//! [`beth_protocol::reconcile`] itself.
//!
//! Nothing here depends on anything but the settings: the same seed gives the
//! same outcome to the byte.

pub mod clock;
mod gossip;
mod ledger;
mod library;
mod link;
mod mesh;
mod message;
mod node;
pub mod outcome;
pub mod random;
mod scenario;
pub mod settings;
mod visits;
mod wire;
pub mod world;
