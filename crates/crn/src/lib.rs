//! The compute resource node.
//!
//! ```text
//! HTTP request ─▶ route (path or host name → item hash) ─▶ Program (message, files)
//!    ─▶ Pool (running? else create: one creation a program, others wait) ─▶ Executor ─▶ answer
//! ```

pub mod executor;
pub mod microvm;
pub mod wasm;
