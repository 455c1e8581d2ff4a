//! What every task of an exchange works with, and what becomes of what peers
//! say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use libp2p::PeerId;
use libp2p_stream::Control;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Blocks;
use super::board::{Board, Ends, Event, Mail};
use super::cid::{Cid, Key, key_of};
use super::courier::courier;
use super::frame::{Block, Message};
use crate::{Fault, Network};

/// From here hashing has a thread of its own.
const HASH_ELSEWHERE_BYTES: usize = 16 << 10;

/// Shared.
pub(super) struct Hall {
    pub(super) board: Board,
    pub(super) network: Network,
    pub(super) blocks: Arc<dyn Blocks>,
    pub(super) control: Control,
    pub(super) connected: watch::Receiver<BTreeSet<PeerId>>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
    /// Messages that are made or written.
    pub(super) turns: Arc<Semaphore>,
    /// Large messages that are read.
    pub(super) large: Arc<Semaphore>,
    /// Fetches at work.
    pub(super) fetches: Arc<Semaphore>,
    pub(super) tallies: Tallies,
}

/// What went to and fro since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Blocks that were sent.
    pub blocks_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Blocks that came, wanted or not.
    pub blocks_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Messages or blocks that nobody asked for or that made no sense.
    pub faults: u64,
}

#[derive(Default)]
pub(super) struct Tallies {
    blocks_sent: AtomicU64,
    bytes_sent: AtomicU64,
    blocks_received: AtomicU64,
    bytes_received: AtomicU64,
    faults: AtomicU64,
}

impl Tallies {
    pub(super) fn sent(&self, message: &Message) {
        let (blocks, bytes) = size(&message.blocks);
        self.blocks_sent.fetch_add(blocks, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn exchanged(&self) -> Exchanged {
        Exchanged {
            blocks_sent: self.blocks_sent.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            blocks_received: self.blocks_received.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
        }
    }
}

fn size(blocks: &[Block]) -> (u64, u64) {
    let bytes: usize = blocks.iter().map(|block| block.bytes.len()).sum();
    (blocks.len() as u64, bytes as u64)
}

impl Hall {
    /// The desk of a connected peer, with its courier; `None` when it has gone.
    pub(super) fn meet(self: &Arc<Hall>, peer: PeerId) -> Option<Ends> {
        // While looking, nobody is dismissed: who is added now is connected.
        let connected = self.connected.borrow();
        if !connected.contains(&peer) {
            return None;
        }
        let (ends, new) = self.board.desk(peer);
        if new {
            let courier = courier(self.clone(), peer, ends.clone());
            self.tasks.spawn(courier);
        }
        Some(ends)
    }

    /// Delivers to fetches.
    pub(super) async fn send(&self, mail: Mail) {
        for (fetch, event) in mail {
            // One that has ended needs nothing.
            let _ = fetch.send(event).await;
        }
    }

    /// Works on what a peer said.
    pub(super) async fn hear(&self, peer: PeerId, message: Message, ends: &Ends) {
        let Message {
            full,
            wants,
            blocks,
            presences,
            ..
        } = message;
        if full || !wants.is_empty() {
            self.board.ledger(peer, |ledger| ledger.apply(full, wants));
            ends.wake.notify_one();
        }
        if !blocks.is_empty() {
            self.take(peer, blocks).await;
        }
        if !presences.is_empty() {
            let presences: Vec<_> = presences
                .into_iter()
                .filter_map(|presence| Some((Cid::parse(&presence.cid)?.key(), presence)))
                .collect();
            self.send(self.board.said(peer, &presences)).await;
        }
    }

    /// A peer broke the rules: it is not asked for a while.
    pub(super) async fn blame(&self, peer: PeerId, fault: Fault) {
        self.tallies.faults.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, fault = fault.as_str(), "a peer is not asked for blocks for a while");
        self.network.demote(&peer.to_string(), fault);
        self.send(self.board.distrust(peer, Instant::now())).await;
    }

    async fn take(&self, peer: PeerId, blocks: Vec<Block>) {
        let (count, bytes) = size(&blocks);
        let tallies = &self.tallies;
        tallies.blocks_received.fetch_add(count, Ordering::Relaxed);
        tallies.bytes_received.fetch_add(bytes, Ordering::Relaxed);
        for (key, bytes) in named(blocks, bytes as usize).await {
            let came = key.map(|key| self.board.came(peer, &key, bytes));
            match came {
                Some(Ok(mail)) => self.send(mail).await,
                _ => self.blame(peer, Fault::WrongContent).await,
            }
        }
    }

    /// Keeps the desks in step with who is connected.
    pub(super) async fn watch(self: Arc<Hall>) {
        let mut connected = self.connected.clone();
        let mut known = BTreeSet::new();
        loop {
            let now = connected.borrow_and_update().clone();
            self.board.dismiss(&now);
            for peer in now.difference(&known) {
                self.send(self.board.tell_all(|| Event::Met(*peer))).await;
            }
            for peer in known.difference(&now) {
                self.send(self.board.tell_all(|| Event::Gone(*peer))).await;
            }
            known = now;
            tokio::select! {
                () = self.cancel.cancelled() => return,
                changed = connected.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Blocks with what they are known by.
async fn named(blocks: Vec<Block>, bytes: usize) -> Vec<(Option<Key>, Vec<u8>)> {
    let name = move || {
        let blocks = blocks.into_iter();
        blocks
            .map(|block| (key_of(&block.prefix, &block.bytes), block.bytes))
            .collect()
    };
    if bytes < HASH_ELSEWHERE_BYTES {
        return name();
    }
    let named = tokio::task::spawn_blocking(name).await;
    // Only when the runtime ends.
    named.unwrap_or_default()
}
