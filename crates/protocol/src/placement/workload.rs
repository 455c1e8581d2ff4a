//! Workloads: what placement needs to know of a PROGRAM or INSTANCE message.

use serde::Serialize;

use super::{Capability, Load};
use crate::content::machine::{CpuRequirements, HostRequirements, NodeRequirements, Volume};
use crate::content::{InstanceContent, PaymentType, ProgramContent};
use crate::{Content, ItemHash};

/// When a workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A function: when somebody calls it.
    OnDemand,
    /// A function that runs all the time.
    Persistent,
    /// A virtual machine with its own disk.
    Instance,
}

/// Something to place.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its message.
    pub item_hash: ItemHash,
    /// When it runs.
    pub kind: Kind,
    /// What the node must be able to run; `None` for Wasm.
    pub needs: Option<Capability>,
    /// Something no node here has (a graphics card), by name.
    pub special: Option<&'static str>,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
    pub disk_mib: u64,
    /// Wishes about the node.
    pub node: Option<NodeRequirements>,
    /// Wishes about the processor.
    pub cpu: Option<CpuRequirements>,
}

impl Workload {
    /// Reads a content; `None` for what is no workload and for instances that
    /// their owner places (network.md §23.1): paid by stream, confidential,
    /// with a graphics card, or tied to a node.
    pub fn of(item_hash: &ItemHash, content: &Content) -> Option<Workload> {
        match content {
            Content::Program(program) => Some(Workload::of_program(item_hash, program)),
            Content::Instance(instance) if !is_placed_by_owner(instance) => {
                Some(Workload::of_instance(item_hash, instance))
            }
            _ => None,
        }
    }

    fn of_program(item_hash: &ItemHash, content: &ProgramContent) -> Workload {
        let persistent = content.on.persistent == Some(true);
        let requirements = content.requirements.clone().unwrap_or_default();
        Workload {
            item_hash: item_hash.clone(),
            kind: if persistent {
                Kind::Persistent
            } else {
                Kind::OnDemand
            },
            needs: (!content.code.is_wasm()).then_some(Capability::MicroVm),
            special: special(&requirements),
            vcpus: content.resources.vcpus,
            memory_mib: content.resources.memory,
            disk_mib: disk_mib(&content.volumes),
            node: requirements.node,
            cpu: requirements.cpu,
        }
    }

    fn of_instance(item_hash: &ItemHash, content: &InstanceContent) -> Workload {
        let requirements = content.requirements.clone().unwrap_or_default();
        Workload {
            item_hash: item_hash.clone(),
            kind: Kind::Instance,
            needs: Some(Capability::Instance),
            special: special(&requirements),
            vcpus: content.resources.vcpus,
            memory_mib: content.resources.memory,
            disk_mib: content
                .rootfs
                .size_mib
                .saturating_add(disk_mib(&content.volumes)),
            node: requirements.node,
            cpu: requirements.cpu,
        }
    }

    /// What it takes away from its node for good: nothing for a function that
    /// runs on demand.
    pub fn load(&self) -> Load {
        match self.kind {
            Kind::OnDemand => Load::default(),
            Kind::Persistent | Kind::Instance => Load {
                vcpus: self.vcpus,
                memory_mib: self.memory_mib,
            },
        }
    }
}

fn is_placed_by_owner(content: &InstanceContent) -> bool {
    let requirements = content.requirements.as_ref();
    content
        .payment
        .as_ref()
        .is_some_and(|payment| payment.payment_type == PaymentType::Superfluid)
        || content.environment.trusted_execution.is_some()
        || requirements.is_some_and(|wish| wish.gpu.as_ref().is_some_and(|gpu| !gpu.is_empty()))
        || requirements
            .and_then(|wish| wish.node.as_ref())
            .is_some_and(|node| node.node_hash.is_some())
}

fn special(requirements: &HostRequirements) -> Option<&'static str> {
    requirements
        .gpu
        .as_ref()
        .is_some_and(|gpu| !gpu.is_empty())
        .then_some("a graphics card")
}

fn disk_mib(volumes: &[Volume]) -> u64 {
    let size = |volume: &Volume| match volume {
        Volume::Immutable(_) => 0,
        Volume::Persistent(volume) => volume.size_mib,
        Volume::Ephemeral(volume) => volume.size_mib,
    };
    volumes.iter().map(size).fold(0, u64::saturating_add)
}
