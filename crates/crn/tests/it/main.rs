//! Integration tests of the compute node: real parts, a core node made of two maps.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod fake;
mod firecracker;
mod hostile;
mod instance;
mod lan;
mod microvm;
mod names;
mod pool;
mod sockets;
mod wasm;
