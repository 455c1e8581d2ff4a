//! One running microVM.
//!
//! ```text
//!  spawned ──hello──▶ configured ──ready──▶ running ──halt──▶ ending ──▶ gone
//!     │                   │                   │                  ▲        ▲
//!     │ QEMU ends,        │ bad program,      │ the program ends,│ limit: │
//!     │ time is up        │ time is up        │ nonsense         │  kill  │
//!     └───────────────────┴───────────────────┴──────────────────┴────────┘
//! ```
//!
//! One task owns the process and ends with it; two carry frames, three follow
//! output. All end when QEMU does, and QEMU ends when the machine is dropped.
//!
//! Room is left for templates: between *running* and *gone* a machine may become
//! *paused* and a paused one *running* again, and a clone enters at *configured*
//! with another clock and other random numbers. Nothing here depends on how a
//! machine came to be configured.

use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use beth_guest::frame::{self, Kind, member};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmpv::Value;
use tokio::process::Child;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channel::{Channel, Ended, Frame, Line};
use super::lines::Lines;
use super::setup::Setup;
use crate::executor::{Answer, Call, Fault, Machine, Phases, clip};
use crate::jail::Cell;
use crate::limits;

/// A machine that is not ready yet.
pub(super) struct Boot {
    pub(super) child: Child,
    pub(super) cell: Cell,
    pub(super) line: Line,
    pub(super) output: Output,
    pub(super) spawned: Instant,
}

/// What a machine says outside of frames.
#[derive(Clone, Default)]
pub(super) struct Output {
    /// The program's standard output and error.
    pub(super) log: Lines,
    /// The guest's console.
    pub(super) console: Lines,
    /// QEMU's standard error.
    pub(super) errors: Lines,
    pub(super) tasks: TaskTracker,
}

/// What a machine that is not ready is doing, for those who give up on it.
#[derive(Debug)]
pub(super) struct Stage(Mutex<&'static str>);

impl Stage {
    pub(super) fn new() -> Stage {
        Stage(Mutex::new("kernel"))
    }

    pub(super) fn name(&self) -> &'static str {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, name: &'static str) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = name;
    }
}

impl Boot {
    /// Tells the guest its program and waits until it can answer.
    pub(super) async fn finish(
        mut self,
        setup: &Setup,
        stage: &Stage,
    ) -> Result<(Booted, Measured), Fault> {
        let hello = self.expect(Kind::Hello).await?.payload;
        let since_start = self.spawned.elapsed();
        let version = clip(member(&hello, "version").as_str().unwrap_or("none"), 20);
        if version != frame::VERSION {
            return Err(Fault::Internal(format!(
                "the guest speaks version {version} and the node {}",
                frame::VERSION
            )));
        }
        stage.set("init");
        if let Err(error) = self.line.send(Kind::Config, &setup.config()).await {
            return Err(self.lost(&error.to_string()).await);
        }
        self.expect(Kind::Progress).await?;
        stage.set("application");
        let ready = self.expect(Kind::Ready).await?.payload;
        if member(&ready, "success").as_bool() != Some(true) {
            return Err(refusal(&ready));
        }
        let measured = Measured {
            since_start,
            hello,
            ready,
        };
        Ok((
            Booted {
                child: self.child,
                cell: self.cell,
                line: self.line,
                output: self.output,
            },
            measured,
        ))
    }

    async fn expect(&mut self, kind: Kind) -> Result<Frame, Fault> {
        match self.line.receive().await {
            Ok(frame) if frame.kind == kind => Ok(frame),
            Ok(Frame {
                kind: Kind::Exit,
                payload,
                ..
            }) => Err(farewell_fault(&payload)),
            Ok(frame) => Err(Fault::Died(format!(
                "the guest sent {:?} instead of {kind:?}",
                frame.kind
            ))),
            Err(error) => Err(self.lost(&error.to_string()).await),
        }
    }

    /// Why the guest is gone: what QEMU or the console said last.
    async fn lost(&mut self, error: &str) -> Fault {
        let ended = tokio::time::timeout(limits::MACHINE_KILL_DEADLINE, self.child.wait()).await;
        self.output.settle().await;
        let (errors, console) = (self.output.errors.tail(3), self.output.console.tail(5));
        if console.is_empty() && !errors.is_empty() {
            return Fault::NotHere(format!("QEMU refused to start the machine: {errors}"));
        }
        let status = match ended {
            Ok(Ok(status)) => describe(status),
            _ => error.to_owned(),
        };
        Fault::Died(format!(
            "it ended while it was starting ({status}); its console said: {console} {errors}"
        ))
    }
}

impl Output {
    /// Waits a moment for what is still in the pipes of a process that has ended.
    async fn settle(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(limits::MACHINE_KILL_DEADLINE, self.tasks.wait()).await;
    }
}

/// A machine that can answer, not yet in anybody's hands.
pub(super) struct Booted {
    child: Child,
    cell: Cell,
    line: Line,
    output: Output,
}

/// Times from both clocks.
pub(super) struct Measured {
    since_start: Duration,
    hello: Value,
    ready: Value,
}

impl Measured {
    /// Adds the phases `kernel`, `init`, `python`, `application`.
    pub(super) fn record(&self, phases: &Phases) {
        let ms = |map: &Value, name: &str| {
            Duration::from_millis(member(map, name).as_u64().unwrap_or(0))
        };
        let started = ms(&self.hello, "started_ms");
        let init_so_far = ms(&self.hello, "uptime_ms").saturating_sub(started);
        let inside = member(&self.ready, "phases");
        let (python, runner, end) = (
            ms(inside, "python_ms"),
            ms(inside, "runner_ms"),
            ms(inside, "application_ms"),
        );
        phases.record("kernel", self.since_start.saturating_sub(init_so_far));
        phases.record("init", python.saturating_sub(started));
        phases.record("python", runner.saturating_sub(python));
        phases.record("application", end.saturating_sub(runner));
    }
}

/// A microVM that answers calls.
pub(super) struct MicroMachine {
    channel: Channel,
    output: Output,
    limit: Duration,
    kill: CancellationToken,
    end: watch::Receiver<Option<String>>,
}

impl MicroMachine {
    /// Takes over; `limit` is the longest time of a call.
    pub(super) fn new(booted: Booted, limit: Duration) -> MicroMachine {
        let kill = CancellationToken::new();
        let (ended, end) = watch::channel(None);
        let tasks = &booted.output.tasks;
        let channel = booted.line.open(tasks, kill.clone());
        tasks.spawn(own(booted.child, booted.cell, kill.clone(), ended));
        MicroMachine {
            channel,
            output: booted.output,
            limit,
            kill,
            end,
        }
    }

    async fn wait_for_end(&self, limit: Duration) -> bool {
        let mut end = self.end.clone();
        tokio::time::timeout(limit, end.wait_for(Option::is_some))
            .await
            .is_ok_and(|end| end.is_ok())
    }

    /// Why it ended, from the best witness.
    async fn cause(&self) -> String {
        self.wait_for_end(limits::MACHINE_KILL_DEADLINE).await;
        if let Some(farewell) = self.channel.farewell() {
            return farewell_text(&farewell);
        }
        let status = self
            .end
            .borrow()
            .clone()
            .unwrap_or_else(|| "it does not end".to_owned());
        let said = [self.output.errors.tail(2), self.output.console.tail(3)].join(" ");
        format!(
            "{status}; it said last: {}",
            if said.trim().is_empty() {
                "nothing"
            } else {
                said.trim()
            }
        )
    }
}

impl Machine for MicroMachine {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        async move {
            let scope = scope(call);
            match tokio::time::timeout(self.limit, self.channel.call(&scope)).await {
                Err(_) => Err(Fault::Timeout),
                Ok(Err(Ended)) => Err(Fault::Died(self.cause().await)),
                Ok(Ok(reply)) => answer(&reply).inspect_err(|fault| {
                    if matches!(fault, Fault::Died(_)) {
                        self.kill.cancel();
                    }
                }),
            }
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async move {
            let halted = async {
                self.channel.halt().await;
                self.wait_for_end(limits::MACHINE_HALT_DEADLINE).await
            };
            let polite = tokio::time::timeout(limits::MACHINE_HALT_DEADLINE, halted).await;
            self.kill.cancel();
            if polite != Ok(true) && !self.wait_for_end(limits::MACHINE_KILL_DEADLINE).await {
                tracing::warn!("a machine did not end after it was killed");
            }
            self.output.settle().await;
        }
        .boxed()
    }

    fn is_alive(&self) -> bool {
        self.end.borrow().is_none() && !self.kill.is_cancelled()
    }

    fn logs(&self) -> Vec<String> {
        self.output.log.all()
    }
}

impl Drop for MicroMachine {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

async fn own(
    mut child: Child,
    cell: Cell,
    kill: CancellationToken,
    ended: watch::Sender<Option<String>>,
) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.cancelled() => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    drop(cell);
    let text = status.map_or_else(|error| error.to_string(), describe);
    ended.send_replace(Some(text));
    kill.cancel();
}

fn describe(status: ExitStatus) -> String {
    format!("QEMU ended with {status}")
}

fn scope(call: Call) -> Value {
    let bytes = |bytes: Vec<u8>| Value::Binary(bytes);
    let headers = call
        .headers
        .into_iter()
        .map(|(name, value)| Value::Array(vec![bytes(name), bytes(value)]));
    let scope = frame::map([
        ("type", "http".into()),
        ("method", call.method.into()),
        ("path", call.path.into()),
        ("query_string", call.query.into()),
        ("headers", Value::Array(headers.collect())),
        ("body", bytes(call.body.to_vec())),
    ]);
    frame::map([("scope", scope)])
}

fn answer(reply: &Value) -> Result<Answer, Fault> {
    if let Some(traceback) = member(reply, "traceback").as_str() {
        let traceback = if traceback.is_empty() {
            member(reply, "error").as_str().unwrap_or_default()
        } else {
            traceback
        };
        return Err(Fault::Raised {
            traceback: clip(traceback, limits::TRACEBACK_BYTES_MAX),
        });
    }
    let nonsense = || Fault::Died("its answer was no answer".to_owned());
    let start = member(reply, "headers");
    let body = member(member(reply, "body"), "body")
        .as_slice()
        .ok_or_else(nonsense)?;
    if body.len() > limits::ANSWER_BYTES_MAX {
        let traceback = format!(
            "the answer is longer than {} bytes",
            limits::ANSWER_BYTES_MAX
        );
        return Err(Fault::Raised { traceback });
    }
    let status = member(start, "status")
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .ok_or_else(nonsense)?;
    let mut headers = Vec::new();
    for header in member(start, "headers").as_array().ok_or_else(nonsense)? {
        match header.as_array().map(Vec::as_slice) {
            Some([name, value]) => {
                let (name, value) = (
                    name.as_slice().ok_or_else(nonsense)?,
                    value.as_slice().ok_or_else(nonsense)?,
                );
                headers.push((name.to_ascii_lowercase(), value.to_vec()));
            }
            _ => return Err(nonsense()),
        }
    }
    Ok(Answer {
        status,
        headers,
        body: Bytes::copy_from_slice(body),
    })
}

/// The fault behind `ready {success: false}`.
fn refusal(ready: &Value) -> Fault {
    let text =
        |name: &str, bytes_max| clip(member(ready, name).as_str().unwrap_or_default(), bytes_max);
    let error = text("error", limits::ERROR_BYTES_MAX);
    if member(ready, "kind").as_str() == Some("program") {
        return Fault::BadProgram(error);
    }
    Fault::Setup {
        error,
        traceback: text("traceback", limits::TRACEBACK_BYTES_MAX),
    }
}

/// The fault behind an exit frame that comes before the machine is ready.
fn farewell_fault(farewell: &Value) -> Fault {
    match member(farewell, "error").as_str() {
        Some(error) => Fault::BadProgram(format!(
            "the guest could not be set up: {}",
            clip(error, limits::ERROR_BYTES_MAX)
        )),
        None => Fault::Setup {
            error: farewell_text(farewell),
            traceback: String::new(),
        },
    }
}

fn farewell_text(farewell: &Value) -> String {
    if let Some(error) = member(farewell, "error").as_str() {
        return error.to_owned();
    }
    match member(farewell, "status").as_i64() {
        Some(-9) => "the program was killed, probably because it used up its memory".to_owned(),
        Some(signal @ ..0) => format!("the program was ended by signal {}", -signal),
        Some(status) => format!("the program ended by itself with status {status}"),
        None => "the program ended".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_tracebacks_are_told_apart() {
        let headers = Value::Array(vec![Value::Array(vec![
            Value::Binary(b"X-A".to_vec()),
            Value::Binary(b"1".to_vec()),
        ])]);
        let good = frame::map([
            (
                "headers",
                frame::map([("status", 201.into()), ("headers", headers)]),
            ),
            (
                "body",
                frame::map([("body", Value::Binary(b"hi".to_vec()))]),
            ),
        ]);
        let answer_ = answer(&good).unwrap();
        assert_eq!((answer_.status, &answer_.body[..]), (201, &b"hi"[..]));
        assert_eq!(answer_.headers, [(b"x-a".to_vec(), b"1".to_vec())]);
        let raised = frame::map([
            ("error", "boom".into()),
            ("traceback", "Traceback: boom".into()),
        ]);
        assert!(
            matches!(answer(&raised), Err(Fault::Raised { traceback }) if traceback == "Traceback: boom")
        );
        for nonsense in [Value::Nil, frame::map([("headers", Value::Nil)]), 7.into()] {
            assert!(
                matches!(answer(&nonsense), Err(Fault::Died(_))),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn farewells_are_sentences() {
        let exit = |status: i64| frame::map([("status", status.into()), ("error", Value::Nil)]);
        assert!(farewell_text(&exit(3)).contains("status 3"));
        assert!(farewell_text(&exit(-9)).contains("memory"));
        assert!(farewell_text(&exit(-11)).contains("signal 11"));
    }
}
