//! The microVM executor: programs in QEMU machines of their own.
//!
//! ```text
//! Program ─▶ setup ─▶ drives, config ┐
//! guest folder ─▶ assets ────────────┼─▶ qemu (arguments) ─▶ spawn ─▶ machine ─▶ channel
//! /dev/kvm ─▶ acceleration ──────────┘                                   │          │
//!                                                                     lines      frames
//!                                                                 (log, console)
//! ```
//!
//! A machine boots Debian's kernel with the init that this crate carries (crate
//! `beth-guest`), which mounts the runtime's image under a layer in memory, and
//! runs the program in it. It has no network: `environment.internet` waits for
//! the network issue. The guest is hostile; what protects the node is the machine
//! around it, QEMU's seccomp filter, and bounds on everything it sends.
//!
//! Where QEMU or the kernel is missing, everything else works and `start` says
//! what to do.

mod acceleration;
mod assets;
mod channel;
mod cpio;
mod firecracker;
mod kvm;
mod lines;
mod machine;
mod qemu;
mod setup;
mod spawn;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_protocol::content::ProgramContent;
use beth_protocol::content::machine::MachineResources;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

pub use acceleration::Choice;
pub(crate) use acceleration::{Probe, choose};
pub use assets::default_guest_folder;
pub use firecracker::{Firecracker, FirecrackerConfig};
pub use kvm::kvm_self_test_main;
pub(crate) use qemu::find as find_qemu;

use crate::config::Acceleration;
use crate::executor::{Executor, Fault, Machine, Phases, Program};
use crate::limits;
use assets::{ADVICE, Assets};
use channel::Line;
use machine::{Boot, MicroMachine, Output, Stage};
use qemu::Processor;
use setup::Setup;

/// What the executor can be told.
#[derive(Clone, Debug)]
pub struct MicroVmConfig {
    /// Kernel, modules and runtime images, as `scripts/guest.sh` makes them.
    pub guest_folder: PathBuf,
    /// Where the executor keeps what it makes. Created if needed.
    pub work_folder: PathBuf,
    /// KVM, emulation, or whichever works.
    pub acceleration: Acceleration,
    /// QEMU; `None`: `qemu-system-x86_64` on the path.
    pub qemu: Option<PathBuf>,
    /// A program that answers to `kvm-self-test` with [`kvm_self_test_main`];
    /// `None`: this one.
    pub self_test: Option<PathBuf>,
    /// How long a machine may take until it can answer, in seconds.
    pub ready_timeout_seconds: u64,
}

impl MicroVmConfig {
    /// The usual settings, with a folder to work in.
    pub fn new(work_folder: PathBuf) -> MicroVmConfig {
        MicroVmConfig {
            guest_folder: default_guest_folder(),
            work_folder,
            acceleration: Acceleration::Auto,
            qemu: None,
            self_test: None,
            ready_timeout_seconds: 60,
        }
    }

    /// The runtime image that `scripts/guest.sh` makes.
    pub fn runtime(&self) -> PathBuf {
        self.guest_folder.join("python.squashfs")
    }
}

/// The executor could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot create {folder}: {source}; check its parent folder")]
pub struct MicroVmError {
    folder: PathBuf,
    source: std::io::Error,
}

/// What this node has for microVMs, for `beth doctor`.
#[derive(Clone, Debug)]
pub struct Report {
    /// QEMU: where.
    pub qemu: Option<PathBuf>,
    /// The first line of its `--version`.
    pub qemu_version: Option<String>,
    /// The kernel, or what to do.
    pub kernel: Result<PathBuf, String>,
    /// The Python runtime, or what to do.
    pub runtime: Result<PathBuf, String>,
    /// KVM or emulation and why, or why neither.
    pub acceleration: Result<Choice, String>,
}

/// True when this machine has QEMU and a guest kernel; what placement needs to
/// know. Cheap: nothing is run.
pub fn is_installed(guest_folder: Option<&Path>) -> bool {
    let folder = guest_folder.map_or_else(default_guest_folder, Path::to_owned);
    qemu::find(None).is_some() && folder.join("vmlinux").is_file()
}

/// Runs programs in microVMs. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct MicroVm(Arc<Inner>);

struct Inner {
    config: MicroVmConfig,
    choice: OnceCell<Choice>,
    tsc_khz: OnceCell<u64>,
}

impl MicroVm {
    /// Succeeds without QEMU, kernel or KVM: `start` then says what is missing.
    pub fn new(config: MicroVmConfig) -> Result<MicroVm, MicroVmError> {
        let folder = config.work_folder.clone();
        std::fs::create_dir_all(&folder).map_err(|source| MicroVmError { folder, source })?;
        Ok(MicroVm(Arc::new(Inner {
            config,
            choice: OnceCell::new(),
            tsc_khz: OnceCell::new(),
        })))
    }

    /// What is there and what is missing. Takes about a second at most.
    pub async fn report(&self) -> Report {
        let config = &self.0.config;
        let qemu = qemu::find(config.qemu.as_deref());
        let qemu_version = match &qemu {
            Some(program) => qemu::version(program).await,
            None => None,
        };
        let present = |path: PathBuf, what: &str| match path.is_file() {
            true => Ok(path),
            false => Err(format!(
                "there is no {what} at {}: {ADVICE}",
                path.display()
            )),
        };
        Report {
            qemu,
            qemu_version,
            kernel: present(config.guest_folder.join("vmlinux"), "guest kernel"),
            runtime: present(config.runtime(), "Python runtime"),
            acceleration: self.0.choice().await.cloned(),
        }
    }
}

impl Executor for MicroVm {
    fn name(&self) -> &'static str {
        "microvm"
    }

    fn admit(&self, content: &ProgramContent) -> Result<u64, Fault> {
        setup::check_volumes(content)?;
        Ok(memory_mib(&content.resources))
    }

    fn prepare<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.0.qemu()?;
            self.0.processor().await?;
            self.0.plan(Arc::new(program.clone())).await.map(|_| ())
        }
        .boxed()
    }

    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            phases.begin("create");
            let resources = program.content.resources.clone();
            let setup = self.0.plan(program).await?;
            let boot = self.0.launch(&setup, &resources).await?;
            phases.end();
            let (stage, output) = (Stage::new(), boot.output.clone());
            let seconds = self.0.config.ready_timeout_seconds;
            let booting = boot.finish(&setup.setup, &stage);
            let Ok(booted) = tokio::time::timeout(Duration::from_secs(seconds), booting).await
            else {
                let phase = stage.name().to_owned();
                tracing::warn!(
                    phase,
                    console = output.console.tail(5),
                    "a machine was not ready in time"
                );
                return Err(Fault::NotReady { seconds, phase });
            };
            let (booted, measured) = booted?;
            measured.record(&phases);
            let limit = Duration::from_secs(resources.seconds.max(1));
            let limit = limit.min(limits::CALL_DEADLINE_MAX);
            Ok(Box::new(MicroMachine::new(booted, limit)) as Box<dyn Machine>)
        }
        .boxed()
    }
}

/// A program and the files it boots from.
struct Plan {
    setup: Setup,
    assets: Assets,
}

impl Inner {
    fn qemu(&self) -> Result<PathBuf, Fault> {
        qemu::find(self.config.qemu.as_deref())
            .ok_or_else(|| Fault::NotHere(format!("QEMU is not installed on this node: {ADVICE}")))
    }

    async fn choice(&self) -> Result<&Choice, String> {
        let probe = Probe {
            program: self.config.self_test.as_deref(),
            folder: &self.config.work_folder,
        };
        self.choice
            .get_or_try_init(|| async {
                let choice = choose(self.config.acceleration, probe).await?;
                let how = if choice.kvm { "KVM" } else { "emulation (TCG)" };
                tracing::info!("microVMs run on {how}: {}", choice.reason);
                Ok(choice)
            })
            .await
    }

    async fn processor(&self) -> Result<Processor, Fault> {
        if self.choice().await.map_err(Fault::NotHere)?.kvm {
            return Ok(Processor::Kvm);
        }
        let measure = || async { tokio::task::spawn_blocking(spawn::tsc_khz).await };
        let tsc_khz = self.tsc_khz.get_or_try_init(measure).await;
        Ok(Processor::Tcg {
            tsc_khz: *tsc_khz.map_err(|error| Fault::Internal(error.to_string()))?,
        })
    }

    /// Looks at files, off the async threads.
    async fn plan(self: &Arc<Inner>, program: Arc<Program>) -> Result<Plan, Fault> {
        let inner = Arc::clone(self);
        let planning = move || {
            let config = &inner.config;
            let assets = assets::assemble(&config.guest_folder, &config.work_folder)
                .map_err(Fault::NotHere)?;
            Ok(Plan {
                setup: Setup::of(&program)?,
                assets,
            })
        };
        tokio::task::spawn_blocking(planning)
            .await
            .map_err(|error| Fault::Internal(error.to_string()))?
    }

    async fn launch(&self, plan: &Plan, resources: &MachineResources) -> Result<Boot, Fault> {
        let program = self.qemu()?;
        let processor = self.processor().await?;
        let internal = |error: std::io::Error| Fault::Internal(format!("starting QEMU: {error}"));
        let (port, guest_port) = pair().map_err(internal)?;
        let (log, guest_log) = pair().map_err(internal)?;
        let machine = qemu::Machine {
            assets: &plan.assets,
            processor,
            vcpus: resources.vcpus.clamp(1, vcpus_max()),
            memory_mib: memory_mib(resources),
            drives: &plan.setup.drives,
            port: guest_port.as_raw_fd(),
            log: guest_log.as_raw_fd(),
        };
        let mut command = Command::new(&program);
        command.args(qemu::arguments(&machine));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut child = spawn::spawn(command, vec![guest_port, guest_log])
            .await
            .map_err(|error| {
                Fault::NotHere(format!("{} does not start: {error}", program.display()))
            })?;
        let output = Output::default();
        output.tasks.spawn(output.log.clone().follow(log));
        if let Some(console) = child.stdout.take() {
            output.tasks.spawn(output.console.clone().follow(console));
        }
        if let Some(errors) = child.stderr.take() {
            output.tasks.spawn(output.errors.clone().follow(errors));
        }
        Ok(Boot {
            child,
            line: Line::new(port),
            output,
            spawned,
        })
    }
}

/// What the machine takes from the node.
fn memory_mib(resources: &MachineResources) -> u64 {
    resources
        .memory
        .max(limits::MEMORY_MIB_MIN)
        .saturating_add(limits::MEMORY_MIB_EXTRA)
}

/// A machine has no more processors than this computer.
fn vcpus_max() -> u64 {
    let here = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    here.min(limits::VCPUS_MAX)
}

/// A connected pair: our end, and the one that QEMU inherits.
fn pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
