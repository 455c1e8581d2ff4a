//! The core channel node.
//!
//! ```text
//!  HTTP API ──submit──┐                                     ┌─▶ subscribers (WebSocket, sync answers)
//!  gossip ────────────┼─▶ Pipeline: verify ─▶ judge+commit ─┼─▶ gossip (what was submitted here)
//!  retries ───────────┘                          │          └─▶ whoever waited for this
//!                                                ▼
//!                                     store (SQLite, blobs) ◀── HTTP API (pages, files)
//! ```
//!
//! Start at [`pipeline`], then [`node`] (the composition) and [`api`].

mod alive;
pub mod api;
mod blocks;
pub mod catch_up;
pub mod config;
mod contents;
pub mod context;
pub mod control;
pub mod error;
pub mod events;
pub mod export;
pub mod fetch;
pub mod gossip;
pub mod import;
pub mod jobs;
pub mod kubo;
mod library;
pub mod limits;
mod lock;
pub mod metrics;
pub mod neighbours;
pub mod node;
pub mod peers;
pub mod pipeline;
mod provide;
mod rate;
mod reference;
pub mod repair;
pub mod retry;
mod room;
pub mod streams;
mod turns;
mod verify;
pub mod visits;
mod writer;

pub use config::CcnConfig;
pub use context::Context;
pub use error::Error;
