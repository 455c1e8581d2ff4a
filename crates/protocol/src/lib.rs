//! The language of the network, pure.
//!
//! Everything two nodes must agree on lives here: what a message is
//! ([`Message`], [`Content`]), how it is named ([`ItemHash`]) and signed
//! ([`signature`]), who may say what ([`permissions`]), what it costs
//! ([`cost`]), what it changes ([`judge`]), which nodes exist ([`registry`])
//! and where a workload runs ([`placement`]).
//!
//! ```text
//!  bytes ─▶ Message::parse ─▶ signature::verify ─▶ judge(message, view, now) ─▶ Verdict
//!                │                    │                                          │
//!            Rejection            Rejection               Accept(Effects) / Wait / Reject
//! ```
//!
//! Invariants: no input or output, no clock (the time is a parameter), no
//! randomness, no async, no map whose order leaks into a result. Anything that
//! input can reach answers with a value, never with a panic.

pub mod account;
pub mod aggregate;
pub mod alive;
pub mod chain;
pub mod chain_event;
pub mod cid;
pub mod content;
pub mod cost;
pub mod credits;
pub mod dag;
pub mod decimal;
pub mod digest;
pub mod encoding;
pub mod hash;
pub mod json;
pub mod judge;
pub mod limits;
pub mod message;
pub mod permissions;
pub mod placement;
pub mod reconcile;
pub mod registry;
pub mod rejection;
pub mod signature;
pub mod status;
pub mod time;
pub mod view;

pub use account::Account;
pub use chain::Chain;
pub use content::Content;
pub use hash::{HashKind, ItemHash};
pub use judge::{Effect, Verdict, judge};
pub use message::{ItemType, Message, MessageType};
pub use rejection::Rejection;
pub use status::Status;
pub use view::View;
