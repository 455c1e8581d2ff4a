//! Telling the table that all of IPFS shares (its DHT) what this node keeps.
//!
//! ```text
//!   a STORE of a CID is in force ───────────────▶ told at once
//!   every 22 hours: each pinned content, by name ─▶ told again, before peers forget
//! ```
//!
//! A few at a time: a round over many contents takes hours, and may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beth_network::Network;
use beth_protocol::cid::Cid;
use beth_protocol::content::Content;
use beth_store::Readers;
use futures::StreamExt;
use futures::stream::iter;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::events::{Event, Events};
use crate::limits::{PROVIDE_AGAIN, PROVIDE_AT_ONCE, PROVIDE_FIRST, PROVIDE_PAGE, PROVIDE_PERIOD};

/// Who tells, and of what.
pub(crate) struct Provide {
    pub network: Arc<Network>,
    pub readers: Arc<Readers>,
    pub events: Events,
}

impl Provide {
    /// Until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            _ = futures::future::join(self.news(), self.rounds()) => {}
        }
    }

    async fn news(&self) {
        let mut events = self.events.subscribe();
        loop {
            match events.recv().await {
                Ok(event) => {
                    if let Some(cid) = stored(&event) {
                        self.network.provide(*cid.digest()).await;
                    }
                }
                // The next round tells of what was missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn rounds(&self) {
        let mut next = Instant::now() + PROVIDE_FIRST;
        loop {
            sleep_until(next).await;
            let begun = Instant::now();
            let (told, noted) = self.round().await;
            info!(told, noted, "the contents of this node were told to IPFS");
            next = begun
                + match noted > 0 || told == 0 {
                    true => PROVIDE_PERIOD,
                    false => PROVIDE_AGAIN,
                };
        }
    }

    /// Tells of everything; of how much, and how much of it was noted.
    async fn round(&self) -> (u64, u64) {
        let (mut told, noted) = (0, AtomicU64::new(0));
        let mut after = String::new();
        loop {
            let readers = self.readers.clone();
            let from = after.clone();
            let page = tokio::task::spawn_blocking(move || {
                readers.read(|state| state.kept_contents(&from, PROVIDE_PAGE))
            });
            let page = match page.await {
                Ok(Ok(page)) => page,
                Ok(Err(failure)) => {
                    warn!(%failure, "the pinned contents could not be read; IPFS is told later");
                    return (told, noted.into_inner());
                }
                Err(_) => return (told, noted.into_inner()),
            };
            let Some(last) = page.last() else {
                return (told, noted.into_inner());
            };
            after = last.hash.clone();
            let cids: Vec<Cid> = page
                .iter()
                .filter_map(|kept| Cid::parse(&kept.hash).ok())
                .collect();
            told += cids.len() as u64;
            iter(cids)
                .for_each_concurrent(PROVIDE_AT_ONCE, |cid| {
                    let noted = &noted;
                    async move {
                        let is_noted = self.network.provide(*cid.digest()).await;
                        noted.fetch_add(u64::from(is_noted), Ordering::Relaxed);
                    }
                })
                .await;
        }
    }
}

/// The content of IPFS that came into force.
fn stored(event: &Event) -> Option<Cid> {
    match event {
        Event::Processed {
            typed: Content::Store(store),
            ..
        } => Cid::parse(store.item_hash.as_str()).ok(),
        _ => None,
    }
}
