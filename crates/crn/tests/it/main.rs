//! Integration tests of the compute node: real parts, a core node made of two maps.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod fake;
mod lan;
mod microvm;
mod pool;
mod wasm;
