//! The client of a core node (core-api.md).
//!
//! ```text
//!  Client ─┬─ messages   submit, publish, message, status, list
//!          ├─ files      store, download
//!          └─ accounts   aggregates, posts, balances, prices
//! ```

pub mod accounts;
pub mod files;
pub mod messages;

use serde::Deserialize;

use crate::error::Error;
use crate::transport::Transport;

/// One core node. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) node: Transport,
}

impl Client {
    /// A client of the node at a base URL such as `http://127.0.0.1:4024`.
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for anything but an `http` or `https` URL.
    pub fn new(base_url: &str) -> Result<Client, Error> {
        Ok(Client {
            node: Transport::new("core node", base_url)?,
        })
    }

    /// The node's base URL, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.node.base()
    }

    /// Version of the node's software (core-api.md §10.1).
    pub async fn version(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let version: Version = self
            .node
            .fetch(self.node.get(&["api", "v0", "version"]))
            .await?;
        Ok(version.version)
    }

    /// The node's figures (core-api.md §10.3).
    pub async fn metrics(&self) -> Result<serde_json::Value, Error> {
        self.node.fetch(self.node.get(&["metrics.json"])).await
    }

    /// Public libp2p addresses of the node (core-api.md §10.2); may be empty.
    pub async fn peer_addresses(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Public {
            node_multi_addresses: Vec<String>,
        }
        let public: Public = self
            .node
            .fetch(self.node.get(&["api", "v0", "info", "public.json"]))
            .await?;
        Ok(public.node_multi_addresses)
    }
}
