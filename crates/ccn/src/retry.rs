//! Waiting messages: tried when they are due or when what they wait for came.
//!
//! The schedule is the database. The loop sleeps until the next message is due
//! or somebody wakes it; without waiting messages it sleeps for ever.

use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::Content;
use beth_protocol::{ItemType, Message};
use beth_store::Readers;
use beth_store::pending::Arrival;
use beth_store::rows::PendingMessage;
use futures::StreamExt;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::fetch::Fetcher;
use crate::limits;
use crate::pipeline::now;
use crate::verify::Job;

/// Everything the loop needs.
pub(crate) struct Retry {
    pub readers: Arc<Readers>,
    pub intake: mpsc::Sender<Job>,
    pub wake: Arc<Notify>,
    pub fetcher: Fetcher,
}

impl Retry {
    /// Runs until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let tried = tokio::select! {
                () = cancel.cancelled() => return,
                tried = self.round() => tried,
            };
            if tried > 0 {
                continue;
            }
            let pause = self.pause().await;
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.wake.notified() => {}
                () = async { match pause { Some(pause) => tokio::time::sleep(pause).await, None => std::future::pending().await } } => {}
            }
        }
    }

    /// Tries everything that is due once; answers how much that was.
    async fn round(&self) -> usize {
        let readers = self.readers.clone();
        let due = tokio::task::spawn_blocking(move || {
            readers.read(|state| state.due(now(), limits::RETRY_ROUND))
        })
        .await;
        let due = match due {
            Ok(Ok(due)) => due,
            Ok(Err(failure)) => {
                warn!(%failure, "waiting messages could not be read");
                return 0;
            }
            Err(_) => return 0,
        };
        let count = due.len();
        futures::stream::iter(due)
            .for_each_concurrent(limits::FETCHES_MAX, |pending| self.attempt(pending))
            .await;
        count
    }

    async fn attempt(&self, pending: PendingMessage) {
        if let Ok(message) = Message::parse(&pending.message) {
            self.fetch_needs(&message).await;
        }
        let arrival = Arrival {
            raw: pending.message,
            reception_time: pending.reception_time,
            origin: origin(&pending.origin),
            retry_of: Some(pending.id),
        };
        let (reply, answer) = oneshot::channel();
        if self
            .intake
            .send(Job {
                arrival,
                reply: Some(reply),
            })
            .await
            .is_ok()
        {
            // The round ends when every attempt is written, so that the next
            // round does not read them again.
            let _ = answer.await;
        }
    }

    async fn fetch_needs(&self, message: &Message) {
        let content = if message.item_type == ItemType::Inline {
            message.inline_content().ok().flatten()
        } else if self.fetcher.obtain(message.item_hash.as_str()).await {
            self.fetcher
                .read(message.item_hash.as_str())
                .and_then(|bytes| message.fetched_content(&bytes).ok())
        } else {
            None
        };
        if let Some(Content::Store(store)) = content.map(|content| content.typed) {
            self.fetcher.obtain(store.item_hash.as_str()).await;
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
        "ipfs" => "ipfs",
        _ => "p2p",
    }
}
