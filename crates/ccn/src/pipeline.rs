//! The way of a message through the node.
//!
//! ```text
//!   submit, gossip, retry
//!          │  bounded queue
//!          ▼
//!   verify (threads)      known? ─▶ parse ─▶ content ─▶ signature ─▶ all here?
//!          │  bounded queue                                  │
//!          ▼                                                 ▼
//!   writer (one thread)   judge ─▶ apply, reject or wait;   park: wait for a fetch
//!          │              one transaction per batch
//!          ▼
//!   answers, events, gossip
//! ```
//!
//! An outcome is answered only after its transaction is committed, so whatever
//! was answered survives a crash. A full queue slows its source down. There is
//! one judge and one writer: what is judged is what is applied, in the order in
//! which it came in.

use std::sync::Arc;

use beth_protocol::Rejection;
use beth_protocol::chain_event::ContractEvent;
use beth_protocol::time::Timestamp;
use beth_store::blobs::Extent;
use beth_store::confirmations::Transaction;
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::Outcome;
use beth_store::{Error, State};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use crate::events::{Event, Events};
use crate::gossip::{Gossip, Publication};
use crate::limits;
use crate::metrics::Metrics;
use crate::verify::Intake;
use crate::writer::{Done, Task, Work};

/// Entrance of the pipeline; cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    pub(crate) intake: Intake,
    pub(crate) writer: mpsc::Sender<Task>,
    pub(crate) gossip: Gossip,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
}

/// The queues of the pipeline at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Messages that wait for a verifier.
    pub intake: usize,
    /// Messages that wait for the writer.
    pub writer: usize,
    /// Room left for messages on their way, in KiB.
    pub room_kib: usize,
}

/// Answer to a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// What became of the message so far.
    pub outcome: Outcome,
    /// Whether other nodes were told.
    pub publication: Publication,
}

/// A submission that could not be taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The message breaks the format; nothing was recorded.
    #[error("{0}")]
    InvalidFormat(Rejection),
    /// The node is stopping, overloaded or failed. Nothing was promised.
    #[error("the node cannot take messages now; ask for the status of this one, or send it again")]
    Unavailable,
}

impl Pipeline {
    /// How long its queues are.
    pub fn queues(&self) -> Queues {
        Queues {
            intake: self.intake.waiting(),
            writer: self.writer.max_capacity() - self.writer.capacity(),
            room_kib: self.intake.room_kib(),
        }
    }

    /// Takes a message of a client: answers with its outcome, waiting at most
    /// [`limits::SYNC_TIMEOUT`] for contents to be fetched, and publishes it
    /// unless it is refused.
    pub async fn submit(&self, raw: Value) -> Result<Submitted, SubmitError> {
        let item_hash = raw["item_hash"].as_str().unwrap_or_default().to_owned();
        let mut events = may_be_fetched(&raw).then(|| self.events.subscribe());
        let mut submitted = self.submit_async(raw).await?;
        let Some(events) = events.as_mut() else {
            return Ok(submitted);
        };
        if is_being_fetched(&submitted.outcome) {
            let decided = async {
                loop {
                    match events.recv().await {
                        Ok(event) if event.item_hash().as_str() == item_hash => {
                            return Some(event);
                        }
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(_) => return None,
                    }
                }
            };
            if let Ok(Some(event)) = timeout(limits::SYNC_TIMEOUT, decided).await {
                submitted.outcome = match &*event {
                    Event::Processed { .. } => Outcome::Processed,
                    Event::Rejected { rejection, .. } => Outcome::Rejected(rejection.clone()),
                    Event::Waiting { .. } => submitted.outcome,
                };
            }
        }
        Ok(submitted)
    }

    /// Takes a message of a client and answers as soon as it is judged, or
    /// kept until it can be.
    pub async fn submit_async(&self, raw: Value) -> Result<Submitted, SubmitError> {
        fits_gossip(&raw)?;
        let payload = self.gossip.payload(&raw);
        let item_hash = raw["item_hash"].as_str().unwrap_or_default().to_owned();
        let outcome = match self.hand_in(arrival(raw), Source::Client).await? {
            Answer::Settled(outcome) => outcome,
            Answer::Malformed(rejection) => return Err(SubmitError::InvalidFormat(rejection)),
        };
        let publication = match &outcome {
            Outcome::Processed | Outcome::Pending(_) => {
                self.gossip.publish(&item_hash, payload).await
            }
            // Nothing but its name was looked at here: what is published, if
            // anything, is the copy that was.
            Outcome::Known => self.gossip.publish_again(&item_hash).await,
            Outcome::Rejected(_) | Outcome::Final(_) => Publication::default(),
        };
        Ok(Submitted {
            outcome,
            publication,
        })
    }

    /// Hands a message in and answers as soon as there is room for it. Messages
    /// are judged in the order in which they were handed in.
    pub(crate) async fn hand(&self, arrival: Arrival) -> Result<Handed, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.intake.send(arrival, Source::Node, Some(reply));
        sent.await.map_err(|_| SubmitError::Unavailable)?;
        Ok(Handed(answer))
    }

    /// Hands a message to the pipeline without publishing it.
    pub async fn offer(&self, raw: Value) -> Result<Outcome, SubmitError> {
        self.take(raw, "p2p", None).await
    }

    /// Hands in a message that a transaction published: it is verified like
    /// any other and confirmed once it is in force. For readers of chains.
    pub async fn offer_confirmed(
        &self,
        raw: Value,
        transaction: Transaction,
    ) -> Result<Outcome, SubmitError> {
        self.take(raw, "onchain", Some(transaction)).await
    }

    /// Hands in the message that an event of a contract stands for. It has no
    /// signature: whoever calls this has read the event from the chain.
    pub async fn offer_event(
        &self,
        event: &ContractEvent,
        transaction: Transaction,
    ) -> Result<Outcome, SubmitError> {
        let raw = event.to_message(transaction.time);
        self.take(raw, CONTRACT, Some(transaction)).await
    }

    /// Runs a change of the state on the writer, between the messages; answers
    /// after its commit. When it fails, nothing of it is kept.
    pub async fn work<T, F>(&self, change: F) -> Result<T, SubmitError>
    where
        T: Send + 'static,
        F: FnOnce(&State<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |state| {
            let value = change(state)?;
            let done: Done = Box::new(move || drop(reply.send(value)));
            Ok(done)
        });
        self.writer
            .send(Task::Work(work))
            .await
            .map_err(|_| SubmitError::Unavailable)?;
        answer.await.map_err(|_| SubmitError::Unavailable)
    }

    async fn take(
        &self,
        raw: Value,
        origin: &'static str,
        transaction: Option<Transaction>,
    ) -> Result<Outcome, SubmitError> {
        let arrival = Arrival {
            origin,
            transaction: transaction.map(Box::new),
            ..arrival(raw)
        };
        match self.hand_in(arrival, Source::Node).await? {
            Answer::Settled(outcome) => Ok(outcome),
            Answer::Malformed(rejection) => Ok(Outcome::Rejected(rejection)),
        }
    }

    async fn hand_in(&self, arrival: Arrival, source: Source) -> Result<Answer, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let answered = async {
            self.intake.send(arrival, source, Some(reply)).await.ok()?;
            answer.await.ok()
        };
        let answer = timeout(limits::SYNC_TIMEOUT, answered).await;
        answer.ok().flatten().ok_or(SubmitError::Unavailable)
    }

    /// Registers an upload that no message names yet; it is kept for a day.
    pub async fn add_upload(
        &self,
        hash: &str,
        extent: impl Into<Extent>,
    ) -> Result<(), SubmitError> {
        self.add(hash, extent.into(), FileKind::Upload).await
    }

    /// Registers a file that a message is about to name.
    pub async fn add_file(&self, hash: &str, extent: impl Into<Extent>) -> Result<(), SubmitError> {
        self.add(hash, extent.into(), FileKind::Named).await
    }

    async fn add(&self, hash: &str, extent: Extent, kind: FileKind) -> Result<(), SubmitError> {
        let (reply, answer) = oneshot::channel();
        let task = Task::File {
            hash: hash.to_owned(),
            extent,
            kind,
            reply,
        };
        self.writer
            .send(task)
            .await
            .map_err(|_| SubmitError::Unavailable)?;
        answer.await.map_err(|_| SubmitError::Unavailable)
    }
}

/// A message that came now, from another node or a client.
pub(crate) fn arrival(raw: Value) -> Arrival {
    Arrival {
        raw,
        reception_time: now(),
        origin: "p2p",
        transaction: None,
        retry_of: None,
        gone: Vec::new(),
    }
}

/// A message that was handed in.
pub(crate) struct Handed(oneshot::Receiver<Answer>);

impl Handed {
    /// What became of it.
    pub async fn outcome(self) -> Result<Outcome, SubmitError> {
        match self.0.await {
            Ok(Answer::Settled(outcome)) => Ok(outcome),
            Ok(Answer::Malformed(rejection)) => Ok(Outcome::Rejected(rejection)),
            Err(_) => Err(SubmitError::Unavailable),
        }
    }
}

/// Who hands a message in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A client, who is told what is wrong: a malformed message leaves no trace.
    Client,
    /// Another node or ourselves: a malformed message is recorded as refused.
    Node,
}

/// Answer of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// What became of it.
    Settled(Outcome),
    /// A client's message breaks the format; nothing was recorded.
    Malformed(Rejection),
}

/// Why a file is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Upload,
    Named,
}

/// A message that no other node would take is not taken from a client.
fn fits_gossip(raw: &Value) -> Result<(), SubmitError> {
    let content = raw["item_content"].as_str().map_or(0, str::len);
    // Escapes make a text at most six times longer.
    if content < beth_network::limits::PAYLOAD_BYTES / 8 && is_flat(raw) {
        return Ok(());
    }
    let on_the_wire = raw.to_string().len();
    if on_the_wire <= beth_network::limits::PAYLOAD_BYTES {
        return Ok(());
    }
    Err(SubmitError::InvalidFormat(Rejection::invalid_format(
        format!(
            "the message takes {on_the_wire} bytes, gossip carries {} at most: upload the content and publish its hash",
            beth_network::limits::PAYLOAD_BYTES
        ),
    )))
}

/// True when nothing but `item_content` can be long.
fn is_flat(raw: &Value) -> bool {
    raw.as_object().is_some_and(|members| {
        members.len() <= 16
            && members.iter().all(|(name, value)| match value {
                Value::Array(_) | Value::Object(_) => false,
                Value::String(text) => name == "item_content" || text.len() <= 1_024,
                _ => true,
            })
    })
}

/// True when some content may have to come from elsewhere.
fn may_be_fetched(raw: &Value) -> bool {
    raw["type"] == "STORE" || raw["item_content"].is_null()
}

fn is_being_fetched(outcome: &Outcome) -> bool {
    use beth_protocol::rejection::Code;
    matches!(outcome, Outcome::Pending(rejection)
        if matches!(rejection.code, Code::ContentUnavailable | Code::FileUnavailable))
}

/// The time, as the pure parts are told.
pub fn now() -> Timestamp {
    let elapsed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(elapsed.as_micros() as i64)
}
