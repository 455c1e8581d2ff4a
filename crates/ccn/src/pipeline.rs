//! The way of a message through the node.
//!
//! ```text
//!   submit, gossip, retry
//!          │  bounded queue
//!          ▼
//!   verify (threads)      parse ─▶ signature ─▶ content ─▶ is everything here?
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
//! one judge and one writer: what is judged is what is applied.

use beth_protocol::chain_event::ContractEvent;
use beth_protocol::time::Timestamp;
use beth_protocol::{Message, Rejection};
use beth_store::confirmations::Transaction;
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::Outcome;
use beth_store::{Error, State};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::events::{Event, Events};
use crate::gossip::Gossip;
use crate::limits;
use crate::verify::{Intake, Job};
use crate::writer::{Done, Task, Work};

/// Entrance of the pipeline; cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    pub(crate) intake: Intake,
    pub(crate) writer: mpsc::Sender<Task>,
    pub(crate) gossip: Gossip,
    pub(crate) events: Events,
}

/// Answer to a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// What became of the message so far.
    pub outcome: Outcome,
    /// Carriers that failed: of `p2p`, `ipfs`.
    pub failed: Vec<&'static str>,
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
    /// Takes a message of a client: answers with its outcome, waiting at most
    /// [`limits::SYNC_TIMEOUT`] for contents to be fetched, and publishes it
    /// unless it is refused.
    pub async fn submit(&self, raw: Value) -> Result<Submitted, SubmitError> {
        let message = well_formed(&raw)?;
        let mut events = self.events.subscribe();
        let mut outcome = self.offer(raw.clone()).await?;
        let failed = self.publish(&raw, &outcome).await;
        if is_being_fetched(&outcome) {
            let hash = &message.item_hash;
            let decided = async {
                loop {
                    match events.recv().await {
                        Ok(event) if event.item_hash() == hash => return Some(event),
                        Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(_) => return None,
                    }
                }
            };
            if let Ok(Some(event)) = timeout(limits::SYNC_TIMEOUT, decided).await {
                outcome = match &*event {
                    Event::Processed { .. } => Outcome::Processed,
                    Event::Rejected { rejection, .. } => Outcome::Rejected(rejection.clone()),
                    Event::Waiting { .. } => outcome,
                };
            }
        }
        Ok(Submitted { outcome, failed })
    }

    /// Takes a message of a client and answers as soon as it is judged, or
    /// kept until it can be.
    pub async fn submit_async(&self, raw: Value) -> Result<Submitted, SubmitError> {
        well_formed(&raw)?;
        let outcome = self.offer(raw.clone()).await?;
        let failed = self.publish(&raw, &outcome).await;
        Ok(Submitted { outcome, failed })
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

    /// Runs a change of the state on the writer, beside the messages; answers
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
            raw,
            reception_time: now(),
            origin,
            transaction: transaction.map(Box::new),
            retry_of: None,
        };
        let (reply, answer) = oneshot::channel();
        let job = Job {
            arrival,
            reply: Some(reply),
        };
        let answered = async {
            self.intake.send(job).await.ok()?;
            answer.await.ok()
        };
        let outcome = timeout(limits::SYNC_TIMEOUT, answered).await;
        outcome.ok().flatten().ok_or(SubmitError::Unavailable)
    }

    /// Registers an upload that no message names yet; it is kept for a day.
    pub async fn add_upload(&self, hash: &str, size_bytes: u64) -> Result<(), SubmitError> {
        self.add(hash, size_bytes, FileKind::Upload).await
    }

    /// Registers a file that a message is about to name.
    pub async fn add_file(&self, hash: &str, size_bytes: u64) -> Result<(), SubmitError> {
        self.add(hash, size_bytes, FileKind::Named).await
    }

    async fn add(&self, hash: &str, size_bytes: u64, kind: FileKind) -> Result<(), SubmitError> {
        let (reply, answer) = oneshot::channel();
        let task = Task::File {
            hash: hash.to_owned(),
            size_bytes,
            kind,
            reply,
        };
        self.writer
            .send(task)
            .await
            .map_err(|_| SubmitError::Unavailable)?;
        answer.await.map_err(|_| SubmitError::Unavailable)
    }

    async fn publish(&self, raw: &Value, outcome: &Outcome) -> Vec<&'static str> {
        match outcome {
            Outcome::Processed | Outcome::Known | Outcome::Pending(_) => {
                self.gossip.publish(raw).await
            }
            Outcome::Rejected(_) | Outcome::Final(_) => Vec::new(),
        }
    }
}

/// Why a file is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Upload,
    Named,
}

fn well_formed(raw: &Value) -> Result<Message, SubmitError> {
    let message = Message::parse(raw).map_err(SubmitError::InvalidFormat)?;
    message
        .inline_content()
        .map_err(SubmitError::InvalidFormat)?;
    let on_the_wire = raw.to_string().len();
    if on_the_wire > beth_network::limits::PAYLOAD_BYTES {
        return Err(SubmitError::InvalidFormat(Rejection::invalid_format(
            format!(
                "the message takes {on_the_wire} bytes, gossip carries {} at most: upload the content and publish its hash",
                beth_network::limits::PAYLOAD_BYTES
            ),
        )));
    }
    Ok(message)
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
