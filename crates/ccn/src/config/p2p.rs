//! `[ccn.p2p]`: gossip, and where other nodes are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[ccn.p2p]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct P2pConfig {
    /// Multiaddress to listen on.
    pub listen: String,
    /// Key file; made when absent. Default: `node-secret.pkcs8.der` in `folder`.
    pub identity: Option<PathBuf>,
    /// Multiaddresses to dial, each ending in `/p2p/<peer id>`.
    pub bootstrap: Vec<String>,
    /// Whether to listen with QUIC too, on the UDP port of the same number.
    pub quic: bool,
    /// With fewer peers connected, more nodes of our kind are looked for; 0 for
    /// a node that is to know the configured peers alone.
    pub peers_wanted: usize,
    /// Topic of messages.
    pub message_topic: String,
    /// Topic of alive messages.
    pub alive_topic: String,
    /// Where other nodes reach this one: an IP address, a host name, or a
    /// multiaddress without `/p2p/<peer id>`. Default: found out.
    pub public_address: Option<String>,
    /// Base URL under which they reach its API. Default: from
    /// `public_address` and the port of `listen`.
    pub public_url: Option<String>,
    /// What is asked for the public address. Empty: nobody.
    pub public_address_url: String,
    /// Pause between two looks at which known nodes are not connected.
    pub reconnect_delay_seconds: u64,
    /// Age at which a node that was not heard of is no longer called.
    pub max_peer_age_seconds: u64,
    /// Age at which the list of registered nodes is read again.
    pub registry_seconds: u64,
}

impl Default for P2pConfig {
    fn default() -> P2pConfig {
        P2pConfig {
            listen: "/ip4/0.0.0.0/tcp/4025".into(),
            identity: None,
            bootstrap: Vec::new(),
            quic: true,
            peers_wanted: beth_network::limits::PEERS_WANTED,
            message_topic: "ALEPH-TEST".into(),
            alive_topic: "ALIVE".into(),
            public_address: None,
            public_url: None,
            public_address_url: "https://v4.ident.me/".into(),
            reconnect_delay_seconds: 60,
            max_peer_age_seconds: 86_400,
            registry_seconds: 300,
        }
    }
}
