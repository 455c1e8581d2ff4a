//! The released Rust SDK, unmodified, as a library, against a local network.
//!
//! ```text
//! test_sdk.py ──starts──▶ network ◀──HTTP, WebSocket── one test of this crate, in a process of its own
//!      └── NETWORK: addresses of its nodes and funded accounts, as JSON ──┘
//! ```
//!
//! Every test belongs to itself: its channel, keys and types are fresh, so they run in any order, several at once.
#![cfg(test)]

mod accounts;
mod aggregates;
mod compute;
mod credits;
mod delegation;
mod files;
mod folders;
mod listing;
mod machines;
mod messages;
mod network;
mod nodes;
mod posts;
mod refusals;
mod watching;
