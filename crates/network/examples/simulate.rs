//! Simulates a network of nodes and says how fast and how dearly messages
//! spread in it (docs/simulation.md).
//!
//! ```text
//! cargo run --release -p beth-network --example simulate -- --nodes 1000 --scenario churn
//! ```
#![allow(clippy::print_stdout, missing_docs)]

#[path = "simulate/model.rs"]
mod model;
#[path = "simulate/options.rs"]
mod options;

use std::process::ExitCode;

use model::world::World;
use options::{Options, USAGE};

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    print!("{}", World::new(options.settings.clone()).run());
    ExitCode::SUCCESS
}
