//! One program of the pool: its state, its machine, the work under way.
//!
//! Every method locks, looks or changes, and unlocks; nothing here waits but
//! [`finished`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use beth_protocol::ItemHash;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::CallFault;
use super::state::{PhaseTime, ProgramState, State, Times};
use crate::executor::{Fault, Machine, Phases, clip};
use crate::limits;

/// One program.
pub(super) struct Slot {
    pub(super) item_hash: ItemHash,
    inner: Mutex<SlotInner>,
}

/// What the lock of a slot protects.
pub(super) struct SlotInner {
    state: State,
    executor: Option<&'static str>,
    phases: Phases,
    preparation: Phases,
    fault: Option<String>,
    traceback: Option<String>,
    machine: Option<Arc<Running>>,
    work: Option<Work>,
    visits: usize,
    last_used: Instant,
    times: Times,
    logs: Vec<String>,
}

/// A machine that answers.
pub(super) struct Running {
    pub(super) handle: Box<dyn Machine>,
    pub(super) code_ref: ItemHash,
    /// It runs even when nobody calls.
    pub(super) persistent: bool,
    /// Its share of the node.
    pub(super) place: Place,
}

/// What a machine takes of the node, given back when dropped.
pub(super) struct Place {
    pub(super) _machine: OwnedSemaphorePermit,
    /// Among the machines that take no memory while idle.
    pub(super) is_light: bool,
    /// A permit a MiB.
    pub(super) memory: OwnedSemaphorePermit,
}

/// How far the work of a slot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Everything a start needs is here.
    Prepared,
    /// A machine runs.
    Running,
}

/// The result of work under way, for any number of waiters.
pub(super) type Work = watch::Receiver<Option<Result<(), CallFault>>>;

/// The two ends of a piece of work.
pub(super) fn work() -> (watch::Sender<Option<Result<(), CallFault>>>, Work) {
    watch::channel(None)
}

/// Waits for a piece of work.
pub(super) async fn finished(mut work: Work) -> Result<(), CallFault> {
    match work
        .wait_for(Option::is_some)
        .await
        .map(|done| done.clone())
    {
        Ok(Some(done)) => done,
        Ok(None) | Err(_) => Err(Fault::Internal("the work was given up".into()).into()),
    }
}

/// A call under way; ends when dropped.
pub(super) struct Visit(Arc<Slot>);

impl Slot {
    pub(super) fn new(item_hash: ItemHash) -> Slot {
        let inner = SlotInner {
            state: State::NotPrepared,
            executor: None,
            phases: Phases::default(),
            preparation: Phases::default(),
            fault: None,
            traceback: None,
            machine: None,
            work: None,
            visits: 0,
            last_used: Instant::now(),
            times: Times::new(),
            logs: Vec::new(),
        };
        Slot {
            item_hash,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, unless there are too many.
    pub(super) fn visit(self: &Arc<Slot>) -> Option<Visit> {
        let mut inner = self.lock();
        if inner.visits >= limits::PROGRAM_CALLS_MAX {
            return None;
        }
        inner.visits += 1;
        Some(Visit(self.clone()))
    }

    /// The machine, if it lives; a dead one is let go.
    pub(super) fn machine(&self) -> Option<Arc<Running>> {
        let mut inner = self.lock();
        if inner.is_dead() {
            inner.take();
        }
        inner.machine.clone()
    }

    /// The work under way, or that which `spawn` begins.
    pub(super) fn work(&self, goal: Goal, spawn: impl FnOnce(Goal) -> Work) -> Work {
        let mut inner = self.lock();
        // Work whose task has vanished will never be done.
        if let Some(work) = &inner.work
            && work.has_changed().is_ok()
        {
            return work.clone();
        }
        if inner
            .machine
            .as_ref()
            .is_some_and(|machine| machine.handle.is_alive())
        {
            // Runs already: more than any goal asks for.
            return watch::channel(Some(Ok(()))).1;
        }
        let work = spawn(goal);
        inner.work = Some(work.clone());
        work
    }

    /// Work begins.
    pub(super) fn begin(&self) {
        let mut inner = self.lock();
        inner.state = State::Preparing;
        inner.phases = Phases::default();
        inner.times.preparing_at = Some(SystemTime::now());
    }

    /// The message was read.
    pub(super) fn describe(&self, executor: &'static str) {
        self.lock().executor = Some(executor);
    }

    /// The record of the work under way.
    pub(super) fn phases(&self) -> Phases {
        self.lock().phases.clone()
    }

    /// A machine is being created.
    pub(super) fn starting(&self) {
        let mut inner = self.lock();
        inner.state = State::Starting;
        inner.times.prepared_at = Some(SystemTime::now());
        inner.times.starting_at = Some(SystemTime::now());
        inner.times.started_at = None;
        inner.times.stopped_at = None;
    }

    /// A machine answers from now on.
    pub(super) fn running(&self, machine: Running) {
        let mut inner = self.lock();
        inner.state = State::Running;
        inner.last_used = Instant::now();
        inner.times.started_at = Some(SystemTime::now());
        inner.machine = Some(Arc::new(machine));
    }

    /// Work has ended.
    pub(super) fn done(&self, goal: Goal, done: &Result<(), CallFault>) {
        let mut inner = self.lock();
        inner.work = None;
        inner.phases.end();
        match done {
            Ok(()) => {
                inner.fault = None;
                inner.traceback = None;
                if goal == Goal::Prepared {
                    inner.keep_preparation();
                    inner.state = State::Prepared;
                    inner.times.prepared_at = Some(SystemTime::now());
                }
            }
            Err(fault) => inner.fail(fault),
        }
    }

    /// The machine failed.
    pub(super) fn fail(&self, fault: &Fault) {
        self.lock().fail(&CallFault::Fault(fault.clone()));
    }

    /// Takes the machine out if `when` says so.
    pub(super) fn take_machine(
        &self,
        when: impl FnOnce(&SlotInner) -> bool,
    ) -> Option<Arc<Running>> {
        let mut inner = self.lock();
        if inner.machine.is_some() && when(&inner) {
            inner.take()
        } else {
            None
        }
    }

    /// Since when the machine is unused, of slots of which that is so.
    pub(super) fn idle_since_if(&self, when: impl FnOnce(&SlotInner) -> bool) -> Option<Instant> {
        let inner = self.lock();
        inner.idle_since().filter(|_| when(&inner))
    }

    /// The machine, when it has run unused for so long and may be paused.
    pub(super) fn unpaused(&self, after: Duration) -> Option<Arc<Running>> {
        let inner = self.lock();
        let is_due = inner.idle_since()?.elapsed() >= after;
        let machine = inner.machine.as_ref()?;
        (is_due && !machine.persistent && !machine.handle.is_paused()).then(|| Arc::clone(machine))
    }

    /// Neither machine nor work nor call.
    pub(super) fn is_at_rest(&self) -> bool {
        let inner = self.lock();
        inner.machine.is_none() && inner.work.is_none() && inner.visits == 0
    }

    /// Neither machine nor work, and no call but the one that asks.
    pub(super) fn is_last_and_empty(&self) -> bool {
        let inner = self.lock();
        inner.machine.is_none() && inner.work.is_none() && inner.is_last_visit()
    }

    /// When a call last ended.
    pub(super) fn last_used(&self) -> Instant {
        self.lock().last_used
    }

    /// A snapshot.
    pub(super) fn state(&self) -> ProgramState {
        let traceback = self.lock().traceback.clone();
        ProgramState {
            traceback,
            ..self.summary()
        }
    }

    /// A snapshot without the program's own account of its fault.
    pub(super) fn summary(&self) -> ProgramState {
        let inner = self.lock();
        ProgramState {
            item_hash: self.item_hash.clone(),
            executor: inner.executor,
            state: inner.state(),
            phases: phase_times(&inner.phases),
            preparation: phase_times(&inner.preparation),
            fault: inner.fault.clone(),
            traceback: None,
            calls: inner.visits,
            times: inner.times,
        }
    }

    /// What the machine printed, or the last one did.
    pub(super) fn logs(&self) -> Vec<String> {
        let inner = self.lock();
        inner
            .machine
            .as_ref()
            .map_or_else(|| inner.logs.clone(), |machine| machine.handle.logs())
    }
}

impl SlotInner {
    /// What found everything made does not hide what made it.
    fn keep_preparation(&mut self) {
        if self.phases.list().len() > 1 {
            self.preparation = self.phases.clone();
        }
    }

    fn state(&self) -> State {
        match &self.machine {
            Some(machine) if self.state == State::Running && machine.handle.is_paused() => {
                State::Paused
            }
            _ => self.state,
        }
    }

    /// Since when the machine is unused.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.machine.is_some() && self.visits == 0).then_some(self.last_used)
    }

    /// The machine takes of the node's memory.
    pub(super) fn takes_memory(&self) -> bool {
        self.machine
            .as_ref()
            .is_some_and(|machine| machine.place.memory.num_permits() > 0)
    }

    /// The machine is one that takes no memory while idle.
    pub(super) fn is_light(&self) -> bool {
        self.machine
            .as_ref()
            .is_some_and(|machine| machine.place.is_light)
    }

    /// The machine ended by itself.
    pub(super) fn is_dead(&self) -> bool {
        self.machine
            .as_ref()
            .is_some_and(|machine| !machine.handle.is_alive())
    }

    /// One call is left.
    pub(super) fn is_last_visit(&self) -> bool {
        self.visits <= 1
    }

    /// This machine, not a later one.
    pub(super) fn holds(&self, machine: &Arc<Running>) -> bool {
        self.machine
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, machine))
    }

    fn take(&mut self) -> Option<Arc<Running>> {
        let machine = self.machine.take()?;
        self.logs = machine.handle.logs();
        self.state = State::Prepared;
        self.times.stopped_at = Some(SystemTime::now());
        Some(machine)
    }

    fn fail(&mut self, fault: &CallFault) {
        self.state = State::Failed;
        self.fault = Some(clip(&fault.to_string(), limits::FAULT_BYTES_MAX));
        self.traceback = match fault {
            CallFault::Fault(Fault::Setup { traceback, .. } | Fault::Raised { traceback }) => {
                Some(traceback.clone())
            }
            _ => None,
        };
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.visits -= 1;
        inner.last_used = Instant::now();
    }
}

fn phase_times(phases: &Phases) -> Vec<PhaseTime> {
    let list = phases.list().into_iter();
    list.map(|(name, time)| PhaseTime {
        name,
        milliseconds: milliseconds(time),
    })
    .collect()
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_was_given_up_is_begun_again() {
        let slot = Slot::new(ItemHash::of_bytes(b"program"));
        let (sender, given_up) = work();
        let first = slot.work(Goal::Running, |_| given_up);
        drop(sender);
        assert!(finished(first).await.is_err());
        let (sender, begun) = work();
        let second = slot.work(Goal::Running, |_| begun);
        let joined = slot.work(Goal::Running, |_| panic!("it is under way"));
        sender.send(Some(Ok(()))).unwrap();
        assert!(finished(second).await.is_ok());
        assert!(finished(joined).await.is_ok());
    }
}
