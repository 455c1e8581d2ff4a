//! The handle that the rest of the node holds.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use libp2p::PeerId;
use libp2p_stream::{Control, IncomingStreams};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::{PeerAddress, parse_listen},
    behaviour,
    content::Known,
    error::{Error, PublishError},
    fault::Fault,
    frame::Envelope,
    identity::Identity,
    limits,
    node::{Command, Node},
    redial::Redial,
    roster::Roster,
    standing::Standing,
    status::Status,
    sync::{self, Library, Visit},
    verdict::{Ticket, Unjudged},
};

/// How a node takes part in the gossip.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where peers reach us: `/ip4/<address>/tcp/<port>`; port 0 picks a free one.
    pub listen: String,
    /// The key file (see [`Identity`]); created when absent.
    pub identity: PathBuf,
    /// Peers to stay connected to, as multiaddresses ending in `/p2p/<id>`. Our
    /// own address may be among them and is skipped.
    pub bootstrap: Vec<String>,
    /// The topics to follow (network.md §2.5).
    pub topics: Vec<String>,
    /// Those of the topics whose messages are passed on only after the verdict
    /// of their [`Ticket`]; those of the others are passed on at once.
    pub judged: Vec<String>,
    /// Whether to listen with QUIC too, on the UDP port of the same number.
    pub quic: bool,
    /// With fewer peers connected, more of our own kind are looked for; 0 looks
    /// for none, and does not help others to find any.
    pub peers_wanted: usize,
}

impl Default for Config {
    /// Any free port on all interfaces, nobody to call, nothing to follow.
    fn default() -> Config {
        Config {
            listen: "/ip4/0.0.0.0/tcp/0".to_owned(),
            identity: PathBuf::from("node.key"),
            bootstrap: Vec::new(),
            topics: Vec::new(),
            judged: Vec::new(),
            quic: true,
            peers_wanted: limits::PEERS_WANTED,
        }
    }
}

/// A payload that a peer published.
#[derive(Debug)]
pub struct Received {
    /// One of [`Config::topics`].
    pub topic: String,
    /// As published; for the message topic see [`crate::payload`].
    pub data: Vec<u8>,
    /// The peer id of the author, who signed it, not of the neighbour who
    /// passed it on.
    pub from: String,
    /// Says whether the payload is passed on, see [`Config::judged`].
    pub ticket: Ticket,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// On its way to every connected peer that follows the topic.
    Sent,
    /// The same bytes went through this node within the last half hour and
    /// nothing was sent (network.md §2.4).
    Duplicate,
    /// No connected peer follows the topic. Nothing was sent nor remembered:
    /// the same bytes may be published again later.
    NoPeers,
}

/// The running gossip of a node. Clones share it; dropping them all does not
/// end it, [`Network::stop`] or the token given to [`Network::start`] does.
#[derive(Clone, Debug)]
pub struct Network {
    peer_id: Arc<str>,
    topics: Arc<[String]>,
    envelope: Envelope,
    addresses: watch::Receiver<Vec<String>>,
    commands: mpsc::Sender<Command>,
    pub(crate) neighbours: Neighbours,
    pub(crate) cancel: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// What exchanges with neighbours begin with.
#[derive(Clone)]
pub(crate) struct Neighbours {
    own: PeerId,
    pub(crate) control: Control,
    pub(crate) connected: watch::Receiver<BTreeSet<PeerId>>,
    /// Of downloads.
    pub(crate) known: Known,
    /// Taken when there is somebody to receive visitors; until then they wait.
    incoming: Arc<Mutex<Option<IncomingStreams>>>,
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = self.connected.borrow().len();
        write!(formatter, "Neighbours({connected})")
    }
}

impl Network {
    /// Loads the identity, listens, and starts calling the bootstrap peers.
    ///
    /// Returns once the node can be reached; the receiver then yields what
    /// peers publish, and ends when the network stops. A reader that stays
    /// behind slows the peers down; a dropped receiver leaves a relay.
    pub async fn start(
        config: Config,
        cancel: CancellationToken,
    ) -> Result<(Network, mpsc::Receiver<Received>), Error> {
        let identity = load_identity(config.identity.clone()).await?;
        let envelope =
            Envelope::of(identity.keypair()).map_err(|error| Error::Setup(error.to_string()))?;
        let bootstrap = bootstrap_peers(&config.bootstrap, &identity)?;
        let listen = parse_listen(&config.listen)?;

        let tasks = TaskTracker::new();
        let (mut swarm, traffic) = behaviour::swarm(&identity, &config, &tasks)?;
        swarm.listen_on(listen).map_err(|error| Error::Listen {
            address: config.listen.clone(),
            reason: error.to_string(),
        })?;

        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control
            .accept(sync::PROTOCOL)
            .map_err(|error| Error::Setup(error.to_string()))?;
        let (met, connected) = watch::channel(BTreeSet::new());
        let neighbours = Neighbours {
            own: identity.keypair().public().to_peer_id(),
            control,
            connected,
            known: Known::default(),
            incoming: Arc::new(Mutex::new(Some(incoming))),
        };
        let cancel = cancel.child_token();
        let (commands, obeyed) = mpsc::channel(limits::COMMANDS);
        let (heard, received) = mpsc::channel(limits::RECEIVED_MESSAGES);
        let (tickets, rulings) = mpsc::channel(limits::RULINGS);
        let (announced, addresses) = watch::channel(Vec::new());
        let node = Node {
            swarm,
            commands: obeyed,
            received: heard,
            undelivered: None,
            judged: config.judged.into_iter().collect(),
            unjudged: Unjudged::default(),
            rejected: 0,
            tickets,
            rulings,
            quic: config.quic,
            peers_wanted: config.peers_wanted,
            relay: None,
            started: Instant::now(),
            addresses: announced,
            connected: met,
            redial: Redial::new(bootstrap, Instant::now()),
            roster: Roster::default(),
            standing: Standing::default(),
            traffic,
            dials: HashMap::new(),
        };
        tasks.spawn(node.run(cancel.clone()));
        tasks.close();

        let network = Network {
            peer_id: identity.peer_id().into(),
            topics: config.topics.into(),
            envelope,
            addresses,
            commands,
            neighbours,
            cancel,
            tasks,
        };
        network.wait_until_listening(&config.listen).await?;
        Ok((network, received))
    }

    /// Reconciles with the neighbours from now on, until the network stops:
    /// visits them and receives their visits. `seen` is told of each visit that
    /// was paid, and to whom. Does nothing the second time.
    pub fn reconcile(
        &self,
        library: Arc<dyn Library>,
        seen: impl Fn(&str, &Visit) + Send + Sync + 'static,
    ) {
        let mut incoming = self
            .neighbours
            .incoming
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(incoming) = incoming.take() else {
            return;
        };
        let guests = sync::Guests::default();
        let keeper = sync::Keeper {
            control: self.neighbours.control.clone(),
            library: library.clone(),
            own: self.neighbours.own,
            peers: self.neighbours.connected.clone(),
            guests: guests.clone(),
            seen: Arc::new(seen),
            network: self.clone(),
        };
        let bounds = (self.tasks.clone(), self.cancel.clone());
        self.tasks.spawn(sync::serve(
            incoming,
            (library, guests, self.clone()),
            bounds,
        ));
        self.tasks.spawn(keeper.run(self.cancel.clone()));
    }

    /// Our peer id.
    pub fn peer_id(&self) -> &str {
        &self.peer_id
    }

    /// Where we listen, as multiaddresses with the actual port and our peer id.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.addresses.borrow().clone()
    }

    /// Says `data` to all peers that follow the topic. The node itself does
    /// not receive it. Waits at most 10 seconds, for room in a bounded queue.
    pub async fn publish(&self, topic: &str, data: Vec<u8>) -> Result<Published, PublishError> {
        if !self.topics.iter().any(|known| known == topic) {
            return Err(PublishError::UnknownTopic {
                topic: topic.to_owned(),
            });
        }
        let size_bytes = self.envelope.frame_bytes(topic, &data);
        if size_bytes > limits::FRAME_BYTES {
            let limit_bytes = limits::FRAME_BYTES;
            return Err(PublishError::TooLarge {
                size_bytes,
                limit_bytes,
            });
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Publish {
            topic: topic.to_owned(),
            data,
            reply,
        };
        match timeout(limits::PUBLISH, self.ask(command, answer)).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(PublishError::Stopped),
            Err(_) => Err(PublishError::TimedOut),
        }
    }

    /// The ids of the peers with which a connection stands; none once stopped.
    pub async fn connected_peers(&self) -> Vec<String> {
        self.peers(None).await
    }

    /// The ids of the connected peers that follow a topic: those that a
    /// publication reaches directly.
    pub async fn subscribers(&self, topic: &str) -> Vec<String> {
        self.peers(Some(topic.to_owned())).await
    }

    /// Connects to a peer, unless connected already; `multiaddr` ends in
    /// `/p2p/<id>`. Waits for the outcome, at most some 10 seconds. Calls to
    /// one peer share one attempt.
    pub async fn dial(&self, multiaddr: &str) -> Result<(), Error> {
        let peer = PeerAddress::parse(multiaddr)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Dial { peer, reply };
        match timeout(2 * limits::DIAL, self.ask(command, answer)).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(Error::Stopped),
            Err(_) => Err(Error::Unreachable {
                address: multiaddr.to_owned(),
                reason: "no answer in time".to_owned(),
            }),
        }
    }

    /// Tells what a peer did wrong; with too many faults it is cut off and
    /// refused for a while. Nothing happens for a text that is no peer id. Never
    /// waits: what a full queue does not take is forgotten.
    pub fn demote(&self, peer: &str, fault: Fault) {
        if let Ok(peer) = peer.parse() {
            let _ = self.commands.try_send(Command::Demote { peer, fault });
        }
    }

    /// Tells of peers that are worth a connection, as multiaddresses ending in
    /// `/p2p/<id>`; others are skipped. Those that are not connected are called
    /// now, and again with growing pauses as long as they are spoken of.
    pub async fn introduce(&self, peers: Vec<String>) {
        let peers = peers
            .iter()
            .filter_map(|peer| PeerAddress::parse(peer).ok());
        let command = Command::Introduce {
            peers: peers.take(limits::REDIAL_PEERS).collect(),
        };
        let _ = timeout(limits::PUBLISH, self.commands.send(command)).await;
    }

    /// What the network looks like now; empty once stopped. Costs some
    /// microseconds for each peer.
    pub async fn status(&self) -> Status {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Command::Status { reply }, answer);
        timeout(limits::PUBLISH, asked)
            .await
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// Ends the node task and its connections, and waits for them.
    pub async fn stop(&self) {
        self.cancel.cancel();
        if timeout(limits::STOP, self.tasks.wait()).await.is_err() {
            let left = self.tasks.len();
            tracing::warn!(left, "connections did not end in time and are left behind");
        }
    }

    /// Waits until the network has stopped, by whomever.
    pub async fn join(&self) {
        self.cancel.cancelled().await;
        self.stop().await;
    }

    async fn peers(&self, topic: Option<String>) -> Vec<String> {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Command::Peers { topic, reply }, answer);
        timeout(limits::PUBLISH, asked)
            .await
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// `None` when the node task has ended.
    async fn ask<T>(
        &self,
        command: Command,
        answer: impl Future<Output = Result<T, oneshot::error::RecvError>>,
    ) -> Option<T> {
        self.commands.send(command).await.ok()?;
        answer.await.ok()
    }

    /// How streams of further protocols are opened and taken, and who is
    /// connected.
    pub(crate) fn neighbours(&self) -> (Control, watch::Receiver<BTreeSet<PeerId>>) {
        let neighbours = &self.neighbours;
        (neighbours.control.clone(), neighbours.connected.clone())
    }

    /// What further tasks belong to, and when they end.
    pub(crate) fn bounds(&self) -> (TaskTracker, CancellationToken) {
        (self.tasks.clone(), self.cancel.clone())
    }

    async fn wait_until_listening(&self, listen: &str) -> Result<(), Error> {
        let mut addresses = self.addresses.clone();
        let listening = addresses.wait_for(|addresses| !addresses.is_empty());
        if let Ok(Ok(_)) = timeout(limits::LISTEN, listening).await {
            return Ok(());
        }
        self.stop().await;
        Err(Error::Listen {
            address: listen.to_owned(),
            reason: "the system reported no listening address in time".to_owned(),
        })
    }
}

async fn load_identity(path: PathBuf) -> Result<Identity, Error> {
    tokio::task::spawn_blocking(move || Identity::load_or_create(&path))
        .await
        .map_err(|error| Error::Setup(error.to_string()))?
        .map_err(Error::from)
}

fn bootstrap_peers(addresses: &[String], own: &Identity) -> Result<Vec<PeerAddress>, Error> {
    let own = own.keypair().public().to_peer_id();
    let mut peers = Vec::with_capacity(addresses.len());
    for address in addresses {
        let peer = PeerAddress::parse(address)?;
        if peer.id != own {
            peers.push(peer);
        }
    }
    Ok(peers)
}
