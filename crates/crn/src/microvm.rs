//! The microVM executor: programs in QEMU machines of their own.
//!
//! ```text
//! Program ─▶ setup ─▶ drives, config ┐
//! guest folder ─▶ assets ────────────┼─▶ plan ─▶ birth ─▶ boot ─▶ machine ─▶ channel
//! /dev/kvm ─▶ acceleration ──────────┘           │  ▲       │        │          │
//!                        qemu (arguments), spawn ┘  │       │      lines      frames
//!                                       template ◀──┴───────┘  (log, console)
//!                                                  monitor
//! ```
//!
//! A program's first machine boots, is frozen into a template, and every machine
//! of it is a copy-on-write clone of that template ([`birth`]). A program with
//! persistent volumes has one machine at a time, which boots ([`volumes`]).
//!
//! A machine boots Debian's kernel with the init that this crate carries (crate
//! `beth-guest`), which mounts the runtime's image under a layer in memory, and
//! runs the program in it. It has a network card if the message says
//! `environment.internet` and the node has a guest network with taps ([`wire`]),
//! and else none. The guest is hostile; what protects the node is the machine
//! around it, QEMU's seccomp filter, and bounds on everything it sends.
//!
//! Where QEMU or the kernel is missing, everything else works and `start` says
//! what to do.

mod acceleration;
mod assets;
mod birth;
mod boot;
mod caller;
mod channel;
mod confine;
mod cpio;
mod firecracker;
mod kvm;
mod lines;
mod machine;
mod monitor;
mod qemu;
mod reply;
mod setup;
mod socket;
mod spawn;
mod template;
mod volumes;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use beth_protocol::content::machine::MachineResources;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, Semaphore};

pub use acceleration::Choice;
pub(crate) use acceleration::{Probe, choose};
pub use assets::default_guest_folder;
pub use firecracker::{Firecracker, FirecrackerConfig};
pub use kvm::kvm_self_test_main;
pub(crate) use qemu::find as find_qemu;
pub(crate) use spawn::spawn as spawn_with_the_node;

use crate::config::Acceleration;
use crate::executor::{Executor, Fault, Machine, Phases, Program};
use crate::flight::Turns;
use crate::guest_api::GuestApi;
use crate::jail::{self, JailError, Jails};
use crate::lan::{Kind, Lan, Mac, Mode};
use crate::limits;
use assets::{ADVICE, Assets};
use machine::MicroMachine;
use qemu::{Memory, Processor};
use setup::Setup;
use template::{Key, Templates};
use volumes::Shelves;

/// Usual room of templates: some thirty programs.
pub(crate) const TEMPLATES_MIB: u64 = 4096;

/// What the executor can be told.
#[derive(Clone, Debug)]
pub struct MicroVmConfig {
    /// Kernel, modules and runtime images, as `scripts/guest.sh` makes them.
    pub guest_folder: PathBuf,
    /// Where the executor keeps what it makes. Created if needed.
    pub work_folder: PathBuf,
    /// Where programs' persistent volumes are. Created if needed.
    pub volumes_folder: PathBuf,
    /// KVM, emulation, or whichever works.
    pub acceleration: Acceleration,
    /// QEMU; `None`: `qemu-system-x86_64` on the path.
    pub qemu: Option<PathBuf>,
    /// A program that answers to `kvm-self-test` with [`kvm_self_test_main`];
    /// `None`: this one.
    pub self_test: Option<PathBuf>,
    /// How long a machine may take until it can answer, in seconds.
    pub ready_timeout_seconds: u64,
    /// Whether QEMU is jailed.
    pub jail: jail::Mode,
    /// First of the user ids that machines get.
    pub jail_first_user: u32,
    /// Room of all templates together, in MiB; 0: machines boot.
    pub templates_mib: u64,
    /// What programs may ask the node; `None`: nothing.
    pub guest_api: Option<GuestApi>,
}

impl MicroVmConfig {
    /// The usual settings, with a folder to work in.
    pub fn new(work_folder: PathBuf) -> MicroVmConfig {
        MicroVmConfig {
            guest_folder: default_guest_folder(),
            volumes_folder: work_folder.join("volumes"),
            work_folder,
            acceleration: Acceleration::Auto,
            qemu: None,
            self_test: None,
            ready_timeout_seconds: 60,
            jail: jail::Mode::Auto,
            jail_first_user: 200_000,
            templates_mib: TEMPLATES_MIB,
            guest_api: None,
        }
    }

    /// The runtime image that `scripts/guest.sh` makes.
    pub fn runtime(&self) -> PathBuf {
        self.guest_folder.join("python.squashfs")
    }
}

/// The executor could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MicroVmError {
    /// Its folder cannot be used.
    #[error("cannot create {}: {source}; check its parent folder", .folder.display())]
    Folder {
        /// Where.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The processes of machines cannot be jailed.
    #[error(transparent)]
    Jail(#[from] JailError),
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
    jails: Jails,
    choice: OnceCell<Choice>,
    tsc_khz: OnceCell<u64>,
    assets: Mutex<Option<(assets::Stamp, Assets)>>,
    templates: Templates,
    /// Set when the node has a guest network with taps.
    lan: OnceLock<Lan>,
    /// Of programs: one machine with a network card at a time.
    wires: Turns,
    shelves: Shelves,
    freezes: Semaphore,
    wakes: Semaphore,
}

impl MicroVm {
    /// Succeeds without QEMU, kernel or KVM: `start` then says what is missing.
    pub fn new(config: MicroVmConfig) -> Result<MicroVm, MicroVmError> {
        let folder = config.work_folder.clone();
        let wrong = |source| MicroVmError::Folder {
            folder: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(wrong)?;
        let templates = Templates::open(folder.join("templates"), config.templates_mib);
        let templates = templates.map_err(wrong)?;
        let (mode, first_user) = (config.jail, config.jail_first_user);
        let jails = Jails::open(mode, first_user, &folder.join("jails"))?;
        let shelves = Shelves::new(config.volumes_folder.clone());
        Ok(MicroVm(Arc::new(Inner {
            config,
            jails,
            choice: OnceCell::new(),
            tsc_khz: OnceCell::new(),
            assets: Mutex::default(),
            templates,
            lan: OnceLock::new(),
            wires: Turns::default(),
            shelves,
            freezes: Semaphore::new(limits::FREEZES_MAX),
            wakes: Semaphore::new(processors().max(limits::WAKES_MIN)),
        })))
    }

    /// The layers of the jails around machines.
    pub fn layers(&self) -> Vec<jail::Layer> {
        self.0.jails.layers()
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
        setup::check_volumes(content).map(drop)?;
        Ok(memory_mib(&content.resources))
    }

    fn prepare<'a>(
        &'a self,
        program: &'a Program,
        phases: Phases,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            let plan = self.0.plan(Arc::new(program.clone())).await?;
            self.0.template(&plan, &phases).await.map(drop)
        }
        .boxed()
    }

    fn start<'a>(
        &'a self,
        program: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            let seconds = program.content.resources.seconds.max(1);
            let limit = Duration::from_secs(seconds).min(limits::CALL_DEADLINE_MAX);
            let plan = self.0.plan(program).await?;
            let booted = self.0.bear(&plan, &phases).await?;
            Ok(Box::new(MicroMachine::new(booted, limit)) as Box<dyn Machine>)
        }
        .boxed()
    }

    fn forget(&self, item_hash: &ItemHash) {
        self.0.templates.forget(item_hash);
    }

    fn use_network(&self, lan: &Lan) {
        if lan.mode() == Mode::Tap {
            // A second network is none of a node's.
            let _ = self.0.lan.set(lan.clone());
        }
    }

    fn disk_bytes<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, u64> {
        self.0.shelves.size_bytes(item_hash).boxed()
    }

    fn erase<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Result<(), Fault>> {
        self.0.shelves.erase(item_hash).boxed()
    }
}

/// Everything that is known before a machine of a program starts.
struct Plan {
    /// Of its template.
    name: String,
    qemu: PathBuf,
    processor: Processor,
    vcpus: u64,
    memory_mib: u64,
    setup: Setup,
    assets: Assets,
    card: Option<Card>,
}

/// A network card.
struct Card {
    mac: String,
    kind: Kind,
}

impl Plan {
    /// A machine without descriptors.
    fn machine(&self) -> qemu::Machine<'_> {
        qemu::Machine {
            assets: &self.assets,
            processor: self.processor,
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
            drives: &self.setup.drives,
            memory: Memory::Own,
            port: 0,
            log: 0,
            api: 0,
            monitor: 0,
            card: self.card.as_ref().map(|card| (0, card.mac.as_str())),
        }
    }

    /// Names the template: everything that a clone takes over.
    fn key(&self) -> std::io::Result<Key> {
        let mut key = Key::default();
        let drives = self.setup.drives.iter();
        let drives = drives.filter(|drive| !drive.is_writable);
        let drives = drives.map(|drive| &drive.path);
        let files = [&self.qemu, &self.assets.kernel, &self.assets.initrd];
        for path in files.into_iter().chain(drives) {
            key.add_file(path)?;
        }
        let mut machine = self.machine();
        if let Processor::Tcg { tsc_khz } = &mut machine.processor {
            // Measured anew by every node, and never quite the same.
            *tsc_khz = 0;
        }
        key.add(&qemu::arguments(&machine));
        key.add(self.setup.told());
        Ok(key)
    }
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
        let qemu = self.qemu()?;
        let processor = self.processor().await?;
        let inner = Arc::clone(self);
        let planning = move || {
            let resources = &program.content.resources;
            let card = inner.card(&program);
            let assets = inner.assets()?;
            let mut plan = Plan {
                name: String::new(),
                qemu,
                processor,
                vcpus: resources.vcpus.clamp(1, vcpus_max()),
                memory_mib: memory_mib(resources),
                setup: Setup::of(&program, &inner.shelves)?,
                assets: match card {
                    Some(_) => assets.with_network()?,
                    None => assets,
                },
                card,
            };
            let key = plan
                .key()
                .map_err(|error| Fault::Internal(format!("looking at files: {error}")))?;
            plan.name = key.name(&program.item_hash);
            Ok(plan)
        };
        tokio::task::spawn_blocking(planning)
            .await
            .map_err(|error| Fault::Internal(error.to_string()))?
    }

    /// The network card of a program's machines.
    fn card(&self, program: &Program) -> Option<Card> {
        let content = &program.content;
        self.lan.get().filter(|_| content.environment.internet)?;
        Some(Card {
            mac: Mac::of(&program.item_hash).to_string(),
            kind: match content.on.persistent {
                Some(true) => Kind::PersistentProgram,
                _ => Kind::Microvm,
            },
        })
    }

    /// What machines boot from; put together again when the guest folder changes.
    fn assets(&self) -> Result<Assets, Fault> {
        let folder = &self.config.guest_folder;
        let stamp = assets::stamp(folder);
        let mut known = self.assets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, assets)) = &*known
            && *of == stamp
            && assets.initrd.is_file()
        {
            return Ok(assets.clone());
        }
        let assets = assets::assemble(folder, &self.config.work_folder).map_err(Fault::NotHere)?;
        *known = Some((stamp, assets.clone()));
        Ok(assets)
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
    (processors() as u64).min(limits::VCPUS_MAX)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
