//! Waiting messages: tried when they are due or when what they wait for came.
//!
//! The schedule is the database. The loop sleeps until the next message is due
//! or somebody wakes it; without waiting messages it sleeps for ever.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::Content;
use beth_protocol::{ItemType, Message};
use beth_store::Readers;
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::PendingMessage;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::fetch::Fetcher;
use crate::limits;
use crate::pipeline::{Source, now};
use crate::verify::Intake;

/// Everything the loop needs.
pub(crate) struct Retry {
    pub readers: Arc<Readers>,
    pub intake: Intake,
    pub wake: Arc<Notify>,
    pub fetcher: Fetcher,
    /// Permits to fetch for a message.
    pub fetches: Semaphore,
}

impl Retry {
    /// Runs until cancelled. Each try goes its own way: one that fetches a large
    /// file holds nobody up.
    pub async fn run(self, cancel: CancellationToken) {
        let mut tries = FuturesUnordered::new();
        let mut trying = HashSet::new();
        loop {
            let begun = self.next(&trying).await;
            let mut has_failed = begun.is_none();
            for pending in begun.unwrap_or_default() {
                trying.insert(pending.id);
                tries.push(self.attempt(pending));
            }
            let rest = async {
                match (has_failed, trying.is_empty()) {
                    (true, _) => tokio::time::sleep(limits::FAILED_ROUND_PAUSE).await,
                    (false, true) => self.rest().await,
                    (false, false) => {
                        // Others may come due while these are tried.
                        let woken = self.wake.notified();
                        let _ = tokio::time::timeout(limits::RETRY_LOOK, woken).await;
                    }
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                Some((id, is_written)) = tries.next(), if !tries.is_empty() => {
                    trying.remove(&id);
                    has_failed = !is_written;
                    if has_failed {
                        tokio::time::sleep(limits::FAILED_ROUND_PAUSE).await;
                    }
                }
                () = rest => {}
            }
        }
    }

    /// Sleeps until the next message is due or somebody wakes the loop.
    async fn rest(&self) {
        match self.pause().await {
            Some(pause) => {
                let _ = tokio::time::timeout(pause, self.wake.notified()).await;
            }
            None => self.wake.notified().await,
        }
    }

    /// What is due and not being tried, as many as there is room for; `None`
    /// when the state could not be read.
    async fn next(&self, trying: &HashSet<i64>) -> Option<Vec<PendingMessage>> {
        let room = limits::TRIES_MAX.saturating_sub(trying.len());
        // Reading anew for each that ended would read the others again.
        if room < limits::TRIES_MAX / 2 {
            return Some(Vec::new());
        }
        let readers = self.readers.clone();
        let limit = trying.len() + room;
        let read = move || readers.read(|state| state.due(now(), limit));
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(due)) => {
                let fresh = due.into_iter().filter(|row| !trying.contains(&row.id));
                Some(fresh.take(room).collect())
            }
            Ok(Err(failure)) => {
                warn!(%failure, "waiting messages could not be read");
                None
            }
            Err(_) => None,
        }
    }

    /// Tries one message; answers its row and whether its outcome was written.
    async fn attempt(&self, pending: PendingMessage) -> (i64, bool) {
        let id = pending.id;
        if let Ok(message) = Message::parse(&pending.message) {
            let fetched = self.fetch_needs(&message);
            let _ = tokio::time::timeout(limits::FETCH_DEADLINE, fetched).await;
        }
        let arrival = Arrival {
            raw: pending.message,
            reception_time: pending.reception_time,
            origin: origin(&pending.origin),
            // Remembered since the first try.
            transaction: None,
            retry_of: Some(pending.id),
            gone: Vec::new(),
        };
        let (reply, answer) = oneshot::channel();
        // The row is free for another try only when this one is written.
        let sent = self.intake.send(arrival, Source::Node, Some(reply)).await;
        (id, sent.is_ok() && answer.await.is_ok())
    }

    /// Makes a content available here, in turn with other fetches.
    async fn obtain(&self, hash: &str) -> bool {
        if self.fetcher.has(hash) {
            return true;
        }
        let _turn = self.fetches.acquire().await;
        self.fetcher.obtain(hash).await
    }

    async fn fetch_needs(&self, message: &Message) {
        let content = if message.item_type == ItemType::Inline {
            message.inline_content().ok().flatten()
        } else if self.obtain(message.item_hash.as_str()).await {
            self.fetcher
                .read(message.item_hash.as_str())
                .and_then(|bytes| message.fetched_content(&bytes).ok())
        } else {
            None
        };
        if let Some(Content::Store(store)) = content.map(|content| content.typed) {
            self.obtain(store.item_hash.as_str()).await;
        }
    }

    /// Time until the next message is due; `None` when none waits.
    async fn pause(&self) -> Option<Duration> {
        let readers = self.readers.clone();
        let next =
            tokio::task::spawn_blocking(move || readers.read(|state| state.next_due())).await;
        match next {
            Ok(Ok(next)) => next.map(|due| {
                Duration::from_micros((due.micros() - now().micros()).max(1_000) as u64)
            }),
            _ => Some(Duration::from_secs(1)),
        }
    }
}

fn origin(text: &str) -> &'static str {
    match text {
        "onchain" => "onchain",
        CONTRACT => CONTRACT,
        "ipfs" => "ipfs",
        _ => "p2p",
    }
}
