//! What was said while this node was away, by nodes that do not reconcile: all
//! pages of a configured node, and of the first other one, then the newest ones
//! until one has nothing new. Of further nodes as many are read as have news.
//!
//! ```text
//!  Neighbours ─▶ does it reconcile with this node? ── yes ─▶ nothing to do
//!                   │ no
//!                   ▼
//!            configured: at every round;  learnt of: some of them in turn
//! ```
//!
//! Cheap when in sync: a page a node and minute, whatever the size of the
//! network. Nodes of this program are asked too when they are out of reach of
//! the gossip, or connected and for long without a visit.

use std::collections::HashMap;
use std::sync::Arc;

use beth_store::Readers;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::gossip::NetworkInfo;
use crate::limits;
use crate::neighbours::{HttpPeer, Neighbours};
use crate::pipeline::Pipeline;

/// What is needed to catch up.
pub(crate) struct CatchUp {
    pub(crate) client: reqwest::Client,
    pub(crate) readers: Arc<Readers>,
    pub(crate) pipeline: Pipeline,
    pub(crate) network: NetworkInfo,
    pub(crate) neighbours: Neighbours,
}

/// What is known of a node that may be asked.
struct Known {
    /// Since when a visit is hoped for.
    hoped_since: Instant,
    /// All of its pages were seen.
    is_complete: bool,
    /// When it was last asked.
    asked: Option<Instant>,
}

/// Asks other nodes now and then, until cancelled.
pub(crate) async fn run(work: CatchUp, cancel: CancellationToken) {
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut arrivals = work.neighbours.arrivals();
    let rounds = async {
        // Who is online is being found out.
        let _ = timeout(
            limits::CATCH_UP_FIRST,
            arrivals.wait_for(|count| *count > 0),
        )
        .await;
        loop {
            arrivals.mark_unchanged();
            work.round(&mut known).await;
            let _ = timeout(limits::CATCH_UP_PERIOD, arrivals.changed()).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = rounds => {}
    }
}

impl CatchUp {
    async fn round(&self, known: &mut HashMap<String, Known>) {
        for peer in self.choose(known).await {
            let Some(about) = known.get_mut(&peer.url) else {
                continue;
            };
            about.asked = Some(Instant::now());
            let is_first = !about.is_complete;
            let is_configured = self.neighbours.configured().contains(&peer.url);
            let is_up_to_date = known.values().any(|about| about.is_complete);
            let quiet_pages = match is_first {
                // Everybody's every page would be much; of one node it is done.
                true if is_up_to_date && !is_configured => limits::CATCH_UP_QUIET_PAGES,
                true => limits::CATCH_UP_PAGES_MAX,
                false => 1,
            };
            let peer = peer.url;
            let look = timeout(limits::CATCH_UP_LOOK, self.look(&peer, quiet_pages));
            match look.await.unwrap_or(Err(LookError::Slow)) {
                Ok(count) => {
                    if let Some(about) = known.get_mut(&peer) {
                        about.is_complete = true;
                    }
                    if count > 0 {
                        info!(peer, count, "messages that were missed are here now");
                    }
                }
                Err(failure) => {
                    debug!(%failure, peer, "another node could not be asked for missed messages")
                }
            }
        }
    }

    /// Whom to ask in this round.
    async fn choose(&self, known: &mut HashMap<String, Known>) -> Vec<HttpPeer> {
        let peers = self.neighbours.peers();
        // Who comes and goes is not new each time.
        if known.len() > limits::CATCH_UP_KNOWN_MAX {
            known.retain(|url, _| peers.iter().any(|peer| peer.url == *url));
        }
        let connected = self.network.connected_peers().await;
        let configured = self.neighbours.configured();
        let mut chosen = Vec::new();
        let mut learnt = Vec::new();
        for peer in peers {
            let about = known.entry(peer.url.clone()).or_insert_with(|| Known {
                hoped_since: Instant::now(),
                is_complete: false,
                asked: None,
            });
            let is_visited = self.is_visited(&peer, about, &connected);
            if is_visited || about.asked.is_some_and(is_recent) {
                continue;
            }
            match configured.contains(&peer.url) {
                true => chosen.push(peer),
                false => learnt.push((about.asked, peer)),
            }
        }
        // Who was not asked for the longest time.
        learnt.sort_by_key(|(asked, _)| *asked);
        let learnt = learnt.into_iter().take(limits::CATCH_UP_PEERS);
        chosen.extend(learnt.map(|(_, peer)| peer));
        chosen
    }

    /// True when reconciliation finds what is missing.
    fn is_visited(&self, peer: &HttpPeer, about: &mut Known, connected: &[String]) -> bool {
        let Some(peer_id) = &peer.peer_id else {
            return false;
        };
        let is_reconciled = self.neighbours.is_reconciled(peer_id);
        let is_connected = connected.contains(peer_id);
        if is_reconciled || !is_connected {
            about.hoped_since = Instant::now();
        }
        let is_hoped_for = about.hoped_since.elapsed() < limits::CATCH_UP_PATIENCE;
        is_connected && (is_reconciled || peer.reconciles && is_hoped_for)
    }

    /// Reads pages, the newest first, until so many in a row have nothing new.
    async fn look(&self, peer: &str, quiet_pages: usize) -> Result<usize, LookError> {
        let mut found = 0;
        let mut quiet = 0;
        for number in 1..=limits::CATCH_UP_PAGES_MAX {
            let page = timeout(limits::CATCH_UP_TIMEOUT, self.page(peer, number));
            let messages = page.await.map_err(|_| LookError::Slow)??;
            let count = messages.len();
            let missing = unknown(messages, &self.readers).await;
            quiet = if missing.is_empty() { quiet + 1 } else { 0 };
            // Oldest first, so that what depends comes after what it depends on.
            for message in missing.into_iter().rev() {
                if self.pipeline.offer(message).await.is_ok() {
                    found += 1;
                }
            }
            if quiet >= quiet_pages || count < limits::CATCH_UP_PAGE {
                break;
            }
        }
        Ok(found)
    }

    async fn page(&self, peer: &str, number: usize) -> Result<Vec<Value>, LookError> {
        let query = [
            ("pagination", limits::CATCH_UP_PAGE.to_string()),
            ("page", number.to_string()),
            // The envelope carries the content or its hash.
            ("excludeContent", "true".to_owned()),
        ];
        let url = format!("{peer}/api/v0/messages.json");
        let request = self.client.get(url).query(&query);
        let mut response = request.send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > limits::CATCH_UP_PAGE_BYTES_MAX {
                return Err(LookError::TooLong);
            }
        }
        let read = move || match serde_json::from_slice(&body) {
            Ok(Value::Object(mut answer)) => match answer.remove("messages") {
                Some(Value::Array(messages)) => Ok(messages),
                _ => Err(LookError::NoList),
            },
            _ => Err(LookError::NoList),
        };
        let read = tokio::task::spawn_blocking(read).await;
        let mut messages = read.unwrap_or(Err(LookError::NoList))?;
        messages.truncate(limits::CATCH_UP_PAGE);
        Ok(messages)
    }
}

/// True when it is too early to ask again.
fn is_recent(asked: Instant) -> bool {
    asked.elapsed() < limits::CATCH_UP_PERIOD.mul_f64(0.9)
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("its page is too long")]
    TooLong,
    #[error("its answer is no list of messages")]
    NoList,
    #[error("its pages did not come in time")]
    Slow,
}

async fn unknown(messages: Vec<Value>, readers: &Arc<Readers>) -> Vec<Value> {
    let readers = readers.clone();
    let check = move || {
        readers.read(|state| {
            let mut unknown = Vec::new();
            for message in messages {
                let known = match message["item_hash"].as_str() {
                    Some(hash) => state.status(hash)?.is_some(),
                    None => true,
                };
                if !known {
                    unknown.push(message);
                }
            }
            Ok::<_, beth_store::Error>(unknown)
        })
    };
    tokio::task::spawn_blocking(check)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}
