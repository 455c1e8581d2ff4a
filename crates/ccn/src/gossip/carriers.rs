//! What carries messages to other nodes, and what came of it.
//!
//! There is one carrier, the gossip of core nodes. Upstream's nodes have a
//! second, the pubsub of an IPFS daemon; its name and its place in answers are
//! kept (core-api.md §4.1), and tests rehearse with it.

use std::sync::Arc;

use beth_network::{Network, PublishError};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::limits::{PUBLISH_PAUSE, PUBLISH_TIMEOUT};

/// A way to other nodes.
#[derive(Clone)]
pub(crate) enum Carrier {
    /// Gossip.
    Network(Arc<Network>),
    /// None at all: it only says how publishing went.
    Rehearsed {
        name: &'static str,
        carriage: Carriage,
    },
}

/// How a rehearsed carrier behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Carriage {
    Works,
    Fails,
}

/// What came of publishing a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Carriers that failed, of `ipfs` and `p2p`.
    pub failed: Vec<&'static str>,
    /// How many were tried.
    pub tried: usize,
}

impl Publication {
    /// True when carriers were tried and none took the message.
    pub fn is_total_failure(&self) -> bool {
        self.tried > 0 && self.failed.len() == self.tried
    }

    /// `success`, `warning` or `error`.
    pub fn word(&self) -> &'static str {
        match self.failed.is_empty() {
            true => "success",
            false if self.is_total_failure() => "error",
            false => "warning",
        }
    }
}

impl Carrier {
    pub fn name(&self) -> &'static str {
        match self {
            Carrier::Network(_) => "p2p",
            Carrier::Rehearsed { name, .. } => name,
        }
    }

    /// Publishes; peers that are busy are given time.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Carriage {
        let network = match self {
            Carrier::Network(network) => network,
            Carrier::Rehearsed { carriage, .. } => return *carriage,
        };
        let published = timeout(PUBLISH_TIMEOUT, async {
            loop {
                match network.publish(topic, payload.to_vec()).await {
                    Err(PublishError::PeersBusy) => sleep(PUBLISH_PAUSE).await,
                    published => return published,
                }
            }
        });
        match published.await {
            Ok(Ok(_)) => Carriage::Works,
            Ok(Err(failure)) => {
                warn!(%failure, "a message could not be published");
                Carriage::Fails
            }
            Err(_) => {
                warn!("a message could not be published in time");
                Carriage::Fails
            }
        }
    }
}
