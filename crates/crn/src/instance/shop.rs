//! What all instances of a node share: where things are, how QEMU runs, what
//! room is left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use beth_protocol::ItemHash;
use tokio::sync::{OnceCell, Semaphore, watch};

use super::disks::Folders;
use super::fault::InstanceFault;
use super::hardware::Cabinet;
use super::link::Links;
use super::process::Life;
use super::record::Record;
use super::source::Source;
use super::state::{InstanceState, Phase};
use crate::config::Acceleration;
use crate::jail::Jails;
use crate::microvm::{Probe, choose, find_qemu};

/// How QEMU runs here.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) program: PathBuf,
    pub(super) kvm: bool,
}

/// Reads all instances' states.
pub(super) type States = Arc<dyn Fn() -> Vec<InstanceState> + Send + Sync>;

/// Shared by all keepers.
pub(super) struct Shop {
    pub(super) folder: PathBuf,
    pub(super) backups: PathBuf,
    pub(super) source: Source,
    pub(super) links: Arc<dyn Links>,
    pub(super) shutdown_patience: Duration,
    pub(super) memory_mib: u64,
    pub(super) disk_mib: Option<u64>,
    pub(super) life: Life,
    pub(super) qemu: Option<PathBuf>,
    pub(super) acceleration: Acceleration,
    pub(super) jails: Jails,
    pub(super) cabinet: Cabinet,
    pub(super) states: RwLock<Option<States>>,
    /// Copies of whole disks that run at the same time.
    pub(super) copies: Semaphore,
    pub(super) way: OnceCell<Way>,
    /// Instances of which nobody has looked yet whether they run.
    pub(super) unsettled: watch::Sender<usize>,
}

impl Shop {
    /// The folder of an instance.
    pub(super) fn own(&self, item_hash: &ItemHash) -> PathBuf {
        self.folder.join(item_hash.as_str())
    }

    pub(super) fn folders(&self, item_hash: &ItemHash, vm_id: u32) -> Folders {
        Folders {
            own: self.own(item_hash),
            parents: self.folder.join("parents"),
            sockets: self.folder.join("s").join(vm_id.to_string()),
        }
    }

    /// Decided once; a failure is tried again at the next start.
    pub(super) async fn way(&self) -> Result<Way, String> {
        let decide = async {
            let program = find_qemu(self.qemu.as_deref())
                .ok_or("qemu-system-x86_64 is not installed; run `make image`")?;
            let probe = Probe {
                program: None,
                folder: &self.folder,
            };
            let choice = choose(self.acceleration, probe).await?;
            tracing::info!(
                "instances run {}: {}",
                if choice.kvm { "on KVM" } else { "emulated" },
                choice.reason
            );
            Ok::<Way, String>(Way {
                program,
                kvm: choice.kvm,
            })
        };
        self.way.get_or_try_init(|| decide).await.cloned()
    }

    /// Refuses an instance for which there is no memory or no disk.
    pub(super) fn admit(&self, record: &Record) -> Result<(), InstanceFault> {
        let others: Vec<InstanceState> = self
            .all()
            .into_iter()
            .filter(|state| state.item_hash != record.item_hash)
            .collect();
        let memory_mib = others
            .iter()
            .filter(|state| !matches!(state.phase, Phase::Stopped | Phase::Defined))
            .filter(|state| state.wanted || state.is_running())
            .fold(record.content.resources.memory, |sum, state| {
                sum.saturating_add(state.content.resources.memory)
            });
        if memory_mib > self.memory_mib {
            return Err(InstanceFault::NoRoom(format!(
                "its instances would have {memory_mib} MiB of memory, {} is the most",
                self.memory_mib
            )));
        }
        self.admit_disks(record, &others)
    }

    /// Disks are promised up to the operator's bound, or up to what is free.
    fn admit_disks(&self, record: &Record, others: &[InstanceState]) -> Result<(), InstanceFault> {
        if let Some(disk_mib) = self.disk_mib {
            let declared = others
                .iter()
                .map(|state| super::record::declared_bytes(&state.content));
            let promised = declared.fold(record.declared_bytes(), u64::saturating_add) >> 20;
            if promised > disk_mib {
                return Err(InstanceFault::NoRoom(format!(
                    "the disks of its instances would be of {promised} MiB, {disk_mib} is the most"
                )));
            }
            return Ok(());
        }
        let free = free_bytes(&self.folder).map_err(InstanceFault::disk("look for free disk"))?;
        let own = missing_bytes(record.declared_bytes(), &self.folder, &record.item_hash);
        let promised = others
            .iter()
            .map(|state| {
                let declared = super::record::declared_bytes(&state.content);
                missing_bytes(declared, &self.folder, &state.item_hash)
            })
            .fold(own, u64::saturating_add);
        if promised > free {
            return Err(InstanceFault::NoRoom(format!(
                "the disks of its instances may come to take {} MiB more, and {} are free",
                promised >> 20,
                free >> 20
            )));
        }
        Ok(())
    }

    fn all(&self) -> Vec<InstanceState> {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        states.as_ref().map(|states| states()).unwrap_or_default()
    }
}

/// Bytes that unprivileged programs may still write in this file system.
pub(super) fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let statistics = rustix::fs::statvfs(folder)?;
    Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
}

/// What an instance may still come to take of what it was promised.
fn missing_bytes(declared: u64, folder: &Path, item_hash: &ItemHash) -> u64 {
    declared.saturating_sub(taken_bytes(&folder.join(item_hash.as_str()), 2))
}

/// Bytes that the files of a folder take on disk.
pub(super) fn taken_bytes(folder: &Path, depth: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() && depth > 0 => taken_bytes(&entry.path(), depth - 1),
        Ok(data) if data.is_file() => data.blocks() * 512,
        _ => 0,
    });
    sizes.sum()
}
