//! What can go wrong between nodes, one variant per decision of a caller.

use crate::identity::IdentityError;

/// The network could not be started, or a peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),

    /// A configured or given address is malformed.
    #[error(
        "'{address}' is not a usable address: {reason}. A peer is written \
         /ip4/203.0.113.7/tcp/4025/p2p/<peer id>, a listening address /ip4/0.0.0.0/tcp/4025"
    )]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The listening address cannot be had.
    #[error("cannot listen on {address}: {reason}. Free the port or configure another one")]
    Listen {
        /// As configured.
        address: String,
        /// What the system said.
        reason: String,
    },

    /// Nobody answered at the address.
    #[error("cannot reach {address}: {reason}. Check that the peer runs and that the port is open")]
    Unreachable {
        /// As given.
        address: String,
        /// What the connection attempts said.
        reason: String,
    },

    /// Somebody else answered at the address.
    #[error("{address} is answered by the peer {found}. Ask the operator for its current peer id")]
    WrongPeer {
        /// As given.
        address: String,
        /// The peer id that was proved.
        found: String,
    },

    /// The gossip stack refuses its configuration.
    #[error("cannot set up gossip: {0}. This is a defect: please report it")]
    Setup(String),

    /// The network has been stopped.
    #[error("the peer-to-peer network of this node has stopped; start it again")]
    Stopped,
}

/// A payload was not handed to the gossip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The frame would exceed what peers read.
    #[error(
        "the message takes {size_bytes} bytes on the wire and peers read at most {limit_bytes}; \
         store its content as a file and refer to it (item_type \"storage\")"
    )]
    TooLarge {
        /// Of the whole frame.
        size_bytes: usize,
        /// [`crate::limits::FRAME_BYTES`].
        limit_bytes: usize,
    },

    /// The topic is not one of [`crate::Config::topics`].
    #[error("this node does not follow the topic '{topic}'; add it to the configured topics")]
    UnknownTopic {
        /// As given.
        topic: String,
    },

    /// Every peer's queue is full. The message stays in the gossip history and
    /// peers that notice its absence still fetch it.
    #[error("no peer takes messages fast enough at the moment; publish more slowly")]
    PeersBusy,

    /// The network task did not answer in time.
    #[error("the peer-to-peer network was too busy to take the message; try again")]
    TimedOut,

    /// The message could not be signed.
    #[error("the message could not be signed with the node's key: {0}. Check the identity file")]
    Signing(String),

    /// The network has been stopped.
    #[error("the peer-to-peer network of this node has stopped; start it again")]
    Stopped,
}
