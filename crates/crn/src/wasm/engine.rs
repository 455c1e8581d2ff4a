//! The Wasmtime engine, its clock and its threads.
//!
//! Three things live as long as the executor: the engine with everything the
//! host offers already defined, a thread that advances the engine's epoch every
//! 10 ms (the moment at which a running guest gives way), and a small runtime
//! of its own on which guests run. The operating system shares the processors
//! between that runtime and the node's, so the node answers however many guests
//! loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::WasmConfig;
use super::call::Work;
use super::factors;
use super::guest::Guest;
use crate::executor::{Answer, Fault};
use crate::limits;

/// How long a guest runs before it gives way.
const TICK: Duration = Duration::from_millis(10);

/// Everything that calls share.
pub(super) struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<Guest>,
    clock: Clock,
    slots: Arc<Semaphore>,
    runtime: Option<Runtime>,
}

impl Engine {
    /// Starts the engine, its clock and its threads.
    pub(super) fn start(config: &WasmConfig) -> Result<Engine, Fault> {
        let wasmtime = wasmtime_engine(config)?;
        let linker = linker(&wasmtime)
            .map_err(|error| Fault::Internal(format!("linking the host: {error:#}")))?;
        let clock = Clock::start(wasmtime.clone())?;
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(threads * 2)
            .thread_name("wasm")
            // Guests hold a thread for a whole tick: look for timers and wake-ups after a few. To
            // look after each costs a system call for each call of a small function.
            .event_interval(4)
            .enable_all()
            .build()
            .map_err(|error| {
                Fault::NotHere(format!("cannot start threads for Wasm programs: {error}"))
            })?;
        let slots = Arc::new(Semaphore::new(config.calls_max.max(1) as usize));
        Ok(Engine {
            wasmtime,
            linker,
            clock,
            slots,
            runtime: Some(runtime),
        })
    }

    /// The engine itself.
    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Ties the imports of a component to the host.
    pub(super) fn link(&self, component: &Component) -> Result<ProxyPre<Guest>, Fault> {
        let linked = self
            .linker
            .instantiate_pre(component)
            .and_then(ProxyPre::new);
        linked.map_err(|error| {
            Fault::BadProgram(format!(
                "the component does not fit this node: {}; build it for the world wasi:http/proxy 0.2 \
                 (it exports wasi:http/incoming-handler, and imports what docs/functions.md lists)",
                one_line(&error)
            ))
        })
    }

    /// The place of a call among its program's and among the node's.
    async fn places(
        &self,
        own: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Option<[OwnedSemaphorePermit; 2]> {
        let at_once = own
            .clone()
            .try_acquire_owned()
            .ok()
            .zip(self.slots.clone().try_acquire_owned().ok());
        if let Some((own, slot)) = at_once {
            return Some([own, slot]);
        }
        let in_turn = async {
            let own = own.clone().acquire_owned().await?;
            Ok::<_, AcquireError>([own, self.slots.clone().acquire_owned().await?])
        };
        tokio::time::timeout_at(deadline, in_turn).await.ok()?.ok()
    }

    /// Runs one call; dropping the future ends the guest at its next tick.
    pub(super) async fn run(&self, work: Work) -> Result<Answer, Fault> {
        let limit = work.bounds.deadline;
        let deadline = Instant::now() + limit;
        let Some(places) = self.places(&work.places, deadline).await else {
            return Err(Fault::NotHere(
                "all places for Wasm calls are taken; try again, or ask the operator to raise wasm.calls_max".into(),
            ));
        };
        let Some(runtime) = &self.runtime else {
            return Err(Fault::NotHere(
                "the node is shutting down; try another".into(),
            ));
        };
        let (sender, receiver) = oneshot::channel();
        let wasmtime = self.wasmtime.clone();
        let task = AbortOnDropHandle::new(runtime.spawn(async move {
            let _places = places;
            work.run(&wasmtime, deadline, sender).await;
        }));
        let answer = receiver.await;
        match answer {
            Ok(answer) => {
                // The guest may go on for a moment.
                drop(task.detach());
                answer
            }
            Err(_) => match task.await {
                Err(error) if error.is_panic() => {
                    Err(Fault::Internal("the Wasm engine failed".into()))
                }
                _ => Err(Fault::NotHere(
                    "the node is shutting down; try another".into(),
                )),
            },
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime must not be waited for on a thread of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// The first line of an error and of its causes.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}")
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// An engine with all instances' memory reserved ahead; where the machine does
/// not allow that (small address space), one that reserves as it goes.
fn wasmtime_engine(config: &WasmConfig) -> Result<wasmtime::Engine, Fault> {
    let mut settings = Config::new();
    settings.epoch_interruption(true);
    settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
        config.calls_max.max(1),
    )));
    match wasmtime::Engine::new(&settings) {
        Ok(engine) => return Ok(engine),
        Err(error) => tracing::warn!(
            "cannot reserve address space for {} Wasm calls ({error:#}); memory is reserved call by call, \
             which is slower; raise `ulimit -v` or lower wasm.calls_max",
            config.calls_max
        ),
    }
    settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    wasmtime::Engine::new(&settings)
        .map_err(|error| Fault::NotHere(format!("the Wasm engine does not start: {error:#}")))
}

/// Room for `calls` components of up to twenty core modules and four memories.
fn pool(calls: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(20))
        .total_memories(calls.saturating_mul(2))
        .total_tables(calls.saturating_mul(4))
        .total_stacks(calls)
        .max_unused_warm_slots(calls.min(100))
        // Small memories are wiped by writing, which is cheaper than unmapping them.
        .linear_memory_keep_resident(limits::WASM_MEMORY_KEPT_BYTES)
        .table_keep_resident(limits::WASM_MEMORY_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_core_instances_per_component(50)
        .max_memories_per_component(4)
        .max_tables_per_component(20)
        .max_tables_per_module(10)
        .table_elements(limits::TABLE_ELEMENTS_MAX);
    pool
}

/// All of WASI 0.2 and the factors are offered, so that what toolchains import resolves; the
/// context of a guest then gives it no files and no addresses.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    factors::define(&mut linker)?;
    Ok(linker)
}

/// The thread that advances the epoch.
#[derive(Debug)]
struct Clock {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(engine: wasmtime::Engine) -> Result<Clock, Fault> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("wasm-clock".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::park_timeout(TICK);
                    engine.increment_epoch();
                }
            });
        let thread = thread
            .map_err(|error| Fault::NotHere(format!("cannot start the Wasm clock: {error}")))?;
        Ok(Clock {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends at once; a panic in it would have been reported already.
            drop(thread.join());
        }
    }
}
