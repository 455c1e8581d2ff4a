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
//! | [`body`] | requests and answers in pieces, bounded |
//! | [`guest_api`] | what programs in microVMs may ask their node |
//! | [`executor`] | the contract of what runs programs: [`wasm`], [`microvm`] |
//! | [`jail`] | what the process of a machine may touch |
//! | [`lan`] | the guest network: addresses, links, ports and rules |
//! | [`instance`] | whole machines under QEMU, which outlive the node |
//!
//! Invariants: a file is used only after its hash was verified; a creation of
//! one program never waits for another program's; everything a tenant supplies
//! is hostile; every wait has a deadline from [`limits`].

pub mod api;
pub mod body;
mod cache;
pub mod config;
pub mod contents;
pub mod core_node;
pub mod download;
pub mod executor;
pub mod flight;
pub mod gpu;
pub mod guest_api;
pub mod identity;
pub mod instance;
pub mod jail;
pub mod lan;
pub mod limits;
pub mod microvm;
pub mod names;
pub mod network_settings;
pub mod node;
pub mod operator;
pub mod payment;
pub mod pool;
pub mod program;
pub mod reservation;
mod volume_name;
pub mod wasm;
pub mod watch;
pub mod workloads;

pub use config::CrnConfig;
