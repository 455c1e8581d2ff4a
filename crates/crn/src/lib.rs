//! The compute resource node.
//!
//! ```text
//! HTTP request ─▶ api (path or host name → item hash) ─▶ pool (running? else create:
//!    one creation a program, others wait) ─▶ program (message, files) ─▶ executor ─▶ answer
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`node`] | the composition: configuration in, a serving node out |
//! | [`api`] | routes, bodies and headers of compute.md §3–§11 |
//! | [`pool`] | the machines: one creation per program, idle expiry, what is known of each |
//! | [`program`], [`download`] | from an item hash to verified files on the local disk |
//! | [`lan`] | the guest network: addresses, links, ports and rules |
//! | [`executor`] | the contract of what runs programs: [`wasm`], [`microvm`] |
//!
//! Invariants: a file is used only after its hash was verified; a creation of
//! one program never waits for another program's; everything a tenant supplies
//! is hostile; every wait has a deadline from [`limits`].

pub mod api;
pub mod config;
pub mod core_node;
pub mod download;
pub mod executor;
pub mod flight;
pub mod lan;
pub mod limits;
pub mod microvm;
pub mod node;
pub mod pool;
pub mod program;
pub mod wasm;

pub use config::CrnConfig;
