//! One role, from one config file: the composition of a process.
//!
//! ```text
//!  config file ─▶ role ─▶ bound and ready ─▶ (announced) ─▶ SIGTERM, SIGINT ─▶ everything joined ─▶ exit 0
//! ```
//!
//! A parent that started this process sets [`PARENT`] to its own process id:
//! then one line of JSON on standard output says that the role is ready, and the
//! role ends when that parent ends, however it ends.

use std::io::Write;

use anyhow::{Context, bail};
use beth_protocol::Account;
use rustix::process::{
    Pid, Resource, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Told;

/// Variable of the environment with the process id of the parent.
pub const PARENT: &str = "BETH_PARENT";

/// What a role says when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Its base URL.
    pub url: String,
    /// Peer id of a core node, node hash of a compute node.
    pub id: String,
}

/// Runs a core node, and placement beside it, until a signal.
pub async fn ccn(told: &Told) -> anyhow::Result<()> {
    let follows = follow_parent()?;
    raise_open_files();
    let loaded = told.load()?;
    loaded.log_notes();
    let config = loaded.config;
    let Some(ccn) = config.ccn else {
        bail!(
            "{} has no section [ccn]; a core node needs at least `folder` there",
            told.file.display()
        );
    };
    let cancel = cancel_on_signal()?;
    let node = beth_ccn::node::Node::start(ccn, cancel.clone()).await?;
    let url = url_of(node.address);
    let id = node.context.network.peer_id();
    let placement = config
        .scheduler
        .map(|scheduler| placement(scheduler, &url))
        .transpose()?;
    let routes = placement
        .as_ref()
        .map(beth_scheduler::Scheduler::router)
        .unwrap_or_default();
    let placement = placement.map(|scheduler| tokio::spawn(scheduler.run(cancel.clone())));
    if follows {
        announce(&Ready { url, id })?;
    }
    let outcome = node.serve(routes).await;
    cancel.cancel();
    if let Some(task) = placement {
        task.await.context("placement ended badly")?;
    }
    Ok(outcome?)
}

/// Runs a compute node until a signal.
pub async fn crn(told: &Told) -> anyhow::Result<()> {
    let follows = follow_parent()?;
    raise_open_files();
    let loaded = told.load()?;
    loaded.log_notes();
    let Some(crn) = loaded.config.crn else {
        bail!(
            "{} has no section [crn]; an empty one takes the defaults",
            told.file.display()
        );
    };
    let cancel = cancel_on_signal()?;
    let id = crn.node_hash.clone().unwrap_or_default();
    let ready = |address| {
        tracing::info!(%address, "compute node started");
        if follows
            && let Err(error) = announce(&Ready {
                url: url_of(address),
                id,
            })
        {
            tracing::error!(%error, "cannot say that this node is ready");
        }
    };
    Ok(beth_crn::node::run(crn, ready, cancel).await?)
}

fn placement(
    mut config: beth_scheduler::Config,
    own_url: &str,
) -> anyhow::Result<beth_scheduler::Scheduler> {
    let key_file = &config.key_file;
    let key = std::fs::read_to_string(key_file).with_context(|| {
        format!(
            "cannot read the scheduler's key {}; write 64 hexadecimal characters there",
            key_file.display()
        )
    })?;
    let account = Account::ethereum(&key)
        .with_context(|| format!("the scheduler's key {} is wrong", key_file.display()))?;
    config.core_node.get_or_insert_with(|| own_url.to_owned());
    Ok(beth_scheduler::Scheduler::new(&config, account)?)
}

/// A node that listens on every address is reached through this machine's own.
fn url_of(mut address: std::net::SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}

/// True when a parent waits for this role.
fn follow_parent() -> anyhow::Result<bool> {
    let Ok(parent) = std::env::var(PARENT) else {
        return Ok(false);
    };
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("cannot ask to end with the parent process")?;
    let now = getppid()
        .map(Pid::as_raw_nonzero)
        .map(|pid| pid.to_string());
    if now.as_deref() != Some(parent.trim()) {
        bail!("the process {parent} that started this role has ended");
    }
    Ok(true)
}

fn announce(ready: &Ready) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(ready)?)?;
    Ok(output.flush()?)
}

/// As many open files as the system lets this process have: each connection is
/// one. A refusal leaves what there was.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised; see `ulimit -n`");
        }
    }
}

/// Cancelled by the first SIGTERM or SIGINT.
fn cancel_on_signal() -> anyhow::Result<CancellationToken> {
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping");
        token.cancel();
    });
    Ok(cancel)
}

/// The signals that end a process of ours.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on these signals no longer kill the process.
    pub fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
