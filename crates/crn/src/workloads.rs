//! What this node runs for others, whatever it is: the contract between the
//! routes, payment and watching on one side and programs and instances on the
//! other.
//!
//! ```text
//!  operator routes ┐                      ┌ programs   (the pool)
//!  scheduler       ├─▶ Machines ─▶ Workloads
//!  payment, watch  ┘                      └ instances  (virtual machines)
//! ```
//!
//! A workload is *known* from its definition until it is forgotten, running or
//! not. All methods may be called at any time, in any order, by several at
//! once: whoever implements them serialises what must not happen together.

pub mod network;
mod programs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use beth_protocol::ItemHash;
use beth_protocol::content::machine::GpuRequirement;
use beth_protocol::content::payment::Payment;
use beth_protocol::time::Timestamp;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::core_node::CoreNode;
pub use programs::ProgramWorkloads;

/// What kind of workload something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A program whose machine lives while it is called.
    Microvm,
    /// A program that runs while it is allocated.
    PersistentProgram,
    /// A virtual machine.
    Instance,
}

impl Kind {
    /// The spelling of the lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Microvm => "microvm",
            Kind::PersistentProgram => "persistent_program",
            Kind::Instance => "instance",
        }
    }
}

/// What a message asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    /// Processors.
    pub vcpus: u64,
    /// Memory.
    pub memory_mib: u64,
    /// Disks that it writes, together.
    pub disk_mib: u64,
    /// Graphics cards.
    pub gpus: Vec<GpuRequirement>,
}

/// When each step was last taken; `None` for steps not taken yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// It became known.
    pub defined_at: Option<SystemTime>,
    /// Its files were asked for.
    pub preparing_at: Option<SystemTime>,
    /// They are here.
    pub prepared_at: Option<SystemTime>,
    /// Its machine is being made.
    pub starting_at: Option<SystemTime>,
    /// Its machine runs.
    pub started_at: Option<SystemTime>,
    /// Its machine was told to end.
    pub stopping_at: Option<SystemTime>,
    /// Its machine is gone.
    pub stopped_at: Option<SystemTime>,
}

/// Addresses of a machine (compute.md §6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networking {
    /// `172.16.4.0/24`.
    pub ipv4_network: String,
    /// The node's own address.
    pub host_ipv4: String,
    /// `2a01:…:2e90/124`.
    pub ipv6_network: String,
    /// Of the guest.
    pub ipv6_ip: String,
    /// Of the guest.
    pub ipv4_ip: String,
    /// Port of the guest to port of the node.
    pub mapped_ports: BTreeMap<u16, MappedPort>,
}

/// A port of the node that leads to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPort {
    /// On the node.
    pub host: u16,
    /// For TCP.
    pub tcp: bool,
    /// For UDP.
    pub udp: bool,
}

/// One workload at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its message.
    pub item_hash: ItemHash,
    /// `content.address`.
    pub owner: String,
    /// What it is.
    pub kind: Kind,
    /// A machine runs.
    pub is_running: bool,
    /// A machine is being made.
    pub is_starting: bool,
    /// It waits for its owner's secret.
    pub awaits_secret: bool,
    /// Its memory is hidden from this node.
    pub is_confidential: bool,
    /// When it did what.
    pub steps: Steps,
    /// Where it is reached; `None` while nobody knows.
    pub networking: Option<Networking>,
    /// What it asks for.
    pub demand: Demand,
    /// What it has written of the disks that it declared.
    pub disk_used_mib: u64,
    /// How it is paid; `None` as by tokens held.
    pub payment: Option<Payment>,
}

/// One line that a workload printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read.
    pub time: Timestamp,
    /// True for the error output.
    pub is_error: bool,
    /// Without a line end.
    pub text: String,
}

/// What becomes of the data volumes when a machine is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// They are empty afterwards.
    Erase,
    /// They stay.
    Keep,
}

/// Whether something ran before it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It ran.
    Running,
    /// It did not.
    Stopped,
}

/// How a backup is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupWish {
    /// Data volumes too.
    pub with_volumes: bool,
    /// Without asking the guest to hold its writes.
    pub without_freeze: bool,
}

/// A finished archive (compute.md §21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// `<item hash>-<YYYYmmddTHHMMSSZ>`.
    pub id: String,
    /// The archive.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Names of its members, and how long each disk was.
    pub source_sizes_bytes: Vec<(String, u64)>,
    /// When it is deleted.
    pub expires_at: Timestamp,
}

/// How a backup stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupStep {
    /// Being made.
    Underway,
    /// Made.
    Done(Box<Backup>),
    /// It failed; told once.
    Failed(String),
    /// Nobody asked for one.
    None,
}

/// What a machine's disk is replaced with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// An uploaded image, in a file that is taken away.
    Upload(PathBuf),
    /// The file of a STORE message.
    Stored(ItemHash),
}

/// A disk that leaves for another node, or comes from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedDisk {
    /// `rootfs.qcow2`, or another.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// What an owner sends to begin a confidential machine (compute.md §19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `vm_session.b64`.
    pub session: Vec<u8>,
    /// `vm_godh.b64`.
    pub godh: Vec<u8>,
}

/// What the firmware of a confidential machine says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// Of `query-sev`.
    pub sev_info: serde_json::Value,
    /// Base64, 48 bytes.
    pub launch_measure: String,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadFault {
    /// No such workload here, or none that can do that.
    #[error("{0}")]
    Unsupported(String),
    /// It is not in a state for that.
    #[error("{0}")]
    Conflict(String),
    /// Something is missing on this node: room, hardware, a tool.
    #[error("{0}")]
    NotHere(String),
    /// It asks for more than it may have.
    #[error("{0}")]
    TooLarge(String),
    /// The disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// The outcome of an operation.
pub type Done<T> = Result<T, WorkloadFault>;

fn unsupported<'a, T: Send + 'a>(what: &str) -> BoxFuture<'a, Done<T>> {
    let text = what.to_owned();
    Box::pin(async move { Err(WorkloadFault::Unsupported(text)) })
}

/// Something that runs workloads. What only virtual machines can do refuses by
/// default.
pub trait Workloads: Send + Sync + 'static {
    /// Every workload, in no order.
    fn all(&self) -> BoxFuture<'_, Vec<Known>>;

    /// One of them.
    fn find<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Known>>;

    /// Runs it, defining it first if it is not known; nothing to do when it
    /// runs or waits for its owner's secret.
    fn start<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>>;

    /// Ends its machine; its data and definition stay.
    fn stop<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>>;

    /// Ends its machine and begins it again; begins it when there was none.
    fn reboot<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>>;

    /// Makes its disk anew from its message, then runs it.
    fn reinstall<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        volumes: Volumes,
    ) -> BoxFuture<'a, Done<()>>;

    /// Ends it and deletes all that it wrote; it is not known afterwards.
    fn erase<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>>;

    /// Ends it; it is not known afterwards, its data stays.
    fn forget<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>>;

    /// The newest lines that it printed, oldest first; `None` when nothing is
    /// known of it.
    fn logs<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Vec<LogLine>>>;

    /// Applies the owner's ports (the value of `port-forwarding` for this
    /// workload, `None` for no wish).
    fn map_ports<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _ports: Option<serde_json::Value>,
    ) -> BoxFuture<'a, Done<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Begins a backup, or tells of one.
    fn backup<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _wish: BackupWish,
    ) -> BoxFuture<'a, Done<BackupStep>> {
        unsupported("Backup only supported for QEMU VMs")
    }

    /// How the last backup stands.
    fn backup_step<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, BackupStep> {
        Box::pin(async { BackupStep::None })
    }

    /// A finished backup, of a machine that may be gone.
    fn backup_of_id<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Option<Backup>> {
        Box::pin(async { None })
    }

    /// Deletes a backup; false when there is none.
    fn delete_backup<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Done<bool>> {
        Box::pin(async { Ok(false) })
    }

    /// Replaces its disk and runs it.
    fn restore<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _image: Restored,
    ) -> BoxFuture<'a, Done<()>> {
        unsupported("Restore only supported for QEMU VMs")
    }

    /// Ends it and makes copies of its disks for another node; when that fails it
    /// runs again.
    fn export<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Vec<MovedDisk>>> {
        unsupported("Migration only supported for QEMU instances")
    }

    /// Removes those copies.
    fn discard_export<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// Begins a machine with disks that another node made copies of; the files
    /// are taken away.
    fn import<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _disks: Vec<MovedDisk>,
    ) -> BoxFuture<'a, Done<()>> {
        unsupported("Migration only supported for QEMU instances")
    }

    /// Begins a confidential machine with its owner's session.
    fn initialize<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _session: Session,
    ) -> BoxFuture<'a, Done<()>> {
        unsupported("Instance is not a confidential instance")
    }

    /// What the firmware measured.
    fn measurement<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Measurement>> {
        unsupported("Instance is not a confidential instance")
    }

    /// Hands over the owner's secret and lets the machine run; its status.
    fn inject_secret<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _packet_header: String,
        _secret: String,
    ) -> BoxFuture<'a, Done<serde_json::Value>> {
        unsupported("Instance is not a confidential instance")
    }
}

/// All workloads of a node. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Machines {
    programs: Arc<dyn Workloads>,
    instances: Option<Arc<dyn Workloads>>,
}

impl Machines {
    /// Of a node that runs programs and, perhaps, instances.
    pub fn new(programs: Arc<dyn Workloads>, instances: Option<Arc<dyn Workloads>>) -> Machines {
        Machines {
            programs,
            instances,
        }
    }

    /// What runs programs.
    pub fn programs(&self) -> &Arc<dyn Workloads> {
        &self.programs
    }

    /// What runs virtual machines.
    pub fn instances(&self) -> Option<&Arc<dyn Workloads>> {
        self.instances.as_ref()
    }

    /// Every workload, in order of the hashes.
    pub async fn all(&self) -> Vec<Known> {
        let mut all = self.programs.all().await;
        if let Some(instances) = &self.instances {
            all.extend(instances.all().await);
        }
        all.sort_by(|a, b| a.item_hash.cmp(&b.item_hash));
        all
    }

    /// One workload, and who runs it.
    pub async fn find(&self, item_hash: &ItemHash) -> Option<(Known, &Arc<dyn Workloads>)> {
        for workloads in self.instances.iter().chain([&self.programs]) {
            if let Some(known) = workloads.find(item_hash).await {
                return Some((known, workloads));
            }
        }
        None
    }

    /// Applies what the owner says of a machine's ports; without an answer of
    /// the core node they stay as they are.
    pub async fn refresh_ports(&self, core: &CoreNode, known: &Known) -> Done<()> {
        let wished = core.aggregate(&known.owner, "port-forwarding").await;
        let wished = wished.map_err(|fault| WorkloadFault::NotHere(fault.to_string()))?;
        let ports =
            wished.and_then(|mut wished| Some(wished.get_mut(known.item_hash.as_str())?.take()));
        match self.find(&known.item_hash).await {
            Some((_, workloads)) => workloads.map_ports(&known.item_hash, ports).await,
            None => Ok(()),
        }
    }

    /// The backup of that name, whoever made it.
    pub async fn backup_of_id(&self, id: &str) -> Option<Backup> {
        self.instances.as_ref()?.backup_of_id(id).await
    }
}
