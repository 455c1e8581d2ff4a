//! The Firecracker executor: programs in machines that an operator's own
//! Firecracker runs, with runtime images of the whole network (compute.md
//! §12–§14).
//!
//! ```text
//! Program ─▶ plan ─┬▶ config.json ─▶ firecracker ─▶ guest of the runtime image
//!                  └▶ configuration ───── vsock ─────▶ its /sbin/init
//! call ─▶ {"scope": …} ── a connection each ─────────▶ program ─▶ answer
//! ```
//!
//! It needs KVM. In contrast to [`MicroVm`](super::MicroVm), which runs its own
//! init in every image, here the image's own init is process 1 and speaks
//! version 1 or 2 of the network's protocol: one connection a call, whole bodies
//! only, nothing frozen. An operator chooses it in `[crn.firecracker]`.

mod config;
mod machine;
mod plan;
mod protocol;
mod vsock;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::ProgramContent;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::MicroVmError;
use super::lines::Lines;
use super::spawn;
use crate::executor::{Executor, Fault, Machine, Phases, Program};
use crate::guest_api::GuestApi;
use crate::jail::Jails;
use crate::limits;
use machine::{FireMachine, Process};
use plan::Plan;
use protocol::{Configuration, Version};
use vsock::{SOCKET, Vsock, read_all};

/// Longest time a guest takes for its configuration.
const SETUP_DEADLINE: Duration = Duration::from_secs(60);
/// Most that a guest says when it listens, and when it is configured.
const READY_BYTES_MAX: usize = 1000;
const CONFIGURED_BYTES_MAX: usize = 1_000_000;

/// Where an operator's Firecracker is.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FirecrackerConfig {
    /// The program.
    pub binary: PathBuf,
    /// An uncompressed kernel with everything built in.
    pub kernel: PathBuf,
}

/// Runs programs with Firecracker. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Firecracker(Arc<Inner>);

struct Inner {
    config: FirecrackerConfig,
    folder: PathBuf,
    ready: Duration,
    guest_api: Option<GuestApi>,
}

impl Firecracker {
    /// `folder` holds the machines' folders, created if needed; a machine is
    /// given up when it is not ready within `ready_timeout_seconds`.
    pub fn new(
        config: FirecrackerConfig,
        folder: PathBuf,
        ready_timeout_seconds: u64,
    ) -> Result<Firecracker, MicroVmError> {
        std::fs::create_dir_all(&folder).map_err(|source| MicroVmError::Folder {
            folder: folder.clone(),
            source,
        })?;
        Ok(Firecracker(Arc::new(Inner {
            config,
            folder,
            ready: Duration::from_secs(ready_timeout_seconds),
            guest_api: None,
        })))
    }

    /// The same, whose programs may ask the node.
    pub fn with_guest_api(self, api: GuestApi) -> Firecracker {
        let Inner {
            config,
            folder,
            ready,
            ..
        } = &*self.0;
        Firecracker(Arc::new(Inner {
            config: config.clone(),
            folder: folder.clone(),
            ready: *ready,
            guest_api: Some(api),
        }))
    }
}

impl Executor for Firecracker {
    fn name(&self) -> &'static str {
        "firecracker"
    }

    fn admit(&self, content: &ProgramContent) -> Result<u64, Fault> {
        let memory_mib = content.resources.memory.max(limits::MEMORY_MIB_MIN);
        Ok(memory_mib.saturating_add(limits::MEMORY_MIB_EXTRA))
    }

    fn prepare<'a>(
        &'a self,
        _program: &'a Program,
        _phases: Phases,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let config = &self.0.config;
        let missing = |path: &Path, key: &str| {
            let path = path.display();
            Fault::NotHere(format!("there is no {path}; correct `firecracker.{key}`"))
        };
        let there = match (config.binary.is_file(), config.kernel.is_file()) {
            (false, _) => Err(missing(&config.binary, "binary")),
            (_, false) => Err(missing(&config.kernel, "kernel")),
            (true, true) => Ok(()),
        };
        futures::future::ready(there).boxed()
    }

    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            self.prepare(&program, phases.clone()).await?;
            phases.begin("create");
            let seconds = program.content.resources.seconds.max(1);
            let limit = Duration::from_secs(seconds).min(limits::CALL_DEADLINE_MAX);
            let mut birth = self.0.launch(program).await?;
            phases.begin("kernel");
            let version = birth.wait_for_guest(self.0.ready).await?;
            phases.begin("application");
            birth.configure(version).await?;
            phases.end();
            let machine = FireMachine::new(birth.process, birth.vsock, birth.folder, limit);
            Ok(Box::new(machine) as Box<dyn Machine>)
        }
        .boxed()
    }
}

/// A machine that is not ready yet; dropping it ends it.
struct Birth {
    process: Process,
    vsock: Vsock,
    listener: tokio::net::UnixListener,
    configuration: Configuration,
    folder: TempDir,
}

impl Inner {
    async fn launch(self: &Arc<Inner>, program: Arc<Program>) -> Result<Birth, Fault> {
        let inner = Arc::clone(self);
        let program_name = program.item_hash.clone();
        let planning = move || -> Result<_, Fault> {
            let plan = Plan::of(&program, &inner.config.kernel, SOCKET)?;
            let folder = tempfile::Builder::new()
                .prefix("firecracker-")
                .tempdir_in(&inner.folder)
                .map_err(internal)?;
            let file = plan.machine.to_json().map_err(internal)?;
            std::fs::write(folder.path().join("config.json"), file).map_err(internal)?;
            Ok((plan.configuration, folder))
        };
        let (configuration, folder) = tokio::task::spawn_blocking(planning)
            .await
            .map_err(internal)??;
        let vsock = Vsock::of(folder.path()).map_err(internal)?;
        let listener = vsock.listen().map_err(internal)?;
        let questions = vsock.listen_for_questions().map_err(internal)?;
        let mut command = Command::new(&self.config.binary);
        command
            .args(["--api-sock", "api.sock", "--config-file", "config.json"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawning = spawn::spawn(command, Vec::new(), Jails::off().jail("firecracker"));
        let (child, _) = spawning.await.map_err(|error| {
            let binary = self.config.binary.display();
            Fault::NotHere(format!("{binary} does not start: {error}"))
        })?;
        let process = Process::new(child, Lines::default(), Lines::default());
        if let Some(api) = &self.guest_api {
            process.accompany(api.clone().serve_http(questions, program_name));
        }
        Ok(Birth {
            process,
            vsock,
            listener,
            configuration,
            folder,
        })
    }
}

impl Birth {
    /// Waits until the image's init listens.
    async fn wait_for_guest(&mut self, limit: Duration) -> Result<Version, Fault> {
        let words = async {
            let (mut stream, _) = self.listener.accept().await?;
            read_all(&mut stream, READY_BYTES_MAX).await
        };
        tokio::select! {
            words = tokio::time::timeout(limit, words) => match words {
                Ok(Ok(words)) => Version::of(&words),
                Ok(Err(error)) => Err(Fault::Died(error.to_string())),
                Err(_) => Err(Fault::NotReady {
                    seconds: limit.as_secs(),
                    phase: "kernel".to_owned(),
                }),
            },
            cause = self.process.ended() => Err(Fault::Died(cause)),
        }
    }

    /// Tells the guest its program and waits until it is there.
    async fn configure(&mut self, version: Version) -> Result<(), Fault> {
        let frame = self.configuration.frame(version);
        let exchange = async {
            let mut stream = self.vsock.connect().await?;
            stream.get_mut().write_all(&frame).await?;
            machine::read_value(&mut stream, CONFIGURED_BYTES_MAX).await
        };
        tokio::select! {
            reply = tokio::time::timeout(SETUP_DEADLINE, exchange) => match reply {
                Ok(Ok(reply)) => protocol::configured(&reply),
                Ok(Err(error)) => Err(Fault::Died(error.to_string())),
                Err(_) => Err(Fault::NotReady {
                    seconds: SETUP_DEADLINE.as_secs(),
                    phase: "application".to_owned(),
                }),
            },
            cause = self.process.ended() => Err(Fault::Died(cause)),
        }
    }
}

fn internal(error: impl std::fmt::Display) -> Fault {
    Fault::Internal(format!("starting Firecracker: {error}"))
}
