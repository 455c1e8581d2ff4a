//! `beth crn ls`: what is on a node.

use beth_sdk::compute::Machine;
use serde_json::json;

use super::{Place, age, everything, since};
use crate::cli::failure::Failure;
use crate::cli::output::columns;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) place: Place,
    /// Only what runs
    #[arg(long)]
    running: bool,
}

/// Runs it.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let mut told = everything(&args.place.open()?).await?;
    told.machines
        .retain(|machine| !args.running || machine.state == "running");
    let text = match told.machines.is_empty() {
        true => "nothing".to_owned(),
        false => table(&told.machines),
    };
    args.place.output().result(&text, &json!(told))
}

/// One line a machine.
pub(super) fn table(machines: &[Machine]) -> String {
    let rows: Vec<Vec<String>> = machines.iter().map(row).collect();
    columns(
        &[
            "NAME", "KIND", "STATE", ">FOR", ">VCPUS", ">MEMORY", ">DISK", "PAID", "OWNER",
        ],
        &rows,
    )
}

fn row(machine: &Machine) -> Vec<String> {
    let kind = match (&*machine.kind, machine.executor.as_deref()) {
        ("microvm", Some("wasm")) => "function",
        ("microvm", _) => "program",
        ("persistent_program", _) => "persistent",
        (kind, _) => kind,
    };
    vec![
        machine.item_hash.as_str().chars().take(12).collect(),
        kind.to_owned(),
        machine.state.clone(),
        age(since(machine)),
        machine.vcpus.to_string(),
        format!("{} MiB", machine.memory_mib),
        format!("{} MiB", machine.disk_mib),
        machine.payment.clone().unwrap_or_else(|| "hold".into()),
        machine.owner.chars().take(12).collect(),
    ]
}
