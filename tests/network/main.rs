//! Whole networks of real processes, driven as a person would: the binary, its
//! verbs, and HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod contract;
mod faults;
mod import;
mod local;
mod programs;
mod replicate;
