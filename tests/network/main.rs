//! Whole networks of real processes, driven as a person would: the binary, its
//! verbs, and HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod contract;
mod faults;
#[path = "../history/history.rs"]
mod history;
mod import;
mod kills;
mod local;
mod namespaces;
mod operators;
mod programs;
mod replicate;
mod restarts;
