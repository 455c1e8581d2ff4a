//! The machines of this node.
//!
//! ```text
//!            prepare                     call
//! NotPrepared ─────▶ Preparing ─▶ Prepared ─▶ Preparing ─▶ Starting ─▶ Running ⇄ Paused
//!      ▲                 │           ▲            │            │          │ idle for
//!      │                 ▼           └────────────┼────────────┼──────────┤ reuse_seconds
//!   (start)            Failed ◀───────────────────┴────────────┘          │
//!                        │  ▲                                             ▼
//!                        ▼  └──────────── the machine died ◀──────────────┘
//!                 next call or prepare tries again
//! ```
//!
//! A [`slot`](slot::Slot) is one program: its work (preparing, creating) is done
//! by one task at a time, which belongs to the pool and not to the caller who
//! asked first, so that nobody's leaving hurts those who wait. Creations of
//! different programs share nothing but the processors.
//!
//! Bounded are: machines (when all are in use a call is refused; an idle one
//! makes room), calls on the node and per program, and programs remembered.

pub(crate) mod operate;
mod remembered;
mod slot;
mod state;
mod visiting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::executor::{Answer, Call, Executor, Fault, Program};
use crate::limits;
use crate::program::{ProgramFault, Programs};
use remembered::Remembered;
use slot::Slot;
pub use state::{PhaseTime, ProgramState, State, Times};
pub use visiting::Connected;

/// Why a call got no answer from its program.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallFault {
    /// The message or its files.
    #[error(transparent)]
    Program(#[from] ProgramFault),
    /// Preparing, starting or answering.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The node is full.
    #[error("{0}")]
    Busy(String),
}

/// A program's answer and what the response says about it.
#[derive(Debug)]
pub struct Answered {
    /// What the program said.
    pub answer: Answer,
    /// `code.ref` of its message.
    pub code_ref: ItemHash,
}

/// The executors of a node.
#[derive(Clone)]
pub struct Executors {
    /// For components.
    pub wasm: Arc<dyn Executor>,
    /// For everything else.
    pub microvm: Arc<dyn Executor>,
}

impl Executors {
    fn of(&self, content: &ProgramContent) -> &Arc<dyn Executor> {
        if content.code.is_wasm() {
            &self.wasm
        } else {
            &self.microvm
        }
    }
}

/// How long things live and take, and how much they take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long an unused machine lives.
    pub reuse: Duration,
    /// How long an unused machine runs; `None`: until it ends. Persistent
    /// programs always run.
    pub pause: Option<Duration>,
    /// How long a start takes.
    pub ready: Duration,
    /// Memory of all machines together, in MiB.
    pub memory_mib: u64,
}

/// The pool. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    programs: Programs,
    executors: Executors,
    bounds: Bounds,
    slots: Mutex<HashMap<ItemHash, Arc<Slot>>>,
    remembered: Remembered,
    machines: Arc<Semaphore>,
    /// Places of machines that take no memory while idle.
    light_machines: Arc<Semaphore>,
    /// A permit a MiB.
    memory: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Pool {
    /// An empty pool; it looks for idle machines until `cancel`.
    pub fn start(
        programs: Programs,
        executors: Executors,
        bounds: Bounds,
        cancel: CancellationToken,
    ) -> Pool {
        let pool = Pool(Arc::new(Inner {
            programs,
            executors,
            bounds,
            slots: Mutex::default(),
            remembered: Remembered::default(),
            machines: Arc::new(Semaphore::new(limits::MACHINES_MAX)),
            light_machines: Arc::new(Semaphore::new(limits::LIGHT_MACHINES_MAX)),
            memory: Arc::new(Semaphore::new(permits(bounds.memory_mib) as usize)),
            calls: Arc::new(Semaphore::new(limits::CALLS_MAX)),
            tasks: TaskTracker::new(),
            cancel,
        }));
        let watched = pool.clone();
        pool.0
            .tasks
            .spawn(async move { watched.tend_idle_machines().await });
        pool
    }

    /// Calls a program, creating its machine if there is none.
    pub async fn call(&self, item_hash: &ItemHash, call: Call) -> Result<Answered, CallFault> {
        let mut visiting = self.visit(item_hash).await?;
        let machine = visiting.machine.clone();
        let code_ref = machine.code_ref.clone();
        let answer = machine.handle.call(call).await;
        match answer {
            Ok(mut answer) if answer.body.as_whole().is_none() => {
                answer.body.hold(visiting);
                Ok(Answered { answer, code_ref })
            }
            answer => {
                let died = matches!(answer, Err(Fault::Died(_)));
                let fault = answer.as_ref().err().filter(|_| died).cloned();
                visiting.end(fault).await;
                let answer = answer?;
                Ok(Answered { answer, code_ref })
            }
        }
    }

    /// Does ahead of time what a call would have to wait for.
    pub async fn prepare(&self, item_hash: &ItemHash) -> Result<(), CallFault> {
        let slot = self.slot(item_hash);
        let work = slot.work(slot::Goal::Prepared, |goal| self.spawn(&slot, goal));
        let done = slot::finished(work).await;
        self.forget_if_unknown(&slot, &done);
        done
    }

    /// How many programs are known.
    pub fn len(&self) -> usize {
        self.0
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// True when no program is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of every program, in order of the hashes; without the
    /// programs' own accounts of their faults.
    pub fn list(&self) -> Vec<ProgramState> {
        let slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states: Vec<ProgramState> = slots.values().map(|slot| slot.summary()).collect();
        drop(slots);
        states.sort_by(|a, b| a.item_hash.cmp(&b.item_hash));
        states
    }

    /// What is known of one program.
    pub fn state(&self, item_hash: &ItemHash) -> Option<ProgramState> {
        self.known(item_hash).map(|slot| slot.state())
    }

    /// What a program printed, newest machine only, oldest line first.
    pub fn logs(&self, item_hash: &ItemHash) -> Option<Vec<String>> {
        self.known(item_hash).map(|slot| slot.logs())
    }

    /// Stops all machines and waits for all work. The token given to
    /// [`start`](Self::start) must be cancelled before.
    pub async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let slots: Vec<Arc<Slot>> = {
            let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.drain().map(|(_, slot)| slot).collect()
        };
        let machines = slots.iter().filter_map(|slot| slot.take_machine(|_| true));
        futures::future::join_all(
            machines.map(|machine| async move { machine.handle.stop().await }),
        )
        .await;
    }

    /// The machine of a slot, created if there is none.
    async fn machine(&self, slot: &Arc<Slot>) -> Result<Arc<slot::Running>, CallFault> {
        // Twice: what was under way may have been no more than a preparation.
        for _ in 0..2 {
            if let Some(machine) = slot.machine() {
                return Ok(machine);
            }
            self.created(slot).await?;
        }
        let died = || Fault::Died("the machine ended as soon as it had started".into());
        Ok(slot.machine().ok_or_else(died)?)
    }

    /// Waits for the creation of a machine, or for the work under way.
    async fn created(&self, slot: &Arc<Slot>) -> Result<(), CallFault> {
        let work = slot.work(slot::Goal::Running, |goal| self.spawn(slot, goal));
        let done = slot::finished(work).await;
        self.forget_if_unknown(slot, &done);
        done
    }

    fn spawn(&self, slot: &Arc<Slot>, goal: slot::Goal) -> slot::Work {
        let (sender, work) = slot::work();
        let (pool, slot) = (self.clone(), slot.clone());
        self.0.tasks.spawn(async move {
            let done = tokio::select! {
                () = pool.0.cancel.cancelled() => Err(busy("the node is shutting down; try another")),
                done = pool.reach(&slot, goal) => done,
            };
            slot.done(goal, &done);
            // Those who waited may have gone.
            drop(sender.send(Some(done)));
        });
        work
    }

    /// The work of a slot: fetch, and then prepare or start.
    async fn reach(&self, slot: &Arc<Slot>, goal: slot::Goal) -> Result<(), CallFault> {
        slot.begin();
        slot.phases().begin("fetch");
        let resolved = tokio::time::timeout(limits::PREPARE_DEADLINE, self.resolve(slot)).await;
        let late = |_| Err(not_ready(limits::PREPARE_DEADLINE, slot).into());
        let (program, executor, memory_mib) = resolved.unwrap_or_else(late)?;
        let program = Arc::new(program);
        if goal == slot::Goal::Prepared {
            let preparing = executor.prepare(&program, slot.phases());
            let prepared = tokio::time::timeout(limits::PREPARE_DEADLINE, preparing).await;
            slot.phases().end();
            return Ok(prepared.unwrap_or_else(|_| Err(not_ready(limits::PREPARE_DEADLINE, slot)))?);
        }
        let place = self.machine_place(memory_mib, executor.is_light()).await?;
        slot.starting();
        let code_ref = program.content.code.reference.clone();
        let persistent = program.content.on.persistent == Some(true);
        let patience = self.0.bounds.ready + limits::START_MARGIN;
        let started = tokio::time::timeout(patience, executor.start(program, slot.phases())).await;
        slot.phases().end();
        let handle = started.unwrap_or_else(|_| Err(not_ready(patience, slot)))?;
        slot.running(slot::Running {
            handle,
            code_ref,
            persistent,
            place,
        });
        Ok(())
    }

    /// The program with its files, what runs it, and its memory in MiB. What
    /// cannot run here is refused before its files are fetched.
    async fn resolve(&self, slot: &Slot) -> Result<(Program, Arc<dyn Executor>, u64), CallFault> {
        let content = self.0.programs.content(&slot.item_hash).await?;
        let executor = self.0.executors.of(&content).clone();
        slot.describe(executor.name());
        if content.on.message.iter().flatten().next().is_some() {
            self.0.remembered.listen(&slot.item_hash);
        }
        let memory_mib = executor.admit(&content)?;
        if memory_mib > self.0.bounds.memory_mib {
            return Err(no_memory(memory_mib, self.0.bounds.memory_mib).into());
        }
        let program = self.0.programs.complete(&slot.item_hash, content).await?;
        Ok((program, executor, memory_mib))
    }

    /// A place for one more machine, taken from the longest idle ones if need be.
    async fn machine_place(
        &self,
        memory_mib: u64,
        is_light: bool,
    ) -> Result<slot::Place, CallFault> {
        let machines = match is_light {
            true => &self.0.light_machines,
            false => &self.0.machines,
        };
        for _ in 0..=limits::LIGHT_MACHINES_MAX.max(limits::MACHINES_MAX) {
            let machine = machines.clone().try_acquire_owned();
            let memory = self.0.memory.clone();
            let memory = memory.try_acquire_many_owned(permits(memory_mib));
            let has_memory = memory.is_ok();
            if let (Ok(machine), Ok(memory)) = (machine, memory) {
                return Ok(slot::Place {
                    _machine: machine,
                    is_light,
                    memory,
                });
            }
            let helps = |slot: &slot::SlotInner| match has_memory {
                true => slot.is_light() == is_light,
                false => slot.takes_memory(),
            };
            let idle = self
                .all()
                .into_iter()
                .filter(|slot| !self.is_kept(&slot.item_hash))
                .filter_map(|slot| slot.idle_since_if(helps).map(|since| (since, slot)));
            let Some((_, slot)) = idle.min_by_key(|(since, _)| *since) else {
                return Err(match has_memory {
                    true => busy("this node runs as many machines as it can"),
                    false => {
                        let free_mib = self.0.memory.available_permits() as u64;
                        no_memory(memory_mib, free_mib).into()
                    }
                });
            };
            if let Some(machine) = slot.take_machine(|slot| slot.idle_since().is_some()) {
                machine.handle.stop().await;
            }
        }
        Err(busy("this node runs as many machines as it can"))
    }

    /// Takes a machine out of its slot and ends it.
    async fn retire(&self, slot: &Arc<Slot>, machine: &Arc<slot::Running>, fault: Option<Fault>) {
        let last_call = self.0.bounds.reuse.is_zero() && !self.is_kept(&slot.item_hash);
        let taken = slot.take_machine(|slot| {
            slot.holds(machine)
                && (fault.is_some()
                    || !machine.handle.is_alive()
                    || (last_call && slot.is_last_visit()))
        });
        if let Some(machine) = taken {
            if let Some(fault) = fault {
                slot.fail(&fault);
            }
            machine.handle.stop().await;
        }
    }

    async fn tend_idle_machines(&self) {
        let mut clock = tokio::time::interval(limits::IDLE_CHECK_PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.0.cancel.cancelled() => return,
                _ = clock.tick() => {}
            }
            for slot in self.all() {
                let is_kept = self.is_kept(&slot.item_hash);
                let expired = |slot: &slot::SlotInner| {
                    slot.is_dead()
                        || !is_kept
                            && slot
                                .idle_since()
                                .is_some_and(|since| since.elapsed() >= self.0.bounds.reuse)
                };
                if let Some(machine) = slot.take_machine(expired) {
                    let stop = async move { machine.handle.stop().await };
                    self.0.tasks.spawn(stop);
                } else if !is_kept
                    && let Some(pause) = self.0.bounds.pause
                    && let Some(machine) = slot.unpaused(pause)
                {
                    let pause = async move { machine.handle.pause().await };
                    self.0.tasks.spawn(pause);
                }
            }
        }
    }

    fn slot(&self, item_hash: &ItemHash) -> Arc<Slot> {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(item_hash) {
            return slot.clone();
        }
        if slots.len() >= limits::PROGRAMS_MAX {
            let resting = slots.values().filter(|slot| slot.is_at_rest());
            let oldest = resting
                .min_by_key(|slot| slot.last_used())
                .map(|slot| slot.item_hash.clone());
            oldest.and_then(|oldest| slots.remove(&oldest));
        }
        let slot = Arc::new(Slot::new(item_hash.clone()));
        slots.insert(item_hash.clone(), slot.clone());
        slot
    }

    fn known(&self, item_hash: &ItemHash) -> Option<Arc<Slot>> {
        self.0
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(item_hash)
            .cloned()
    }

    fn all(&self) -> Vec<Arc<Slot>> {
        self.0
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Anybody can make up hashes; they leave no trace.
    fn forget_if_unknown(&self, slot: &Arc<Slot>, done: &Result<(), CallFault>) {
        let unknown = matches!(
            done,
            Err(CallFault::Program(
                ProgramFault::Unknown { .. } | ProgramFault::NotAProgram { .. }
            ))
        );
        if !unknown {
            return;
        }
        self.0.remembered.unlisten(&slot.item_hash);
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots
            .get(&slot.item_hash)
            .is_some_and(|known| Arc::ptr_eq(known, slot))
            && slot.is_last_and_empty()
        {
            slots.remove(&slot.item_hash);
        }
    }
}

/// Memory as permits of a semaphore, which counts to 2^32 at most.
fn permits(memory_mib: u64) -> u32 {
    u32::try_from(memory_mib).unwrap_or(u32::MAX)
}

fn no_memory(wanted_mib: u64, free_mib: u64) -> Fault {
    Fault::NotHere(format!(
        "its machine takes {wanted_mib} MiB of memory and {free_mib} MiB are free here; \
         try again later or another node, or ask the operator to raise machine_memory_mib"
    ))
}

fn busy(what: &str) -> CallFault {
    CallFault::Busy(format!("{what}; try again in a moment, or another node"))
}

fn not_ready(patience: Duration, slot: &Slot) -> Fault {
    Fault::NotReady {
        seconds: patience.as_secs(),
        phase: slot.phases().current().to_owned(),
    }
}
