//! Integration tests of the core node: real SQLite, real files, real routes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod alive;
mod api;
mod bad_input;
mod control;
mod copies;
mod dag;
mod edge;
mod fetch;
mod holders;
mod latecomer;
mod measurements;
mod openapi;
mod orphans;
mod recalculation;
mod refusal;
mod repair;
mod robust;
mod running;
mod scenarios;
mod storage;
