//! The core nodes that this one can ask over HTTP: a handle that is shared by
//! whoever looks for contents and for missed messages.
//!
//! ```text
//!  configuration ─▶ content_peers ─┐
//!  alive messages ─▶ probes ─▶ online ─┴─▶ Neighbours::http ─▶ fetch, catch_up
//!  visits, either way ─▶ Neighbours::reconciled
//! ```
//!
//! What operators wrote stays on the list whatever happens; who was learnt of
//! is on it while it answers.

mod guard;

pub use guard::{Guard, Refused};

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;

use crate::limits::{RECONCILED_MAX, RECONCILED_RECENTLY};

/// A core node that answers over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPeer {
    /// Its base URL, without a slash at the end.
    pub url: String,
    /// Its peer id, where it is known.
    pub peer_id: Option<String>,
    /// It says that it runs this program, whose nodes reconcile when they are
    /// connected.
    pub reconciles: bool,
}

/// Who can be asked; clones share it.
#[derive(Clone, Debug)]
pub struct Neighbours {
    configured: Arc<[String]>,
    known: Arc<RwLock<Known>>,
    /// How often somebody has come online; 0 before it was looked.
    arrivals: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// Who answered the last time, the quickest first.
    online: Vec<HttpPeer>,
    /// Where IPFS nodes of the network are.
    ipfs: Vec<String>,
    /// When a peer and this node were last found to have the same messages, or
    /// made so.
    reconciled: HashMap<String, Instant>,
}

impl Neighbours {
    /// Knows the configured ones, as base URLs.
    pub fn new(configured: &[String]) -> Neighbours {
        let configured = configured.iter().map(|url| base(url).to_owned());
        Neighbours {
            configured: configured.collect(),
            known: Arc::default(),
            arrivals: watch::Sender::new(0),
        }
    }

    /// Base URLs of nodes, without a slash at the end: the configured ones in
    /// their order, then those that are online.
    pub fn http(&self) -> Vec<String> {
        self.peers().into_iter().map(|peer| peer.url).collect()
    }

    /// The same with peer ids.
    pub fn peers(&self) -> Vec<HttpPeer> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let online = |url: &str| known.online.iter().find(|peer| peer.url == url);
        let configured = self.configured.iter().map(|url| {
            let unknown = || HttpPeer {
                url: url.clone(),
                peer_id: None,
                reconciles: false,
            };
            online(url).cloned().unwrap_or_else(unknown)
        });
        let mut peers: Vec<HttpPeer> = configured.collect();
        let learnt = known.online.iter();
        peers.extend(
            learnt
                .filter(|peer| !self.configured.contains(&peer.url))
                .cloned(),
        );
        peers
    }

    /// Multiaddresses of IPFS nodes that core nodes announced, the latest
    /// first: who is likely to have their contents.
    pub fn ipfs(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.ipfs.clone()
    }

    /// Replaces these.
    pub fn set_ipfs(&self, ipfs: Vec<String>) {
        self.write(|known| known.ipfs = ipfs);
    }

    /// Those that were configured.
    pub fn configured(&self) -> &[String] {
        &self.configured
    }

    /// Replaces who is online.
    pub fn set_online(&self, online: Vec<HttpPeer>) {
        let mut has_new = false;
        self.write(|known| {
            let before = std::mem::replace(&mut known.online, online);
            has_new = known.online.iter().any(|peer| !before.contains(peer));
        });
        self.arrivals.send_if_modified(|arrivals| {
            let is_first = *arrivals == 0;
            *arrivals += u64::from(is_first || has_new);
            is_first || has_new
        });
    }

    /// Changes when it was first looked who is online, and when somebody has
    /// come online since.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// A peer has what this node has: they have just reconciled.
    pub fn note_reconciled(&self, peer_id: &str) {
        self.write(|known| {
            let is_new = !known.reconciled.contains_key(peer_id);
            if is_new && known.reconciled.len() >= RECONCILED_MAX {
                known
                    .reconciled
                    .retain(|_, at| at.elapsed() < RECONCILED_RECENTLY);
            }
            if !is_new || known.reconciled.len() < RECONCILED_MAX {
                known.reconciled.insert(peer_id.to_owned(), Instant::now());
            }
        });
    }

    /// True when nothing is to be learnt from the pages of a peer.
    pub fn is_reconciled(&self, peer_id: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let at = known.reconciled.get(peer_id);
        at.is_some_and(|at| at.elapsed() < RECONCILED_RECENTLY)
    }

    fn write(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A base URL without what may follow it.
pub(crate) fn base(url: &str) -> &str {
    url.trim().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(url: &str, peer_id: Option<&str>) -> HttpPeer {
        HttpPeer {
            url: url.to_owned(),
            peer_id: peer_id.map(str::to_owned),
            reconciles: peer_id.is_some(),
        }
    }

    #[test]
    fn configured_nodes_come_first_and_stay() {
        let neighbours = Neighbours::new(&["http://a/".into(), "http://b".into()]);
        assert_eq!(neighbours.http(), ["http://a", "http://b"]);
        let shared = neighbours.clone();
        let mut arrivals = neighbours.arrivals();
        shared.set_online(vec![peer("http://c", None), peer("http://b", Some("B"))]);
        let known = [
            peer("http://a", None),
            peer("http://b", Some("B")),
            peer("http://c", None),
        ];
        assert_eq!(neighbours.peers(), known);
        assert_eq!(*arrivals.borrow_and_update(), 1);
        neighbours.set_online(Vec::new());
        assert_eq!(*arrivals.borrow(), 1, "who leaves does not arrive");
        assert_eq!(shared.http(), ["http://a", "http://b"]);
    }

    #[test]
    fn who_reconciled_is_remembered_within_bounds() {
        let neighbours = Neighbours::new(&[]);
        assert!(!neighbours.is_reconciled("a"));
        neighbours.note_reconciled("a");
        for number in 0..2 * RECONCILED_MAX {
            neighbours.note_reconciled(&number.to_string());
        }
        assert!(neighbours.is_reconciled("a"));
        let known = neighbours.known.read();
        let count = known.map(|known| known.reconciled.len());
        assert_eq!(count.ok(), Some(RECONCILED_MAX));
    }
}
