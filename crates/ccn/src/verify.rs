//! Verifiers: threads that check what needs no state.

mod passing;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use beth_network::{Ticket, Verdict};
use beth_protocol::content::Content;
use beth_protocol::judge::Complete;
use beth_protocol::message::MessageContent;
use beth_protocol::rejection::Code;
use beth_protocol::{ItemHash, ItemType, Message, Rejection, signature};
use beth_store::blobs::Extent;
use beth_store::pending::{Arrival, CONTRACT};
use beth_store::rows::Outcome;
use beth_store::{Blobs, Error, Readers};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::passing::{of_known, of_unsigned, settle};
use crate::limits;
use crate::metrics::Metrics;
use crate::pipeline::{Answer, Source};
use crate::room::{Bodies, BodyRoom, Room};
use crate::turns::Now;
use crate::writer::{Entry, Task, Verified};

/// A message at the entrance.
pub(crate) struct Job {
    arrival: Arrival,
    source: Source,
    reply: Option<Reply>,
    /// To be told whether a message that was heard is passed on.
    ticket: Option<Ticket>,
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
    pub metrics: Arc<Metrics>,
}

/// The node is stopping.
pub(crate) struct Closed;

impl Intake {
    /// The entrance and its far end.
    pub fn new(metrics: Arc<Metrics>) -> (Intake, mpsc::Receiver<Option<Job>>) {
        let (jobs, receiver) = mpsc::channel(limits::INTAKE_QUEUE);
        let room = Arc::new(Semaphore::new(limits::IN_FLIGHT_KIB));
        let intake = Intake {
            jobs,
            room,
            metrics,
        };
        (intake, receiver)
    }

    /// Messages that wait for a verifier.
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Room left, in KiB.
    pub fn room_kib(&self) -> usize {
        self.room.available_permits()
    }

    /// Waits for room: in number and in bytes.
    pub async fn send(
        &self,
        arrival: Arrival,
        source: Source,
        reply: Option<Reply>,
    ) -> Result<(), Closed> {
        self.admit(arrival, source, (reply, None)).await
    }

    /// The same for what a neighbour said; the ticket is settled as soon as the
    /// signature is known.
    pub async fn hear(&self, arrival: Arrival, ticket: Ticket) -> Result<(), Closed> {
        let told = (None, Some(ticket));
        self.admit(arrival, Source::Node, told).await
    }

    async fn admit(
        &self,
        arrival: Arrival,
        source: Source,
        (reply, ticket): (Option<Reply>, Option<Ticket>),
    ) -> Result<(), Closed> {
        let received = &self.metrics.pipeline.received;
        received
            .with_label_values(&[origin_of(&arrival, source)])
            .inc();
        let room = self.room.clone().acquire_many_owned(weight(&arrival.raw));
        let job = Job {
            arrival,
            source,
            reply,
            ticket,
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

/// Where a copy of a message came from.
fn origin_of(arrival: &Arrival, source: Source) -> &'static str {
    match (source, arrival.retry_of) {
        (Source::Client, _) => "client",
        (Source::Node, Some(_)) => "retry",
        (Source::Node, None) if arrival.transaction.is_some() => "chain",
        (Source::Node, None) => "node",
    }
}

/// What a message takes of the room, in KiB: a parsed content takes several
/// times its text.
fn weight(raw: &Value) -> u32 {
    let text = raw["item_content"].as_str().map_or(0, str::len);
    let kib = 2 + (footprint(raw) + text * 7) / 1024;
    u32::try_from(kib.min(limits::IN_FLIGHT_KIB)).unwrap_or(1)
}

/// About how much memory a value takes, in bytes.
fn footprint(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => 32 + items.iter().map(footprint).sum::<usize>(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| 96 + name.len() + footprint(value);
            32 + members.iter().map(member).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
    }
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
    /// Whose turn it is to be judged.
    pub now: Now,
    /// Room for contents that are files.
    pub bodies: Arc<Bodies>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Where the verifiers take messages from, and the number of the next one.
type Entrance = Mutex<(mpsc::Receiver<Option<Job>>, u64)>;

impl Verifiers {
    /// Starts one verifier per core. They end when the intake is closed; `end`
    /// is cancelled when one does, for whatever reason.
    pub fn spawn(
        self,
        intake: mpsc::Receiver<Option<Job>>,
        end: &CancellationToken,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let intake: Arc<Entrance> = Arc::new(Mutex::new((intake, 0)));
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

    fn run(&self, intake: &Entrance) {
        let mut jobs = Vec::with_capacity(limits::VERIFY_CHUNK);
        loop {
            let (taken, numbers) = {
                let mut intake = intake.lock().unwrap_or_else(PoisonError::into_inner);
                let taken = take(&mut intake.0, &mut jobs);
                let first = intake.1;
                intake.1 += jobs.len() as u64;
                (taken, first..)
            };
            let known = self.known(&jobs);
            for ((job, known), number) in jobs.drain(..).zip(known).zip(numbers) {
                let task = self.checked(job, known, number).map(Box::new);
                if self
                    .writer
                    .blocking_send(Task::Turn { number, task })
                    .is_err()
                {
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

    /// Verifies a job; `None` when it is answered already.
    fn checked(&self, mut job: Job, known: Option<Outcome>, number: u64) -> Option<Task> {
        let answer = |reply: Option<Reply>, answer| {
            if let Some(reply) = reply {
                let _ = reply.send(answer);
            }
            None
        };
        let metrics = &self.metrics.pipeline;
        let count = |verdict| metrics.verified.with_label_values(&[verdict]).inc();
        if let Some(outcome) = known {
            count("known");
            settle(job.ticket, of_known(&outcome));
            return answer(job.reply, Answer::Settled(outcome));
        }
        let timer = metrics.verify_seconds.start_timer();
        let verified = catch_unwind(AssertUnwindSafe(|| {
            self.verify(&job.arrival, &mut job.ticket, number)
        }));
        let Found { verdict, body } = verified.unwrap_or_else(|_| {
            error!(message = %job.arrival.raw["item_hash"], "a message could not be verified; please report it");
            Found {
                verdict: Verified::Failed,
                body: None,
            }
        });
        timer.observe_duration();
        settle(job.ticket, of_unsigned(&verdict));
        count(verdict.as_str());
        match (job.source, verdict) {
            (
                Source::Client,
                Verified::Malformed { rejection, .. } | Verified::Invalid { rejection, .. },
            ) => answer(job.reply, Answer::Malformed(rejection)),
            (_, verdict) => Some(Task::Message {
                entry: Box::new(Entry {
                    arrival: job.arrival,
                    verdict,
                }),
                reply: job.reply,
                room: Room::new(job.room, body),
            }),
        }
    }

    fn verify(&self, arrival: &Arrival, ticket: &mut Option<Ticket>, number: u64) -> Found {
        let mut body = None;
        let mut watch = Watch {
            signed: &mut || settle(ticket.take(), Verdict::Accept),
            begin: &mut |size_bytes| {
                body = Some(self.bodies.take(size_bytes, || self.now.is(number)));
            },
        };
        let verdict = verify(arrival, &self.blobs, &mut watch);
        Found { verdict, body }
    }
}

/// Is told how far the check of a message is.
struct Watch<'a> {
    /// The signature is right.
    signed: &'a mut dyn FnMut(),
    /// A content of so many bytes is about to be read.
    begin: &'a mut dyn FnMut(u64),
}

/// A verdict, with the room that its content takes.
struct Found {
    verdict: Verified,
    body: Option<BodyRoom>,
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

/// Envelope, signature, content, presence of files: in this order.
fn verify(arrival: &Arrival, blobs: &Blobs, watch: &mut Watch<'_>) -> Verified {
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
    match complete((&message, arrival), inline, blobs, watch) {
        Ok((content, file)) => {
            let mut complete = Complete::new(message, content);
            complete.gone = gone(arrival, &complete.content.typed);
            Verified::Complete {
                complete: Box::new(complete),
                file,
            }
        }
        Err(Lacking {
            content: Some(content),
            rejection,
        }) if rejection.code.is_retryable() => Verified::Unfetched {
            complete: Box::new(Complete::new(message, *content)),
            rejection,
        },
        Err(Lacking { rejection, .. }) if rejection.code.is_retryable() => Verified::Incomplete {
            message: Box::new(message),
            rejection,
        },
        Err(Lacking { rejection, .. }) => Verified::Refused {
            message: Box::new(message),
            rejection,
        },
    }
}

/// Envelopes of targets of a FORGET that really were signed.
fn gone(arrival: &Arrival, content: &Content) -> Vec<Message> {
    let Content::Forget(forget) = content else {
        return Vec::new();
    };
    let mut left = arrival.gone.clone();
    left.retain(|gone| forget.hashes.contains(&gone.item_hash));
    left.truncate(forget.hashes.len());
    left.retain(|gone| signature::verify(gone).is_ok());
    left
}

/// What a message lacks; its content, when that is not what it lacks.
struct Lacking {
    rejection: Rejection,
    content: Option<Box<MessageContent>>,
}

impl From<Rejection> for Lacking {
    fn from(rejection: Rejection) -> Lacking {
        Lacking {
            rejection,
            content: None,
        }
    }
}

/// The content of a message whose signature is right, and how much the file is
/// that it stores.
fn complete(
    (message, arrival): (&Message, &Arrival),
    inline: Option<MessageContent>,
    blobs: &Blobs,
    watch: &mut Watch<'_>,
) -> Result<(MessageContent, Option<Extent>), Lacking> {
    if arrival.origin != CONTRACT {
        signature::verify(message)?;
        (watch.signed)();
    }
    let content = match inline {
        Some(content) => content,
        None => message.fetched_content(&body(message, blobs, watch)?)?,
    };
    let file = match &content.typed {
        Content::Store(store) => stored_file(&store.item_hash, store.item_type, blobs),
        _ => Ok(None),
    };
    match file {
        Ok(file) => Ok((content, file)),
        Err(rejection) => Err(Lacking {
            rejection,
            content: Some(Box::new(content)),
        }),
    }
}

/// The body of a message whose content is a file.
fn body(message: &Message, blobs: &Blobs, watch: &mut Watch<'_>) -> Result<Vec<u8>, Rejection> {
    let hash = message.item_hash.as_str();
    let missing = || {
        let text = format!("File not found: {hash} (could not fetch message content)");
        Rejection::text(Code::ContentUnavailable, text)
    };
    // Not to be collected while the message is on its way.
    blobs.claim(hash).ok().flatten().ok_or_else(missing)?;
    let (mut file, size_bytes) = blobs.file(hash).ok().flatten().ok_or_else(missing)?;
    if size_bytes > limits::CONTENT_BYTES_MAX {
        return Err(Rejection::invalid_format(format!(
            "Invalid message content for {hash}: {size_bytes} bytes, at most {} are read",
            limits::CONTENT_BYTES_MAX
        )));
    }
    (watch.begin)(size_bytes);
    let mut bytes = Vec::with_capacity(size_bytes as usize);
    file.read_to_end(&mut bytes).map_err(|_| missing())?;
    Ok(bytes)
}

fn stored_file(
    hash: &ItemHash,
    item_type: ItemType,
    blobs: &Blobs,
) -> Result<Option<Extent>, Rejection> {
    if item_type == ItemType::Inline || ItemType::from(hash.kind()) != item_type {
        // A mismatch is judged, not awaited.
        return Ok(None);
    }
    match blobs.claim(hash.as_str()) {
        Ok(Some(extent)) => Ok(Some(extent)),
        _ => Err(Rejection::text(
            Code::FileUnavailable,
            format!("File not found: {hash} (could not retrieve file from storage at this time)"),
        )),
    }
}
