//! The Wasm executor: `wasi:http/proxy` components in this process.
//!
//! ```text
//! component ─▶ compiled (once, on disk) ─▶ mapped and linked (while it is used)
//!     ─▶ one fresh store and instance per call ─▶ answer
//! ```
//!
//! A machine is a component that can be called and costs next to nothing while
//! idle; what a call leaves behind in memory is gone with its instance. Guests run on
//! threads of their own ([`engine`]) and give way every tick, so that endless
//! loops slow down neither the node's API nor, for long, each other. A call is
//! bound by `resources.seconds`, both until the head of its answer and in all
//! that it computes, after its head also by who reads it ([`flow`]), and in
//! memory by `resources.memory`. It sees the `variables` of its message; there is
//! no file system and no socket.
//! What else a program may ask of its host is in [`factors`].

mod call;
mod compiled;
mod engine;
mod factors;
mod flow;
mod guest;
mod log;
mod memory;
mod resident;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::ProgramContent;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::core_node::CoreNode;
use crate::download::Files;
use crate::executor::{
    Answer, Call, EVENT_HEADER, Executor, Fault, LocalFile, Machine, Phases, Program,
};
use crate::limits;
use compiled::Compiled;
use engine::Engine;
use factors::outgoing::Outgoing;
use factors::{Network, Rights, Services};
use flow::Patience;
use guest::Guest;
use log::Log;
use memory::Budget;
use resident::Resident;

/// What bounds the Wasm executor.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WasmConfig {
    /// Calls answered at the same time; more wait, each within its own time.
    pub calls_max: u32,
    /// Memory of one call in MiB, whatever its message asks for (up to 4096).
    pub memory_mib_max: u64,
    /// Memory of all calls together in MiB. Unset: half of what is free when the
    /// node starts.
    pub memory_mib_total: Option<u64>,
    /// Compiled code that is mapped at the same time, in MiB; what was unused for
    /// longest is loaded again when it is called.
    pub resident_mib_max: u64,
    /// Compiled code kept on the disk, in MiB; what was unused for longest is
    /// compiled again when it is called.
    pub compiled_mib_max: u64,
    /// Seconds of one call, whatever its message asks for.
    pub seconds_max: u64,
    /// Seconds of one answer after its head, events and large files among them,
    /// however little the program computes for it.
    pub stream_seconds_max: u64,
    /// Seconds that a reader may keep a program waiting with its answer, and one
    /// more for each KiB that it takes.
    pub reader_seconds_max: u64,
    /// Addresses with their ports that programs with internet access may reach
    /// although they are private; all other private ones are refused.
    pub private_addresses: Vec<SocketAddr>,
}

impl Default for WasmConfig {
    fn default() -> WasmConfig {
        WasmConfig {
            calls_max: 200,
            memory_mib_max: 4096,
            memory_mib_total: None,
            resident_mib_max: 32 << 10,
            compiled_mib_max: 8 << 10,
            seconds_max: 300,
            stream_seconds_max: 3600,
            reader_seconds_max: 30,
            private_addresses: Vec::new(),
        }
    }
}

/// Runs components.
#[derive(Debug)]
pub struct Wasm(Arc<Shared>);

/// What the executor and its machines have in common.
#[derive(Debug)]
struct Shared {
    engine: Engine,
    compiled: Compiled,
    resident: Resident,
    services: Arc<Services>,
    config: WasmConfig,
}

impl Wasm {
    /// Starts the engine. `folder` keeps compiled components.
    pub fn new(config: WasmConfig, folder: PathBuf) -> Result<Wasm, Fault> {
        Wasm::start(config, folder, None)
    }

    /// The same, with a network whose data programs may read where their
    /// messages grant it. `read` is a folder for the files they read.
    pub fn with_network(
        config: WasmConfig,
        folder: PathBuf,
        core: CoreNode,
        read: &Path,
    ) -> Result<Wasm, Fault> {
        let files = Files::open_bounded(core.clone(), read, limits::WASM_FILES_BYTES_MAX);
        let files = files.map_err(|error| {
            Fault::NotHere(format!("cannot create {}: {error}", read.display()))
        })?;
        Wasm::start(config, folder, Some(Network { core, files }))
    }

    fn start(config: WasmConfig, folder: PathBuf, network: Option<Network>) -> Result<Wasm, Fault> {
        let memory_mib = config.memory_mib_total.unwrap_or_else(|| {
            crate::api::available_memory_mib() * limits::WASM_MEMORY_PERCENT / 100
        });
        let outgoing = Outgoing::new(config.private_addresses.clone())?;
        Ok(Wasm(Arc::new(Shared {
            engine: Engine::start(&config)?,
            compiled: Compiled::open(folder, config.compiled_mib_max << 20)?,
            resident: Resident::new(config.resident_mib_max << 20),
            services: Arc::new(Services::new(
                network,
                outgoing,
                Budget::new(memory_mib << 20),
            )),
            config,
        })))
    }

    /// How many components this executor has compiled, as opposed to found
    /// compiled.
    pub fn compilations(&self) -> u64 {
        self.0.compiled.compilations()
    }

    /// How many components can be called at once, and the bytes of code that
    /// they map.
    pub fn resident(&self) -> (usize, u64) {
        self.0.resident.size()
    }

    /// Bytes of memory that calls have now.
    pub fn memory_bytes(&self) -> u64 {
        self.0.services.memory.used_bytes()
    }

    /// Makes an instance of a program as every call does, and lets it go; how
    /// long that took. For measuring.
    pub async fn instantiate(&self, program: &Program) -> Result<Duration, Fault> {
        let linked = self.0.linked(&program.code).await?;
        let bounds = Bounds::of(&program.content, &self.0.config);
        let begun = std::time::Instant::now();
        let mut store = Guest::store(
            self.0.engine.wasmtime(),
            &self.0.services,
            &bounds,
            &Log::default(),
        );
        let instance = linked.instantiate_async(&mut store).await;
        let instance = instance.map_err(|error| Fault::BadProgram(format!("{error:#}")))?;
        drop((instance, store));
        Ok(begun.elapsed())
    }
}

impl Shared {
    /// The component of a file, ready to be called.
    async fn linked(self: &Arc<Shared>, code: &LocalFile) -> Result<ProxyPre<Guest>, Fault> {
        if let Some(linked) = self.resident.find(&code.hash) {
            return Ok(linked);
        }
        let component = self
            .compiled
            .component(self.engine.wasmtime(), code)
            .await?;
        let shared = self.clone();
        let linked = tokio::task::spawn_blocking(move || shared.engine.link(&component)).await;
        let linked = linked.map_err(|error| Fault::Internal(error.to_string()))??;
        self.resident.add(code.hash.clone(), linked.clone());
        Ok(linked)
    }
}

impl Executor for Wasm {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn is_light(&self) -> bool {
        true
    }

    fn prepare<'a>(
        &'a self,
        program: &'a Program,
        phases: Phases,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            phases.begin("compile");
            self.0.linked(&program.code).await?;
            phases.end();
            Ok(())
        }
        .boxed()
    }

    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            self.prepare(&program, phases).await?;
            let places = (self.0.config.calls_max / 4).max(1) as usize;
            let machine: Box<dyn Machine> = Box::new(Component {
                shared: self.0.clone(),
                code: program.code.clone(),
                bounds: Bounds::of(&program.content, &self.0.config),
                log: Log::default(),
                places: Arc::new(Semaphore::new(places)),
            });
            Ok(machine)
        }
        .boxed()
    }
}

/// What one call may use.
#[derive(Clone, Debug)]
struct Bounds {
    /// Until the head of its answer, and of the processor until the end.
    deadline: Duration,
    /// After the head.
    patience: Patience,
    memory_bytes: usize,
    rights: Arc<Rights>,
}

impl Bounds {
    fn of(content: &ProgramContent, config: &WasmConfig) -> Bounds {
        let memory_mib = content
            .resources
            .memory
            .min(config.memory_mib_max)
            .min(4096);
        Bounds {
            deadline: Duration::from_secs(content.resources.seconds.min(config.seconds_max)),
            patience: Patience {
                all: Duration::from_secs(config.stream_seconds_max),
                silence: limits::ANSWER_IDLE_DEADLINE,
                reader: Duration::from_secs(config.reader_seconds_max),
            },
            memory_bytes: usize::try_from(memory_mib << 20).unwrap_or(usize::MAX),
            rights: Arc::new(Rights::of(content)),
        }
    }
}

/// The machine of this executor: all that a call of a component needs. The
/// component itself may have been let go since, and then is loaded again.
struct Component {
    shared: Arc<Shared>,
    code: LocalFile,
    bounds: Bounds,
    log: Log,
    /// A quarter of the node's calls: one program does not shut out the others.
    places: Arc<Semaphore>,
}

impl Machine for Component {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        async move {
            let work = call::Work {
                linked: self.shared.linked(&self.code).await?,
                services: self.shared.services.clone(),
                bounds: self.bounds.clone(),
                log: self.log.clone(),
                places: self.places.clone(),
                call,
            };
            self.shared.engine.run(work).await
        }
        .boxed()
    }

    /// A component has one entrance: events come as calls that say so.
    fn event(&self, kind: &'static str, event: String) -> BoxFuture<'_, Result<Bytes, Fault>> {
        async move {
            let header = |name: &str, value: &str| (name.into(), value.into());
            let call = Call {
                method: "POST".into(),
                path: "/".into(),
                query: String::new(),
                headers: vec![
                    header("content-type", "application/json"),
                    header(EVENT_HEADER, kind),
                ],
                body: event.into_bytes().into(),
            };
            let said = async {
                let answer = self.call(call).await?;
                let said = answer.body.collect(limits::EVENT_ANSWER_BYTES_MAX).await;
                said.map_err(|fault| Fault::Died(fault.to_string()))
            };
            // Nobody reads it but the log: all of it is due when its head would be.
            let said = tokio::time::timeout(self.bounds.deadline, said).await;
            said.unwrap_or(Err(Fault::Timeout))
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        // Calls own all they use; nothing runs between them.
        futures::future::ready(()).boxed()
    }

    fn is_alive(&self) -> bool {
        true
    }

    fn logs(&self) -> Vec<String> {
        self.log.lines()
    }
}
