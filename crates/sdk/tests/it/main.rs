//! The client against a node that says what a test wants, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod compute;
mod fake;
mod files;
mod messages;
mod stream;
mod unreachable;
