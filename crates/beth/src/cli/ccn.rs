//! `beth ccn`: run a core node, ask it, or fill and copy its folder while it rests.

mod export;
mod import;
mod peers;
mod repair;

use std::path::Path;

use beth_ccn::CcnConfig;
use clap::Subcommand;

use super::Outcome;
use super::failure::Failure;
use crate::config::Told;

/// A core node, or something to do with its folder.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Ccn {
    /// What to do with the folder of a node
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub told: Option<Told>,
}

/// What to do with the folder of a node.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Load messages from a dump or from another core node
    ///
    /// Every message is judged as if it had come by gossip. An interrupted import goes on where it was
    /// when the same command runs again. The node must not run meanwhile. Contents and files that
    /// messages name are fetched from the core node at URL and from `content_peers` of the config file.
    Import(import::Args),
    /// Write every message as a line of JSON
    ///
    /// `beth ccn import` reads them. Files and what was forgotten are not among them. The node may run
    /// meanwhile.
    Export(export::Args),
    /// Show who is connected to a running node
    ///
    /// And how well: direction, transport, score, what both have in common; the traffic by topic and
    /// where contents came from. Asks the node through the socket in its folder.
    Peers(peers::Args),
    /// Prove that a node has every file and message that it must keep, and mend what is wrong
    ///
    /// Reads every file again and compares it with its name. What is missing or rotten is fetched from
    /// other nodes; a rotten copy is deleted when a right one is here. Also looks whether the state fits
    /// together. The node may run meanwhile, and must for anything to be mended; Ctrl-C ends the
    /// repair, what is mended stays so. Exit code: 0 when everything was whole, 1 when something was
    /// wrong, mended or not.
    Repair(repair::Args),
}

/// Runs one of them.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Import(args) => import::run(args).await,
        Verb::Export(args) => export::run(args).await,
        Verb::Peers(args) => peers::run(args).await,
        Verb::Repair(args) => repair::run(args).await,
    }
}

/// The section `[ccn]` of a config file.
fn section(path: &Path) -> Result<CcnConfig, Failure> {
    let told = Told {
        file: path.to_owned(),
        set: Vec::new(),
    };
    let loaded = told
        .load()
        .map_err(|error| Failure::new(format!("{error:#}")))?;
    loaded.config.ccn.ok_or_else(|| {
        Failure::new(format!(
            "{} has no section [ccn]; a core node needs at least `folder` there",
            path.display()
        ))
    })
}
