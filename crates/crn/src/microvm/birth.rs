//! How machines come to be: cloned from a template, or booted.
//!
//! ```text
//!            template of this program? ─yes─▶ clone ─▶ wake ─▶ machine
//!                     │no                       │ does not work
//!                     ▼                         ▼
//!   boot with memory in a file ─▶ freeze      boot ─────────▶ machine
//!                     │                         ▲
//!                     │ cannot be frozen ───────┘
//!                     ▼
//!                  template, clone as above
//! ```
//!
//! A template is made once, whoever asks first: the others wait for it. When the
//! program itself is to blame, its fault is the answer, and nothing is booted a
//! second time.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rmpv::Value;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::UnixStream;

use super::boot::{Boot, Booted, Guest, Output, Stage};
use super::channel::Line;
use super::lines::Lines;
use super::qemu::{self, Memory};
use super::setup;
use super::spawn;
use super::template::Template;
use super::{Inner, Plan};
use crate::executor::{Fault, Phases};
use crate::limits;

/// What a QEMU starts with.
struct Origin<'a> {
    memory: Memory<'a>,
    /// Descriptors that keep their numbers.
    inherited: Vec<OwnedFd>,
    /// What its program has printed already.
    log: Lines,
}

impl<'a> Origin<'a> {
    /// Nothing but memory.
    fn of(memory: Memory<'a>) -> Origin<'a> {
        Origin {
            memory,
            inherited: Vec::new(),
            log: Lines::default(),
        }
    }
}

impl Inner {
    /// A machine that can answer.
    pub(super) async fn bear(
        self: &Arc<Inner>,
        plan: &Plan,
        phases: &Phases,
    ) -> Result<Booted, Fault> {
        if let Some(template) = self.template(plan, phases).await? {
            match self.clone_of(&template, plan, phases).await {
                Ok(machine) => return Ok(machine),
                Err(fault @ (Fault::BadProgram(_) | Fault::Setup { .. })) => return Err(fault),
                // No processes, no memory: the template is not to blame.
                Err(fault @ Fault::NotHere(_)) => {
                    tracing::warn!(plan.name, "a template cannot be cloned now: {fault}");
                }
                Err(fault) => {
                    tracing::warn!(
                        plan.name,
                        "a template does not work and is removed: {fault}"
                    );
                    self.templates.remove(&plan.name);
                    if is_of_program(&fault) {
                        return Err(fault);
                    }
                }
            }
        }
        self.boot(plan, phases).await
    }

    /// The template of a program, made if need be; `None` when it cannot be.
    pub(super) async fn template(
        self: &Arc<Inner>,
        plan: &Plan,
        phases: &Phases,
    ) -> Result<Option<Arc<Template>>, Fault> {
        // What a frozen machine knows of a disk is wrong when another has written.
        if !plan.setup.disks.is_empty() {
            return Ok(None);
        }
        if let Some(template) = self.templates.find(&plan.name) {
            return Ok(Some(template));
        }
        phases.begin("template");
        let _turn = self.templates.turn(&plan.name).await;
        if let Some(template) = self.templates.find(&plan.name) {
            phases.end();
            return Ok(Some(template));
        }
        if self.templates.is_refused(&plan.name) || !self.templates.has_room_for(plan.memory_mib) {
            phases.end();
            return Ok(None);
        }
        let place = self.freezes.acquire().await;
        let _place = place.map_err(|error| Fault::Internal(error.to_string()))?;
        phases.end();
        match self.freeze(plan, phases).await {
            Ok(template) => Ok(Some(template)),
            Err(fault) if is_of_program(&fault) => Err(fault),
            Err(fault) => {
                let program = plan.name.as_str();
                tracing::warn!(
                    program,
                    "no template could be made, so machines boot: {fault}"
                );
                self.templates.refuse(&plan.name);
                Ok(None)
            }
        }
    }

    async fn freeze(
        self: &Arc<Inner>,
        plan: &Plan,
        phases: &Phases,
    ) -> Result<Arc<Template>, Fault> {
        let broken = |error: std::io::Error| Fault::Internal(format!("making a template: {error}"));
        let (inner, name, memory_mib) = (Arc::clone(self), plan.name.clone(), plan.memory_mib);
        let beginning = move || inner.templates.begin(&name, memory_mib);
        let draft = blocking(beginning).await?.map_err(broken)?;
        phases.begin("create");
        let memory = draft.memory();
        let origin = Origin::of(Memory::Shared(&memory));
        let boot = self.launch(plan, origin).await?;
        phases.end();
        let (stage, output) = (Stage::new(), boot.guest.output.clone());
        let config = plan.setup.config(true, &boot.network);
        let finish = boot.finish(&config, &stage);
        let (machine, measured) = self.in_time(finish, &stage, &output).await?;
        measured.record(phases);
        phases.begin("freeze");
        let output = machine.freeze(draft.state()).await?;
        let inner = Arc::clone(self);
        let keeping = move || inner.templates.keep(draft, output.log.all());
        let template = blocking(keeping).await?.map_err(broken);
        phases.end();
        template
    }

    /// Clones use all the processors they get until they answer: a few at a time
    /// are ready sooner than all at once. One that takes its time holds nobody up.
    async fn clone_of(
        &self,
        template: &Template,
        plan: &Plan,
        phases: &Phases,
    ) -> Result<Booted, Fault> {
        phases.begin("turn");
        let place = self.wakes.acquire().await;
        phases.begin("clone");
        let mut cloning = std::pin::pin!(self.cloned(template, plan, phases));
        let early = tokio::time::timeout(limits::WAKE_TURN, &mut cloning).await;
        drop(place);
        let machine = match early {
            Ok(machine) => machine,
            Err(_) => cloning.await,
        };
        phases.end();
        machine
    }

    async fn cloned(
        &self,
        template: &Template,
        plan: &Plan,
        phases: &Phases,
    ) -> Result<Booted, Fault> {
        let state = template
            .state()
            .map_err(|error| Fault::Internal(format!("opening a template: {error}")))?;
        let state = OwnedFd::from(state);
        let number = state.as_raw_fd();
        let memory = template.memory();
        let origin = Origin {
            memory: Memory::Copied(&memory),
            inherited: vec![state],
            log: Lines::after(template.log()),
        };
        let boot = self.launch(plan, origin).await?;
        let (stage, output) = (Stage::new(), boot.guest.output.clone());
        let network = boot.network.clone();
        let thaw = boot.thaw(number, || wake(network), &stage, phases);
        self.in_time(thaw, &stage, &output).await
    }

    async fn boot(&self, plan: &Plan, phases: &Phases) -> Result<Booted, Fault> {
        phases.begin("create");
        let mut origin = Origin::of(Memory::Own);
        let disks = &plan.setup.disks;
        if !disks.is_empty() {
            let lease = self.shelves.lease(&plan.setup.item_hash, disks).await?;
            origin.inherited.push(lease);
        }
        let boot = self.launch(plan, origin).await?;
        phases.end();
        let (stage, output) = (Stage::new(), boot.guest.output.clone());
        let config = plan.setup.config(false, &boot.network);
        let finish = boot.finish(&config, &stage);
        let (machine, measured) = self.in_time(finish, &stage, &output).await?;
        measured.record(phases);
        Ok(machine)
    }

    /// Gives up when a machine is not ready in time.
    async fn in_time<T>(
        &self,
        ready: impl Future<Output = Result<T, Fault>>,
        stage: &Stage,
        output: &Output,
    ) -> Result<T, Fault> {
        let seconds = self.config.ready_timeout_seconds;
        let Ok(ready) = tokio::time::timeout(Duration::from_secs(seconds), ready).await else {
            let phase = stage.name().to_owned();
            let console = output.console.tail(5);
            tracing::warn!(phase, console, "a machine was not ready in time");
            return Err(Fault::NotReady { seconds, phase });
        };
        ready
    }

    /// Starts QEMU.
    async fn launch(&self, plan: &Plan, origin: Origin<'_>) -> Result<Boot, Fault> {
        let internal = |error: std::io::Error| Fault::Internal(format!("starting QEMU: {error}"));
        let (port, guest_port) = pair().map_err(internal)?;
        let (log, guest_log) = pair().map_err(internal)?;
        let (api, guest_api) = pair().map_err(internal)?;
        let (monitor, its_monitor) = pair().map_err(internal)?;
        let output = Output::after(origin.log);
        let wire = self.wire(plan, &output).await?;
        let card = wire.as_ref().zip(plan.card.as_ref());
        let machine = qemu::Machine {
            memory: origin.memory,
            card: card.map(|(wire, card)| (wire.tap.as_raw_fd(), card.mac.as_str())),
            port: guest_port.as_raw_fd(),
            log: guest_log.as_raw_fd(),
            api: guest_api.as_raw_fd(),
            monitor: its_monitor.as_raw_fd(),
            ..plan.machine()
        };
        let mut command = Command::new(&plan.qemu);
        command.args(qemu::arguments(&machine));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut inherited = origin.inherited;
        inherited.extend([guest_port, guest_log, guest_api, its_monitor]);
        let jail = self.jail(&machine);
        let network = match wire {
            Some(wire) => {
                inherited.extend([wire.tap, wire.held]);
                wire.told
            }
            None => Value::Nil,
        };
        let spawning = spawn::spawn(command, inherited, jail);
        let (mut child, cell) = spawning.await.map_err(|error| {
            Fault::NotHere(format!("{} does not start: {error}", plan.qemu.display()))
        })?;
        output.tasks.spawn(output.log.clone().follow(log));
        if let Some(service) = &self.config.guest_api {
            let program = plan.setup.item_hash.clone();
            output.tasks.spawn(service.clone().serve(api, program));
        }
        if let Some(console) = child.stdout.take() {
            output.tasks.spawn(output.console.clone().follow(console));
        }
        if let Some(errors) = child.stderr.take() {
            output.tasks.spawn(output.errors.clone().follow(errors));
        }
        Ok(Boot {
            guest: Guest {
                child,
                cell,
                line: Line::new(port),
                output,
            },
            monitor,
            network,
            spawned,
        })
    }
}

/// Whether another attempt would end in the same way.
fn is_of_program(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::BadProgram(_) | Fault::Setup { .. } | Fault::NotReady { .. }
    )
}

/// What makes a clone another machine.
fn wake(network: Value) -> Result<Value, Fault> {
    let mut seed = [0; limits::WAKE_SEED_BYTES];
    // So few bytes come at once or not at all.
    match getrandom(&mut seed, GetRandomFlags::empty()) {
        Ok(limits::WAKE_SEED_BYTES) => Ok(setup::wake(Some(seed), network)),
        Ok(_) => Err(Fault::Internal(
            "the system gave too few random bytes".to_owned(),
        )),
        Err(error) => Err(Fault::Internal(format!("no random bytes: {error}"))),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Fault::Internal(error.to_string()))
}

/// A connected pair: our end, and the one that QEMU inherits.
pub(super) fn pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
