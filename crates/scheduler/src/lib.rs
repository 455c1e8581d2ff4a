//! Placement reconciled with reality.
//!
//! ```text
//!  core node ──list, then stream──▶ follow ─┐ events
//!  core node ──corechannel────────▶ follow ─┤
//!  compute node ──usage, config───▶ agent ──┴▶ World ──plan()──▶ view ──▶ GET /api/v0/plan …
//!  compute node ◀─POST allocations─ agent ◀─────┘ what must run there
//! ```
//!
//! One task owns the [`World`](world) and computes the plan; one follower reads
//! the core node; one agent per compute node asks how it is and tells it what
//! must run there. The plan itself is `beth_protocol::placement`, pure.
//!
//! Invariants: nothing is remembered that cannot be read again, so that a
//! restart and a reconnection repair everything; nothing is pushed before the
//! core node has been listed once, because an allocation is the complete desired
//! state; a compute node that hangs delays nobody but itself.

mod agent;
mod allocation;
mod api;
mod client;
mod error;
mod follow;
mod history;
pub mod limits;
mod probe;
mod view;
mod work;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::Account;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use error::Error;

use view::View;
use world::World;

/// The section `[scheduler]` of a config file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// URL of the core node to follow; the node of the same process when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_node: Option<String>,
    /// Address that publishes the `corechannel` aggregate.
    pub corechannel_address: String,
    /// File with the private key that signs allocations: 64 hex characters.
    pub key_file: PathBuf,
    /// Seconds between two looks at a healthy compute node.
    #[serde(default = "poll_seconds")]
    pub poll_seconds: u64,
}

fn poll_seconds() -> u64 {
    30
}

/// Follows one core node and places what it accepts.
#[derive(Debug)]
pub struct Scheduler {
    source: client::CoreNode,
    account: Arc<Account>,
    poll: Duration,
    view: watch::Sender<Arc<View>>,
    frames: broadcast::Sender<Value>,
}

impl Scheduler {
    /// A scheduler that follows `config.core_node` and signs with `account`.
    /// Fails when the core node's URL is missing or malformed.
    pub fn new(config: &Config, account: Account) -> Result<Scheduler, Error> {
        let url = config.core_node.as_deref().ok_or(Error::NoCoreNode)?;
        let source = client::CoreNode::new(url, &config.corechannel_address)?;
        let poll = Duration::from_secs(config.poll_seconds.max(1));
        let (view, _) = watch::channel(Arc::default());
        Ok(Scheduler {
            source,
            account: Arc::new(account),
            poll,
            view,
            frames: broadcast::channel(limits::FRAMES_MAX).0,
        })
    }

    /// The routes of both versions of the API and the list of compute nodes
    /// (network.md §23.4, §19). They answer from what `run` saw last.
    pub fn router(&self) -> axum::Router {
        api::router(self.view.subscribe(), self.frames.clone())
    }

    /// Works until cancelled; then joins its tasks.
    pub async fn run(self, cancel: CancellationToken) {
        // Whatever ends this function also ends the tasks it started.
        let cancel = cancel.child_token();
        let _guard = cancel.clone().drop_guard();
        let (events, inbox) = mpsc::channel(limits::EVENTS_MAX);
        let follower = tokio::spawn(follow::follow(self.source, events.clone(), cancel.clone()));
        let agents = agent::Agents::new(self.account, self.poll, events, cancel.clone());
        World::new(agents, self.view, self.frames)
            .run(inbox, cancel.clone())
            .await;
        cancel.cancel();
        if let Err(error) = follower.await {
            tracing::error!(%error, "the follower of the core node ended badly");
        }
    }
}
