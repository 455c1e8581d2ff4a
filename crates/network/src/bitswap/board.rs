//! What the tasks of an exchange share: the desk of each peer, who fetches
//! what, whom not to trust.
//!
//! Short critical sections under one lock; nothing waits while holding it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use libp2p::PeerId;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::cid::Key;
use super::frame::{Presence, Want};
use super::ledger::Ledger;
use crate::limits::{EXCHANGE_STREAMS, EXCHANGE_STREAMS_OF_PEER, FETCH_DISTRUST, FETCH_REMEMBERED};

/// The number of a fetch.
pub(super) type FetchId = u64;

/// What a fetch is told.
#[derive(Debug)]
pub(super) enum Event {
    Met(PeerId),
    Gone(PeerId),
    Said(PeerId, Key, bool),
    Block(PeerId, Key, Vec<u8>),
}

/// To be sent after the lock is released.
pub(super) type Mail = Vec<(mpsc::Sender<Event>, Event)>;

/// Shared.
#[derive(Default)]
pub(super) struct Board(Mutex<State>);

#[derive(Default)]
struct State {
    desks: HashMap<PeerId, Desk>,
    fetches: HashMap<FetchId, mpsc::Sender<Event>>,
    awaited: HashMap<Key, BTreeSet<FetchId>>,
    lately: Lately,
    distrusted: HashMap<PeerId, Instant>,
    streams: usize,
    last: FetchId,
}

/// What there is between a peer and us.
struct Desk {
    /// What it wants.
    ledger: Ledger,
    /// What is to be asked of it with the next message.
    asks: HashMap<Key, Want>,
    /// Who asked it about what.
    asked: HashMap<Key, Question>,
    /// Streams of it that are read.
    streams: usize,
    /// It does not speak bitswap.
    mute: bool,
    ends: Ends,
}

/// What a peer was asked about.
struct Question {
    /// As it was spelled, since some peers take back by that.
    cid: Vec<u8>,
    fetches: BTreeSet<FetchId>,
}

/// What the tasks of a peer hold.
#[derive(Clone)]
pub(super) struct Ends {
    /// There is something to send.
    pub(super) wake: Arc<Notify>,
    /// The peer has gone.
    pub(super) gone: CancellationToken,
    /// Large messages of it that are read.
    pub(super) large: Arc<Semaphore>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk of a peer, and whether it is new.
    pub(super) fn desk(&self, peer: PeerId) -> (Ends, bool) {
        let mut state = self.state();
        let new = !state.desks.contains_key(&peer);
        let desk = state.desks.entry(peer).or_insert_with(|| Desk {
            ledger: Ledger::default(),
            asks: HashMap::new(),
            asked: HashMap::new(),
            streams: 0,
            mute: false,
            ends: Ends {
                wake: Arc::default(),
                gone: CancellationToken::new(),
                large: Arc::new(Semaphore::new(2)),
            },
        });
        (desk.ends.clone(), new)
    }

    /// Removes the desks of all who are not connected.
    pub(super) fn dismiss(&self, connected: &BTreeSet<PeerId>) {
        self.state().desks.retain(|peer, desk| {
            let stays = connected.contains(peer);
            if !stays {
                desk.ends.gone.cancel();
            }
            stays
        });
    }

    /// Counts one more stream that is read; false when there are too many.
    pub(super) fn enter(&self, peer: PeerId) -> bool {
        let mut state = self.state();
        if state.streams >= EXCHANGE_STREAMS {
            return false;
        }
        let Some(desk) = state.desks.get_mut(&peer) else {
            return false;
        };
        if desk.streams >= EXCHANGE_STREAMS_OF_PEER {
            return false;
        }
        desk.streams += 1;
        state.streams += 1;
        true
    }

    /// Counts one less, of the peer with this desk.
    pub(super) fn leave(&self, peer: PeerId, ends: &Ends) {
        let mut state = self.state();
        state.streams -= 1;
        if let Some(desk) = state.desks.get_mut(&peer)
            && Arc::ptr_eq(&desk.ends.wake, &ends.wake)
        {
            desk.streams -= 1;
        }
    }

    /// Gives a fetch its number.
    pub(super) fn join(&self, mail: mpsc::Sender<Event>) -> FetchId {
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        state.fetches.insert(id, mail);
        id
    }

    /// Ends a fetch, which has cancelled and forgotten all that it asked.
    pub(super) fn part(&self, id: FetchId) {
        self.state().fetches.remove(&id);
    }

    /// The same for every fetch.
    pub(super) fn tell_all(&self, event: impl Fn() -> Event) -> Mail {
        let state = self.state();
        let fetches = state.fetches.values();
        fetches.map(|fetch| (fetch.clone(), event())).collect()
    }

    /// True when a peer can be asked at all.
    pub(super) fn is_asked(&self, peer: &PeerId, now: Instant) -> bool {
        let mut state = self.state();
        state.distrusted.retain(|_, until| *until > now);
        let mute = state.desks.get(peer).is_some_and(|desk| desk.mute);
        !mute && !state.distrusted.contains_key(peer)
    }

    /// Asks a peer on behalf of a fetch, with the next message.
    pub(super) fn ask(&self, id: FetchId, peer: PeerId, (key, want): (Key, Want)) {
        let mut state = self.state();
        state.lately.add(&key);
        state.awaited.entry(key.clone()).or_default().insert(id);
        let Some(desk) = state.desks.get_mut(&peer) else {
            return;
        };
        let question = desk.asked.entry(key.clone());
        let question = question.or_insert_with(|| Question {
            cid: want.cid.clone(),
            fetches: BTreeSet::new(),
        });
        question.fetches.insert(id);
        match desk.asks.get_mut(&key) {
            Some(waiting) if !waiting.cancel && waiting.kind >= want.kind => {}
            _ => drop(desk.asks.insert(key, want)),
        }
        desk.ends.wake.notify_one();
    }

    /// Takes a question back, unless another fetch has it too.
    pub(super) fn cancel(&self, id: FetchId, peer: PeerId, key: Key) {
        let mut state = self.state();
        let Some(desk) = state.desks.get_mut(&peer) else {
            return;
        };
        let Some(question) = desk.asked.get_mut(&key) else {
            return;
        };
        question.fetches.remove(&id);
        if !question.fetches.is_empty() {
            return;
        }
        let Some(question) = desk.asked.remove(&key) else {
            return;
        };
        if desk.asks.remove(&key).is_some() {
            return;
        }
        let want = Want {
            cid: question.cid,
            cancel: true,
            ..Want::default()
        };
        desk.asks.insert(key, want);
        desk.ends.wake.notify_one();
    }

    /// A fetch does not wait for this any more.
    pub(super) fn forget(&self, id: FetchId, key: &Key) {
        let mut state = self.state();
        if let Some(awaiting) = state.awaited.get_mut(key) {
            awaiting.remove(&id);
            if awaiting.is_empty() {
                state.awaited.remove(key);
            }
        }
    }

    /// A peer said what it has and what not.
    pub(super) fn said(&self, peer: PeerId, presences: &[(Key, Presence)]) -> Mail {
        let state = self.state();
        let mut mail = Mail::new();
        let Some(desk) = state.desks.get(&peer) else {
            return mail;
        };
        for (key, presence) in presences {
            let question = desk.asked.get(key);
            for id in question.iter().flat_map(|question| &question.fetches) {
                if let Some(fetch) = state.fetches.get(id) {
                    let event = Event::Said(peer, key.clone(), presence.here);
                    mail.push((fetch.clone(), event));
                }
            }
        }
        mail
    }

    /// A block came. `Err`: nobody asked anybody for it.
    pub(super) fn came(&self, peer: PeerId, key: &Key, bytes: Vec<u8>) -> Result<Mail, ()> {
        let mut state = self.state();
        if !state.lately.has(key) {
            return Err(());
        }
        if let Some(desk) = state.desks.get_mut(&peer) {
            desk.asked.remove(key);
            desk.asks.remove(key);
        }
        let awaiting = state.awaited.remove(key).unwrap_or_default();
        let fetches = awaiting.iter().filter_map(|id| state.fetches.get(id));
        let mut mail: Mail = Vec::new();
        let mut fetches = fetches.peekable();
        let mut bytes = Some(bytes);
        while let Some(fetch) = fetches.next() {
            let bytes = if fetches.peek().is_some() {
                bytes.clone()
            } else {
                bytes.take()
            };
            let event = Event::Block(peer, key.clone(), bytes.unwrap_or_default());
            mail.push((fetch.clone(), event));
        }
        Ok(mail)
    }

    /// A peer is not asked for a while.
    pub(super) fn distrust(&self, peer: PeerId, now: Instant) -> Mail {
        self.state().distrusted.insert(peer, now + FETCH_DISTRUST);
        self.tell_all(|| Event::Gone(peer))
    }

    /// A peer does not speak bitswap.
    pub(super) fn mute(&self, peer: PeerId) -> Mail {
        if let Some(desk) = self.state().desks.get_mut(&peer) {
            desk.mute = true;
            desk.asks.clear();
            desk.asked.clear();
        }
        self.tell_all(|| Event::Gone(peer))
    }

    /// Works with the wants of a peer.
    pub(super) fn ledger<T>(&self, peer: PeerId, work: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        let mut state = self.state();
        let desk = state.desks.get_mut(&peer)?;
        Some(work(&mut desk.ledger))
    }

    /// What is to be asked of a peer now.
    pub(super) fn take_asks(&self, peer: PeerId) -> Vec<Want> {
        let mut state = self.state();
        let Some(desk) = state.desks.get_mut(&peer) else {
            return Vec::new();
        };
        let mut asks: Vec<Want> = desk.asks.drain().map(|(_, want)| want).collect();
        asks.sort_by_key(|want| std::cmp::Reverse((want.cancel, want.priority)));
        asks
    }

    /// New blocks are here: looks again at all that peers want.
    pub(super) fn look_again(&self) {
        for desk in self.state().desks.values_mut() {
            if !desk.ledger.is_empty() {
                desk.ledger.look_again();
                desk.ends.wake.notify_one();
            }
        }
    }
}

/// The keys that were asked for last.
#[derive(Default)]
struct Lately {
    order: VecDeque<Key>,
    all: HashSet<Key>,
}

impl Lately {
    fn add(&mut self, key: &Key) {
        if self.all.insert(key.clone()) {
            self.order.push_back(key.clone());
            if self.order.len() > FETCH_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.all.remove(&oldest);
            }
        }
    }

    fn has(&self, key: &Key) -> bool {
        self.all.contains(key)
    }
}
