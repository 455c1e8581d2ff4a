//! Real nodes in this process, for comparison with the model of them.
//!
//! ```text
//!   node ─TCP─▶ relay: counts, and holds back for the latency of the link ─TCP─▶ node
//! ```
//!
//! Nodes call each other through one relay a link, in the topology and with the
//! latencies of the model. What they send is encrypted, so relays tell bytes,
//! not messages; all but a few percent of them are copies of messages.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use beth_network::{Config, Network, Received};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::random::Random;
use crate::model::settings::Settings;
use crate::model::world::World;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Bytes that a node sent for each message.
    pub node_bytes: f64,
    /// From saying to hearing, in milliseconds and in order.
    pub delays: Vec<f64>,
    /// Messages that nodes should have heard.
    pub expected: usize,
}

type Failure = Box<dyn Error + Send + Sync>;

const TOPIC: &str = "ALEPH-TEST";
/// For anything that should happen soon.
const DEADLINE: Duration = Duration::from_secs(60);
/// Nothing was sent for so long: all copies are there.
const QUIET: Duration = Duration::from_millis(400);
/// Bytes that a relay reads at once, and pieces that it holds back.
const PIECE_BYTES: usize = 65_536;
const PIECES: usize = 4_096;

/// Runs real nodes with the topology, latencies and messages of the settings.
pub async fn measure(settings: &Settings) -> Result<Measured, Failure> {
    let cancel = CancellationToken::new();
    let relays = Relays {
        bytes: Arc::default(),
        tasks: TaskTracker::new(),
        cancel: cancel.clone(),
    };
    let mut nodes = Vec::new();
    for _ in 0..settings.nodes {
        nodes.push(Node::start(&cancel).await?);
    }
    let measured = async {
        connect(&nodes, &relays, settings).await?;
        talk(&mut nodes, &relays, settings).await
    };
    let measured = measured.await;
    for node in &nodes {
        node.network.stop().await;
    }
    cancel.cancel();
    relays.tasks.close();
    relays.tasks.wait().await;
    measured
}

struct Node {
    network: Network,
    received: mpsc::Receiver<Received>,
    _folder: TempDir,
}

impl Node {
    async fn start(cancel: &CancellationToken) -> Result<Node, Failure> {
        let folder = TempDir::new()?;
        let config = Config {
            listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
            identity: folder.path().join("node.key"),
            bootstrap: Vec::new(),
            topics: vec!["ALIVE".to_owned(), TOPIC.to_owned()],
            judged: Vec::new(),
            quic: false,
            peers_wanted: 0,
            routers: Vec::new(),
        };
        let (network, received) = Network::start(config, cancel.child_token()).await?;
        Ok(Node {
            network,
            received,
            _folder: folder,
        })
    }

    fn port(&self) -> Result<u16, Failure> {
        let addresses = self.network.listen_addresses();
        let port = addresses.iter().find_map(|address| {
            let (_, port) = address.split_once("/tcp/")?;
            port.split('/').next()?.parse().ok()
        });
        port.ok_or_else(|| "a node listens nowhere".into())
    }
}

async fn connect(nodes: &[Node], relays: &Relays, settings: &Settings) -> Result<(), Failure> {
    let mut random = Random::seeded(settings.seed);
    let mut degrees = vec![0; nodes.len()];
    let mut calls = Vec::new();
    for ([caller, called], latency) in World::new(settings.clone()).links() {
        let port = relays.open(nodes[called].port()?, latency).await?;
        let id = nodes[called].network.peer_id();
        let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{id}");
        let longest = settings.calling.as_micros() as u64;
        // In no order, as in the model: who is called first gets the largest mesh.
        let pause = Duration::from_micros(random.between(0, longest));
        let network = &nodes[caller].network;
        calls.push(async move {
            tokio::time::sleep(pause).await;
            network.dial(&address).await
        });
        degrees[caller] += 1;
        degrees[called] += 1;
    }
    futures::future::try_join_all(calls).await?;
    let deadline = Instant::now() + DEADLINE;
    for (node, degree) in nodes.iter().zip(degrees) {
        while node.network.subscribers(TOPIC).await.len() < degree {
            if Instant::now() > deadline {
                return Err("the nodes do not hear of each other".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

/// Says all messages and waits until everybody heard them.
async fn talk(
    nodes: &mut [Node],
    relays: &Relays,
    settings: &Settings,
) -> Result<Measured, Failure> {
    relays.rest(settings.bytes).await?;
    let before = relays.bytes.load(Ordering::Relaxed);
    let begun = Instant::now();
    let (heard, mut told) = mpsc::unbounded_channel();
    let tasks = TaskTracker::new();
    for node in nodes.iter_mut() {
        let (mut received, heard) = (
            std::mem::replace(&mut node.received, mpsc::channel(1).1),
            heard.clone(),
        );
        tasks.spawn(async move {
            while let Some(message) = received.recv().await {
                let born = message
                    .data
                    .get(1..9)
                    .and_then(|bytes| bytes.try_into().ok());
                let born = Duration::from_micros(born.map_or(0, u64::from_le_bytes));
                let _ = heard.send(begun.elapsed().saturating_sub(born));
            }
        });
    }
    let mut random = Random::seeded(settings.seed);
    for number in 0..settings.messages {
        let due = Duration::from_secs_f64(number as f64 / settings.rate);
        tokio::time::sleep_until((begun + due).into()).await;
        let author = &nodes[random.below(nodes.len())].network;
        let mut data = vec![0; settings.bytes];
        data[0] = number as u8;
        data[1..9].copy_from_slice(&(begun.elapsed().as_micros() as u64).to_le_bytes());
        author.publish(TOPIC, data).await?;
    }
    let expected = settings.messages * (nodes.len() - 1);
    let mut delays = Vec::new();
    while delays.len() < expected {
        match tokio::time::timeout(DEADLINE, told.recv()).await {
            Ok(Some(delay)) => delays.push(delay.as_secs_f64() * 1e3),
            _ => break,
        }
    }
    delays.sort_by(f64::total_cmp);
    let bytes = relays.bytes.load(Ordering::Relaxed) - before;
    Ok(Measured {
        node_bytes: bytes as f64 / (nodes.len() * settings.messages) as f64,
        delays,
        expected,
    })
}

/// What lies between the nodes.
struct Relays {
    bytes: Arc<AtomicU64>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Relays {
    /// A relay to a port, and where it listens.
    async fn open(&self, to: u16, latency: Duration) -> Result<u16, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (bytes, tasks, cancel) = (self.bytes.clone(), self.tasks.clone(), self.cancel.clone());
        self.tasks
            .spawn(self.cancel.clone().run_until_cancelled_owned(async move {
                while let Ok((here, _)) = listener.accept().await {
                    let Ok(there) = TcpStream::connect(("127.0.0.1", to)).await else {
                        continue;
                    };
                    let _ = (here.set_nodelay(true), there.set_nodelay(true));
                    let (here, there) = (here.into_split(), there.into_split());
                    for (from, to) in [(here.0, there.1), (there.0, here.1)] {
                        let (held, due) = mpsc::channel(PIECES);
                        let reading = read(from, (held, latency), bytes.clone());
                        tasks.spawn(cancel.clone().run_until_cancelled_owned(reading));
                        tasks.spawn(cancel.clone().run_until_cancelled_owned(write(to, due)));
                    }
                }
            }));
        Ok(port)
    }

    /// Until too little is sent for one more message.
    async fn rest(&self, message_bytes: usize) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        let mut before = self.bytes.load(Ordering::Relaxed);
        while Instant::now() < deadline {
            tokio::time::sleep(QUIET).await;
            let now = self.bytes.load(Ordering::Relaxed);
            // Heartbeats and pings go on.
            if now - before < message_bytes as u64 {
                return Ok(());
            }
            before = now;
        }
        Err("the nodes do not fall silent".into())
    }
}

type Piece = (Instant, Vec<u8>);

async fn read(
    mut from: OwnedReadHalf,
    (held, latency): (mpsc::Sender<Piece>, Duration),
    counted: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        counted.fetch_add(bytes as u64, Ordering::Relaxed);
        let piece = (Instant::now() + latency, buffer[..bytes].to_vec());
        if held.send(piece).await.is_err() {
            return;
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut due: mpsc::Receiver<Piece>) {
    while let Some((at, piece)) = due.recv().await {
        tokio::time::sleep_until(at.into()).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
