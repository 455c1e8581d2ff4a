//! The table that is printed, row by row.

use std::collections::BTreeMap;
use std::path::Path;

use crate::meter::Cost;

/// One round.
pub struct Row {
    pub cost: Cost,
    pub recovery_micros: f64,
}

pub fn begin() {
    println!(
        "| stored | submitted | CPU µs a message (lowest–highest round) | bare recovery µs | ratio | messages/s | peak memory MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
}

/// The medians of rounds, and where the threads spent their time.
pub fn row(stored: u64, what: &str, rounds: &[Row]) {
    let of = |value: fn(&Row) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |value: fn(&Row) -> f64| {
        let values = of(value);
        values[values.len() / 2]
    };
    let cpu = of(|row| row.cost.cpu_micros);
    println!(
        "| {stored} | {what} | {:.1} ({:.1}–{:.1}) | {:.1} | {:.2} | {:.0} | {:.0} |",
        median(|row| row.cost.cpu_micros),
        cpu[0],
        cpu[cpu.len() - 1],
        median(|row| row.recovery_micros),
        median(|row| row.cost.cpu_micros / row.recovery_micros),
        median(|row| row.cost.per_second),
        median(|row| row.cost.peak_mib),
    );
    let costs: Vec<&Cost> = rounds.iter().map(|row| &row.cost).collect();
    println!("<!-- µs by thread: {} -->", threads(&costs));
}

/// Says how large the folder of the node has become.
pub fn end(folder: &Path) {
    println!(
        "\nthe state takes {} MB on disk",
        folder_bytes(folder) / 1_000_000
    );
}

/// Bytes of the files in a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    files
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// Mean processor time a message by thread, most first; below a tenth of a
/// microsecond left out.
pub fn threads(costs: &[&Cost]) -> String {
    let mut sums = BTreeMap::<&str, f64>::new();
    for cost in costs {
        for (name, micros) in &cost.threads {
            *sums.entry(name).or_default() += micros / costs.len() as f64;
        }
    }
    let mut sums: Vec<_> = sums
        .into_iter()
        .filter(|(_, spent)| *spent >= 0.1)
        .collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    let sums: Vec<String> = sums
        .iter()
        .map(|(name, spent)| format!("{name} {spent:.1}"))
        .collect();
    sums.join(", ")
}
