//! Whom to ask for what: the thoughts of one fetch.
//!
//! ```text
//!            ┌─ a peer that was useful ──▶ "send it" ──┬─ block ──▶ answer
//!   want ──▶ │                                         └─ no, or silence ─┐
//!            └─ nobody yet ──▶ all: "have you got it?" ◀──────────────────┘
//!                                   └─ yes ──▶ "send it"    └─ nobody ──▶ missing
//! ```
//!
//! Pure: told of what happened and what time it is, it returns [`Order`]s.
//! Peers that were named as providers, that have blocks or sent some are
//! useful; of these the one with the fewest open wants is asked, so that what
//! is fast gets more. A silent peer is asked again only when nobody else is
//! left.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::cid::{Check, Cid, Key};
use super::exchange::{Found, Missing};
use super::frame::{Kind, Want};
use crate::limits::{FETCH_ANSWER, FETCH_PEERS, FETCH_TRIES};

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Ask a peer.
    Ask(PeerId, Key, Want),
    /// Take a question back.
    Cancel(PeerId, Key),
    /// Whatever comes for this is not awaited any more.
    Forget(Key),
    /// Tell the reader.
    Answer(Found),
}

/// A fetch.
#[derive(Debug)]
pub(super) struct Session {
    patience: Duration,
    wants: HashMap<Key, Wanted>,
    /// Not asked about yet.
    fresh: VecDeque<Key>,
    /// Asked about.
    open: Vec<Key>,
    peers: BTreeMap<PeerId, Standing>,
    orders: Vec<Order>,
    priority: i32,
}

#[derive(Debug)]
struct Wanted {
    /// The spellings under which it was asked for, each to be answered.
    cids: Vec<Vec<u8>>,
    until: Instant,
    priority: i32,
    asked: BTreeMap<PeerId, Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    said: Said,
    at: Instant,
    tries: u32,
}

/// What a peer said of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Nothing yet, asked whether it has it.
    Whether,
    /// Nothing yet, asked to send it.
    Sending,
    Yes,
    No,
    /// Nothing in time.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    useful: bool,
    /// Blocks that it was asked to send.
    open: usize,
    /// When it said something last.
    heard: Instant,
}

impl Session {
    /// Wants are given up after `patience`.
    pub(super) fn new(patience: Duration) -> Session {
        Session {
            patience,
            wants: HashMap::new(),
            fresh: VecDeque::new(),
            open: Vec::new(),
            peers: BTreeMap::new(),
            orders: Vec::new(),
            priority: i32::MAX,
        }
    }

    /// Wants more.
    pub(super) fn want(&mut self, cids: Vec<Vec<u8>>, now: Instant) {
        for cid in cids {
            let check = Cid::parse(&cid).and_then(|cid| cid.check());
            let key = match check {
                Some(Check::Hash(key)) => key,
                Some(Check::Inline(bytes)) => {
                    self.answer(cid, Ok(bytes));
                    continue;
                }
                None => {
                    self.answer(cid, Err(Missing::Unknown));
                    continue;
                }
            };
            if let Some(wanted) = self.wants.get_mut(&key) {
                wanted.cids.push(cid);
                continue;
            }
            self.fresh.push_back(key.clone());
            self.priority = self.priority.saturating_sub(1);
            let wanted = Wanted {
                cids: vec![cid],
                until: now + self.patience,
                priority: self.priority,
                asked: BTreeMap::new(),
            };
            self.wants.insert(key, wanted);
        }
    }

    /// A peer can be asked.
    pub(super) fn met(&mut self, peer: PeerId, now: Instant) {
        self.peers.entry(peer).or_insert(Standing {
            useful: false,
            open: 0,
            heard: now,
        });
    }

    /// A peer can be asked and is said to have the blocks.
    pub(super) fn met_provider(&mut self, peer: PeerId, now: Instant) {
        self.met(peer, now);
        self.praise(peer, now);
    }

    /// A peer cannot be asked any more.
    pub(super) fn gone(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        for key in &self.open {
            if let Some(wanted) = self.wants.get_mut(key) {
                wanted.asked.remove(&peer);
            }
        }
    }

    /// A peer said whether it has a block.
    pub(super) fn said(&mut self, peer: PeerId, key: &Key, here: bool, now: Instant) {
        let Some(wanted) = self.wants.get_mut(key) else {
            return;
        };
        let Some(asked) = wanted.asked.get_mut(&peer) else {
            return;
        };
        let Some(standing) = self.peers.get_mut(&peer) else {
            return;
        };
        standing.heard = now;
        match (asked.said, here) {
            // It is on its way.
            (Said::Sending, true) => return,
            (Said::Sending, false) => standing.open = standing.open.saturating_sub(1),
            _ => {}
        }
        asked.said = if here { Said::Yes } else { Said::No };
        if here {
            self.praise(peer, now);
        }
    }

    /// A block came, and it is what its key says.
    pub(super) fn block(&mut self, peer: PeerId, key: &Key, bytes: Vec<u8>, now: Instant) {
        self.praise(peer, now);
        self.end(key, Some(peer), Ok(bytes));
    }

    /// Takes all questions back.
    pub(super) fn abandon(&mut self) {
        for key in self.wants.keys().cloned().collect::<Vec<_>>() {
            self.end(&key, None, Err(Missing::Late));
        }
        self.fresh.clear();
    }

    /// Decides what to do now: with at most `window` wants outside, and with
    /// more peers to be expected or not.
    pub(super) fn plan(&mut self, now: Instant, window: usize, more_peers: bool) {
        self.fresh.retain(|key| self.wants.contains_key(key));
        self.open.retain(|key| self.wants.contains_key(key));
        let useful = self.peers.values().any(|peer| peer.useful);
        // Until somebody turns out to be useful all are asked, so about little.
        let window = if useful { window } else { window.min(4) };
        while self.open.len() < window
            && let Some(key) = self.fresh.pop_front()
        {
            self.open.push(key);
        }
        for key in self.open.clone() {
            self.consider(&key, now, more_peers);
        }
    }

    /// What there is to do, in order.
    pub(super) fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Nothing is wanted.
    pub(super) fn is_idle(&self) -> bool {
        self.wants.is_empty()
    }

    /// How many wants are outside.
    pub(super) fn open(&self) -> usize {
        self.open
            .iter()
            .filter(|key| self.wants.contains_key(*key))
            .count()
    }

    fn consider(&mut self, key: &Key, now: Instant, more_peers: bool) {
        self.notice_silence(key, now);
        let Some(wanted) = self.wants.get(key) else {
            return;
        };
        if wanted.until <= now {
            self.end(key, None, Err(Missing::Late));
            return;
        }
        let said = |said| wanted.asked.values().any(|asked| asked.said == said);
        if said(Said::Sending) {
            return;
        }
        if let Some(peer) = self.source(wanted, 1) {
            self.ask(peer, key, (Kind::Block, now));
            return;
        }
        if said(Said::Whether) {
            return;
        }
        let strangers = self.strangers(wanted);
        if !strangers.is_empty() {
            for peer in strangers {
                self.ask(peer, key, (Kind::Have, now));
            }
        } else if let Some(peer) = self.source(wanted, FETCH_TRIES) {
            self.ask(peer, key, (Kind::Block, now));
        } else if !more_peers {
            self.end(key, None, Err(Missing::Nobody));
        }
    }

    /// Who should send it, of those asked less than `tries` times: has it, has
    /// other blocks of the session, little to do.
    fn source(&self, wanted: &Wanted, tries: u32) -> Option<PeerId> {
        let candidates = self.peers.iter().filter_map(|(peer, standing)| {
            let (said, tried) = match wanted.asked.get(peer) {
                Some(asked) => (Some(asked.said), asked.tries),
                None => (None, 0),
            };
            let willing = match said {
                Some(Said::Yes) => true,
                Some(Said::Silent) | None => standing.useful,
                _ => false,
            };
            let order = (tried, said != Some(Said::Yes), standing.open, *peer);
            (willing && tried < tries).then_some(order)
        });
        candidates.min().map(|(.., peer)| peer)
    }

    fn strangers(&self, wanted: &Wanted) -> Vec<PeerId> {
        let unasked = self
            .peers
            .keys()
            .filter(|peer| !wanted.asked.contains_key(peer));
        let room = FETCH_PEERS.saturating_sub(wanted.asked.len());
        unasked.take(room).copied().collect()
    }

    fn ask(&mut self, peer: PeerId, key: &Key, (kind, now): (Kind, Instant)) {
        let Some(wanted) = self.wants.get_mut(key) else {
            return;
        };
        let asked = wanted.asked.entry(peer).or_insert(Asked {
            said: Said::Whether,
            at: now,
            tries: 0,
        });
        asked.at = now;
        if kind == Kind::Block {
            asked.said = Said::Sending;
            asked.tries += 1;
            if let Some(standing) = self.peers.get_mut(&peer) {
                standing.open += 1;
            }
        }
        let want = Want {
            cid: wanted.cids.first().cloned().unwrap_or_default(),
            priority: wanted.priority,
            cancel: false,
            kind,
            tell_absence: true,
        };
        self.orders.push(Order::Ask(peer, key.clone(), want));
    }

    fn notice_silence(&mut self, key: &Key, now: Instant) {
        let Some(wanted) = self.wants.get_mut(key) else {
            return;
        };
        for (peer, asked) in &mut wanted.asked {
            let heard = self.peers.get(peer).map_or(asked.at, |peer| peer.heard);
            let waiting = matches!(asked.said, Said::Whether | Said::Sending);
            if !waiting || now < asked.at.max(heard) + FETCH_ANSWER {
                continue;
            }
            if asked.said == Said::Sending
                && let Some(standing) = self.peers.get_mut(peer)
            {
                standing.open = standing.open.saturating_sub(1);
            }
            asked.said = Said::Silent;
            self.orders.push(Order::Cancel(*peer, key.clone()));
        }
    }

    fn praise(&mut self, peer: PeerId, now: Instant) {
        if let Some(standing) = self.peers.get_mut(&peer) {
            standing.useful = true;
            standing.heard = now;
        }
    }

    /// Ends a want; whoever was asked in vain is told, but not who sent it.
    fn end(&mut self, key: &Key, sender: Option<PeerId>, block: Result<Vec<u8>, Missing>) {
        let Some(wanted) = self.wants.remove(key) else {
            return;
        };
        for (peer, asked) in wanted.asked {
            if asked.said == Said::Sending
                && let Some(standing) = self.peers.get_mut(&peer)
            {
                standing.open = standing.open.saturating_sub(1);
            }
            if Some(peer) != sender {
                self.orders.push(Order::Cancel(peer, key.clone()));
            }
        }
        self.orders.push(Order::Forget(key.clone()));
        let mut cids = wanted.cids;
        let last = cids.pop();
        for cid in cids {
            self.answer(cid, block.clone());
        }
        if let Some(cid) = last {
            self.answer(cid, block);
        }
    }

    fn answer(&mut self, cid: Vec<u8>, block: Result<Vec<u8>, Missing>) {
        self.orders.push(Order::Answer(Found { cid, block }));
    }
}

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;
