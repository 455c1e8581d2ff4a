//! An IPFS daemon beside the node (kubo, by its RPC), if the operator has one:
//! one more source of blocks, and a place where contents are pinned.
//!
//! Nothing depends on it: what it sends is checked like what a stranger sends,
//! and a daemon that is gone costs a line in the log.

use std::time::Duration;

use beth_protocol::cid::Cid;
use reqwest::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::IpfsConfig;
use crate::limits::{KUBO_CONNECT_PERIOD, KUBO_PIN_TIMEOUT, KUBO_TIMEOUT};

/// The RPC of a daemon.
#[derive(Clone, Debug)]
pub struct Kubo {
    client: reqwest::Client,
    base: String,
}

/// Keeps the daemon, if there is one, connected to these peers.
pub(crate) async fn connect(kubo: Option<Kubo>, peers: Vec<String>, cancel: CancellationToken) {
    let Some(kubo) = kubo.filter(|_| !peers.is_empty()) else {
        return;
    };
    let work = async {
        loop {
            for peer in &peers {
                if let Err(failure) = kubo.connect(peer).await {
                    debug!(%failure, peer, "the IPFS daemon is not connected to a peer");
                }
            }
            tokio::time::sleep(KUBO_CONNECT_PERIOD).await;
        }
    };
    cancel.run_until_cancelled(work).await;
}

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KuboError {
    /// It is not there, or did not answer in time.
    #[error("the IPFS daemon does not answer: {0}; start it, or leave [ccn.ipfs] host empty")]
    Absent(#[from] reqwest::Error),
    /// It says no.
    #[error("the IPFS daemon refuses: {0}")]
    Refused(String),
}

impl Kubo {
    /// The one that is configured.
    pub fn configured(config: &IpfsConfig, client: reqwest::Client) -> Option<Kubo> {
        let host = config.host.trim();
        (!host.is_empty()).then(|| Kubo {
            client,
            base: format!("{}://{host}:{}/api/v0", config.scheme, config.port),
        })
    }

    /// The request for an archive of everything below a block.
    pub fn export(&self, root: Cid) -> (Method, String) {
        (
            Method::POST,
            format!("{}/dag/export?arg={root}&progress=false", self.base),
        )
    }

    /// Keeps a content in the daemon too, which fetches it when it has not got
    /// it.
    pub async fn pin(&self, root: &str) -> Result<(), KuboError> {
        self.call("pin/add", root, KUBO_PIN_TIMEOUT).await
    }

    /// Lets it go.
    pub async fn unpin(&self, root: &str) -> Result<(), KuboError> {
        self.call("pin/rm", root, KUBO_TIMEOUT).await
    }

    /// Connects the daemon to a peer, by multiaddress.
    pub async fn connect(&self, peer: &str) -> Result<(), KuboError> {
        self.call("swarm/connect", peer, KUBO_TIMEOUT).await
    }

    async fn call(&self, command: &str, arg: &str, patience: Duration) -> Result<(), KuboError> {
        let url = format!("{}/{command}", self.base);
        let request = self.client.post(url).query(&[("arg", arg)]);
        let response = request.timeout(patience).send().await?;
        let is_done = response.status().is_success();
        let text = response.text().await?;
        if is_done {
            return Ok(());
        }
        let said = serde_json::from_str::<Value>(&text).ok();
        let said = said.and_then(|body| Some(body.get("Message")?.as_str()?.to_owned()));
        Err(KuboError::Refused(said.unwrap_or(text)))
    }
}
