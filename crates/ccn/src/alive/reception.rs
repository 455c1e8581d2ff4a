//! What other nodes say about where they are.
//!
//! ```text
//!  heard ─▶ on the list? ── no ─▶ waits, until the list is read again
//!              │ yes
//!              ▼
//!            read ─▶ its own address, in a place where nodes are? ─▶ table of peers ─▶ called, probed
//! ```
//!
//! Because the network passes the same bytes on only once in half an hour, what
//! is said by a node that is not registered yet, or whose registration has not
//! come here yet, is not thrown away at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use beth_network::Received;
use beth_network::payload::decode_candidates;
use beth_protocol::alive::{ALIVE_BYTES_MAX, Alive, NotAlive, PeerType, Place};
use beth_protocol::time::Timestamp;
use beth_store::StoredPeer;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::allow_list::AllowList;
use crate::limits::{
    ALIVE_KEPT_AGE, ALIVE_WAITING_MAX, ALIVE_WAITING_OF_ONE_MAX, ALIVE_WORD_SECONDS,
    ALIVE_WORDS_BURST,
};
use crate::neighbours::Guard;
use crate::pipeline::{Pipeline, now};
use crate::rate::Buckets;

/// The carrier that everything comes on.
const SOURCE: &str = "P2P";

/// Who listens.
pub(super) struct Reception {
    pub(super) list: AllowList,
    pub(super) own_id: String,
    pub(super) guard: Guard,
    pub(super) pipeline: Pipeline,
    /// Told when an address is new, by its kind.
    pub(super) news: News,
    /// How much anybody may say.
    pub(super) words: Buckets<String>,
    /// Who is not on the list.
    pub(super) waiting: Waiting,
    /// What was written lately.
    pub(super) kept: HashMap<(String, PeerType), (String, Instant)>,
}

/// Wakes who calls nodes, and who probes them.
#[derive(Clone, Default)]
pub(super) struct News {
    pub(super) p2p: Arc<Notify>,
    pub(super) http: Arc<Notify>,
}

/// Why the word of a node on the list does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    #[error("it is not UTF-8")]
    NotText,
    #[error(transparent)]
    NotAlive(#[from] NotAlive),
    #[error("its address is not of a form that nodes use")]
    Form,
    #[error("it gives the address of another peer")]
    Foreign,
    #[error("its address is in a private network that this node is not part of")]
    Inside,
}

/// Limits of what one node may say.
pub(super) fn words() -> Buckets<String> {
    Buckets::new(1, ALIVE_WORDS_BURST)
}

impl Reception {
    /// Listens until nobody speaks any more.
    pub(super) async fn run(mut self, mut heard: mpsc::Receiver<Received>) {
        loop {
            let is_worth = !self.waiting.is_empty();
            tokio::select! {
                next = heard.recv() => match next {
                    Some(next) => self.hear(next).await,
                    None => return,
                },
                () = sleep_until(self.list.due()), if is_worth => self.look_again().await,
            }
        }
    }

    async fn hear(&mut self, received: Received) {
        if received.from == self.own_id || received.data.len() > ALIVE_BYTES_MAX {
            return;
        }
        self.look_again().await;
        if self.list.allows(&received.from) {
            self.take(&received, now()).await;
        } else {
            self.waiting.push(received, now());
        }
    }

    /// Reads the list again when it is due; who has come on it is heard.
    async fn look_again(&mut self) {
        if self.list.due() > Instant::now() {
            return;
        }
        self.list.refresh().await;
        for (received, at) in self.waiting.take(|from| self.list.allows(from)) {
            self.take(&received, at).await;
        }
    }

    async fn take(&mut self, received: &Received, at: Timestamp) {
        let from = received.from.clone();
        let moment = std::time::Instant::now();
        let spent = self.words.spend(from.clone(), ALIVE_WORD_SECONDS, moment);
        if spent.is_err() {
            return;
        }
        match believe(received, &self.guard) {
            Ok(alive) => self.keep(from, alive, at).await,
            Err(doubt) => debug!(from, %doubt, "an alive message does not count"),
        }
    }

    async fn keep(&mut self, from: String, alive: Alive, last_seen: Timestamp) {
        let place = (from.clone(), alive.peer_type);
        let known = self.kept.get(&place);
        let is_same = known.is_some_and(|(address, _)| *address == alive.address);
        let is_fresh = known.is_some_and(|(_, at)| at.elapsed() < ALIVE_KEPT_AGE);
        if is_same && is_fresh {
            return;
        }
        let peer = StoredPeer {
            peer_id: from,
            peer_type: alive.peer_type,
            address: alive.address.clone(),
            source: SOURCE.to_owned(),
            last_seen,
        };
        let written = self.pipeline.work(move |state| state.meet_peer(&peer));
        if written.await.is_err() {
            return;
        }
        self.kept.retain(|_, (_, at)| at.elapsed() < ALIVE_KEPT_AGE);
        self.kept.insert(place, (alive.address, Instant::now()));
        match alive.peer_type {
            _ if is_same => {}
            PeerType::Http | PeerType::Ipfs => self.news.http.notify_one(),
            PeerType::P2p => self.news.p2p.notify_one(),
        }
    }
}

/// Reads what a node says, and judges whether it may be so.
pub(super) fn believe(received: &Received, guard: &Guard) -> Result<Alive, Doubt> {
    // Receivers decode percent signs whether there are any or not.
    let text = decode_candidates(&received.data)
        .pop()
        .ok_or(Doubt::NotText)?;
    let mut alive = Alive::parse(&text)?;
    let place = match alive.peer_type {
        PeerType::Http => {
            alive.address = crate::neighbours::base(&alive.address).to_owned();
            Place::of_url(&alive.address)
        }
        PeerType::P2p | PeerType::Ipfs => Place::of_multiaddress(&alive.address),
    };
    let place = place.ok_or(Doubt::Form)?;
    // A node's IPFS daemon is somebody else.
    let is_own = place.peer_id.as_ref() == Some(&received.from);
    if alive.peer_type == PeerType::P2p && !is_own {
        return Err(Doubt::Foreign);
    }
    match guard.admits(&place) {
        true => Ok(alive),
        false => Err(Doubt::Inside),
    }
}

/// What was said by nodes that are not on the list, the latest of it.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<(Received, Timestamp)>);

impl Waiting {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, received: Received, at: Timestamp) {
        let of_one = self.0.iter().filter(|(one, _)| one.from == received.from);
        if of_one.count() >= ALIVE_WAITING_OF_ONE_MAX {
            let oldest = self.0.iter().position(|(one, _)| one.from == received.from);
            oldest.and_then(|place| self.0.remove(place));
        }
        if self.0.len() >= ALIVE_WAITING_MAX {
            self.0.pop_front();
        }
        self.0.push_back((received, at));
    }

    fn take(&mut self, allows: impl Fn(&str) -> bool) -> Vec<(Received, Timestamp)> {
        let (allowed, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(one, _)| allows(&one.from));
        self.0 = rest;
        Vec::from(allowed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_network::Ticket;
    use beth_protocol::alive::Reach;

    const ID: &str = "QmZkurbY2G2hWay59yiTgQNaQxHSNzKZFt2jbnwJhQcKgV";
    const OTHER: &str = "QmTXr8ecVWn8DMdDxQktL3YgNrVh7hp33CTMGhN1sqmwRp";

    fn say(data: impl Into<Vec<u8>>) -> Received {
        Received {
            ticket: Ticket::default(),
            topic: "ALIVE".to_owned(),
            data: data.into(),
            from: ID.to_owned(),
        }
    }

    fn says(peer_type: &str, address: &str) -> Result<Alive, Doubt> {
        let text = format!(r#"{{"address": "{address}", "peer_type": "{peer_type}"}}"#);
        believe(&say(text), &Guard::default())
    }

    #[test]
    fn the_samples_are_believed() {
        let samples = include_str!("../../../../vectors/network/p2p/alive_messages.json");
        let samples: serde_json::Value = serde_json::from_str(samples).unwrap();
        for sample in samples["messages"].as_array().unwrap() {
            let sample = sample.as_str().unwrap();
            let alive = believe(&say(sample), &Guard::default()).unwrap();
            assert_eq!(alive.to_text(), sample);
        }
    }

    #[test]
    fn liars_are_not() {
        let own = format!("/ip4/1.2.3.4/tcp/1/p2p/{ID}");
        assert_eq!(says("P2P", &own).unwrap().address, own);
        let foreign = format!("/ip4/1.2.3.4/tcp/1/p2p/{OTHER}");
        assert_eq!(says("P2P", &foreign), Err(Doubt::Foreign));
        assert!(says("IPFS", &foreign).is_ok());
        for inside in [
            "http://127.0.0.1:1",
            "http://169.254.169.254",
            "http://10.0.0.1",
        ] {
            assert_eq!(says("HTTP", inside), Err(Doubt::Inside), "{inside}");
        }
        let inside = format!("/ip4/10.0.0.1/tcp/1/p2p/{ID}");
        assert_eq!(says("P2P", &inside), Err(Doubt::Inside));
        for odd in ["http://a.example/x", "x", "", "file:///etc/passwd", &own] {
            assert_eq!(says("HTTP", odd), Err(Doubt::Form), "{odd}");
        }
        assert_eq!(says("P2P", "http://1.2.3.4:1"), Err(Doubt::Form));
        assert!(matches!(says("SMTP", &own), Err(Doubt::NotAlive(_))));
        assert_eq!(
            believe(&say([0xff]), &Guard::default()),
            Err(Doubt::NotText)
        );
    }

    #[test]
    fn percent_signs_are_decoded_and_a_slash_at_the_end_dropped() {
        let said = says("HTTP", "http%3A//a.example%3a4024/").unwrap();
        assert_eq!(said.address, "http://a.example:4024");
        let guard = Guard::default();
        guard.open(Reach::Loopback);
        let inside = r#"{"address": "http://127.0.0.1:1", "peer_type": "HTTP"}"#;
        assert!(believe(&say(inside), &guard).is_ok());
    }

    #[test]
    fn who_is_not_on_the_list_waits_within_bounds() {
        let mut waiting = Waiting::default();
        let at = Timestamp::from_seconds(1);
        for number in 0..3 * ALIVE_WAITING_MAX {
            let mut one = say(number.to_string());
            one.from = format!("peer {}", number / (2 * ALIVE_WAITING_OF_ONE_MAX));
            waiting.push(one, at);
        }
        assert_eq!(waiting.0.len(), ALIVE_WAITING_MAX);
        let last = waiting.0.back().unwrap().0.from.clone();
        let taken = waiting.take(|from| from == last);
        assert!((1..=ALIVE_WAITING_OF_ONE_MAX).contains(&taken.len()));
        assert!(waiting.take(|from| from == last).is_empty());
        assert_eq!(waiting.0.len(), ALIVE_WAITING_MAX - taken.len());
    }
}
