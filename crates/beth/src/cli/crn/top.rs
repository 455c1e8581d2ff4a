//! `beth crn top`: what runs, and what it takes of the node, as it changes.

use std::io::IsTerminal;
use std::time::Duration;

use beth_sdk::compute::{Machines, NodeRoom};
use serde_json::json;

use super::{Place, everything, list};
use crate::cli::failure::Failure;
use crate::node::Signals;

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) place: Place,
    /// Look once
    #[arg(long)]
    once: bool,
}

/// Runs it.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.place.open()?;
    let output = args.place.output();
    let clears = std::io::stdout().is_terminal() && !output.is_json() && !args.once;
    let mut signals = Signals::listen().map_err(|error| Failure::new(format!("{error:#}")))?;
    loop {
        let told = everything(&node).await?;
        if clears {
            output.bytes(b"\x1b[2J\x1b[H")?;
        }
        output.result(&text(&told), &json!(told))?;
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

fn text(told: &Machines) -> String {
    let NodeRoom {
        vcpus,
        vcpus_promised,
        memory_mib,
        memory_promised_mib,
        disk_free_mib,
        gpus,
        gpus_free,
        ..
    } = &told.node;
    let mut running = told.machines.clone();
    running.retain(|machine| machine.state != "stopped");
    running.sort_by_key(|machine| std::cmp::Reverse((machine.calls, machine.memory_mib)));
    let calls: u64 = running.iter().filter_map(|machine| machine.calls).sum();
    let draining = match told.node.is_draining {
        true => ", draining",
        false => "",
    };
    format!(
        "{} run, {} known, {calls} calls{draining}\nvcpus {vcpus_promised} of {vcpus}, memory {memory_promised_mib} of {memory_mib} MiB, disk {disk_free_mib} MiB free, gpus {gpus_free} of {gpus} free\n\n{}",
        running.len(),
        told.machines.len(),
        list::table(&running)
    )
}
