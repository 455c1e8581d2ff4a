//! Verifiers: threads that check what needs no state.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use beth_protocol::content::Content;
use beth_protocol::judge::Complete;
use beth_protocol::message::MessageContent;
use beth_protocol::rejection::Code;
use beth_protocol::{ItemHash, ItemType, Message, Rejection, signature};
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::Outcome;
use beth_store::{Blobs, Error, Readers};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::limits;
use crate::pipeline::{Answer, Source};
use crate::writer::{Entry, Task, Verified};

/// A message at the entrance.
pub(crate) struct Job {
    arrival: Arrival,
    source: Source,
    reply: Option<Reply>,
    /// Room it takes; given back when it is written.
    room: OwnedSemaphorePermit,
}

/// Where the answer goes.
pub(crate) type Reply = oneshot::Sender<Answer>;

/// The entrance; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    jobs: mpsc::Sender<Option<Job>>,
    room: Arc<Semaphore>,
}

/// The node is stopping.
pub(crate) struct Closed;

impl Intake {
    /// The entrance and its far end.
    pub fn new() -> (Intake, mpsc::Receiver<Option<Job>>) {
        let (jobs, receiver) = mpsc::channel(limits::INTAKE_QUEUE);
        let room = Arc::new(Semaphore::new(limits::IN_FLIGHT_KIB));
        (Intake { jobs, room }, receiver)
    }

    /// Waits for room: in number and in bytes.
    pub async fn send(
        &self,
        arrival: Arrival,
        source: Source,
        reply: Option<Reply>,
    ) -> Result<(), Closed> {
        let room = self.room.clone().acquire_many_owned(weight(&arrival.raw));
        let job = Job {
            arrival,
            source,
            reply,
            room: room.await.map_err(|_| Closed)?,
        };
        self.jobs.send(Some(job)).await.map_err(|_| Closed)
    }

    /// Ends every verifier after what was handed in before.
    pub async fn close(&self) {
        for _ in 0..count() {
            let _ = self.jobs.send(None).await;
        }
    }
}

/// What a message takes of the room, in KiB: a parsed content takes several
/// times its text.
fn weight(raw: &Value) -> u32 {
    let text = raw["item_content"].as_str().map_or(0, str::len);
    let kib = 2 + text * 8 / 1024;
    u32::try_from(kib.min(limits::IN_FLIGHT_KIB)).unwrap_or(1)
}

/// Verifiers, one per core.
pub(crate) fn count() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

/// What the verifiers work with.
#[derive(Clone)]
pub(crate) struct Verifiers {
    pub writer: mpsc::Sender<Task>,
    pub blobs: Arc<Blobs>,
    /// One connection for each, so that pages of clients never hold them up.
    pub readers: Arc<Readers>,
}

impl Verifiers {
    /// Starts one verifier per core. They end when the intake is closed; `end`
    /// is cancelled when one does, for whatever reason.
    pub fn spawn(
        self,
        intake: mpsc::Receiver<Option<Job>>,
        end: &CancellationToken,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let intake = Arc::new(Mutex::new(intake));
        (0..count())
            .map(|index| {
                let (intake, verifier) = (intake.clone(), self.clone());
                let end = end.clone().drop_guard();
                thread::Builder::new()
                    .name(format!("verify-{index}"))
                    .spawn(move || {
                        verifier.run(&intake);
                        drop(end);
                    })
            })
            .collect()
    }

    fn run(&self, intake: &Mutex<mpsc::Receiver<Option<Job>>>) {
        let mut jobs = Vec::with_capacity(limits::VERIFY_CHUNK);
        loop {
            let taken = {
                let mut intake = intake.lock().unwrap_or_else(PoisonError::into_inner);
                take(&mut intake, &mut jobs)
            };
            let known = self.known(&jobs);
            for (job, known) in jobs.drain(..).zip(known) {
                let Some(task) = checked(job, known, &self.blobs) else {
                    continue;
                };
                if self.writer.blocking_send(task).is_err() {
                    return;
                }
            }
            if taken == Taken::Last {
                return;
            }
        }
    }

    /// What is settled already, for each job; a copy of a message in force
    /// costs this look-up and no signature.
    fn known(&self, jobs: &[Job]) -> Vec<Option<Outcome>> {
        let looked = self.readers.read(|state| {
            let look = |job: &Job| match (job.arrival.retry_of, &job.arrival.transaction) {
                (None, None) => state.settled_copy(&job.arrival.raw),
                // There is something to write about it.
                _ => Ok(None),
            };
            jobs.iter().map(look).collect::<Result<Vec<_>, Error>>()
        });
        // The writer looks again: this one may fail without harm.
        looked.unwrap_or_else(|_| vec![None; jobs.len()])
    }
}

#[derive(PartialEq)]
enum Taken {
    Some,
    Last,
}

/// Waits for a job and takes those behind it, up to a chunk.
fn take(intake: &mut mpsc::Receiver<Option<Job>>, jobs: &mut Vec<Job>) -> Taken {
    let mut next = intake.blocking_recv().flatten();
    loop {
        match next {
            Some(job) => jobs.push(job),
            None => return Taken::Last,
        }
        if jobs.len() >= limits::VERIFY_CHUNK {
            return Taken::Some;
        }
        match intake.try_recv() {
            Ok(job) => next = job,
            Err(_) => return Taken::Some,
        }
    }
}

/// Verifies a job; `None` when it is answered already.
fn checked(job: Job, known: Option<Outcome>, blobs: &Blobs) -> Option<Task> {
    let answer = |reply: Option<Reply>, answer| {
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
        None
    };
    if let Some(outcome) = known {
        return answer(job.reply, Answer::Settled(outcome));
    }
    let verified = catch_unwind(AssertUnwindSafe(|| verify(&job.arrival, blobs)));
    let verdict = verified.unwrap_or_else(|_| {
        error!(message = %job.arrival.raw["item_hash"], "a message could not be verified; please report it");
        Verified::Failed
    });
    match (job.source, verdict) {
        (Source::Client, Verified::Malformed { rejection, .. }) => {
            answer(job.reply, Answer::Malformed(rejection))
        }
        (Source::Client, Verified::Invalid { rejection, .. }) => {
            answer(job.reply, Answer::Malformed(rejection))
        }
        (_, verdict) => Some(Task::Message {
            entry: Box::new(Entry {
                arrival: job.arrival,
                verdict,
            }),
            reply: job.reply,
            room: job.room,
        }),
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
    // What is cheap to see comes first: a bad content costs no signature.
    let inline = match message.inline_content() {
        Ok(content) => content,
        Err(rejection) => {
            return Verified::Invalid {
                message: Box::new(message),
                rejection,
            };
        }
    };
    match complete((&message, arrival), inline, blobs) {
        Ok((content, file_bytes)) => Verified::Complete {
            complete: Box::new(Complete { message, content }),
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

/// The content of a message whose signature is right, and the length of the
/// file it stores.
fn complete(
    (message, arrival): (&Message, &Arrival),
    inline: Option<MessageContent>,
    blobs: &Blobs,
) -> Result<(MessageContent, Option<u64>), Rejection> {
    if arrival.origin != CONTRACT {
        signature::verify(message)?;
    }
    let content = match inline {
        Some(content) => content,
        None => message.fetched_content(&body(message, blobs)?)?,
    };
    let file_bytes = match &content.typed {
        Content::Store(store) => file_length(&store.item_hash, store.item_type, blobs)?,
        _ => None,
    };
    Ok((content, file_bytes))
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
