//! The follower: what the core node accepts, as events.
//!
//! ```text
//!  connect the stream ─▶ list everything ─▶ frames … ─▶ (broken) ─▶ pause ─┐
//!          ▲                    ▲              └─ every 5 min ─┘             │
//!          └────────────────────┴───────────────────────────────────────────┘
//! ```
//!
//! The stream is opened before the listing and read after it, so that nothing
//! falls between the two. A node without a stream is followed by listings alone.

use std::time::Duration;

use beth_protocol::registry::{self, Registry};
use beth_protocol::{ItemHash, MessageType};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_util::sync::CancellationToken;

use crate::client::{CoreNode, Stream};
use crate::probe::Report;
use crate::work::Work;
use crate::{Error, limits};

/// Something that may change the plan.
#[derive(Debug)]
pub enum Event {
    /// The core node was read completely.
    Listed {
        /// Every workload it has.
        workloads: Vec<Work>,
        /// The registry.
        registry: Registry,
    },
    /// The registry was published again.
    Published(Registry),
    /// A workload was accepted.
    Added(Work),
    /// Messages were forgotten.
    Forgotten(Vec<ItemHash>),
    /// A compute node answered, or no longer does.
    Observed(ItemHash, Report),
}

/// The world is gone: nobody takes events.
struct Closed;

/// Why a session ended.
enum End {
    Failed(Error),
    Closed,
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
    }
}

impl From<Closed> for End {
    fn from(_: Closed) -> End {
        End::Closed
    }
}

/// Follows a core node until cancelled.
pub async fn follow(source: CoreNode, events: mpsc::Sender<Event>, cancel: CancellationToken) {
    let mut follower = Follower {
        source,
        events,
        pause: limits::RETRY_PAUSE.0,
    };
    cancel.run_until_cancelled(follower.run()).await;
}

struct Follower {
    source: CoreNode,
    events: mpsc::Sender<Event>,
    pause: Duration,
}

impl Follower {
    async fn run(&mut self) {
        let mut complained = false;
        loop {
            match self.session().await {
                Err(End::Closed) => return,
                Err(End::Failed(error)) if !complained => {
                    tracing::warn!(%error, "cannot follow the core node; trying again");
                    complained = true;
                }
                Err(End::Failed(error)) => tracing::debug!(%error, "the core node is still away"),
                Ok(()) => complained = false,
            }
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(limits::RETRY_PAUSE.1);
        }
    }

    /// One connection. `Ok` when it worked for a while and then broke.
    async fn session(&mut self) -> Result<(), End> {
        let stream = self.source.stream().await;
        self.list().await?;
        let mut stream = stream?;
        tracing::info!(core_node = self.source.url(), "following the core node");
        self.pause = limits::RETRY_PAUSE.0;
        match self.read(&mut stream).await {
            End::Closed => Err(End::Closed),
            End::Failed(error) => {
                tracing::info!(%error, "reconnecting to the core node");
                Ok(())
            }
        }
    }

    async fn read(&mut self, stream: &mut Stream) -> End {
        let mut next_listing = Instant::now() + limits::LISTING_INTERVAL;
        loop {
            let outcome = tokio::select! {
                frame = tokio::time::timeout(limits::STREAM_IDLE_TIMEOUT, stream.next()) => match frame {
                    Ok(Some(Ok(Frame::Text(text)))) => self.frame(&text).await,
                    Ok(Some(Ok(Frame::Close(_)))) | Ok(None) => Err(End::Failed(self.broken("it was closed"))),
                    Ok(Some(Ok(_))) => Ok(()),
                    Ok(Some(Err(error))) => Err(End::Failed(self.broken(&error.to_string()))),
                    Err(_) => Err(End::Failed(self.broken("it was silent for too long"))),
                },
                () = tokio::time::sleep_until(next_listing) => {
                    next_listing = Instant::now() + limits::LISTING_INTERVAL;
                    self.list().await
                }
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Stream {
            url: self.source.url().to_owned(),
            reason: reason.to_owned(),
        }
    }

    async fn list(&self) -> Result<(), End> {
        let registry = self.source.registry().await?;
        let messages = self.source.workload_messages().await?;
        let workloads = messages.iter().filter_map(Work::of).collect();
        Ok(self
            .send(Event::Listed {
                workloads,
                registry,
            })
            .await?)
    }

    async fn frame(&self, text: &str) -> Result<(), End> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            tracing::debug!("a frame of the message stream is no JSON");
            return Ok(());
        };
        match message_type(&message) {
            Some(MessageType::Program | MessageType::Instance) => match Work::of(&message) {
                Some(work) => Ok(self.send(Event::Added(work)).await?),
                None => Ok(()),
            },
            Some(MessageType::Forget) => {
                self.send(Event::Forgotten(forgotten(&message))).await?;
                let aggregates = message
                    .pointer("/content/aggregates")
                    .and_then(Value::as_array);
                if aggregates.is_some_and(|list| !list.is_empty()) {
                    self.publish().await
                } else {
                    Ok(())
                }
            }
            Some(MessageType::Aggregate) if self.is_registry(&message) => self.publish().await,
            _ => Ok(()),
        }
    }

    fn is_registry(&self, message: &Value) -> bool {
        let text = |path: &str| message.pointer(path).and_then(Value::as_str);
        text("/content/key") == Some(registry::KEY)
            && text("/content/address") == Some(self.source.corechannel_address())
    }

    async fn publish(&self) -> Result<(), End> {
        let registry = self.source.registry().await?;
        Ok(self.send(Event::Published(registry)).await?)
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }
}

fn message_type(message: &Value) -> Option<MessageType> {
    MessageType::parse(message.get("type")?.as_str()?)
}

fn forgotten(message: &Value) -> Vec<ItemHash> {
    let hashes = message.pointer("/content/hashes").and_then(Value::as_array);
    hashes
        .into_iter()
        .flatten()
        .filter_map(|hash| ItemHash::parse(hash.as_str()?).ok())
        .collect()
}
