//! `beth crn logs`: what a machine printed.

use std::time::Duration;

use beth_sdk::compute::PrintedLine;
use serde_json::json;

use super::{Place, named, unknown};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::node::Signals;

/// Pause between two looks with `--follow`.
const PERIOD: Duration = Duration::from_millis(500);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Item hash, or the beginning of it
    #[arg(value_name = "HASH")]
    name: String,
    #[command(flatten)]
    pub(super) place: Place,
    /// Go on with what it prints from now on, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only the newest lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
}

/// Runs it.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.place.open()?;
    let name = named(&node, &args.name).await?;
    let read = async || -> Result<Vec<PrintedLine>, Failure> {
        let lines = node.logs(&name).await?;
        lines.ok_or_else(|| unknown(&node, &name))
    };
    let output = args.place.output();
    let mut shown = read().await?;
    let skip = args.tail.map_or(0, |tail| shown.len().saturating_sub(tail));
    print(output, &shown[skip.min(shown.len())..])?;
    if !args.follow {
        return Ok(());
    }
    let mut signals = Signals::listen().map_err(|error| Failure::new(format!("{error:#}")))?;
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
        let lines = read().await?;
        print(output, &lines[kept(&shown, &lines)..])?;
        shown = lines;
    }
}

/// How many of the lines were there before: the oldest drop out in time.
fn kept(before: &[PrintedLine], now: &[PrintedLine]) -> usize {
    (0..=before.len())
        .map(|skip| &before[skip..])
        .find(|rest| now.starts_with(rest))
        .map_or(0, <[PrintedLine]>::len)
}

fn print(output: Output, lines: &[PrintedLine]) -> Result<(), Failure> {
    for line in lines {
        let text = match output.is_json() {
            true => json!(line).to_string(),
            // What programs print must not steer the terminal.
            false => line
                .text
                .chars()
                .filter(|c| !c.is_control() || *c == '\t')
                .collect(),
        };
        output.bytes(format!("{text}\n").as_bytes())?;
    }
    Ok(())
}
