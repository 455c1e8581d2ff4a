//! Instances: INSTANCE messages as whole machines under QEMU (compute.md §16).
//!
//! ```text
//! define, start, stop … ─▶ Instances ─▶ one Keeper each ─▶ Guest (QEMU, a session of its own)
//!                              │             └─▶ instance.json, rootfs.qcow2, volumes, seed
//!                              └─ states ─▶ lists      console ─▶ logs
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `keeper` | the task of one instance: it alone changes it |
//! | `record`, `state` | what is remembered; what everybody may know |
//! | `source`, `disks`, `qcow2`, `tool` | messages, files, images |
//! | `seed`, `iso` | what the guest is told at its first start |
//! | `link` | the network |
//! | `qemu`, `confine`, `guest`, `process`, `qmp`, `console` | the running machine |
//! | `backup`, `archive`, `restore`, `migration`, `tar` | copies of its disks |
//! | `workloads` | what the routes ask |
//!
//! Invariants: guests do not end with the node, and an instance that shall run is
//! taken up or started again by the next node; a disk is opened by one QEMU, with
//! its format and its parent spelled out; no image of a stranger is opened before
//! its header was read here; no instance waits for another.

mod archive;
mod backup;
mod confine;
mod console;
mod disks;
mod fault;
mod guest;
mod hardware;
mod iso;
mod keeper;
mod link;
mod migration;
mod process;
mod qcow2;
mod qemu;
mod qmp;
mod record;
mod restore;
mod seed;
mod sev;
mod shop;
mod source;
mod state;
mod tar;
mod tool;
mod workloads;

pub(crate) use confine::open_tap;
pub(crate) use tool::make_ext4;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use beth_protocol::ItemHash;
use beth_protocol::content::InstanceContent;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::archive::{Archive, BackupStatus};
pub use self::backup::BackupOrder;
pub use self::console::ConsoleLine;
pub use self::fault::InstanceFault;
pub use self::hardware::{Card, Hardware};
pub use self::link::{Addresses, Forward, Link, LinkRequest, Links, Mapped, Tap, UserLinks};
pub(crate) use self::link::{NETDEV, wished_ports};
pub use self::migration::{Export, ExportedDisk, Import, ImportedDisk};
pub use self::qcow2::{Format, Image, inspect};
pub use self::record::Times;
pub use self::sev::Geometry;
pub use self::source::Source;
pub use self::state::{InstanceState, Phase};

use self::archive::Backups;
use self::console::Console;
use self::hardware::Cabinet;
use self::keeper::{Command, Keeper, Order, Outcome};
use self::process::Life;
use self::record::Record;
use self::shop::Shop;
use crate::config::Acceleration;
use crate::jail::Jails;
use crate::lan::WantedPorts;
use crate::limits;

/// What operators decide about instances.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstancesConfig {
    /// Whether this node runs instances.
    pub enabled: bool,
    /// Memory of all instances together, in MiB. Unset: four fifths of what is
    /// free when the node starts.
    pub memory_mib: Option<u64>,
    /// Where ports that lead to guests are opened when guests have no network of
    /// their own.
    pub forward_address: IpAddr,
    /// How long a guest may take to shut down, in seconds.
    pub shutdown_seconds: u64,
    /// Whether guests live on when the node ends. False: they end with it, as
    /// in a power cut, and run again when it does.
    pub outlive_node: bool,
    /// Path of QEMU. Unset: the first on the path.
    pub qemu: Option<PathBuf>,
    /// Folder of backups. Unset: `backups` in the node's folder.
    pub backup_folder: Option<PathBuf>,
}

impl Default for InstancesConfig {
    fn default() -> InstancesConfig {
        InstancesConfig {
            enabled: true,
            memory_mib: None,
            forward_address: IpAddr::from([0, 0, 0, 0]),
            shutdown_seconds: limits::INSTANCE_SHUTDOWN_DEADLINE.as_secs(),
            outlive_node: true,
            qemu: None,
            backup_folder: None,
        }
    }
}

/// What instances stand on.
#[derive(Debug)]
pub struct Ground {
    /// The folder of the node; instances are in `instances`.
    pub folder: PathBuf,
    /// Messages and files.
    pub source: Source,
    /// Networks.
    pub links: Arc<dyn Links>,
    /// How machines run.
    pub acceleration: Acceleration,
    /// What their processes may touch.
    pub jails: Jails,
    /// Disk that all instances together may declare, in MiB. Unset: they may come
    /// to take what is free.
    pub disk_mib: Option<u64>,
    /// Cards and processors of special kinds.
    pub hardware: Hardware,
}

/// All instances of a node; all clones are one.
#[derive(Clone)]
pub struct Instances(Arc<Inner>);

struct Inner {
    shop: Arc<Shop>,
    entries: Arc<Mutex<BTreeMap<ItemHash, Entry>>>,
    tasks: TaskTracker,
    end: CancellationToken,
}

#[derive(Clone)]
struct Entry {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<InstanceState>,
    console: Console,
    backups: Backups,
}

impl std::fmt::Debug for Instances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Instances({})", self.0.shop.folder.display())
    }
}

impl Instances {
    /// Takes up everything that is remembered: running guests are adopted, those
    /// that shall run are started. Returns at once; blocks shortly for the disk.
    pub fn start(config: &InstancesConfig, ground: Ground) -> Result<Instances, InstanceFault> {
        let root = std::path::absolute(&ground.folder).unwrap_or(ground.folder);
        let folder = root.join("instances");
        let backups = config.backup_folder.clone();
        let backups = backups.unwrap_or_else(|| root.join("backups"));
        for folder in [&folder, &backups] {
            make_private(folder).map_err(InstanceFault::disk("make the folder of instances"))?;
        }
        let memory_mib = config.memory_mib.unwrap_or_else(|| {
            crate::api::available_memory_mib() * limits::MACHINE_MEMORY_PERCENT / 100
        });
        let shop = Arc::new(Shop {
            folder,
            backups,
            source: ground.source,
            links: ground.links,
            shutdown_patience: Duration::from_secs(config.shutdown_seconds),
            memory_mib,
            disk_mib: ground.disk_mib,
            life: match config.outlive_node {
                true => Life::OfItsOwn,
                false => Life::OfTheNode,
            },
            qemu: config.qemu.clone(),
            acceleration: ground.acceleration,
            jails: ground.jails,
            cabinet: Cabinet::new(ground.hardware),
            states: RwLock::new(None),
            copies: Semaphore::new(limits::DISK_COPIES_MAX),
            way: OnceCell::new(),
            unsettled: watch::Sender::default(),
        });
        let instances = Instances(Arc::new(Inner {
            shop: shop.clone(),
            entries: Arc::default(),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        }));
        let entries = Arc::downgrade(&instances.0.entries);
        let states = move || match entries.upgrade() {
            Some(entries) => states_of(&entries),
            None => Vec::new(),
        };
        *shop.states.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(states));
        for record in remembered(&shop.folder) {
            instances.keep(record);
        }
        Ok(instances)
    }

    /// Remembers an instance without starting it; what is known already stays as
    /// it is. Refuses what this node cannot run.
    pub async fn define(
        &self,
        item_hash: &ItemHash,
        content: InstanceContent,
    ) -> Result<InstanceState, InstanceFault> {
        disks::examine(&content, self.0.shop.cabinet.hardware())?;
        if item_hash.digest().is_none() {
            return Err(InstanceFault::Unusable("its name is no item hash".into()));
        }
        let instances = self.clone();
        let item_hash = item_hash.clone();
        let define = move || Ok(instances.define_now(item_hash, content));
        disks::blocking(define)
            .await
            .map_err(InstanceFault::disk("remember the instance"))?
    }

    fn define_now(
        &self,
        item_hash: ItemHash,
        content: InstanceContent,
    ) -> Result<InstanceState, InstanceFault> {
        let record = {
            let entries = self.entries();
            if let Some(entry) = entries.get(&item_hash) {
                return Ok(entry.state.borrow().clone());
            }
            if entries.len() >= limits::INSTANCES_MAX {
                return Err(InstanceFault::NoRoom("too many instances".into()));
            }
            let taken = |number| {
                entries
                    .values()
                    .any(|entry| entry.state.borrow().vm_id == number)
            };
            let number = (limits::INSTANCE_NUMBER_FIRST..).find(|number| !taken(*number));
            Record::new(item_hash.clone(), number.unwrap_or_default(), content)
        };
        let folder = self.0.shop.own(&item_hash);
        make_private(&folder)
            .and_then(|()| record.save(&folder))
            .map_err(InstanceFault::disk("remember the instance"))?;
        Ok(self.keep(record))
    }

    /// Fetches the message of an instance if it is unknown, then starts it.
    pub async fn allocate(&self, item_hash: &ItemHash) -> Result<(), InstanceFault> {
        if self.state(item_hash).is_none() {
            let content = self.0.shop.source.content(item_hash).await?;
            self.define(item_hash, content).await?;
        }
        self.run(item_hash).await
    }

    /// Starts it and returns when QEMU runs; nothing to do if it does.
    pub async fn run(&self, item_hash: &ItemHash) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::Start).await.map(drop)
    }

    /// Shuts the guest down. It stays stopped until somebody starts it.
    pub async fn stop(&self, item_hash: &ItemHash) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::Stop).await.map(drop)
    }

    /// Shuts the guest down and starts it; starts it if it did not run.
    pub async fn reboot(&self, item_hash: &ItemHash) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::Reboot).await.map(drop)
    }

    /// Stops it, makes its root disk anew and starts it. Volumes that it wrote
    /// are erased with [`Volumes::Erase`].
    pub async fn reinstall(
        &self,
        item_hash: &ItemHash,
        volumes: Volumes,
    ) -> Result<(), InstanceFault> {
        let erase_volumes = volumes == Volumes::Erase;
        self.order(item_hash, Command::Reinstall { erase_volumes })
            .await
            .map(drop)
    }

    /// Stops it, forgets it and removes all its disks.
    pub async fn erase(&self, item_hash: &ItemHash) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::Erase).await?;
        self.entries().remove(item_hash);
        Ok(())
    }

    /// Stops it and lists it no more; its disks are kept for the next allocation.
    pub async fn release(&self, item_hash: &ItemHash) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::Release).await.map(drop)
    }

    /// Leads these ports of its node to it, and SSH; no others.
    pub async fn map_ports(
        &self,
        item_hash: &ItemHash,
        wanted: WantedPorts,
    ) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::MapPorts(wanted))
            .await
            .map(drop)
    }

    /// All instances that lists name.
    pub fn list(&self) -> Vec<InstanceState> {
        let mut states = states_of(&self.0.entries);
        states.retain(InstanceState::is_listed);
        states
    }

    /// One instance, released ones included; `None` when it is unknown.
    pub fn state(&self, item_hash: &ItemHash) -> Option<InstanceState> {
        let entry = self.entry(item_hash)?;
        let state = entry.state.borrow().clone();
        (state.phase != Phase::Erased).then_some(state)
    }

    /// Its states from now on.
    pub fn watch(&self, item_hash: &ItemHash) -> Option<watch::Receiver<InstanceState>> {
        Some(self.entry(item_hash)?.state)
    }

    /// The kept lines of its console, oldest first, at most 2 MiB.
    pub async fn logs(&self, item_hash: &ItemHash) -> Option<Vec<ConsoleLine>> {
        let console = self.entry(item_hash)?.console;
        let read = tokio::task::spawn_blocking(move || console.kept());
        read.await.ok()
    }

    /// Lines of its console from now on; whoever is too slow misses some.
    pub fn follow(&self, item_hash: &ItemHash) -> Option<broadcast::Receiver<ConsoleLine>> {
        Some(self.entry(item_hash)?.console.follow())
    }

    /// Returns when of every remembered instance is known whether its guest still
    /// runs; those that shall run have been told to.
    pub async fn settled(&self) {
        let mut unsettled = self.0.shop.unsettled.subscribe();
        // Who counts lives as long as this.
        let _ = unsettled.wait_for(|count| *count == 0).await;
    }

    /// Memory that running instances have, in MiB.
    pub fn memory_mib_used(&self) -> u64 {
        let states = states_of(&self.0.entries);
        let running = states.iter().filter(|state| state.is_running());
        running.map(|state| state.content.resources.memory).sum()
    }

    /// The node ends: tasks end, guests live on.
    pub async fn close(&self) {
        self.0.end.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn keep(&self, record: Record) -> InstanceState {
        let item_hash = record.item_hash.clone();
        self.0.shop.cabinet.remember(&item_hash, &record.cards);
        let phase = match record.prepared {
            true => Phase::Stopped,
            false => Phase::Defined,
        };
        let state = InstanceState::of(&record, phase, None);
        let (publish, published) = watch::channel(state.clone());
        let console = Console::new(&self.0.shop.own(&item_hash));
        let backups = Backups::new(&self.0.shop.backups, &item_hash);
        let (orders, queue) = mpsc::channel(limits::INSTANCE_COMMANDS_MAX);
        let entry = Entry {
            orders,
            state: published,
            console: console.clone(),
            backups: backups.clone(),
        };
        self.entries().insert(item_hash, entry);
        self.0.shop.unsettled.send_modify(|count| *count += 1);
        let keeper = Keeper::new(self.0.shop.clone(), record, publish, console, backups);
        self.0
            .tasks
            .spawn(keeper.run(queue, self.0.end.child_token()));
        state
    }

    async fn order(
        &self,
        item_hash: &ItemHash,
        command: Command,
    ) -> Result<Outcome, InstanceFault> {
        let done = self.submit(item_hash, command)?;
        done.await.unwrap_or(Err(InstanceFault::Closing))
    }

    fn submit(
        &self,
        item_hash: &ItemHash,
        command: Command,
    ) -> Result<oneshot::Receiver<Result<Outcome, InstanceFault>>, InstanceFault> {
        let unknown = || InstanceFault::Unknown(item_hash.clone());
        let entry = self.entry(item_hash).ok_or_else(unknown)?;
        let (answer, done) = oneshot::channel();
        let order = Order { command, answer };
        match entry.orders.try_send(order) {
            Ok(()) => Ok(done),
            Err(mpsc::error::TrySendError::Full(_)) => Err(InstanceFault::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) if self.0.end.is_cancelled() => {
                Err(InstanceFault::Closing)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(unknown()),
        }
    }

    fn entry(&self, item_hash: &ItemHash) -> Option<Entry> {
        self.entries().get(item_hash).cloned()
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<ItemHash, Entry>> {
        self.0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reinstallation does with volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// They stay.
    Keep,
    /// They are made anew.
    Erase,
}

fn states_of(entries: &Mutex<BTreeMap<ItemHash, Entry>>) -> Vec<InstanceState> {
    let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    let states = entries.values().map(|entry| entry.state.borrow().clone());
    states.collect()
}

/// Records of all instances; what is unreadable is told and left alone.
fn remembered(folder: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.join("instance.json").exists() {
            continue;
        }
        match Record::load(&path) {
            Ok(record) if path.ends_with(record.item_hash.as_str()) => records.push(record),
            Ok(_) => tracing::error!("{} is of another instance", path.display()),
            Err(error) => tracing::error!("cannot read {}: {error}", path.display()),
        }
    }
    records
}

/// A folder that only the node may look into.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}
