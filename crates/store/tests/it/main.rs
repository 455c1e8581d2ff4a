//! Integration tests of the store, over real SQLite files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pages;
mod world;
