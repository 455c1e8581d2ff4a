//! The one task that owns the swarm.
//!
//! ```text
//!            ┌────────────── select ──────────────┐
//!   cancel ──┤                                     ├──▶ dial waiters
//!   command ─┤  publish, peers, dial               ├──▶ addresses (watch)
//!   redial ──┤                                     │
//!   swarm ───┤  only while nothing is undelivered  ├──▶ received (bounded)
//!   room ────┘  only while something is            │
//! ```
//!
//! Back-pressure: when the received queue is full the one message in hand
//! waits as `undelivered` and the swarm is not polled; connections then stop
//! and the peers' windows fill. Commands are still served, so that the reader
//! of the queue may publish; what it says leaves when the connections move on.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::{self, TopicHash},
    multiaddr::Protocol,
    swarm::{
        DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    address::PeerAddress,
    error::{Error, PublishError},
    limits::{FRAME_BYTES, REDIAL_PATIENCE},
    network::{Published, Received},
    redial::Redial,
    transport::{Behaviour, BehaviourEvent},
};

/// A request of a handle.
#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        topic: String,
        data: Vec<u8>,
        reply: oneshot::Sender<Result<Published, PublishError>>,
    },
    Peers {
        /// All connected peers, or those subscribed to a topic.
        topic: Option<String>,
        reply: oneshot::Sender<Vec<String>>,
    },
    Dial {
        peer: PeerAddress,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// What the task works with.
pub(crate) struct Node {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) received: mpsc::Sender<Received>,
    pub(crate) undelivered: Option<Received>,
    pub(crate) addresses: watch::Sender<Vec<String>>,
    pub(crate) connected: watch::Sender<BTreeSet<PeerId>>,
    pub(crate) redial: Redial,
    pub(crate) dials: HashMap<PeerId, Vec<oneshot::Sender<Result<(), Error>>>>,
}

impl Node {
    /// Works until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let queue = self.received.clone();
        loop {
            let wake = self.redial.wake();
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(command) = self.commands.recv() => self.obey(command),
                () = sleep_until(wake), if wake.is_some() => self.call_due_peers(),
                event = self.swarm.select_next_some(), if self.undelivered.is_none() => {
                    self.observe(event);
                }
                room = queue.reserve(), if self.undelivered.is_some() => {
                    if let (Ok(room), Some(message)) = (room, self.undelivered.take()) {
                        room.send(message);
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Publish { topic, data, reply } => {
                let _ = reply.send(self.publish(&topic, data));
            }
            Command::Peers { topic, reply } => {
                let _ = reply.send(match topic {
                    Some(topic) => self.subscribers(&topic),
                    None => self
                        .swarm
                        .connected_peers()
                        .map(PeerId::to_string)
                        .collect(),
                });
            }
            Command::Dial { peer, reply } => self.dial(peer, reply),
        }
    }

    fn publish(&mut self, topic: &str, data: Vec<u8>) -> Result<Published, PublishError> {
        let size_bytes = data.len();
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match gossip.publish(TopicHash::from_raw(topic), data) {
            Ok(_) => Ok(Published::Sent),
            Err(gossipsub::PublishError::Duplicate) => Ok(Published::Duplicate),
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => Ok(Published::NoPeers),
            Err(gossipsub::PublishError::MessageTooLarge) => Err(PublishError::TooLarge {
                size_bytes,
                limit_bytes: FRAME_BYTES,
            }),
            Err(gossipsub::PublishError::AllQueuesFull(_)) => Err(PublishError::PeersBusy),
            Err(error) => Err(PublishError::Signing(error.to_string())),
        }
    }

    fn subscribers(&self, topic: &str) -> Vec<String> {
        let peers = self.swarm.behaviour().gossip.all_peers();
        peers
            .filter(|(_, topics)| topics.iter().any(|known| known.as_str() == topic))
            .map(|(id, _)| id.to_string())
            .collect()
    }

    fn dial(&mut self, peer: PeerAddress, reply: oneshot::Sender<Result<(), Error>>) {
        if self.swarm.is_connected(&peer.id) {
            let _ = reply.send(Ok(()));
            return;
        }
        match self.call(peer.id, vec![peer.address]) {
            Ok(()) => self.dials.entry(peer.id).or_default().push(reply),
            Err(error) => {
                let _ = reply.send(Err(unreachable(&peer.id, &error)));
            }
        }
    }

    fn call_due_peers(&mut self) {
        let now = Instant::now();
        for (id, addresses) in self.redial.due(now) {
            if self.swarm.is_connected(&id) {
                self.redial.connected(&id);
            } else if let Err(error) = self.call(id, addresses) {
                self.missed(&id, &unreachable(&id, &error));
            }
        }
    }

    /// Starts a call, or joins the one in progress with the same peer.
    fn call(&mut self, id: PeerId, addresses: Vec<Multiaddr>) -> Result<(), DialError> {
        let call = DialOpts::peer_id(id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        match self.swarm.dial(call) {
            Err(DialError::DialPeerConditionFalse(_)) => Ok(()),
            other => other,
        }
    }

    fn observe(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.hear(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                num_established,
                ..
            } => {
                if num_established.get() == 1 {
                    tracing::info!(peer = %peer_id, "peer connected");
                    self.connected.send_modify(|here| {
                        here.insert(peer_id);
                    });
                }
                self.redial.connected(&peer_id);
                self.settle(&peer_id, |_| Ok(()));
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                cause,
                ..
            } => {
                tracing::info!(peer = %peer_id, ?cause, "peer disconnected");
                self.connected.send_modify(|here| {
                    here.remove(&peer_id);
                });
                self.redial.lost(&peer_id, Instant::now());
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(id),
                error,
                ..
            } => {
                self.missed(&id, &unreachable(&id, &error));
                self.settle(&id, |id| Err(unreachable(id, &error)));
            }
            SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ListenerClosed { .. } => self.announce_addresses(),
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "listening for peers had a problem");
            }
            _ => {}
        }
    }

    fn hear(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { message, .. } => {
                let Some(author) = message.source else {
                    return;
                };
                let received = Received {
                    topic: message.topic.into_string(),
                    data: message.data,
                    from: author.to_string(),
                };
                match self.received.try_send(received) {
                    Err(mpsc::error::TrySendError::Full(received)) => {
                        self.undelivered = Some(received);
                    }
                    // Nobody listens above: the node only relays.
                    Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                }
            }
            gossipsub::Event::SlowPeer {
                peer_id,
                failed_messages,
            } => {
                tracing::warn!(peer = %peer_id, ?failed_messages, "peer is too slow for the gossip");
            }
            _ => {}
        }
    }

    fn missed(&mut self, id: &PeerId, error: &Error) {
        if self.redial.failed(id, Instant::now()) == REDIAL_PATIENCE {
            tracing::warn!(%error, "a bootstrap peer stays unreachable; calling on");
        } else {
            tracing::debug!(%error, "call failed");
        }
    }

    fn settle(&mut self, id: &PeerId, outcome: impl Fn(&PeerId) -> Result<(), Error>) {
        for waiter in self.dials.remove(id).unwrap_or_default() {
            let _ = waiter.send(outcome(id));
        }
    }

    fn announce_addresses(&mut self) {
        let id = *self.swarm.local_peer_id();
        let addresses = self
            .swarm
            .listeners()
            .map(|address| address.clone().with(Protocol::P2p(id)).to_string())
            .collect();
        self.addresses.send_replace(addresses);
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

fn unreachable(id: &PeerId, error: &DialError) -> Error {
    match error {
        DialError::WrongPeerId { obtained, address } => Error::WrongPeer {
            address: address.to_string(),
            found: obtained.to_string(),
        },
        DialError::Transport(attempts) => Error::Unreachable {
            address: id.to_string(),
            reason: attempts
                .iter()
                .map(|(address, error)| format!("{address}: {}", innermost(error)))
                .collect::<Vec<_>>()
                .join("; "),
        },
        other => Error::Unreachable {
            address: id.to_string(),
            reason: other.to_string(),
        },
    }
}

/// The last cause, which is the one that an operator understands.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
