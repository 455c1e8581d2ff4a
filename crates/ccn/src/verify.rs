//! Verifiers: threads that check what needs no state.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use beth_protocol::content::Content;
use beth_protocol::judge::Complete;
use beth_protocol::rejection::Code;
use beth_protocol::{ItemHash, ItemType, Message, Rejection, signature};
use beth_store::Blobs;
use beth_store::pending::Arrival;
use beth_store::rows::Outcome;
use tokio::sync::{mpsc, oneshot};

use crate::writer::{Task, Verified};

/// A message at the entrance.
pub(crate) struct Job {
    pub arrival: Arrival,
    pub reply: Option<oneshot::Sender<Outcome>>,
}

/// Starts one verifier per core. They end when the intake is closed.
pub(crate) fn spawn(
    intake: mpsc::Receiver<Job>,
    writer: mpsc::Sender<Task>,
    blobs: Arc<Blobs>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let intake = Arc::new(Mutex::new(intake));
    let count = thread::available_parallelism().map_or(2, usize::from);
    (0..count)
        .map(|index| {
            let (intake, writer, blobs) = (intake.clone(), writer.clone(), blobs.clone());
            thread::Builder::new()
                .name(format!("verify-{index}"))
                .spawn(move || {
                    loop {
                        let job = intake
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .blocking_recv();
                        let Some(Job { arrival, reply }) = job else {
                            return;
                        };
                        let verdict = verify(&arrival, &blobs);
                        if writer
                            .blocking_send(Task::Message {
                                arrival,
                                verdict,
                                reply,
                            })
                            .is_err()
                        {
                            return;
                        }
                    }
                })
        })
        .collect()
}

/// Envelope, signature, content, presence of files: in this order.
fn verify(arrival: &Arrival, blobs: &Blobs) -> Verified {
    let message = match Message::parse(&arrival.raw) {
        Ok(message) => message,
        Err(rejection) => {
            let named = arrival.raw["item_hash"].as_str().map(str::to_owned);
            return Verified::Malformed {
                item_hash: named,
                rejection,
            };
        }
    };
    match complete(message.clone(), blobs) {
        Ok(complete) => Verified::Complete(Box::new(complete)),
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

fn complete(message: Message, blobs: &Blobs) -> Result<Complete, Rejection> {
    signature::verify(&message)?;
    let content = match message.inline_content()? {
        Some(content) => content,
        None => {
            let hash = message.item_hash.as_str();
            let bytes = blobs.read(hash).ok().flatten().ok_or_else(|| {
                Rejection::text(
                    Code::ContentUnavailable,
                    format!("File not found: {hash} (could not fetch message content)"),
                )
            })?;
            message.fetched_content(&bytes)?
        }
    };
    if let Content::Store(store) = &content.typed {
        file_is_here(&store.item_hash, store.item_type, blobs)?;
    }
    Ok(Complete { message, content })
}

fn file_is_here(hash: &ItemHash, item_type: ItemType, blobs: &Blobs) -> Result<(), Rejection> {
    let mismatch = item_type == ItemType::Inline || ItemType::from(hash.kind()) != item_type;
    if mismatch || blobs.contains(hash.as_str()) {
        // A mismatch is judged, not awaited.
        return Ok(());
    }
    Err(Rejection::text(
        Code::FileUnavailable,
        format!("File not found: {hash} (could not retrieve file from storage at this time)"),
    ))
}
