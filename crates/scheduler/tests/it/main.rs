//! The scheduler against a core node and compute nodes that speak HTTP and
//! WebSocket as the specification has it, on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fakes;
mod following;
mod routes;
