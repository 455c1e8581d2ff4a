//! Speaks to the nodes of the network over HTTP.
//!
//! ```text
//!   content::{post, aggregate, store, program, forget}
//!        │ content (JSON, every default written out)
//!        ▼
//!   Account::sign_message ──▶ Client::submit ──────▶ core node     /api/v0, /api/ws0
//!                             Client::store_file ──▶
//!                             Client::watch     ◀───
//!                             Scheduler::allocation ▶ placement     /api/v0
//!                             ComputeNode::call ────▶ compute node  /vm, /beth/v1
//! ```
//!
//! Invariants: every call has a deadline and a bound on what it reads; nothing
//! is retried behind the caller's back except the stream of [`watch`], which
//! reconnects; files are compared with their hash while they arrive; messages
//! that a node lists are parsed with the rules of the network. The sentence of
//! an [`Error`] says what happened and what to do.
//!
//! Deliberately absent: traits, caches, configuration. An in-process transport
//! for simulations will come in here.

pub mod client;
pub mod compute;
pub mod content;
pub mod development;
pub mod error;
pub mod limits;
pub mod scheduler;
mod transport;
pub mod watch;
pub mod workload;

pub use client::Client;
pub use client::messages::{ListedMessage, MessageRecord, Submission};
pub use compute::ComputeNode;
pub use error::Error;
pub use scheduler::Scheduler;
pub use transport::install_tls_provider;

use beth_protocol::time::Timestamp;

/// The time of this machine, as messages write it.
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
