//! Integration tests of the core node: real SQLite, real files, real routes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod bad_input;
mod robust;
mod scenarios;
