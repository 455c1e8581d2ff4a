//! Real nodes on 127.0.0.1, and the vectors of the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod bitswap;
mod content;
mod delivery;
mod discovery;
mod foreign;
mod identity;
#[allow(dead_code)]
#[path = "../../examples/simulate/model.rs"]
mod model;
mod peers;
mod protocols;
#[path = "../../examples/simulate/real.rs"]
mod real;
mod simulate;
mod status;
mod sync;
mod vectors;
mod verdicts;

use std::{future::Future, time::Duration};

use beth_network::{Config, Network, Published, Received};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "ALEPH-TEST";
const DEADLINE: Duration = Duration::from_secs(30);

/// A running node and what it heard.
struct Peer {
    network: Network,
    received: mpsc::Receiver<Received>,
    folder: TempDir,
}

impl Peer {
    async fn start(bootstrap: &[&Peer]) -> Peer {
        let folder = TempDir::new().unwrap();
        let config = config(&folder, bootstrap);
        Peer::start_with(folder, config).await
    }

    async fn start_with(folder: TempDir, config: Config) -> Peer {
        let (network, received) = Network::start(config, CancellationToken::new())
            .await
            .unwrap();
        Peer {
            network,
            received,
            folder,
        }
    }

    /// The same key on the same port, after `meanwhile`.
    async fn restart(self, meanwhile: impl Future<Output = ()>) -> Peer {
        let mut settings = config(&self.folder, &[]);
        settings.listen = self.place();
        self.network.stop().await;
        meanwhile.await;
        Peer::start_with(self.folder, settings).await
    }

    /// Where it listens, without its identity.
    fn place(&self) -> String {
        self.address().split("/p2p/").next().unwrap().to_owned()
    }

    fn address(&self) -> String {
        self.network.listen_addresses()[0].clone()
    }

    /// Until a publication of this node reaches `others` directly.
    async fn sees(&self, others: &[&Peer]) {
        within(async {
            loop {
                let seen = self.network.subscribers(TOPIC).await;
                if others
                    .iter()
                    .all(|other| seen.iter().any(|id| id == other.network.peer_id()))
                {
                    return;
                }
                breathe().await;
            }
        })
        .await;
    }

    async fn says(&self, data: &[u8]) {
        let published = self.network.publish(TOPIC, data.to_vec()).await.unwrap();
        assert_eq!(published, Published::Sent);
    }

    async fn hears(&mut self) -> Received {
        within(self.received.recv())
            .await
            .expect("the network still runs")
    }
}

fn config(folder: &TempDir, bootstrap: &[&Peer]) -> Config {
    Config {
        listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
        identity: folder.path().join("node.key"),
        bootstrap: bootstrap.iter().map(|peer| peer.address()).collect(),
        topics: vec!["ALIVE".to_owned(), TOPIC.to_owned()],
        peers_wanted: 0,
        ..Config::default()
    }
}

/// Two nodes that see each other.
async fn pair() -> (Peer, Peer) {
    let first = Peer::start(&[]).await;
    let second = Peer::start(&[&first]).await;
    first.sees(&[&second]).await;
    second.sees(&[&first]).await;
    (first, second)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work)
        .await
        .expect("done within the deadline")
}

/// The pause between two looks at a condition.
async fn breathe() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
