//! The one task that owns the swarm.
//!
//! ```text
//!            ┌────────────── select ──────────────┐
//!   cancel ──┤                                     ├──▶ dial waiters
//!   command ─┤  publish, peers, dial               ├──▶ addresses (watch)
//!   redial ──┤                                     │
//!   ruling ──┤  a message is passed on or not      │
//!   review ──┤  scores, blocks, late verdicts      │
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
mod discovery;
mod hearing;
mod report;
mod routing;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Instant,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, core::transport::ListenerId, identify, multiaddr::Protocol, ping,
    swarm::SwarmEvent,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub(crate) use command::Command;
pub(crate) use routing::Walks;

use crate::{
    address::quic_beside,
    behaviour::{Behaviour, BehaviourEvent},
    error::Error,
    limits::REVIEW_PERIOD,
    network::Received,
    redial::Redial,
    roster::Roster,
    standing::Standing,
    traffic::Traffic,
    verdict::{Ruling, Unjudged},
};

/// What the task works with.
pub(crate) struct Node {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) received: mpsc::Sender<Received>,
    pub(crate) undelivered: Option<Received>,
    /// The topics whose messages wait for a verdict.
    pub(crate) judged: HashSet<String>,
    pub(crate) unjudged: Unjudged,
    pub(crate) rejected: u64,
    /// Handed out with the messages.
    pub(crate) tickets: mpsc::Sender<Ruling>,
    pub(crate) rulings: mpsc::Receiver<Ruling>,
    /// To be listened with once the port is known.
    pub(crate) quic: bool,
    pub(crate) addresses: watch::Sender<Vec<String>>,
    pub(crate) connected: watch::Sender<BTreeSet<PeerId>>,
    pub(crate) redial: Redial,
    /// With fewer, more peers are looked for.
    pub(crate) peers_wanted: usize,
    /// By which we are reached when nobody reaches us directly.
    pub(crate) relay: Option<ListenerId>,
    pub(crate) started: Instant,
    pub(crate) roster: Roster,
    pub(crate) standing: Standing,
    pub(crate) traffic: Traffic,
    pub(crate) walks: Walks,
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
                Some(ruling) = self.rulings.recv() => self.rule(&ruling),
                () = sleep_until(wake), if wake.is_some() => self.call_due_peers(),
                _ = reviews.tick() => {
                    self.give_up();
                    self.review();
                    self.widen();
                    self.be_relayed();
                }
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
            })) => self.meet(peer_id, &info),
            SwarmEvent::Behaviour(BehaviourEvent::Routing(event)) => self.walked(event),
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
            SwarmEvent::NewListenAddr { address, .. } => {
                self.listen_with_quic(&address);
                self.announce_addresses();
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                if self.relay == Some(listener_id) {
                    self.relay = None;
                }
                self.announce_addresses();
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.announce_addresses(),
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "listening for peers had a problem");
            }
            _ => {}
        }
    }

    /// On the UDP port with the number of the first TCP port.
    fn listen_with_quic(&mut self, tcp: &Multiaddr) {
        let Some(udp) = quic_beside(tcp).filter(|_| self.quic) else {
            return;
        };
        self.quic = false;
        if let Err(error) = self.swarm.listen_on(udp.clone()) {
            tracing::warn!(address = %udp, %error, "cannot listen with QUIC; peers reach this node by TCP alone. Free the UDP port, or set p2p.quic = false");
        }
    }

    fn announce_addresses(&mut self) {
        let id = *self.swarm.local_peer_id();
        let mut addresses: Vec<String> = self
            .swarm
            .listeners()
            .map(|address| address.clone().with(Protocol::P2p(id)).to_string())
            .collect();
        // TCP first: everybody has it.
        addresses.sort_by_key(|address| (address.contains("/quic-v1/"), address.clone()));
        self.addresses.send_replace(addresses);
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
