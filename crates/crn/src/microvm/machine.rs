//! One running microVM.
//!
//! ```text
//!           ┌──── call: cont, wake ────┐
//!           ▼                          │
//!  born ─▶ running ── unused: stop ─▶ paused      QEMU's processors stand still
//!           │  │                       │
//!           │  └───────── halt ◀───────┘
//!           │              │
//!           │ the program ends, nonsense, limit: kill
//!           └──────────────┴─▶ gone
//! ```
//!
//! One task owns the process and ends with it; two carry frames, three follow
//! output. All end when QEMU does, and QEMU ends when the machine is dropped.
//!
//! A machine is paused only while nobody is answered, and a call is sent only
//! while it runs: both look at it under the lock of its monitor. A paused
//! machine's clocks stand still, so the first frame after a pause sets the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use beth_guest::frame::Kind;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmpv::Value;
use tokio::process::Child;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::boot::{Booted, Guest, Output, describe, farewell_text};
use super::channel::Channel;
use super::monitor::Monitor;
use super::reply::{self, Failure};
use super::setup;
use super::socket;
use crate::executor::{Answer, Call, Connection, Fault, Machine};
use crate::jail::Cell;
use crate::limits;

/// A microVM that answers calls.
pub(super) struct MicroMachine {
    channel: Channel,
    /// Who holds it decides whether the machine is paused.
    monitor: tokio::sync::Mutex<Monitor>,
    paused: AtomicBool,
    busy: Arc<AtomicUsize>,
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
        let Guest {
            child,
            cell,
            line,
            output,
        } = booted.guest;
        let channel = line.open(&output.tasks, kill.clone());
        output.tasks.spawn(own(child, cell, kill.clone(), ended));
        MicroMachine {
            channel,
            monitor: tokio::sync::Mutex::new(booted.monitor),
            paused: AtomicBool::new(false),
            busy: Arc::default(),
            output,
            limit,
            kill,
            end,
        }
    }

    /// Makes it run, and keeps it so until the answer is dropped.
    async fn resume(&self) -> Result<Busy, Fault> {
        let busy = Busy::new(&self.busy);
        let mut monitor = self.monitor.lock().await;
        if self.is_paused() {
            if let Err(fault) = monitor.cont().await {
                self.kill.cancel();
                return Err(Fault::Died(fault.to_string()));
            }
            self.channel
                .tell(Kind::Wake, &setup::wake(None, Value::Nil))
                .await;
            self.paused.store(false, Ordering::Relaxed);
        }
        Ok(busy)
    }

    async fn wait_for_end(&self, limit: Duration) -> bool {
        let mut end = self.end.clone();
        tokio::time::timeout(limit, end.wait_for(Option::is_some))
            .await
            .is_ok_and(|end| end.is_ok())
    }

    /// Why a call failed; nonsense ends the machine.
    async fn fault(&self, failure: Failure) -> Fault {
        match failure {
            Failure::Ended => Fault::Died(self.cause().await),
            Failure::Fault(fault) => {
                if matches!(fault, Fault::Died(_)) {
                    self.kill.cancel();
                }
                fault
            }
        }
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
            let busy = self.resume().await?;
            match reply::call(&self.channel, call, self.limit).await {
                Ok(mut answer) => {
                    answer.body.hold(busy);
                    Ok(answer)
                }
                Err(failure) => Err(self.fault(failure).await),
            }
        }
        .boxed()
    }

    fn connect(
        &self,
        call: Call,
        subprotocols: Vec<String>,
    ) -> BoxFuture<'_, Result<Connection, Fault>> {
        async move {
            let busy = self.resume().await?;
            match socket::connect(&self.channel, call, &subprotocols, self.limit).await {
                Ok(Connection::Open(mut socket)) => {
                    socket.guards.push(Box::new(busy));
                    Ok(Connection::Open(socket))
                }
                Ok(Connection::Refused(mut answer)) => {
                    answer.body.hold(busy);
                    Ok(Connection::Refused(answer))
                }
                Err(failure) => Err(self.fault(failure).await),
            }
        }
        .boxed()
    }

    fn event(&self, kind: &'static str, event: String) -> BoxFuture<'_, Result<Bytes, Fault>> {
        async move {
            let _busy = self.resume().await?;
            match reply::event(&self.channel, kind, event, self.limit).await {
                Ok(said) => Ok(said),
                Err(failure) => Err(self.fault(failure).await),
            }
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async move {
            let halted = async {
                let _busy = self.resume().await;
                self.channel.tell(Kind::Halt, &Value::Nil).await;
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

    fn pause(&self) -> BoxFuture<'_, ()> {
        async move {
            let mut monitor = self.monitor.lock().await;
            if self.busy.load(Ordering::Relaxed) > 0 || self.is_paused() || !self.is_alive() {
                return;
            }
            // First: who gives up waiting leaves a machine that will be resumed.
            self.paused.store(true, Ordering::Relaxed);
            if let Err(fault) = monitor.stop().await
                && self.is_alive()
            {
                tracing::warn!("a machine cannot be paused: {fault}");
                self.kill.cancel();
            }
        }
        .boxed()
    }

    fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
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

/// Somebody needs the machine to run.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: &Arc<AtomicUsize>) -> Busy {
        count.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
