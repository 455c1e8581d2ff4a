//! Integration tests of the store, over real SQLite files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod blocks;
#[path = "../../../ccn/tests/it/storage/car.rs"]
#[allow(dead_code)]
mod car;
mod convergence;
mod credits;
#[path = "../../../../tests/history/history.rs"]
mod history;
mod pages;
mod reconcile;
mod world;
