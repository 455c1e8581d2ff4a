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
#[path = "simulate/plot.rs"]
mod plot;
#[path = "simulate/real.rs"]
mod real;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use model::outcome::{Outcome, percentile};
use model::settings::Settings;
use model::world::World;
use options::{Options, USAGE};

fn main() -> ExitCode {
    let done = Options::read(std::env::args().skip(1)).and_then(|options| run(&options));
    match done {
        Ok(told) => {
            // Whoever reads no further needs no more.
            let _ = std::io::stdout().write_all(told.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String, String> {
    if let Some(path) = &options.plot {
        let (picture, told) = plot::draw(&options.settings);
        save(path, &picture)?;
        return Ok(told);
    }
    if let Some(nodes) = options.real {
        return compare(&options.settings, nodes);
    }
    let outcome = World::new(options.settings.clone()).run();
    if let Some(path) = &options.csv {
        save(path, &csv(&outcome))?;
    }
    Ok(outcome.to_string())
}

fn save(path: &std::path::Path, text: &str) -> Result<(), String> {
    let saved = std::fs::write(path, text);
    saved.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// The distribution of delays in steps of a hundredth, and the figures.
fn csv(outcome: &Outcome) -> String {
    let mut text = "figure,at,value\n".to_owned();
    for step in 0..=100 {
        let share = f64::from(step) / 100.0;
        let _ = writeln!(text, "delay_ms,{share},{}", outcome.percentile(share));
    }
    for (name, value) in outcome.figures() {
        let _ = writeln!(text, "{name},,{value}");
    }
    text
}

/// Real nodes beside the model of the same network.
fn compare(settings: &Settings, nodes: usize) -> Result<String, String> {
    let settings = beside_real(settings, nodes);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let measured = runtime.block_on(real::measure(&settings));
    let measured = measured.map_err(|error| error.to_string())?;
    let outcome = World::new(settings.clone()).run();
    let frame = settings.bytes as f64;
    let mut text = "                               real    model\n".to_owned();
    let heard = measured.delays.len() as f64 / measured.expected as f64;
    let rows = [
        (
            "heard, %",
            heard * 100.0,
            (outcome.by_gossip + outcome.by_visit) * 100.0,
        ),
        (
            "kB a message and node",
            measured.node_bytes / 1e3,
            outcome.node_bytes / 1e3,
        ),
        (
            "as copies of a message",
            measured.node_bytes / frame,
            outcome.node_bytes / frame,
        ),
        (
            "delay p50, ms",
            percentile(&measured.delays, 0.5),
            outcome.percentile(0.5),
        ),
        (
            "delay p95, ms",
            percentile(&measured.delays, 0.95),
            outcome.percentile(0.95),
        ),
    ];
    for (name, real, model) in rows {
        let _ = writeln!(text, "{name:<26}{real:>9.2}{model:>9.2}");
    }
    Ok(text)
}

/// The network that can also run in this process: nodes that meet quickly, and
/// check nothing before they pass it on.
fn beside_real(settings: &Settings, nodes: usize) -> Settings {
    Settings {
        nodes,
        calling: Duration::from_secs(1),
        warm_up: Duration::from_secs(4),
        check: Duration::ZERO,
        bandwidth: 10_000_000_000,
        ..settings.clone()
    }
}
