//! `beth up`: a whole local network in one process tree.
//!
//! ```text
//!  beth up ─┬─ beth ccn --config DIR/core-1/beth.toml      core node and placement
//!           ├─ beth ccn --config DIR/core-2/beth.toml      core node
//!           └─ beth crn --config DIR/compute-1/beth.toml   compute node
//!
//!  folder ─▶ layout ─▶ config files ─▶ children ready ─▶ genesis ─▶ report ─▶ wait ─▶ stop
//! ```
//!
//! The network is made of nothing but the two roles; this module only writes
//! their config files, starts them, publishes what a network needs to begin
//! (balances, the list of nodes) and ends them. Everything is kept in one folder
//! and is there again at the next start. A child that ends ends everything.

mod child;
mod folder;
mod genesis;
mod images;
mod layout;
mod ports;
mod render;
mod report;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::node::Signals;
pub use ports::is_free as port_is_free;

use child::{Child, Children};
use folder::Folder;
use layout::Layout;

/// Longest time until all nodes are ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time until the beginning is published and the nodes are placed.
const GENESIS_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts a local network: core nodes, compute nodes, placement, accounts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the network keeps its state
    #[arg(long, value_name = "DIR", default_value = ".beth/local")]
    pub dir: PathBuf,
    /// Wipe that state first
    #[arg(long)]
    pub fresh: bool,
    /// First port; compute nodes listen on it and every 10 above, core nodes 4 above them; 0 picks free ports
    #[arg(long, value_name = "PORT", default_value_t = layout::PORT_BASE)]
    pub port_base: u16,
    /// How many core nodes
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub core_nodes: usize,
    /// How many compute nodes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub compute_nodes: usize,
    /// One line of JSON on standard output when ready
    #[arg(long)]
    pub json: bool,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut signals = Signals::listen()?;
    layout::check_counts(args.core_nodes, args.compute_nodes)?;
    let folder = Folder::open(&args.dir, args.fresh)?;
    let ports = ports::choose(args.port_base, args.core_nodes, args.compute_nodes)?;
    let layout = Layout::new(folder.path(), ports);
    let stand_ins = render::stand_ins();
    let peer_ids = render::write(&layout, &stand_ins)?;

    let mut children = Children::default();
    let told = Told {
        args: &args,
        begun,
        image: stand_ins.get(render::DEFAULT_IMAGE).map(PathBuf::as_path),
        has_guest: stand_ins.contains_key(render::DEFAULT_RUNTIME),
    };
    let outcome = tokio::select! {
        outcome = live(&layout, &peer_ids, &mut children, &told) => outcome,
        () = signals.next() => Ok(()),
    };
    let hurried = signals.next();
    children.stop(hurried).await;
    drop(folder);
    outcome
}

/// The ports of a network that is started without options.
pub fn default_ports() -> Vec<u16> {
    let ports = layout::Ports::from_base(layout::PORT_BASE, 2, 1).unwrap_or_default();
    ports.each().map(|(port, _)| port).collect()
}

/// What the report needs beside the network itself.
struct Told<'a> {
    args: &'a Args,
    begun: Instant,
    image: Option<&'a Path>,
    has_guest: bool,
}

/// Starts everything, tells that it is ready, and waits until a child ends.
async fn live(
    layout: &Layout,
    peer_ids: &[String],
    children: &mut Children,
    told: &Told<'_>,
) -> anyhow::Result<()> {
    for node in layout
        .core
        .iter()
        .map(|core| &core.place)
        .chain(layout.compute.iter().map(|compute| &compute.place))
    {
        children.push(Child::start(node)?);
    }
    children.ready(READY_TIMEOUT).await?;
    let begin = genesis::begin(layout, peer_ids, told.image);
    let image = tokio::select! {
        outcome = tokio::time::timeout(GENESIS_TIMEOUT, begin) => match outcome {
            Ok(outcome) => outcome.context("the network has started, but its beginning could not be published")?,
            Err(_) => bail!(
                "the nodes run, but were not ready for work within {} s; look into {}",
                GENESIS_TIMEOUT.as_secs(), layout.logs().display()
            ),
        },
        died = children.died() => return Err(died),
    };
    let network = report::Network::new(layout, peer_ids, image.as_ref());
    network.write(&layout.dir)?;
    let text = match told.args.json {
        true => network.to_line()?,
        false => network.to_banner(layout, told.begun.elapsed(), told.has_guest),
    };
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .context("cannot write to standard output")?;
    drop(output);
    Err(children.died().await)
}
