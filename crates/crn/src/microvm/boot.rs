//! From a QEMU that has just started to a machine that can answer.
//!
//! ```text
//!  spawned ──hello──▶ configured ──progress──▶ loading ──ready──▶ booted ──freeze──▶ gone,
//!     │                                                              ▲              its state kept
//!     └──state loaded──▶ running, like its siblings ──wake──▶ different
//! ```
//!
//! On every arrow QEMU may end, the program may turn out to be none and the
//! guest may talk nonsense: a [`Fault`] that says so.

use std::os::fd::{AsFd, RawFd};
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use beth_guest::frame::{self, Kind, member};
use rmpv::Value;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio_util::task::TaskTracker;

use super::channel::{Frame, Line};
use super::lines::Lines;
use super::monitor::Monitor;
use crate::executor::{Fault, Phases, clip};
use crate::jail::Cell;
use crate::limits;

/// A machine that is not ready yet.
pub(super) struct Boot {
    pub(super) guest: Guest,
    /// Our end of the monitor's socket.
    pub(super) monitor: UnixStream,
    /// Of its network card, for the guest; nil without one.
    pub(super) network: Value,
    pub(super) spawned: Instant,
}

/// QEMU and the ways to hear of its guest.
pub(super) struct Guest {
    pub(super) child: Child,
    /// Dropped after the child.
    pub(super) cell: Cell,
    pub(super) line: Line,
    pub(super) output: Output,
}

/// A machine that can answer, not yet in anybody's hands.
pub(super) struct Booted {
    pub(super) guest: Guest,
    pub(super) monitor: Monitor,
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
    /// Tells a guest that boots its program, and waits until it can answer.
    pub(super) async fn finish(
        mut self,
        config: &Value,
        stage: &Stage,
    ) -> Result<(Booted, Measured), Fault> {
        let hello = self.guest.expect(Kind::Hello).await?;
        let since_start = self.spawned.elapsed();
        let version = clip(member(&hello, "version").as_str().unwrap_or("none"), 20);
        if version != frame::VERSION {
            return Err(Fault::Internal(format!(
                "the guest speaks version {version} and the node {}",
                frame::VERSION
            )));
        }
        stage.set("init");
        self.guest.send(Kind::Config, config).await?;
        self.guest.expect(Kind::Progress).await?;
        stage.set("application");
        let ready = self.guest.expect(Kind::Ready).await?;
        succeeded(&ready)?;
        let measured = Measured {
            since_start,
            hello,
            ready,
        };
        Ok((self.booted().await?, measured))
    }

    /// Gives a machine that waits for it the state of a template, lets it run,
    /// tells it what makes it different from its siblings, and waits until it
    /// can answer.
    pub(super) async fn thaw(
        self,
        state: RawFd,
        wake: impl FnOnce() -> Result<Value, Fault>,
        stage: &Stage,
        phases: &Phases,
    ) -> Result<Booted, Fault> {
        stage.set("clone");
        let mut booted = self.booted().await?;
        let loaded = async {
            booted.monitor.load(state).await?;
            booted.monitor.cont().await
        };
        if let Err(fault) = loaded.await {
            let fault = booted.guest.lost(&fault.to_string()).await;
            return Err(Fault::Internal(format!("loading a state: {fault}")));
        }
        stage.set("wake");
        phases.begin("wake");
        booted.guest.send(Kind::Wake, &wake()?).await?;
        succeeded(&booted.guest.expect(Kind::Wake).await?)?;
        Ok(booted)
    }

    async fn booted(mut self) -> Result<Booted, Fault> {
        match Monitor::open(self.monitor).await {
            Ok(monitor) => Ok(Booted {
                guest: self.guest,
                monitor,
            }),
            Err(fault) => Err(self.guest.lost(&fault.to_string()).await),
        }
    }
}

impl Booted {
    /// Saves the machine's state, whose memory lies in a file, and ends it. What
    /// it has said so far is complete afterwards.
    pub(super) async fn freeze(mut self, state: impl AsFd) -> Result<Output, Fault> {
        let frozen = async {
            self.monitor.stop().await?;
            self.monitor.save(state).await?;
            self.monitor.quit().await
        };
        if let Err(fault) = frozen.await {
            return Err(self.guest.lost(&fault.to_string()).await);
        }
        let ended = tokio::time::timeout(limits::QUIT_DEADLINE, self.guest.child.wait()).await;
        if !matches!(ended, Ok(Ok(status)) if status.success()) {
            let text = "QEMU did not end well after it was frozen";
            return Err(Fault::Internal(text.to_owned()));
        }
        self.guest.output.settle().await;
        Ok(self.guest.output)
    }
}

impl Guest {
    async fn send(&mut self, kind: Kind, payload: &Value) -> Result<(), Fault> {
        match self.line.send(kind, payload).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lost(&error.to_string()).await),
        }
    }

    /// The payload of the next frame, which must be of this kind.
    async fn expect(&mut self, kind: Kind) -> Result<Value, Fault> {
        match self.line.receive().await {
            Ok(frame) if frame.kind == kind => Ok(frame.payload),
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

/// `{success: true}`, or why not.
fn succeeded(outcome: &Value) -> Result<(), Fault> {
    match member(outcome, "success").as_bool() {
        Some(true) => Ok(()),
        _ => Err(refusal(outcome)),
    }
}

/// How a process ended, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    format!("QEMU ended with {status}")
}

impl Output {
    /// Of a program that has printed already.
    pub(super) fn after(log: Lines) -> Output {
        Output {
            log,
            ..Output::default()
        }
    }

    /// Waits a moment for what is still in the pipes of a process that has ended.
    pub(super) async fn settle(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(limits::MACHINE_KILL_DEADLINE, self.tasks.wait()).await;
    }
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

/// The fault behind `{success: false}`.
fn refusal(ready: &Value) -> Fault {
    let text =
        |name: &str, bytes_max| clip(member(ready, name).as_str().unwrap_or_default(), bytes_max);
    let error = text("error", limits::ERROR_BYTES_MAX);
    match member(ready, "kind").as_str() {
        Some("program") => Fault::BadProgram(error),
        Some("clone") => Fault::Internal(format!("a clone could not be told apart: {error}")),
        _ => Fault::Setup {
            error,
            traceback: text("traceback", limits::TRACEBACK_BYTES_MAX),
        },
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

/// Why a program has ended, from its last frame.
pub(super) fn farewell_text(farewell: &Value) -> String {
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
mod tests {
    use super::*;

    #[test]
    fn farewells_are_sentences() {
        let exit = |status: i64| frame::map([("status", status.into()), ("error", Value::Nil)]);
        assert!(farewell_text(&exit(3)).contains("status 3"));
        assert!(farewell_text(&exit(-9)).contains("memory"));
        assert!(farewell_text(&exit(-11)).contains("signal 11"));
    }
}
