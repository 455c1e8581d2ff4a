//! The Wasm executor: `wasi:http/proxy` components in this process.
//!
//! ```text
//! component ─▶ compiled (once per component, on disk) ─▶ linked (once per machine)
//!     ─▶ one fresh store and instance per call ─▶ answer
//! ```
//!
//! A machine is a linked component and costs next to nothing while idle; what
//! a call leaves behind in memory is gone with its instance. Guests run on
//! threads of their own ([`engine`]) and give way every tick, so that endless
//! loops slow down neither the node's API nor, for long, each other. A call is
//! bound in time by `resources.seconds`, in memory by `resources.memory`, and
//! sees the `variables` of its message; there is no file system, no socket and,
//! for now, no outgoing HTTP.

mod call;
mod compiled;
mod engine;
mod factors;
mod guest;
mod log;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::ProgramContent;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::core_node::CoreNode;
use crate::download::Files;
use crate::executor::{Answer, Call, Executor, Fault, Machine, Phases, Program};
use crate::limits;
use compiled::Compiled;
use engine::Engine;
use factors::outgoing::Outgoing;
use factors::{Network, Rights, Services};
use guest::Guest;
use log::Log;

/// What bounds the Wasm executor.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WasmConfig {
    /// Calls answered at the same time; more wait, each within its own time.
    pub calls_max: u32,
    /// Memory of one call in MiB, whatever its message asks for (up to 4096).
    pub memory_mib_max: u64,
    /// Seconds of one call, whatever its message asks for.
    pub seconds_max: u64,
    /// Addresses with their ports that programs with internet access may reach
    /// although they are private; all other private ones are refused.
    pub private_addresses: Vec<SocketAddr>,
}

impl Default for WasmConfig {
    fn default() -> WasmConfig {
        WasmConfig {
            calls_max: 200,
            memory_mib_max: 4096,
            seconds_max: 300,
            private_addresses: Vec::new(),
        }
    }
}

/// Runs components.
#[derive(Debug)]
pub struct Wasm {
    engine: Arc<Engine>,
    compiled: Compiled,
    services: Arc<Services>,
    config: WasmConfig,
}

impl Wasm {
    /// Starts the engine. `folder` keeps compiled components.
    pub fn new(config: WasmConfig, folder: PathBuf) -> Result<Wasm, Fault> {
        let engine = Arc::new(Engine::start(&config)?);
        Ok(Wasm {
            compiled: Compiled::open(folder)?,
            services: Arc::new(services(&config, None)?),
            engine,
            config,
        })
    }

    /// The same, with a network whose data programs may read where their
    /// messages grant it. `folder` keeps the files they read.
    pub fn with_network(self, core: CoreNode, folder: &Path) -> Result<Wasm, Fault> {
        let files = Files::open_bounded(core.clone(), folder, limits::WASM_FILES_BYTES_MAX);
        let files = files.map_err(|error| {
            Fault::NotHere(format!("cannot create {}: {error}", folder.display()))
        })?;
        let network = Some(Network { core, files });
        Ok(Wasm {
            services: Arc::new(services(&self.config, network)?),
            ..self
        })
    }

    /// How many components this executor has compiled, as opposed to found
    /// compiled.
    pub fn compilations(&self) -> u64 {
        self.compiled.compilations()
    }

    async fn link(&self, program: &Program) -> Result<ProxyPre<Guest>, Fault> {
        let component = self.compiled.component(&self.engine, &program.code).await?;
        let engine = self.engine.clone();
        let linked = tokio::task::spawn_blocking(move || engine.link(&component)).await;
        linked.map_err(|error| Fault::Internal(error.to_string()))?
    }
}

fn services(config: &WasmConfig, network: Option<Network>) -> Result<Services, Fault> {
    let outgoing = Outgoing::new(config.private_addresses.clone())?;
    Ok(Services::new(network, outgoing))
}

impl Executor for Wasm {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn prepare<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, Result<(), Fault>> {
        self.link(program).map(|linked| linked.map(drop)).boxed()
    }

    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            phases.begin("compile");
            let linked = self.link(&program).await?;
            phases.end();
            let component: Box<dyn Machine> = Box::new(Component {
                engine: self.engine.clone(),
                linked,
                services: self.services.clone(),
                bounds: Bounds::of(&program.content, &self.config),
                log: Log::default(),
                places: Arc::new(Semaphore::new((self.config.calls_max / 4).max(1) as usize)),
            });
            Ok(component)
        }
        .boxed()
    }
}

/// What one call may use.
#[derive(Clone, Debug)]
struct Bounds {
    deadline: Duration,
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
            memory_bytes: usize::try_from(memory_mib << 20).unwrap_or(usize::MAX),
            rights: Arc::new(Rights::of(content)),
        }
    }
}

/// A linked component: the machine of this executor.
struct Component {
    engine: Arc<Engine>,
    linked: ProxyPre<Guest>,
    services: Arc<Services>,
    bounds: Bounds,
    log: Log,
    /// A quarter of the node's calls: one program does not shut out the others.
    places: Arc<Semaphore>,
}

impl Machine for Component {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        async move {
            let work = call::Work {
                linked: self.linked.clone(),
                services: self.services.clone(),
                bounds: self.bounds.clone(),
                log: self.log.clone(),
                places: self.places.clone(),
                call,
            };
            self.engine.run(work).await
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
