//! Verifiers: threads that check what needs no state.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use beth_protocol::content::Content;
use beth_protocol::judge::Complete;
use beth_protocol::rejection::Code;
use beth_protocol::{ItemHash, ItemType, Message, Rejection, signature};
use beth_store::Blobs;
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::Outcome;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::writer::{Task, Verified};

/// A message at the entrance.
pub(crate) struct Job {
    pub arrival: Arrival,
    pub reply: Option<oneshot::Sender<Outcome>>,
}

/// The entrance; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake(mpsc::Sender<Option<Job>>);

/// The node is stopping.
pub(crate) struct Closed;

impl Intake {
    /// The entrance and its far end.
    pub fn new() -> (Intake, mpsc::Receiver<Option<Job>>) {
        let (sender, receiver) = mpsc::channel(limits::INTAKE_QUEUE);
        (Intake(sender), receiver)
    }

    /// Waits for room.
    pub async fn send(&self, job: Job) -> Result<(), Closed> {
        self.0.send(Some(job)).await.map_err(|_| Closed)
    }

    /// Ends every verifier after what was handed in before.
    pub async fn close(&self) {
        for _ in 0..count() {
            let _ = self.0.send(None).await;
        }
    }
}

fn count() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

/// Starts one verifier per core. They end when the intake is closed; `end` is
/// cancelled when one does, for whatever reason.
pub(crate) fn spawn(
    intake: mpsc::Receiver<Option<Job>>,
    writer: mpsc::Sender<Task>,
    blobs: Arc<Blobs>,
    end: &CancellationToken,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let intake = Arc::new(Mutex::new(intake));
    (0..count())
        .map(|index| {
            let (intake, writer, blobs) = (intake.clone(), writer.clone(), blobs.clone());
            let end = end.clone().drop_guard();
            thread::Builder::new()
                .name(format!("verify-{index}"))
                .spawn(move || {
                    run(&intake, &writer, &blobs);
                    drop(end);
                })
        })
        .collect()
}

fn run(intake: &Mutex<mpsc::Receiver<Option<Job>>>, writer: &mpsc::Sender<Task>, blobs: &Blobs) {
    loop {
        let job = intake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(Some(Job { arrival, reply })) = job else {
            return;
        };
        let verdict = verify(&arrival, blobs);
        let task = Task::Message {
            arrival,
            verdict,
            reply,
        };
        if writer.blocking_send(task).is_err() {
            return;
        }
    }
}

/// Envelope, signature, content, presence of files: in this order.
fn verify(arrival: &Arrival, blobs: &Blobs) -> Verified {
    let message = match Message::parse(&arrival.raw) {
        Ok(message) => message,
        Err(rejection) => {
            let named = arrival.raw["item_hash"]
                .as_str()
                .filter(|name| name.len() <= limits::ITEM_HASH_BYTES_MAX)
                .map(str::to_owned);
            return Verified::Malformed {
                item_hash: named,
                rejection,
            };
        }
    };
    match complete(message.clone(), arrival, blobs) {
        Ok((complete, file_bytes)) => Verified::Complete {
            complete: Box::new(complete),
            file_bytes,
        },
        Err(rejection) if rejection.code.is_retryable() => Verified::Incomplete {
            message: Box::new(message),
            rejection,
        },
        Err(rejection) => Verified::Refused {
            message: Box::new(message),
            rejection,
        },
    }
}

/// The message with its content, and the length of the file it stores.
fn complete(
    message: Message,
    arrival: &Arrival,
    blobs: &Blobs,
) -> Result<(Complete, Option<u64>), Rejection> {
    // What is cheap to see comes first: a bad content costs no signature.
    let signed = arrival.origin != CONTRACT;
    if signed {
        message.require_signature()?;
    }
    let inline = message.inline_content()?;
    if signed {
        signature::verify(&message)?;
    }
    let content = match inline {
        Some(content) => content,
        None => message.fetched_content(&body(&message, blobs)?)?,
    };
    let file_bytes = match &content.typed {
        Content::Store(store) => file_length(&store.item_hash, store.item_type, blobs)?,
        _ => None,
    };
    Ok((Complete { message, content }, file_bytes))
}

/// The body of a message whose content is a file.
fn body(message: &Message, blobs: &Blobs) -> Result<Vec<u8>, Rejection> {
    let hash = message.item_hash.as_str();
    let missing = || {
        let text = format!("File not found: {hash} (could not fetch message content)");
        Rejection::text(Code::ContentUnavailable, text)
    };
    let (mut file, size_bytes) = blobs.file(hash).ok().flatten().ok_or_else(missing)?;
    if size_bytes > limits::CONTENT_BYTES_MAX {
        return Err(Rejection::invalid_format(format!(
            "Invalid message content for {hash}: {size_bytes} bytes, at most {} are read",
            limits::CONTENT_BYTES_MAX
        )));
    }
    let mut bytes = Vec::with_capacity(size_bytes as usize);
    file.read_to_end(&mut bytes).map_err(|_| missing())?;
    Ok(bytes)
}

fn file_length(
    hash: &ItemHash,
    item_type: ItemType,
    blobs: &Blobs,
) -> Result<Option<u64>, Rejection> {
    if item_type == ItemType::Inline || ItemType::from(hash.kind()) != item_type {
        // A mismatch is judged, not awaited.
        return Ok(None);
    }
    match blobs.claim(hash.as_str()) {
        Ok(Some(size_bytes)) => Ok(Some(size_bytes)),
        _ => Err(Rejection::text(
            Code::FileUnavailable,
            format!("File not found: {hash} (could not retrieve file from storage at this time)"),
        )),
    }
}
