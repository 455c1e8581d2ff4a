//! One running machine of Firecracker.
//!
//! ```text
//! call ─▶ connection ─▶ {"scope"} ─▶ guest ─▶ reply, until it closes ─▶ answer
//! ```
//!
//! Calls share nothing but the machine. A guest that answers nonsense, or
//! nothing, is ended.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use beth_guest::frame;
use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::protocol::encode;
use super::vsock::{Vsock, read_all};
use crate::executor::{Answer, Call, Fault, Machine};
use crate::limits;
use crate::microvm::lines::Lines;
use crate::microvm::reply::{answer, scope};

/// Largest reply: the largest answer and 1 MiB around it.
const REPLY_BYTES_MAX: usize = limits::ANSWER_BYTES_MAX + (1 << 20);

/// How long a machine that said nothing may take to end by itself.
const LAST_WORDS_DEADLINE: Duration = Duration::from_millis(500);

/// A process that is owned by a task; dropping this ends both.
pub(super) struct Process {
    console: Lines,
    errors: Lines,
    kill: CancellationToken,
    end: watch::Receiver<Option<String>>,
    tasks: TaskTracker,
}

impl Process {
    pub(super) fn new(mut child: Child, console: Lines, errors: Lines) -> Process {
        let (kill, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (ended, end) = watch::channel(None);
        if let Some(stdout) = child.stdout.take() {
            tasks.spawn(console.clone().follow(stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            tasks.spawn(errors.clone().follow(stderr));
        }
        tasks.spawn(own(child, kill.clone(), ended));
        Process {
            console,
            errors,
            kill,
            end,
            tasks,
        }
    }

    /// Does this as long as the process lives.
    pub(super) fn accompany(&self, work: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tasks.spawn(async move {
            kill.run_until_cancelled(work).await;
        });
    }

    /// Waits for the end; says what it was.
    pub(super) async fn ended(&self) -> String {
        let mut end = self.end.clone();
        let _ = end.wait_for(Option::is_some).await;
        self.cause()
    }

    fn cause(&self) -> String {
        let status = self.end.borrow().clone();
        let status = status.unwrap_or_else(|| "it does not end".to_owned());
        let said = [self.errors.tail(2), self.console.tail(3)].join(" ");
        format!("{status}; it said last: {}", said.trim())
    }

    fn is_alive(&self) -> bool {
        self.end.borrow().is_none() && !self.kill.is_cancelled()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

async fn own(mut child: Child, kill: CancellationToken, ended: watch::Sender<Option<String>>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.cancelled() => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let describe = |status: ExitStatus| format!("Firecracker ended with {status}");
    let text = status.map_or_else(|error| error.to_string(), describe);
    ended.send_replace(Some(text));
    kill.cancel();
}

/// A machine that answers calls.
pub(super) struct FireMachine {
    process: Process,
    vsock: Vsock,
    limit: Duration,
    _folder: TempDir,
}

impl FireMachine {
    /// `limit` is the longest time of a call.
    pub(super) fn new(
        process: Process,
        vsock: Vsock,
        folder: TempDir,
        limit: Duration,
    ) -> FireMachine {
        FireMachine {
            process,
            vsock,
            limit,
            _folder: folder,
        }
    }

    async fn exchange(&self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.vsock.connect().await?;
        stream.get_mut().write_all(payload).await?;
        read_all(&mut stream, REPLY_BYTES_MAX).await
    }

    /// Ends the machine; says why.
    fn give_up(&self, why: &str) -> Fault {
        self.process.kill.cancel();
        Fault::Died(why.to_owned())
    }
}

impl Machine for FireMachine {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        async move {
            let payload = match whole(call).await {
                Ok(payload) => payload,
                Err(fault) => return Err(fault),
            };
            let reply = tokio::select! {
                reply = tokio::time::timeout(self.limit, self.exchange(&payload)) => reply,
                cause = self.process.ended() => return Err(Fault::Died(cause)),
            };
            let reply = match reply {
                Err(_) => return Err(Fault::Timeout),
                Ok(Err(error)) => return Err(self.give_up(&error.to_string())),
                Ok(Ok(reply)) if reply.is_empty() => {
                    // A guest that has just ended tells more than its silence.
                    let ended = tokio::time::timeout(LAST_WORDS_DEADLINE, self.process.ended());
                    let cause = ended.await.unwrap_or_default();
                    return Err(self.give_up(&format!("No response from VM {cause}")));
                }
                Ok(Ok(reply)) => reply,
            };
            match frame::decode(&reply) {
                Ok(reply) => answer(&reply),
                Err(_) => Err(self.give_up("Invalid response from VM")),
            }
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async move {
            let polite = async {
                let _ = self.exchange(b"halt").await;
                self.process.ended().await;
            };
            let _ = tokio::time::timeout(limits::MACHINE_HALT_DEADLINE, polite).await;
            self.process.kill.cancel();
            self.process.tasks.close();
            let gone = self.process.tasks.wait();
            if tokio::time::timeout(limits::MACHINE_KILL_DEADLINE, gone)
                .await
                .is_err()
            {
                tracing::warn!("a machine did not end after it was killed");
            }
        }
        .boxed()
    }

    fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    fn logs(&self) -> Vec<String> {
        self.process.console.all()
    }
}

/// The payload of a call. These guests know no pieces: they read a request in
/// one go, and so it must be small.
async fn whole(mut call: Call) -> Result<Vec<u8>, Fault> {
    let body = std::mem::take(&mut call.body);
    let limit = limits::REQUEST_BODY_BYTES_MAX as u64;
    let body = body.collect(limit).await.map_err(|fault| Fault::Raised {
        traceback: format!("the request could not be given to the program: {fault}"),
    })?;
    Ok(encode(&scope(&call, &body, false)))
}

/// One MessagePack value from a guest that may not close behind it.
pub(super) async fn read_value(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let length = stream.read_buf(&mut bytes).await?;
        if length == 0 || bytes.len() > bytes_max || frame::decode(&bytes).is_ok() {
            return Ok(bytes);
        }
    }
}
