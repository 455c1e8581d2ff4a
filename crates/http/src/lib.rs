//! Serving HTTP/1.1: which connections are taken, how long each may be silent,
//! and how serving ends. What is answered is the business of a service.
//!
//! ```text
//!  accept ─▶ a place? ──no──▶ 503, closed
//!              │ yes
//!              ▼
//!  watched stream ─▶ hyper ─▶ service (router) ─▶ answer ─▶ idle ─▶ next request
//!   │ head deadline            + who the client is          │ idle deadline
//!   └ deadline for readers that do not read                 └ or end of serving: drain
//! ```
//!
//! Nothing here knows routes, axum or TLS (a reverse proxy ends it).

mod connection;
pub mod limits;
mod networks;
mod pace;
mod places;
mod server;
mod stats;
mod stream;

pub use networks::{Networks, WrongNetwork, group_of};
pub use pace::{Least, Pace};
pub use server::{Bounds, Peer, Server};
pub use stats::{Counts, Stats};
