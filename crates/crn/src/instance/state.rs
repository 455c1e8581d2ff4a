//! What everybody may know of an instance at a moment (compute.md §1.1).

use beth_protocol::ItemHash;
use beth_protocol::content::InstanceContent;

use super::link::Link;
use super::record::{Record, Times};

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Known, nothing done yet.
    Defined,
    /// Files are fetched, disks are made.
    Preparing,
    /// QEMU is being started.
    Starting,
    /// Its owner has not sent a session for its hidden memory yet.
    AwaitsOwner,
    /// Its guest runs.
    Running,
    /// Its guest was asked to shut down.
    Stopping,
    /// Nothing runs; its disks are kept.
    Stopped,
    /// It did not start, or its QEMU died; it is tried again if it is wanted.
    Failed,
    /// Stopped and not listed any more; its disks are kept.
    Released,
    /// Nothing is left.
    Erased,
}

impl Phase {
    /// Whether a guest may be at the other end of its link.
    pub fn has_link(self) -> bool {
        matches!(
            self,
            Phase::Preparing | Phase::Starting | Phase::Running | Phase::Stopping
        )
    }
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct InstanceState {
    /// The message.
    pub item_hash: ItemHash,
    /// Its number here.
    pub vm_id: u32,
    /// What the message says.
    pub content: InstanceContent,
    /// Where it is.
    pub phase: Phase,
    /// Whether it shall run.
    pub wanted: bool,
    /// What happened when.
    pub times: Times,
    /// Its network.
    pub link: Option<Link>,
    /// Why it failed.
    pub fault: Option<String>,
}

impl InstanceState {
    pub(super) fn of(record: &Record, phase: Phase, fault: Option<String>) -> InstanceState {
        InstanceState {
            item_hash: record.item_hash.clone(),
            vm_id: record.vm_id,
            content: record.content.clone(),
            phase,
            wanted: record.wanted,
            times: record.times,
            link: record.link.clone(),
            fault,
        }
    }

    /// Whether its guest runs.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether lists name it.
    pub fn is_listed(&self) -> bool {
        !matches!(self.phase, Phase::Released | Phase::Erased)
    }
}
