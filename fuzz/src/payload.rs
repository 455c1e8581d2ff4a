//! The text module of the gossip payload, without libp2p around it.

#[path = "../../crates/network/src/payload.rs"]
mod text;

pub use text::{decode_candidates, encode_payload};
