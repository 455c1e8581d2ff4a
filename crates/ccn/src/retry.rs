//! Waiting messages: tried when they are due or when what they wait for came.
//!
//! The schedule is the database. The loop sleeps until the next message is due
//! or somebody wakes it; without waiting messages it sleeps for ever.

use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::Content;
use beth_protocol::{ItemType, Message};
use beth_store::Readers;
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::PendingMessage;
use futures::StreamExt;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::fetch::Fetcher;
use crate::limits;
use crate::pipeline::{Source, now};
use crate::verify::Intake;

/// How a round went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Nothing was due.
    Idle,
    /// Something was tried and its outcome written.
    Progress,
    /// The state could not be read or written.
    Failed,
}

/// Everything the loop needs.
pub(crate) struct Retry {
    pub readers: Arc<Readers>,
    pub intake: Intake,
    pub wake: Arc<Notify>,
    pub fetcher: Fetcher,
}

impl Retry {
    /// Runs until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let round = tokio::select! {
                () = cancel.cancelled() => return,
                round = self.round() => round,
            };
            let rest = async {
                match round {
                    Round::Progress => {}
                    Round::Failed => tokio::time::sleep(limits::FAILED_ROUND_PAUSE).await,
                    Round::Idle => self.rest().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
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

    /// Tries everything that is due once.
    async fn round(&self) -> Round {
        let readers = self.readers.clone();
        let due = tokio::task::spawn_blocking(move || {
            readers.read(|state| state.due(now(), limits::RETRY_ROUND))
        })
        .await;
        let due = match due {
            Ok(Ok(due)) => due,
            Ok(Err(failure)) => {
                warn!(%failure, "waiting messages could not be read");
                return Round::Failed;
            }
            Err(_) => return Round::Failed,
        };
        if due.is_empty() {
            return Round::Idle;
        }
        let written = futures::stream::iter(due)
            .map(|pending| self.attempt(pending))
            .buffer_unordered(limits::FETCHES_MAX)
            .filter(|written| std::future::ready(*written))
            .count()
            .await;
        if written > 0 {
            Round::Progress
        } else {
            Round::Failed
        }
    }

    /// Tries one message; true when its outcome was written.
    async fn attempt(&self, pending: PendingMessage) -> bool {
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
        };
        let (reply, answer) = oneshot::channel();
        // The round ends when every attempt is written, so that the next round
        // does not read them again.
        let sent = self.intake.send(arrival, Source::Node, Some(reply)).await;
        sent.is_ok() && answer.await.is_ok()
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
        CONTRACT => CONTRACT,
        "ipfs" => "ipfs",
        _ => "p2p",
    }
}
