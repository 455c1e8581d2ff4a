//! `beth crn`: run a compute node, or look at what runs on one.

mod inspect;
mod list;
mod logs;
mod top;

use std::path::PathBuf;

use beth_protocol::ItemHash;
use beth_sdk::ComputeNode;
use beth_sdk::compute::Machine;
use clap::Subcommand;

use super::Outcome;
use super::failure::Failure;
use super::output::Output;
use crate::config::Told;

/// A compute node, or something to do with one that runs.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Crn {
    /// What to do with a node that runs
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub told: Option<Told>,
}

/// What to do with a node that runs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the programs and instances on a node
    Ls(list::Args),
    /// Show one of them in full
    Inspect(inspect::Args),
    /// Show what one of them printed
    ///
    /// A node shows that to its own computer alone, unless its operator says otherwise.
    Logs(logs::Args),
    /// Show what runs, and how much of the node it takes, every 2 seconds
    Top(top::Args),
}

/// Which node.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// URL of the node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4020")]
    node: String,
    /// Config file of a node on this computer, instead of its URL
    #[arg(long, value_name = "FILE", conflicts_with = "node")]
    config: Option<PathBuf>,
    /// Write JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Place {
    fn output(&self) -> Output {
        Output::new(self.json)
    }

    fn open(&self) -> Result<ComputeNode, Failure> {
        let url = match &self.config {
            Some(path) => format!("http://{}", listening(path)?),
            None => self.node.clone(),
        };
        Ok(ComputeNode::new(&url)?)
    }
}

/// Where the node of a config file listens.
fn listening(path: &std::path::Path) -> Result<String, Failure> {
    let told = Told {
        file: path.to_owned(),
        set: Vec::new(),
    };
    let loaded = told
        .load()
        .map_err(|error| Failure::new(format!("{error:#}")))?;
    let absent = || Failure::new(format!("{} has no section [crn]", path.display()));
    let crn = loaded.config.crn.ok_or_else(absent)?;
    let known = std::fs::read_to_string(crn.folder.join("listening"));
    Ok(known.unwrap_or_else(|_| crn.listen.to_string()))
}

/// Runs one of them.
pub async fn run(verb: Verb) -> Outcome {
    let (output, done) = match verb {
        Verb::Ls(args) => (args.place.output(), list::run(&args).await),
        Verb::Inspect(args) => (args.place.output(), inspect::run(&args).await),
        Verb::Logs(args) => (args.place.output(), logs::run(&args).await),
        Verb::Top(args) => (args.place.output(), top::run(&args).await),
    };
    done.map_err(|failure| (output, failure))
}

/// The item hash that a user wrote, whole or its beginning.
async fn named(node: &ComputeNode, text: &str) -> Result<ItemHash, Failure> {
    if let Ok(item_hash) = ItemHash::parse(text) {
        return Ok(item_hash);
    }
    let machines = everything(node).await?.machines;
    let mut matching = machines
        .into_iter()
        .map(|machine| machine.item_hash)
        .filter(|name| !text.is_empty() && name.as_str().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "{text} is the beginning of several hashes; write more of it"
        ))),
        (None, _) => Err(Failure::new(format!(
            "nothing on {} is called {text}",
            node.base_url()
        ))),
    }
}

async fn everything(node: &ComputeNode) -> Result<beth_sdk::compute::Machines, Failure> {
    let told = node.machines().await?;
    told.ok_or_else(|| {
        Failure::new(format!(
            "{} does not tell what it runs; is it a compute node of Beth?",
            node.base_url()
        ))
    })
}

fn unknown(node: &ComputeNode, name: &ItemHash) -> Failure {
    Failure::new(format!("{} does not know {name}", node.base_url()))
}

/// `3 h`, `2 d`: how long ago something of Unix seconds was.
fn age(since: Option<u64>) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let Some(since) = since else {
        return "-".into();
    };
    match now.saturating_sub(since) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Since when it is what it is.
fn since(machine: &Machine) -> Option<u64> {
    match machine.state.as_str() {
        "running" => machine.started_at,
        _ => machine.stopped_at.or(machine.defined_at),
    }
}
