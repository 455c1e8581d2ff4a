//! `beth doctor`: what this machine has and lacks, and what to do about it.
//!
//! ```text
//!  machine   program, processor and memory, folder, ports
//!  network   core node, peers, compute nodes           (when one runs)
//!  microVMs  QEMU, kernel, runtime, acceleration        (Python functions)
//!  isolation own users, files, networks of machines …    (safety of tenants)
//!  tools     python3, mksquashfs                        (building, clients)
//! ```
//!
//! Only what nothing works without is *broken* and makes the exit code 1; what
//! one feature needs is *missing*.

mod isolation;
mod machine;
mod microvm;
mod network;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Serialize;

/// Says what this machine has and lacks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Core node to look at
    #[arg(
        long,
        value_name = "URL",
        env = "BETH_NODE",
        hide_env_values = true,
        default_value = "http://127.0.0.1:4024"
    )]
    pub node: String,
    /// Where a local network keeps its state
    #[arg(long, value_name = "DIR", default_value = ".beth/local")]
    pub dir: PathBuf,
    /// Where the kernel and the images of microVMs are
    #[arg(long, value_name = "DIR")]
    pub guest_dir: Option<PathBuf>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// There and usable.
    Ok,
    /// Not there; one feature does without.
    Missing,
    /// Nothing works like this.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What to do; a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            name,
            status: Status::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn missing(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            name,
            status: Status::Missing,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn broken(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            name,
            status: Status::Broken,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }
}

/// Prints the report; fails when something is broken.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut checks = vec![
        machine::program(),
        machine::size(),
        machine::folder(&args.dir),
    ];
    let network = network::look(&args.node).await;
    checks.push(machine::ports(network.is_running));
    checks.extend(network.checks);
    checks.extend(microvm::look(args.guest_dir).await);
    checks.extend(isolation::look());
    checks.extend([machine::tool("python3"), machine::tool("mksquashfs")]);
    let text = match args.json {
        true => serde_json::to_string(
            &serde_json::json!({"ok": broken(&checks).is_empty(), "checks": checks}),
        )?,
        false => table(&checks),
    };
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")?;
    match &broken(&checks)[..] {
        [] => Ok(()),
        names => bail!(
            "nothing works before this is repaired: {}",
            names.join(", ")
        ),
    }
}

fn broken(checks: &[Check]) -> Vec<&'static str> {
    checks
        .iter()
        .filter(|check| check.status == Status::Broken)
        .map(|check| check.name)
        .collect()
}

fn table(checks: &[Check]) -> String {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let mark = match check.status {
            Status::Ok => "ok     ",
            Status::Missing => "missing",
            Status::Broken => "BROKEN ",
        };
        lines.push(format!("  {mark}  {:width$}  {}", check.name, check.found));
        if let Some(advice) = &check.advice {
            lines.push(format!("  {:7}  {:width$}  → {advice}", "", ""));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_gives_advice() {
        let checks = [
            Check::ok("program", "beth 0.1"),
            Check::missing("QEMU", "not found", "install it"),
            Check::broken("folder", "read-only", "x"),
        ];
        assert_eq!(
            table(&checks),
            "  ok       program  beth 0.1\n  missing  QEMU     not found\n                    → install it\n  BROKEN   folder   read-only\n                    → x"
        );
        assert_eq!(broken(&checks), ["folder"]);
    }
}
