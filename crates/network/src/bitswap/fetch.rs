//! One fetch at work: the task behind a [`Fetch`](super::Fetch).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::board::{Event, FetchId};
use super::exchange::Found;
use super::hall::Hall;
use super::session::{Order, Session};
use crate::Network;
use crate::address::PeerAddress;
use crate::limits::{FETCH_BYTES, FETCH_WINDOW};

/// Between two looks at the time, while something is wanted.
const TICK: Duration = Duration::from_millis(500);

/// Taken for the size of a block before one has come: chunks of files.
const CHUNK_BYTES: usize = 256 << 10;

/// What the two ends of a fetch and its task say to each other.
pub(super) struct Ends {
    pub(super) wanted: mpsc::UnboundedReceiver<Vec<Vec<u8>>>,
    pub(super) answers: mpsc::Sender<Found>,
}

/// A fetch.
struct Work {
    hall: Arc<Hall>,
    id: FetchId,
    session: Session,
    ready: VecDeque<Found>,
    ready_bytes: usize,
    largest_bytes: usize,
}

/// Works until all handles are gone or the network stops.
pub(super) async fn fetch(hall: Arc<Hall>, ends: Ends, providers: Vec<String>, patience: Duration) {
    let cancel = hall.cancel.clone();
    let closed = ends.answers.clone();
    let room = hall.fetches.clone();
    let room = tokio::select! {
        () = cancel.cancelled() => return,
        () = closed.closed() => return,
        room = room.acquire_owned() => room,
    };
    let (mail, events) = mpsc::channel(1_024);
    let id = hall.board.join(mail);
    let mut work = Work {
        hall,
        id,
        session: Session::new(patience),
        ready: VecDeque::new(),
        ready_bytes: 0,
        largest_bytes: CHUNK_BYTES,
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = closed.closed() => {}
        () = work.run(ends, events, providers) => {}
    }
    work.session.abandon();
    work.obey();
    work.hall.board.part(id);
    drop(room);
}

impl Work {
    async fn run(
        &mut self,
        mut ends: Ends,
        mut events: mpsc::Receiver<Event>,
        providers: Vec<String>,
    ) {
        let now = Instant::now();
        let network = self.hall.network.clone();
        let mut calls = FuturesUnordered::new();
        for provider in &providers {
            calls.push(call(&network, provider));
        }
        let connected = self.hall.connected.borrow().clone();
        for peer in connected {
            self.met(peer, now);
        }
        let mut handle = true;
        loop {
            self.session
                .plan(Instant::now(), self.window(), !calls.is_empty());
            self.obey();
            let (idle, ready) = (self.session.is_idle(), !self.ready.is_empty());
            if idle && !ready && !handle {
                return;
            }
            tokio::select! {
                wanted = ends.wanted.recv(), if handle => match wanted {
                    Some(cids) => self.session.want(cids, Instant::now()),
                    None => handle = false,
                },
                room = ends.answers.reserve(), if ready => {
                    let (Ok(room), Some(found)) = (room, self.ready.pop_front()) else {
                        return;
                    };
                    self.ready_bytes -= found.block.as_ref().map_or(0, Vec::len);
                    room.send(found);
                }
                Some(event) = events.recv() => self.hear(event),
                Some(met) = calls.next(), if !calls.is_empty() => {
                    if let Some(peer) = met && self.can_ask(peer) {
                        self.session.met_provider(peer, Instant::now());
                    }
                }
                () = sleep(TICK), if !idle => {}
            }
            // Whatever else is there before thinking again.
            while let Ok(event) = events.try_recv() {
                self.hear(event);
            }
        }
    }

    fn met(&mut self, peer: PeerId, now: Instant) {
        if self.can_ask(peer) {
            self.session.met(peer, now);
        }
    }

    fn can_ask(&self, peer: PeerId) -> bool {
        self.hall.board.is_asked(&peer, Instant::now()) && self.hall.meet(peer).is_some()
    }

    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Met(peer) => self.met(peer, now),
            Event::Gone(peer) => self.session.gone(peer),
            Event::Said(peer, key, here) => self.session.said(peer, &key, here, now),
            Event::Block(peer, key, bytes) => {
                self.largest_bytes = self.largest_bytes.max(bytes.len());
                self.session.block(peer, &key, bytes, now);
            }
        }
    }

    /// How many wants may be outside, so that what they bring finds room. Full
    /// windows are asked for in portions, not block by block.
    fn window(&self) -> usize {
        let room = FETCH_BYTES.saturating_sub(self.ready_bytes) / self.largest_bytes;
        let window = room.min(FETCH_WINDOW);
        let open = self.session.open();
        if open > window - window / 4 {
            open
        } else {
            window
        }
    }

    fn obey(&mut self) {
        let board = &self.hall.board;
        for order in self.session.take_orders() {
            match order {
                Order::Ask(peer, key, want) => board.ask(self.id, peer, (key, want)),
                Order::Cancel(peer, key) => board.cancel(self.id, peer, key),
                Order::Forget(key) => board.forget(self.id, &key),
                Order::Answer(found) => {
                    self.ready_bytes += found.block.as_ref().map_or(0, Vec::len);
                    self.ready.push_back(found);
                }
            }
        }
    }
}

/// Connects to a provider, unless only its id is known.
async fn call(network: &Network, provider: &str) -> Option<PeerId> {
    if let Ok(peer) = provider.parse() {
        return Some(peer);
    }
    let peer = match PeerAddress::parse(provider) {
        Ok(peer) => peer.id,
        Err(error) => {
            tracing::debug!(%error, "a provider is left out");
            return None;
        }
    };
    match network.dial(provider).await {
        Ok(()) => Some(peer),
        Err(error) => {
            tracing::debug!(%error, "a provider is not reached");
            None
        }
    }
}
