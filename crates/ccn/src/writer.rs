//! The writer: one thread that judges, applies and commits in batches.

mod settle;

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use beth_protocol::judge::{Complete, Rules};
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{Message, Rejection, Status};
use beth_store::blobs::Extent;
use beth_store::pending::Arrival;
use beth_store::rows::{Outcome, StoredMessage};
use beth_store::{Error, State, Writer};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::events::{Event, Events};
use crate::limits::BATCH_MAX;
use crate::metrics::Metrics;
use crate::pipeline::{Answer, FileKind, now};
use crate::room::Room;
use crate::turns::Turns;
use crate::verify::Reply;
use settle::{message_of, note_confirmation, settle, wait};

/// What a verifier found.
pub(crate) enum Verified {
    /// Ready to be judged; with how much the file is that a STORE names.
    Complete {
        complete: Box<Complete>,
        file: Option<Extent>,
    },
    /// A content or file is missing here.
    Incomplete {
        message: Box<Message>,
        rejection: Rejection,
    },
    /// A STORE whose file is missing here.
    Unfetched {
        complete: Box<Complete>,
        rejection: Rejection,
    },
    /// A well-formed message that is refused.
    Refused {
        message: Box<Message>,
        rejection: Rejection,
    },
    /// An envelope whose inline content breaks the format.
    Invalid {
        message: Box<Message>,
        rejection: Rejection,
    },
    /// No message at all; its hash, if it names one.
    Malformed {
        item_hash: Option<String>,
        rejection: Rejection,
    },
    /// The verifier failed.
    Failed,
}

impl Verified {
    /// For metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verified::Complete { .. } => "complete",
            Verified::Incomplete { .. } => "incomplete",
            Verified::Unfetched { .. } => "unfetched",
            Verified::Refused { .. } => "refused",
            Verified::Invalid { .. } => "invalid",
            Verified::Malformed { .. } => "malformed",
            Verified::Failed => "failed",
        }
    }
}

/// A verified message and how it came.
pub(crate) struct Entry {
    pub arrival: Arrival,
    pub verdict: Verified,
}

/// Work for the writer.
pub(crate) enum Task {
    /// A verified message.
    Message {
        entry: Box<Entry>,
        reply: Option<Reply>,
        /// Given back when the message is written.
        room: Room,
    },
    /// What a verifier has to say about the message of this number; `None` when
    /// it is answered already. Messages are judged in the order they came in.
    Turn {
        number: u64,
        task: Option<Box<Task>>,
    },
    /// A file that is on the disk.
    File {
        hash: String,
        extent: Extent,
        kind: FileKind,
        reply: oneshot::Sender<()>,
    },
    /// Anything else that changes the state, in a transaction of its own.
    Work(Work),
    /// Commit what came before, and end.
    Stop,
}

/// A change of the state. Its failure undoes all it did.
pub(crate) type Work = Box<dyn FnOnce(&State<'_>) -> Result<Done, Error> + Send>;
/// What a change does once it is committed.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// What became of a task, told once it is committed.
#[derive(Default)]
struct Settled {
    outcome: Option<Outcome>,
    news: News,
    wakes_retry: bool,
}

/// What subscribers hear.
#[derive(Default)]
enum News {
    #[default]
    None,
    Processed(Timestamp),
    Waiting,
    Rejected(Rejection),
}

/// Starts the writer. It ends at [`Task::Stop`], after committing what it was
/// given; `end` is cancelled then, also when it ends for another reason.
pub(crate) fn spawn(
    writer: Writer,
    tasks: mpsc::Receiver<Task>,
    (rules, turns): (Rules, Turns),
    told: Told,
    end: &CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let end = end.clone().drop_guard();
    let state = Loop {
        writer,
        tasks,
        rules,
        turns,
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
    pub metrics: Arc<Metrics>,
}

struct Loop {
    writer: Writer,
    tasks: mpsc::Receiver<Task>,
    rules: Rules,
    turns: Turns,
    told: Told,
    random: Random,
}

impl Loop {
    fn run(mut self) {
        while let Some(first) = self.tasks.blocking_recv() {
            let mut batch = Vec::new();
            let mut next = Some(first);
            let mut is_last = false;
            while let Some(task) = next {
                match task {
                    Task::Stop => is_last = true,
                    Task::Work(work) => {
                        self.commit(std::mem::take(&mut batch));
                        self.do_work(work);
                    }
                    Task::Turn { number, task } => {
                        self.turns.put(number, task);
                        while let Some(task) = self.turns.next() {
                            batch.extend(task.map(|task| *task));
                        }
                    }
                    task => batch.push(task),
                }
                next = match batch.len() < BATCH_MAX && !is_last {
                    true => self.tasks.try_recv().ok(),
                    false => None,
                };
            }
            self.commit(batch);
            if is_last {
                return;
            }
        }
    }

    fn do_work(&mut self, work: Work) {
        match self.writer.transaction(work) {
            Ok(done) => done(),
            Err(failure) => {
                warn!(%failure, "a piece of background work failed; nothing of it was kept");
            }
        }
    }

    /// Commits a batch, then tells everybody. When it cannot be committed, each
    /// task is tried alone, so that one message cannot spoil the others.
    fn commit(&mut self, batch: Vec<Task>) {
        if batch.is_empty() {
            return;
        }
        let failure = match self.attempt(&batch) {
            Ok(done) => {
                for (task, done) in batch.into_iter().zip(done) {
                    self.tell(task, done);
                }
                return;
            }
            Err(failure) => failure,
        };
        if failure.is_disk_full() {
            error!(%failure, messages = batch.len(), "a batch could not be committed; nothing of it was accepted");
            return;
        }
        for task in batch {
            self.commit_alone(task);
        }
    }

    fn commit_alone(&mut self, task: Task) {
        let single = std::slice::from_ref(&task);
        let done = self.attempt(single).or_else(|failure| {
            warn!(%failure, "a message could not be applied; it is tried again");
            self.put_off(&task)
        });
        match done {
            Ok(done) => {
                if let Some(done) = done.into_iter().next() {
                    self.tell(task, done);
                }
            }
            Err(failure) => {
                error!(%failure, "a message could not be written; it was not accepted");
            }
        }
    }

    /// Judges and applies in one transaction: all of it happens, or none.
    /// On failure nothing is answered: submitters see the node as unavailable.
    fn attempt(&mut self, batch: &[Task]) -> Result<Vec<Settled>, Error> {
        let (rules, random) = (&self.rules, &mut self.random);
        let timer = self.told.metrics.pipeline.commit_seconds.start_timer();
        let done = self.writer.transaction(|state| {
            batch
                .iter()
                .map(|task| handle(state, task, rules, random.unit()))
                .collect()
        });
        timer.observe_duration();
        self.told.metrics.committed(batch.len(), done.is_ok());
        done
    }

    /// Keeps a message that we failed to apply for later.
    fn put_off(&mut self, task: &Task) -> Result<Vec<Settled>, Error> {
        let Task::Message { entry, .. } = task else {
            return Err(Error::Damaged("a file could not be registered".into()));
        };
        let rejection = Rejection::bare(Code::InternalError);
        let jitter = self.random.unit();
        self.writer.transaction(|state| {
            let done = match message_of(&entry.verdict) {
                Some(message) => wait(state, message, &entry.arrival, rejection, jitter)?,
                None => Settled::default(),
            };
            Ok(vec![done])
        })
    }

    fn tell(&self, task: Task, done: Settled) {
        if done.wakes_retry {
            self.told.retry.notify_one();
        }
        match task {
            Task::Stop | Task::Work(_) | Task::Turn { .. } => {}
            Task::File { reply, .. } => drop(reply.send(())),
            Task::Message { entry, reply, room } => {
                drop(room);
                self.told.metrics.settled(done.outcome.as_ref());
                if let (Some(reply), Some(outcome)) = (reply, done.outcome) {
                    let _ = reply.send(Answer::Settled(outcome));
                }
                if self.told.events.is_heard()
                    && let Some(event) = event(*entry, done.news)
                {
                    self.told.events.publish(event);
                }
            }
        }
    }
}

/// Decides about one task and writes the decision.
fn handle(state: &State<'_>, task: &Task, rules: &Rules, jitter: f64) -> Result<Settled, Error> {
    match task {
        Task::Stop | Task::Work(_) | Task::Turn { .. } => Ok(Settled::default()),
        Task::File {
            hash, extent, kind, ..
        } => {
            match kind {
                FileKind::Upload => state.add_upload(hash, *extent, now())?,
                FileKind::Named => state.add_file(hash, *extent)?,
            }
            Ok(Settled {
                wakes_retry: state.wake(hash, now())? > 0,
                ..Settled::default()
            })
        }
        Task::Message { entry, .. } => {
            let done = settle(state, entry, rules, jitter)?;
            note_confirmation(state, entry, &done)?;
            if let Some(Outcome::Rejected(rejection)) = &done.outcome {
                debug!(code = rejection.code.number(), "rejected: {rejection}");
            }
            Ok(done)
        }
    }
}

/// What subscribers are told about a message.
fn event(entry: Entry, news: News) -> Option<Event> {
    match (news, entry.verdict) {
        (News::Processed(reception_time), Verified::Complete { complete, .. }) => {
            let Complete {
                message, content, ..
            } = *complete;
            Some(Event::Processed {
                message: StoredMessage {
                    message,
                    content: content.raw,
                    size: content.size,
                    status: Status::Processed,
                    reception_time,
                },
                typed: content.typed,
                origin: entry.arrival.origin,
            })
        }
        (News::Waiting, verdict) => Some(Event::Waiting {
            item_hash: message_of(&verdict)?.item_hash.clone(),
        }),
        (News::Rejected(rejection), verdict) => Some(Event::Rejected {
            item_hash: message_of(&verdict)?.item_hash.clone(),
            rejection,
        }),
        (News::None | News::Processed(_), _) => None,
    }
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
