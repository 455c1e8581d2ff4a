//! Nodes, raw peers and a node of upstream, for tests of who knows whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use beth_ccn::node::Node;
use beth_ccn::{CcnConfig, Context};
use beth_network::{Config, Network, Published, Received};
use beth_protocol::alive::PeerType;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, Message, MessageType, Status};
use beth_store::rows::Outcome;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

const TIME: Timestamp = Timestamp::from_seconds(1_790_000_000);
const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "ALIVE";

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waits = async {
        let mut ticks = interval(Duration::from_millis(50));
        while !is_so().await {
            ticks.tick().await;
        }
    };
    if timeout(PATIENCE, waits).await.is_err() {
        panic!("not in time: {what}");
    }
}

fn account() -> Account {
    Account::ethereum(&"11".repeat(32)).unwrap()
}

fn sign(message_type: MessageType, mut content: Value) -> Message {
    content["address"] = json!(account().address());
    content["time"] = json!(TIME.seconds_f64());
    account().sign_message(message_type, &content, Some("TEST"), TIME)
}

/// A registry with nodes at these multiaddresses.
pub fn registry(addresses: &[&str]) -> Message {
    let nodes = addresses.iter();
    let nodes = nodes.map(|address| json!({"hash": "x", "multiaddress": address}));
    let content = json!({"nodes": nodes.collect::<Vec<_>>(), "resource_nodes": []});
    let content = json!({"key": "corechannel", "content": content});
    sign(MessageType::Aggregate, content)
}

/// A message like any other.
pub fn signed_post(text: &str) -> Message {
    sign(
        MessageType::Post,
        json!({"type": "t", "content": {"body": text}}),
    )
}

/// The payload of an alive message.
pub fn alive(kind: &str, address: &str) -> String {
    format!(
        r#"{{"address": "{address}", "interests": null, "peer_type": "{kind}", "version": "0.10.3"}}"#
    )
}

/// Where a node lives, also after it stopped.
pub struct Folder(tempfile::TempDir);

/// A node of this program.
pub struct Running {
    pub context: Arc<Context>,
    /// Its multiaddress.
    pub address: String,
    pub id: String,
    pub url: String,
    cancel: CancellationToken,
    served: JoinHandle<Result<(), beth_ccn::Error>>,
}

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// Starts a node that knows these others.
    pub async fn start(&self, bootstrap: &[&Running]) -> Running {
        let mut config = CcnConfig::in_folder(self.0.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
        config.p2p.bootstrap = bootstrap.iter().map(|node| node.address.clone()).collect();
        config.p2p.reconnect_delay_seconds = 1;
        config.p2p.registry_seconds = 1;
        config.rules.corechannel_address = account().address().to_owned();
        let cancel = CancellationToken::new();
        let node = Node::start(config, cancel.clone()).await.unwrap();
        let context = node.context.clone();
        let addresses = context.network.addresses();
        let is_tcp = |address: &String| address.contains("/tcp/");
        Running {
            address: addresses.into_iter().find(is_tcp).unwrap(),
            id: context.network.peer_id(),
            url: format!("http://{}", node.address),
            context,
            cancel,
            served: tokio::spawn(node.serve(Router::new())),
        }
    }
}

impl Running {
    /// What it keeps of a kind: who, and where.
    pub fn rows(&self, kind: PeerType) -> Vec<(String, String)> {
        let since = Timestamp::from_seconds(0);
        let rows = self.context.readers.read(|state| state.peers(kind, since));
        let rows = rows.unwrap().into_iter();
        rows.map(|peer| (peer.peer_id, peer.address)).collect()
    }

    /// Waits until it knows another and can ask it.
    pub async fn knows(&self, other: &Running) {
        eventually("who is heard of is kept and probed", async || {
            let p2p = (other.id.clone(), other.address.clone());
            let http = (other.id.clone(), other.url.clone());
            self.rows(PeerType::P2p).contains(&p2p)
                && self.rows(PeerType::Http).contains(&http)
                && self.context.neighbours.http().contains(&other.url)
        })
        .await;
    }

    pub async fn is_connected_to(&self, other: &Running) {
        eventually("they are connected", async || {
            let connected = self.context.network.connected_peers().await;
            connected.contains(&other.id)
        })
        .await;
    }

    /// Has a message processed.
    pub async fn process(&self, message: &Message) {
        let raw = serde_json::to_value(message).unwrap();
        let outcome = self.context.pipeline.offer(raw).await.unwrap();
        assert!(!matches!(outcome, Outcome::Rejected(..)), "{outcome:?}");
        let hash = message.item_hash.to_string();
        eventually("it is processed", async || self.has(&hash).await).await;
    }

    pub async fn has(&self, hash: &str) -> bool {
        let hash = hash.to_owned();
        let found = self.context.read(move |state| state.status(&hash)).await;
        matches!(found.unwrap(), Some((Status::Processed, _)))
    }

    pub async fn json(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.url);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    pub async fn stop(self) {
        drop(self.context);
        self.cancel.cancel();
        self.served.await.unwrap().unwrap();
    }
}

/// A peer of the gossip that says what it is told to.
pub struct Raw {
    pub network: Network,
    pub id: String,
    pub address: String,
    received: mpsc::Receiver<Received>,
    _folder: tempfile::TempDir,
}

impl Raw {
    /// Starts it beside a node, whose topic it follows.
    pub async fn start(node: &Running) -> Raw {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            listen: "/ip4/127.0.0.1/tcp/0".into(),
            identity: folder.path().join("key"),
            bootstrap: vec![node.address.clone()],
            topics: vec![TOPIC.into(), "ALEPH-TEST".into()],
            peers_wanted: 0,
            ..Config::default()
        };
        let (network, received) = Network::start(config, CancellationToken::new())
            .await
            .unwrap();
        eventually("the node follows the topic", async || {
            network.subscribers(TOPIC).await.contains(&node.id)
        })
        .await;
        let addresses = network.listen_addresses();
        let is_tcp = |address: &String| address.contains("/tcp/");
        Raw {
            id: network.peer_id().to_owned(),
            address: addresses.into_iter().find(is_tcp).unwrap(),
            network,
            received,
            _folder: folder,
        }
    }

    pub async fn say(&self, text: &str) -> Published {
        let said = self.network.publish(TOPIC, text.as_bytes().to_vec());
        said.await.unwrap()
    }

    /// Waits for a word of another, which the node passes on.
    pub async fn hears(&mut self, other: &Raw) {
        let heard = async {
            while let Some(received) = self.received.recv().await {
                if received.from == other.id {
                    return;
                }
            }
            panic!("the network ended");
        };
        timeout(PATIENCE, heard).await.unwrap();
    }
}

/// A node that speaks HTTP alone, as those of upstream do.
pub struct Upstream {
    pub url: String,
    pub messages: Arc<Vec<Message>>,
    /// How often it was asked whether it is there.
    pub probes: Arc<AtomicUsize>,
    cancel: CancellationToken,
    served: JoinHandle<()>,
}

impl Upstream {
    pub async fn start(messages: Vec<Message>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let messages = Arc::new(messages);
        let probes = Arc::new(AtomicUsize::new(0));
        let (listed, counted) = (messages.clone(), probes.clone());
        let version = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { json!({"version": "0.10.3"}).to_string() }
        };
        let list = move || async move {
            json!({
                "messages": *listed,
                "pagination_per_page": 200,
                "pagination_page": 1,
                "pagination_total": listed.len(),
                "pagination_item": "messages",
            })
            .to_string()
        };
        let router = Router::new()
            .route("/api/v0/version", get(version))
            .route("/api/v0/messages.json", get(list));
        let cancel = CancellationToken::new();
        let ended = cancel.clone().cancelled_owned();
        let serve = axum::serve(listener, router).with_graceful_shutdown(ended);
        let served = tokio::spawn(async move { serve.await.unwrap() });
        Upstream {
            url,
            messages,
            probes,
            cancel,
            served,
        }
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        self.served.await.unwrap();
    }
}
