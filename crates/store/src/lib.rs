//! State and content of a core node.
//!
//! ```text
//!            Store ── one writer connection ──▶ SQLite (WAL) ◀── reader connections (pages, View)
//!            Blobs ── ab/cd/<hash> files, written beside and renamed
//! ```
//!
//! The state is a fold of messages: [`State::apply`] is the only way to change
//! it, always inside the transaction that inserts the message. Only this crate
//! contains SQL. Nothing here knows HTTP, gossip or signatures.

mod apply;
mod balances;
pub mod blobs;
pub mod confirmations;
mod credits;
mod database;
mod delegations;
mod digest;
pub mod error;
mod forget;
mod garbage;
pub mod jobs;
mod keys;
pub mod limits;

mod memory;
mod peers;
pub mod pending;
pub mod query;
mod reconcile;
mod removal;
pub mod rows;
mod senders;
mod state;
mod tallies;

pub use apply::costs::{Billed, costs_something};
pub use blobs::Blobs;
pub use database::{Readers, Store, Writer};
pub use digest::StateDigest;
pub use error::Error;
pub use peers::StoredPeer;
pub use state::State;
