//! What runs inside Beth's microVMs, and the language it speaks with the node.
//!
//! The library is that language, shared by both sides ([`frame`]); the binary
//! `beth-init` is process 1 of the guest. The node carries the binary, linked
//! statically, and boots it with Debian's kernel:
//!
//! ```text
//!  node (beth-crn)                         guest
//!  ┌───────────┐   virtio-serial "beth"   ┌──────────────────────────────┐
//!  │ channel   │◀── hello ────────────────│ beth-init: modules, drives,  │
//!  │           │─── config ──────────────▶│ root, volumes                │
//!  │           │                          │   │ hands the port over      │
//!  │           │◀── ready, reply ─────────│   ▼                          │
//!  │           │─── run, cancel, halt ───▶│ runner.py: the program       │
//!  │           │◀── exit ─────────────────│ beth-init: reaps, reboots    │
//!  │ log lines │◀── virtio-serial "log" ──│ its stdout and stderr        │
//!  └───────────┘                          └──────────────────────────────┘
//! ```
//!
//! It means what compute.md §13 and §14 mean, as version 3.0.0: one stream that
//! carries many calls at once, instead of one connection a call.

pub mod frame;
