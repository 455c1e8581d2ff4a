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

use std::any::Any;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use bytes::Bytes;
use futures::Sink;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::body::Body;
use crate::lan::Lan;

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

/// Names and values of headers.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// Header of calls that no client made: it names the event. Clients' headers of
/// this name are taken away.
pub const EVENT_HEADER: &str = "aleph-event";

/// One HTTP request to a program.
#[derive(Debug)]
pub struct Call {
    /// Upper case.
    pub method: String,
    /// Percent-decoded, begins with `/`.
    pub path: String,
    /// Without `?`, may be empty; as received.
    pub query: String,
    /// Lower-case names, in order, duplicates kept.
    pub headers: Headers,
    /// The program takes it at its own pace.
    pub body: Body,
}

/// A program's answer: its head, and a body that may still be under way.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// In order, duplicates kept.
    pub headers: Headers,
    /// Dropped before its end: the program is told that nobody reads any more.
    pub body: Body,
}

/// One message of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// The last one, from either side.
    Close {
        /// As in RFC 6455; 1005 for none, 1006 when the other side has vanished.
        code: u16,
        /// May be empty.
        reason: String,
    },
}

/// A WebSocket that a program has accepted.
pub struct Socket {
    /// What the program chose of those offered.
    pub subprotocol: Option<String>,
    /// What it adds to the handshake.
    pub headers: Headers,
    /// What it says; the last is a close.
    pub incoming: BoxStream<'static, Message>,
    /// What it is told; nothing follows a close.
    pub outgoing: Pin<Box<dyn Sink<Message, Error = ()> + Send>>,
    /// Held as long as the socket is used.
    pub guards: Vec<Box<dyn Any + Send>>,
}

/// What becomes of a client that asks for a WebSocket.
pub enum Connection {
    /// The program talks with it.
    Open(Socket),
    /// It does not, and says so.
    Refused(Answer),
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
    fn prepare<'a>(
        &'a self,
        program: &'a Program,
        phases: Phases,
    ) -> BoxFuture<'a, Result<(), Fault>>;

    /// Creates a machine and waits until it can answer. Dropping the future
    /// leaves nothing behind.
    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>>;

    /// Removes what was made ahead of time for a program that is no more.
    fn forget(&self, _item_hash: &ItemHash) {}

    /// Gives it the guest network, before the first start.
    fn use_network(&self, _lan: &Lan) {}

    /// Room on the disk that a program's persistent volumes take, in bytes.
    fn disk_bytes<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, u64> {
        Box::pin(std::future::ready(0))
    }

    /// Removes what a program has written to its persistent volumes, once no
    /// machine of it writes.
    fn erase<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Something that answers calls.
pub trait Machine: Send + Sync + 'static {
    /// Answers one request; `Fault::Timeout` when the answer does not begin
    /// within `resources.seconds`.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>>;

    /// Opens a WebSocket; the call's body is not used. `Fault::Timeout` as for
    /// [`call`](Self::call).
    fn connect(
        &self,
        _call: Call,
        _subprotocols: Vec<String>,
    ) -> BoxFuture<'_, Result<Connection, Fault>> {
        let text = "this kind of program takes no WebSockets; answer with a stream of events (text/event-stream)";
        let answer = Answer {
            status: 501,
            headers: vec![(b"content-type".to_vec(), b"text/plain".to_vec())],
            body: text.into(),
        };
        Box::pin(std::future::ready(Ok(Connection::Refused(answer))))
    }

    /// Tells it of something that happened, as JSON; what it says to that.
    fn event(&self, _kind: &'static str, _event: String) -> BoxFuture<'_, Result<Bytes, Fault>> {
        let text = "this kind of program takes no events; let something call it";
        Box::pin(std::future::ready(Err(Fault::NotHere(text.to_owned()))))
    }

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
