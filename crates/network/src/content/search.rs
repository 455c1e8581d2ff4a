//! Who has the content: every neighbour is asked, some at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::{PeerId, Stream};
use libp2p_stream::{Control, OpenStreamError};
use tokio::sync::watch;
use tokio::time::timeout;

use super::frame::{Reply, Request, SpeakError, ask, hear_reply};
use super::known::Known;
use super::{Digest, PROTOCOL};
use crate::limits::{CONTENT_ASKED_AT_ONCE, CONTENT_ATTEMPTS, CONTENT_HAVE};
use crate::network::Neighbours;

/// A neighbour that says it has the content.
pub(super) struct Found {
    pub(super) peer: PeerId,
    pub(super) size_bytes: u64,
    pub(super) stream: Stream,
}

/// Why a neighbour is no source.
enum Answer {
    Has(u64, Stream),
    Lacks,
    Mute,
    /// It may be asked again.
    Failed,
}

/// The neighbours, asked one after the other.
pub(super) struct Search {
    control: Control,
    known: Known,
    digest: Digest,
    connected: watch::Receiver<BTreeSet<PeerId>>,
    queue: VecDeque<PeerId>,
    /// How often each was asked.
    asked: BTreeMap<PeerId, u32>,
    answers: FuturesUnordered<BoxFuture<'static, (PeerId, Answer)>>,
}

impl Search {
    pub(super) fn new(neighbours: &Neighbours, digest: Digest) -> Search {
        let mut search = Search {
            control: neighbours.control.clone(),
            known: neighbours.known.clone(),
            digest,
            connected: neighbours.connected.clone(),
            queue: VecDeque::new(),
            asked: BTreeMap::new(),
            answers: FuturesUnordered::new(),
        };
        search.look();
        search
    }

    /// True when everybody who is here was asked.
    pub(super) fn is_over(&self) -> bool {
        self.queue.is_empty() && self.answers.is_empty()
    }

    /// A source is gone, but may be asked again.
    pub(super) fn again(&mut self, peer: PeerId) {
        let count = self.asked.get(&peer).copied().unwrap_or_default();
        let is_here = self.connected.borrow().contains(&peer);
        if is_here && count < CONTENT_ATTEMPTS && self.known.may_ask(&peer) {
            self.queue.push_back(peer);
        }
    }

    /// The next neighbour that has it. Waits for new ones when there is nobody
    /// left to ask; `None` when the search failed with somebody.
    pub(super) async fn next(&mut self) -> Option<Found> {
        self.begin();
        tokio::select! {
            Some((peer, answer)) = self.answers.next() => self.hear(peer, answer),
            changed = self.connected.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                self.look();
                None
            }
        }
    }

    /// Who is new is asked, who is gone may come back.
    fn look(&mut self) {
        let here = self.connected.borrow_and_update().clone();
        self.asked.retain(|peer, _| here.contains(peer));
        for peer in here {
            if self.known.may_ask(&peer) && !self.asked.contains_key(&peer) {
                self.asked.insert(peer, 0);
                self.queue.push_back(peer);
            }
        }
    }

    fn begin(&mut self) {
        while self.answers.len() < CONTENT_ASKED_AT_ONCE {
            let Some(peer) = self.queue.pop_front() else {
                return;
            };
            *self.asked.entry(peer).or_default() += 1;
            let (control, digest) = (self.control.clone(), self.digest);
            let answer = async move { (peer, ask_for(control, peer, digest).await) };
            self.answers.push(Box::pin(answer));
        }
    }

    fn hear(&mut self, peer: PeerId, answer: Answer) -> Option<Found> {
        match answer {
            Answer::Has(size_bytes, stream) => {
                return Some(Found {
                    peer,
                    size_bytes,
                    stream,
                });
            }
            Answer::Lacks => {}
            Answer::Mute => self.known.is_mute(peer),
            Answer::Failed => self.again(peer),
        }
        None
    }
}

async fn ask_for(mut control: Control, peer: PeerId, digest: Digest) -> Answer {
    let asked = async {
        let mut stream = match control.open_stream(peer, PROTOCOL).await {
            Ok(stream) => stream,
            Err(OpenStreamError::UnsupportedProtocol(_)) => return Ok(Answer::Mute),
            Err(error) => {
                tracing::debug!(%peer, %error, "a neighbour could not be asked for a content");
                return Ok(Answer::Failed);
            }
        };
        ask(&mut stream, Request::Have(digest)).await?;
        Ok::<Answer, SpeakError>(match hear_reply(&mut stream).await? {
            Some(Reply::Has(size_bytes)) => Answer::Has(size_bytes, stream),
            Some(Reply::Lacks) => Answer::Lacks,
            _ => Answer::Failed,
        })
    };
    match timeout(CONTENT_HAVE, asked).await {
        Ok(Ok(answer)) => answer,
        _ => Answer::Failed,
    }
}
