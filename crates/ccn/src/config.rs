//! Configuration of a core node: the `[ccn]` section of `beth.toml`.

pub mod http;
mod p2p;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use beth_protocol::judge::Rules;
use serde::{Deserialize, Serialize};

use http::HttpConfig;
pub use p2p::P2pConfig;

/// Everything a core node can be told. Every key has a default but `folder`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CcnConfig {
    /// Where the HTTP API listens. Port 0 picks a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where state, files and the node key live.
    pub folder: PathBuf,
    /// Base URLs of other core nodes that contents are fetched from.
    #[serde(default)]
    pub content_peers: Vec<String>,
    /// Base URL of a node to compare with: metrics tell how many messages it has
    /// more than this one.
    #[serde(default)]
    pub reference_node_url: Option<String>,
    /// Gossip.
    #[serde(default)]
    pub p2p: P2pConfig,
    /// Special addresses.
    #[serde(default)]
    pub rules: Rules,
    /// Files declared under a STORE hash whose message this node does not
    /// have: item hash → path of the file.
    #[serde(default)]
    pub well_known_files: BTreeMap<String, PathBuf>,
    /// Sizes of uploads.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Contents named by CIDs.
    #[serde(default)]
    pub ipfs: IpfsConfig,
    /// Background work.
    #[serde(default)]
    pub jobs: JobsConfig,
    /// Who may administrate this node.
    #[serde(default)]
    pub auth: AuthConfig,
    /// WebSockets.
    #[serde(default)]
    pub websocket: WebsocketConfig,
    /// Connections and requests.
    #[serde(default)]
    pub http: HttpConfig,
}

/// `[ccn.storage]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Largest upload with a signed STORE message, in bytes.
    pub max_file_size: u64,
    /// Largest upload without one, in bytes.
    pub max_unauthenticated_upload_file_size: u64,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            max_file_size: 100 * 1024 * 1024,
            max_unauthenticated_upload_file_size: 25 * 1024 * 1024,
        }
    }
}

/// `[ccn.ipfs]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpfsConfig {
    /// Whether contents named by CIDs are taken from clients.
    pub enabled: bool,
    /// Largest upload with a signed STORE message, in bytes.
    pub max_upload_file_size: u64,
    /// Largest upload without one, in bytes.
    pub max_unauthenticated_upload_file_size: u64,
    /// Largest archive of a directory, in bytes.
    pub max_upload_car_size: u64,
    /// Whether the gateway fetches what is not here.
    pub gateway_fetch: bool,
    /// Most bytes of a content that the gateway fetches.
    pub gateway_fetch_bytes_max: u64,
    /// Peers of IPFS that are asked first, as multiaddresses that end in
    /// `/p2p/<peer id>`.
    pub peers: Vec<String>,
    /// Peers by which contents are found in the table that all of IPFS shares
    /// (its DHT), as multiaddresses that end in `/p2p/<peer id>`. With any, this
    /// node looks there for what its neighbours lack and tells what it keeps;
    /// with none it does neither.
    pub bootstrap: Vec<String>,
    /// Host of an IPFS daemon (kubo); empty: none is used.
    pub host: String,
    /// Port of its RPC.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: String,
}

impl Default for IpfsConfig {
    fn default() -> IpfsConfig {
        IpfsConfig {
            enabled: true,
            max_upload_file_size: 1 << 30,
            max_unauthenticated_upload_file_size: 25 * 1024 * 1024,
            max_upload_car_size: 4 << 30,
            gateway_fetch: false,
            gateway_fetch_bytes_max: 256 << 20,
            peers: Vec::new(),
            bootstrap: Vec::new(),
            host: String::new(),
            port: 5001,
            scheme: "http".into(),
        }
    }
}

/// `[ccn.jobs]`: how often background work is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsConfig {
    /// Pause between two looks at what is due.
    pub period_seconds: u64,
    /// Whether holders of tokens still hold enough.
    pub balance_seconds: u64,
    /// Whether owners of credits still have enough.
    pub credit_balance_seconds: u64,
    /// Deletion of files and messages that nobody keeps.
    pub garbage_collector_seconds: u64,
    /// Days for which measurements of nodes are kept.
    pub measurement_days: u64,
    /// Days within which every content is read again and compared with its
    /// name; 0: never.
    pub scrub_days: u64,
}

impl Default for JobsConfig {
    fn default() -> JobsConfig {
        JobsConfig {
            period_seconds: 1_800,
            balance_seconds: 3_600,
            credit_balance_seconds: 3_600,
            garbage_collector_seconds: 86_400,
            measurement_days: 365,
            scrub_days: 30,
        }
    }
}

/// `[ccn.websocket]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebsocketConfig {
    /// Pause between two pings; a client that says nothing for half of it after
    /// one is cut off.
    pub heartbeat_seconds: u64,
    /// Streams of messages open at once.
    pub max_message_connections: usize,
    /// Streams of the node's figures open at once.
    pub max_status_connections: usize,
}

impl Default for WebsocketConfig {
    fn default() -> WebsocketConfig {
        WebsocketConfig {
            heartbeat_seconds: 30,
            max_message_connections: 10_000,
            max_status_connections: 1_000,
        }
    }
}

/// `[ccn.auth]`: tokens of operators (core-api.md §8.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Compressed secp256k1 key that tokens are signed with, in hexadecimal
    /// digits. Empty: no token is accepted.
    pub public_key: String,
    /// Age at which a token ends.
    pub max_token_age_seconds: u64,
}

impl Default for AuthConfig {
    fn default() -> AuthConfig {
        AuthConfig {
            public_key: String::new(),
            max_token_age_seconds: 300,
        }
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 4024))
}

impl CcnConfig {
    /// A configuration with defaults everywhere, for this folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> CcnConfig {
        CcnConfig {
            listen: default_listen(),
            folder: folder.into(),
            content_peers: Vec::new(),
            reference_node_url: None,
            p2p: P2pConfig::default(),
            rules: Rules::default(),
            well_known_files: BTreeMap::new(),
            storage: StorageConfig::default(),
            ipfs: IpfsConfig::default(),
            jobs: JobsConfig::default(),
            auth: AuthConfig::default(),
            websocket: WebsocketConfig::default(),
            http: HttpConfig::default(),
        }
    }

    /// The database file.
    pub fn database_path(&self) -> PathBuf {
        self.folder.join("state.sqlite")
    }

    /// The content folder.
    pub fn blobs_path(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// The node key.
    pub fn identity_path(&self) -> PathBuf {
        self.p2p
            .identity
            .clone()
            .unwrap_or_else(|| self.folder.join("node-secret.pkcs8.der"))
    }
}
