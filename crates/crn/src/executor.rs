//! What runs programs: the contract between the pool and the executors.
//!
//! An [`Executor`] turns a [`Program`] (a message whose files are all on the
//! local disk, verified) into a [`Machine`] that answers [`Call`]s. There are
//! two: `wasm` (in process) and `microvm` (QEMU). The pool owns machines, makes
//! one per program at a time, and never lets one creation wait for another.
//!
//! ```text
//!            prepare                start                    call*            stop
//!  Program ──────────▶ prepared ──────────▶ Machine (ready) ───────▶ … ──────────▶ gone
//!            compile,               create,                 │
//!            image                  boot, import            └─ Fault::Died ─▶ gone
//! ```
//!
//! A machine answers many calls at once. Dropping it kills it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use bytes::Bytes;
use futures::future::BoxFuture;

/// A program whose files are all here.
#[derive(Clone, Debug)]
pub struct Program {
    /// The PROGRAM message.
    pub item_hash: ItemHash,
    /// What it says.
    pub content: ProgramContent,
    /// The code archive, or the component.
    pub code: LocalFile,
    /// The root filesystem (squashfs); `None` for Wasm.
    pub runtime: Option<LocalFile>,
    /// The data archive.
    pub data: Option<LocalFile>,
    /// Immutable volumes (squashfs), in the order of the message.
    pub volumes: Vec<MountedVolume>,
}

/// A verified file on the local disk.
#[derive(Clone, Debug)]
pub struct LocalFile {
    /// Where.
    pub path: PathBuf,
    /// How long, in bytes.
    pub size_bytes: u64,
    /// Its content hash.
    pub hash: ItemHash,
}

/// A volume and where it appears.
#[derive(Clone, Debug)]
pub struct MountedVolume {
    /// The image.
    pub file: LocalFile,
    /// Absolute path in the guest.
    pub mount: String,
}

/// One HTTP request to a program.
#[derive(Clone, Debug)]
pub struct Call {
    /// Upper case.
    pub method: String,
    /// Percent-decoded, begins with `/`.
    pub path: String,
    /// Without `?`, may be empty; as received.
    pub query: String,
    /// Lower-case names, in order, duplicates kept.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
}

/// A program's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// In order, duplicates kept.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
}

/// Why a program could not be prepared, started or called. `Display` is the
/// sentence that callers see: what happened and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// This node lacks something (QEMU, a kernel, memory): not the program's fault.
    #[error("{0}")]
    NotHere(String),
    /// The program's files are no program: bad archive, missing entrypoint.
    #[error("{0}")]
    BadProgram(String),
    /// The code ran and failed before it could answer: syntax, import, start-up.
    #[error("the program failed to start: {error}")]
    Setup {
        /// One line.
        error: String,
        /// The program's own traceback, may be empty.
        traceback: String,
    },
    /// The machine was not ready in time.
    #[error(
        "the program was not ready within {seconds} seconds (phase: {phase}); make its start-up lighter or ask the operator to raise the limit"
    )]
    NotReady {
        /// The limit.
        seconds: u64,
        /// What it was doing.
        phase: String,
    },
    /// No answer within `resources.seconds`. The machine lives on.
    #[error("Program did not respond within `resource.seconds`")]
    Timeout,
    /// The program raised an error while answering. The machine lives on.
    #[error("the program failed while answering")]
    Raised {
        /// The program's traceback.
        traceback: String,
    },
    /// The machine ended or answered nonsense and was stopped.
    #[error("VM did not respond and was shut down: {0}")]
    Died(String),
    /// We failed.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The beginning of a text that a program wrote, of at most that many bytes.
pub(crate) fn clip(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

/// Turns programs into machines.
pub trait Executor: Send + Sync + 'static {
    /// `wasm` or `microvm`.
    fn name(&self) -> &'static str;

    /// Memory that a machine of this program takes from the node, in MiB, or why
    /// it can never run here. Asked before any of its files is fetched.
    fn admit(&self, _content: &ProgramContent) -> Result<u64, Fault> {
        Ok(0)
    }

    /// True when an idle machine takes nothing that others could use, so that
    /// thousands may be kept.
    fn is_light(&self) -> bool {
        false
    }

    /// Does ahead of time what can be done (compile, build images). Idempotent;
    /// `start` does not depend on it.
    fn prepare<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, Result<(), Fault>>;

    /// Creates a machine and waits until it can answer. Dropping the future
    /// leaves nothing behind.
    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>>;

    /// Removes what was made ahead of time for a program that is no more.
    fn forget(&self, _item_hash: &ItemHash) {}
}

/// Something that answers calls.
pub trait Machine: Send + Sync + 'static {
    /// Answers one request; `Fault::Timeout` after `resources.seconds`.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>>;

    /// Ends it, first politely, within five seconds.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// Lets it use no processor until the next call, if nobody is being answered.
    fn pause(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// True after [`pause`](Self::pause), until the next call.
    fn is_paused(&self) -> bool {
        false
    }

    /// False once it ended by itself.
    fn is_alive(&self) -> bool;

    /// The newest lines the program printed, oldest first, bounded.
    fn logs(&self) -> Vec<String>;
}

/// How long each phase of a creation took, for reports and deadlines. Cheap to
/// clone; all clones are one record.
#[derive(Clone, Debug, Default)]
pub struct Phases(Arc<Mutex<Timeline>>);

/// Name, beginning and, once it ended, length of every phase.
type Timeline = Vec<(&'static str, Instant, Option<Duration>)>;

impl Phases {
    /// Ends the current phase and begins another, e.g. `fetch`, `create`,
    /// `kernel`, `init`, `python`, `application`, `response`.
    pub fn begin(&self, name: &'static str) {
        let now = Instant::now();
        let mut list = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(last) = list.last_mut()
            && last.2.is_none()
        {
            last.2 = Some(now - last.1);
        }
        list.push((name, now, None));
    }

    /// Ends the current phase.
    pub fn end(&self) {
        let mut list = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(last) = list.last_mut()
            && last.2.is_none()
        {
            last.2 = Some(last.1.elapsed());
        }
    }

    /// Adds a phase that somebody else measured (the guest's own clock).
    pub fn record(&self, name: &'static str, duration: Duration) {
        let mut list = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        list.push((name, Instant::now(), Some(duration)));
    }

    /// The phase under way, or the last one.
    pub fn current(&self) -> &'static str {
        let list = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        list.last().map_or("begin", |last| last.0)
    }

    /// Name and duration of every phase so far, in order.
    pub fn list(&self) -> Vec<(&'static str, Duration)> {
        let list = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        list.iter()
            .map(|(name, begun, took)| (*name, took.unwrap_or_else(|| begun.elapsed())))
            .collect()
    }
}
