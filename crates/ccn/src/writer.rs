//! The writer: one thread that judges, applies and commits in batches.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use beth_protocol::judge::{Complete, Rules, Verdict, judge};
use beth_protocol::rejection::Code;
use beth_protocol::{Content, Message, Rejection, Status};
use beth_store::pending::Arrival;
use beth_store::rows::{Outcome, StoredMessage};
use beth_store::{Error, State, Writer};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::events::{Event, Events};
use crate::limits::BATCH_MAX;
use crate::pipeline::{FileKind, now};

/// What a verifier found.
pub(crate) enum Verified {
    /// Ready to be judged; with the length of the file that a STORE names.
    Complete {
        complete: Box<Complete>,
        file_bytes: Option<u64>,
    },
    /// A content or file is missing here.
    Incomplete {
        message: Box<Message>,
        rejection: Rejection,
    },
    /// A well-formed message that is refused.
    Refused {
        message: Box<Message>,
        rejection: Rejection,
    },
    /// No message at all; its hash, if it names one.
    Malformed {
        item_hash: Option<String>,
        rejection: Rejection,
    },
}

/// Work for the writer.
pub(crate) enum Task {
    /// A verified message.
    Message {
        arrival: Arrival,
        verdict: Verified,
        reply: Option<oneshot::Sender<Outcome>>,
    },
    /// A file that is on the disk.
    File {
        hash: String,
        size_bytes: u64,
        kind: FileKind,
        reply: oneshot::Sender<()>,
    },
    /// Anything else that changes the state; what it answers is run after the
    /// commit.
    Work(Work),
    /// Commit what came before, and end.
    Stop,
}

/// A change of the state. Its failure undoes only what it did.
pub(crate) type Work = Box<dyn FnOnce(&State<'_>) -> Result<Done, Error> + Send>;
/// What a change does once it is committed.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// What is done once the batch is committed.
enum After {
    Run(Done),
    Answer(oneshot::Sender<Outcome>, Outcome),
    Done(oneshot::Sender<()>),
    Tell(Box<Event>),
    Retry,
}

/// Starts the writer. It ends at [`Task::Stop`], after committing what it was
/// given; `end` is cancelled then, also when it ends for another reason.
pub(crate) fn spawn(
    writer: Writer,
    tasks: mpsc::Receiver<Task>,
    rules: Rules,
    told: Told,
    end: &CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let end = end.clone().drop_guard();
    let state = Loop {
        writer,
        tasks,
        rules,
        told,
        random: Random::seeded(),
    };
    thread::Builder::new().name("writer".into()).spawn(move || {
        state.run();
        drop(end);
    })
}

/// Who hears what the writer did.
pub(crate) struct Told {
    pub events: Events,
    pub retry: Arc<Notify>,
}

struct Loop {
    writer: Writer,
    tasks: mpsc::Receiver<Task>,
    rules: Rules,
    told: Told,
    random: Random,
}

impl Loop {
    fn run(mut self) {
        while let Some(first) = self.tasks.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX {
                match self.tasks.try_recv() {
                    Ok(task) => batch.push(task),
                    Err(_) => break,
                }
            }
            let is_last = batch.iter().any(|task| matches!(task, Task::Stop));
            self.commit(batch);
            if is_last {
                return;
            }
        }
    }

    /// Commits a batch, then tells everybody. On failure nothing is answered:
    /// submitters see the node as unavailable and nothing was accepted.
    fn commit(&mut self, batch: Vec<Task>) {
        let count = batch.len();
        let (rules, random) = (&self.rules, &mut self.random);
        let committed = self.writer.transaction(|state| {
            let mut after = Vec::with_capacity(count);
            for task in batch {
                handle(state, task, rules, random, &mut after)?;
            }
            Ok::<_, Error>(after)
        });
        match committed {
            Ok(after) => after.into_iter().for_each(|after| self.tell(after)),
            Err(failure) => {
                error!(%failure, messages = count, "a batch could not be committed; nothing of it was accepted")
            }
        }
    }

    fn tell(&self, after: After) {
        match after {
            After::Answer(reply, outcome) => drop(reply.send(outcome)),
            After::Done(reply) => drop(reply.send(())),
            After::Run(done) => done(),
            After::Tell(event) => self.told.events.publish(*event),
            After::Retry => self.told.retry.notify_one(),
        }
    }
}

fn handle(
    state: &State<'_>,
    task: Task,
    rules: &Rules,
    random: &mut Random,
    after: &mut Vec<After>,
) -> Result<(), Error> {
    match task {
        Task::Stop => {}
        Task::Work(work) => match state.savepoint(work) {
            Ok(done) => after.push(After::Run(done)),
            Err(failure) => {
                warn!(%failure, "a piece of background work failed; nothing of it was kept")
            }
        },
        Task::File {
            hash,
            size_bytes,
            kind,
            reply,
        } => {
            match kind {
                FileKind::Upload => state.add_upload(&hash, size_bytes, now())?,
                FileKind::Named => state.add_file(&hash, size_bytes)?,
            }
            if state.wake(&hash, now())? > 0 {
                after.push(After::Retry);
            }
            after.push(After::Done(reply));
        }
        Task::Message {
            arrival,
            verdict,
            reply,
        } => {
            let jitter = random.unit();
            let outcome = settle(state, &arrival, verdict, rules, jitter, after)?;
            if let Some(item_hash) = arrival.raw["item_hash"].as_str() {
                state.note_confirmation(item_hash, &arrival, &outcome)?;
            }
            if let Outcome::Rejected(rejection) = &outcome {
                debug!(code = rejection.code.number(), "rejected: {rejection}");
            }
            if let Some(reply) = reply {
                after.push(After::Answer(reply, outcome));
            }
        }
    }
    Ok(())
}

/// Decides about one message and writes the decision.
fn settle(
    state: &State<'_>,
    arrival: &Arrival,
    verdict: Verified,
    rules: &Rules,
    jitter: f64,
    after: &mut Vec<After>,
) -> Result<Outcome, Error> {
    let (message, rejection) = match verdict {
        Verified::Complete {
            complete,
            file_bytes,
        } => {
            register_file(state, &complete, file_bytes)?;
            return judged(state, arrival, &complete, rules, jitter, after);
        }
        Verified::Malformed {
            item_hash: None,
            rejection,
        } => return Ok(Outcome::Rejected(rejection)),
        Verified::Malformed {
            item_hash: Some(hash),
            rejection,
        } => {
            return state.reject(&hash, arrival, rejection);
        }
        Verified::Incomplete { message, rejection } | Verified::Refused { message, rejection } => {
            (message, rejection)
        }
    };
    if let Some(outcome) = state.settled(message.item_hash.as_str())? {
        state.discard(arrival)?;
        return Ok(outcome);
    }
    if rejection.code.is_retryable() && state.is_applied(message.item_hash.as_str())? {
        // Another copy was complete; this one has nothing to wait for.
        state.discard(arrival)?;
        return Ok(Outcome::Known);
    }
    if rejection.code.is_retryable() {
        // The first fetch begins at once.
        let pause = if arrival.retry_of.is_some() {
            jitter
        } else {
            0.0
        };
        after.push(After::Retry);
        return wait(state, &message, arrival, rejection, pause, after);
    }
    refuse(state, &message, arrival, rejection, after)
}

/// The size of a file is known before a message about it is judged, also when
/// a crash came between the file and its registration.
fn register_file(
    state: &State<'_>,
    complete: &Complete,
    file_bytes: Option<u64>,
) -> Result<(), Error> {
    let (Content::Store(store), Some(size_bytes)) = (&complete.content.typed, file_bytes) else {
        return Ok(());
    };
    let hash = store.item_hash.as_str();
    if state.knows_file(hash)? {
        return Ok(());
    }
    state.add_upload(hash, size_bytes, now())
}

fn judged(
    state: &State<'_>,
    arrival: &Arrival,
    complete: &Complete,
    rules: &Rules,
    jitter: f64,
    after: &mut Vec<After>,
) -> Result<Outcome, Error> {
    let message = &complete.message;
    let hash = message.item_hash.as_str();
    if let Some(outcome) = state.settled(hash)? {
        state.discard(arrival)?;
        return Ok(outcome);
    }
    let verdict = match judge(complete, state, rules, now()) {
        Ok(verdict) => verdict,
        Err(failure) => {
            warn!(%failure, hash, "a message could not be judged; it is tried again");
            Verdict::Wait(Rejection::bare(Code::InternalError))
        }
    };
    match verdict {
        Verdict::Known => {
            state.discard(arrival)?;
            Ok(Outcome::Known)
        }
        Verdict::Reject(rejection) => refuse(state, message, arrival, rejection, after),
        Verdict::Wait(rejection) => wait(state, message, arrival, rejection, jitter, after),
        Verdict::Accept(effects) => {
            let reception = arrival.reception_time;
            let applied =
                state.savepoint(|state| state.apply(complete, &effects, rules, reception));
            if let Err(failure) = applied {
                warn!(%failure, hash, "a message could not be applied; it is tried again");
                let rejection = Rejection::bare(Code::InternalError);
                return wait(state, message, arrival, rejection, jitter, after);
            }
            if state.wake(hash, now())? > 0 {
                after.push(After::Retry);
            }
            after.push(After::Tell(Box::new(processed(complete, arrival))));
            Ok(Outcome::Processed)
        }
    }
}

fn processed(complete: &Complete, arrival: &Arrival) -> Event {
    Event::Processed {
        message: StoredMessage {
            message: complete.message.clone(),
            content: complete.content.raw.clone(),
            size: complete.content.size,
            status: Status::Processed,
            reception_time: arrival.reception_time,
        },
        typed: complete.content.typed.clone(),
        origin: arrival.origin,
    }
}

fn wait(
    state: &State<'_>,
    message: &Message,
    arrival: &Arrival,
    rejection: Rejection,
    jitter: f64,
    after: &mut Vec<After>,
) -> Result<Outcome, Error> {
    let outcome = state.wait(message, arrival, rejection, jitter, now())?;
    match &outcome {
        Outcome::Rejected(rejection) => after.push(rejected(message, rejection)),
        _ => {
            after.push(After::Retry);
            if arrival.retry_of.is_some() {
                let item_hash = message.item_hash.clone();
                after.push(After::Tell(Box::new(Event::Waiting { item_hash })));
            }
        }
    }
    Ok(outcome)
}

fn refuse(
    state: &State<'_>,
    message: &Message,
    arrival: &Arrival,
    rejection: Rejection,
    after: &mut Vec<After>,
) -> Result<Outcome, Error> {
    let outcome = state.reject(message.item_hash.as_str(), arrival, rejection)?;
    if let Outcome::Rejected(rejection) = &outcome {
        after.push(rejected(message, rejection));
    }
    Ok(outcome)
}

fn rejected(message: &Message, rejection: &Rejection) -> After {
    After::Tell(Box::new(Event::Rejected {
        item_hash: message.item_hash.clone(),
        rejection: rejection.clone(),
    }))
}

/// Spreads retries; a xorshift is random enough for that.
struct Random(u64);

impl Random {
    fn seeded() -> Random {
        use std::hash::{BuildHasher, Hasher};
        Random(
            std::collections::hash_map::RandomState::new()
                .build_hasher()
                .finish()
                | 1,
        )
    }

    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
