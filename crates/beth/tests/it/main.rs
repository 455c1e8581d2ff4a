//! The program as its users run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod beth;
mod deploy;
mod network;
mod refusals;
mod verbs;
