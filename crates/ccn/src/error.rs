//! Failures of the core node.

use std::net::SocketAddr;

/// Why the node could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state or the content folder failed.
    #[error(transparent)]
    Store(#[from] beth_store::Error),
    /// The gossip layer failed.
    #[error("gossip: {0}")]
    Network(#[from] beth_network::Error),
    /// The HTTP port cannot be had.
    #[error(
        "cannot listen on {address}: {source}; another program uses this port, stop it or set `listen` to another one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in the configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// A task of the node ended by itself.
    #[error("the {0} stopped unexpectedly; see the log above")]
    Stopped(&'static str),
}
