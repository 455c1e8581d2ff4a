//! The one task that owns the swarm.
//!
//! ```text
//!            ┌────────────── select ──────────────┐
//!   cancel ──┤                                     ├──▶ dial waiters
//!   command ─┤  publish, peers, dial               ├──▶ addresses (watch)
//!   redial ──┤                                     │
//!   review ──┤  scores, blocks                     │
//!   swarm ───┤  only while nothing is undelivered  ├──▶ received (bounded)
//!   room ────┘  only while something is            │
//! ```
//!
//! Back-pressure: when the received queue is full the one message in hand
//! waits as `undelivered` and the swarm is not polled; connections then stop
//! and the peers' windows fill. Commands are still served, so that the reader
//! of the queue may publish; what it says leaves when the connections move on.

mod calls;
mod command;
mod conduct;
mod report;

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use futures::StreamExt;
use libp2p::{PeerId, Swarm, gossipsub, identify, multiaddr::Protocol, ping, swarm::SwarmEvent};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub(crate) use command::Command;

use crate::{
    error::Error,
    limits::REVIEW_PERIOD,
    network::Received,
    redial::Redial,
    roster::Roster,
    standing::Standing,
    traffic::Traffic,
    transport::{Behaviour, BehaviourEvent},
};

/// What the task works with.
pub(crate) struct Node {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) received: mpsc::Sender<Received>,
    pub(crate) undelivered: Option<Received>,
    pub(crate) addresses: watch::Sender<Vec<String>>,
    pub(crate) connected: watch::Sender<BTreeSet<PeerId>>,
    pub(crate) redial: Redial,
    pub(crate) roster: Roster,
    pub(crate) standing: Standing,
    pub(crate) traffic: Traffic,
    pub(crate) dials: HashMap<PeerId, Vec<oneshot::Sender<Result<(), Error>>>>,
}

impl Node {
    /// Works until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let queue = self.received.clone();
        let mut reviews = interval(REVIEW_PERIOD);
        reviews.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.redial.wake();
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(command) = self.commands.recv() => self.obey(command),
                () = sleep_until(wake), if wake.is_some() => self.call_due_peers(),
                _ = reviews.tick() => self.review(),
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

    fn observe(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.hear(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.roster.identified(&peer_id, &info),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                peer,
                result: Ok(round_trip),
                ..
            })) => self.roster.answered(&peer, round_trip),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                num_established,
                connection_id,
                endpoint,
                ..
            } => {
                self.roster.connected(peer_id, connection_id, &endpoint);
                if num_established.get() == 1 {
                    tracing::info!(peer = %peer_id, "peer connected");
                    self.connected.send_modify(|here| {
                        here.insert(peer_id);
                    });
                }
                self.weigh(&peer_id, Instant::now());
                self.redial.connected(&peer_id);
                self.settle(&peer_id, |_| Ok(()));
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                connection_id,
                cause,
                ..
            } => {
                self.roster.closed(&peer_id, connection_id);
                if num_established > 0 {
                    return;
                }
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
            } => self.failed(&id, &error),
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
