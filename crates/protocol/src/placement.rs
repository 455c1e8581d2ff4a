//! Placement: which core node a workload is assigned to, and which of its
//! compute nodes runs it (network.md §23).
//!
//! ```text
//!            step 4                          step 5
//!  Workload ────────▶ one of the core nodes ────────▶ one of its compute nodes
//!                     that has a node that fits       that fits, least loaded
//! ```
//!
//! A pure function: every node that sees the same registry, the same states and
//! the same assignments computes the same placement. A workload stays where it
//! is as long as it fits there. Otherwise equals are told apart by rendezvous
//! hashing of (item hash, node hash), so that a node that goes away moves
//! nothing but its own workloads. Every choice and every refusal has its reason
//! as a sentence.
//!
//! What a node has left at this moment is deliberately absent. Capacity is what
//! the node has; workloads that run all the time share it by what they were
//! promised; a function that runs on demand must fit on its own, since its
//! machine comes and goes.

mod plan;
mod workload;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::content::machine::{CpuRequirements, NodeRequirements};
use crate::registry::{CoreNode, Registry, ResourceNode};
use crate::{ItemHash, limits};

pub use plan::{Plan, plan};
pub use workload::{Kind, Workload};

/// What a compute node can run beside Wasm functions, which every node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Functions in a microVM.
    MicroVm,
    /// Virtual machines with their own disk.
    Instance,
}

/// What a compute node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeState {
    /// Why it cannot be used now, as a sentence; `None` when it is healthy.
    pub fault: Option<String>,
    /// Cores.
    pub vcpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
    pub disk_mib: u64,
    /// What it can run.
    pub capabilities: BTreeSet<Capability>,
    /// Its processor: architecture, vendor, features.
    pub cpu: Cpu,
}

/// The processor of a compute node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// E.g. `AuthenticAMD`.
    pub vendor: String,
    /// E.g. `sev`.
    pub features: Vec<String>,
}

/// What is promised to the workloads of a node that run all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// The world as seen when a placement is computed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which nodes exist.
    pub registry: Registry,
    /// What the compute nodes said; a node without an entry never answered.
    pub states: BTreeMap<ItemHash, NodeState>,
    /// What the *other* workloads take, by compute node.
    pub loads: BTreeMap<ItemHash, Load>,
    /// Where workloads are now: item hash → compute node.
    pub current: BTreeMap<ItemHash, ItemHash>,
}

/// Where a workload belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The core node.
    pub core_node: ItemHash,
    /// Its compute node.
    pub compute_node: ItemHash,
}

/// The decision about one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// `None` when no node fits.
    pub target: Option<Target>,
    /// Why this core node: a sentence.
    pub core_node_reason: String,
    /// Why this compute node: a sentence.
    pub compute_node_reason: String,
    /// Compute nodes that were looked at and do not fit, by node hash. Empty
    /// when the workload stays where it is.
    pub refused: Vec<Refusal>,
}

/// A compute node that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The node.
    pub node_hash: ItemHash,
    /// Why: a sentence.
    pub reason: String,
}

/// A compute node that fits, with its core node and how loaded it is (eighths
/// of its memory).
struct Candidate<'a> {
    core: &'a CoreNode,
    node: &'a ResourceNode,
    eighths: u64,
}

/// Decides where a workload belongs.
pub fn place(workload: &Workload, network: &Snapshot) -> Placement {
    if let Some(placement) = stay(workload, network) {
        return placement;
    }
    let mut fitting = Vec::new();
    let mut refused = Vec::new();
    for node in &network.registry.resource_nodes {
        match judge(workload, node, network) {
            Ok(candidate) => fitting.push(candidate),
            Err(reason) => refused.push(Refusal {
                node_hash: node.hash.clone(),
                reason,
            }),
        }
    }
    refused.sort_by(|a, b| a.node_hash.cmp(&b.node_hash));

    // Step 4: a core node.
    let mut cores: Vec<&CoreNode> = fitting.iter().map(|candidate| candidate.core).collect();
    cores.sort_by(|a, b| a.hash.cmp(&b.hash));
    cores.dedup_by(|a, b| a.hash == b.hash);
    let by_preference =
        |core: &&&CoreNode| (core.is_active(), weight(&workload.item_hash, &core.hash));
    let Some(core) = cores.iter().max_by_key(by_preference).copied() else {
        return nowhere(network, refused);
    };

    // Step 5: one of its compute nodes.
    let own: Vec<&Candidate> = fitting
        .iter()
        .filter(|candidate| candidate.core.hash == core.hash)
        .collect();
    let by_preference = |c: &&&Candidate| {
        (
            Reverse(c.eighths),
            weight(&workload.item_hash, &c.node.hash),
        )
    };
    let Some(chosen) = own.iter().max_by_key(by_preference) else {
        return nowhere(network, refused);
    };
    let equals = own
        .iter()
        .filter(|candidate| candidate.eighths == chosen.eighths)
        .count();
    Placement {
        target: Some(Target {
            core_node: core.hash.clone(),
            compute_node: chosen.node.hash.clone(),
        }),
        core_node_reason: core_reason(core, cores.len(), network.registry.nodes.len()),
        compute_node_reason: compute_reason(chosen.node, own.len(), equals),
        refused,
    }
}

/// The placement when the workload can stay where it is.
fn stay(workload: &Workload, network: &Snapshot) -> Option<Placement> {
    let current = network.current.get(&workload.item_hash)?;
    let node = network.registry.resource_node(current)?;
    let candidate = judge(workload, node, network).ok()?;
    Some(Placement {
        target: Some(Target {
            core_node: candidate.core.hash.clone(),
            compute_node: node.hash.clone(),
        }),
        core_node_reason: format!(
            "core node {} keeps it: its compute node still fits",
            shown(&candidate.core.name, &candidate.core.hash)
        ),
        compute_node_reason: format!(
            "compute node {} keeps it: it is placed there and still fits",
            shown(&node.name, &node.hash)
        ),
        refused: Vec::new(),
    })
}

fn nowhere(network: &Snapshot, refused: Vec<Refusal>) -> Placement {
    let computes = network.registry.resource_nodes.len();
    let core_node_reason = if network.registry.nodes.is_empty() {
        "no core node is registered: the corechannel aggregate is missing or empty".to_owned()
    } else {
        format!("no core node can take it: none of the {computes} registered compute nodes fits")
    };
    let compute_node_reason = match refused.first() {
        None => "no compute node is registered".to_owned(),
        Some(first) => format!(
            "no compute node fits; for example {}: {}",
            short(&first.node_hash),
            first.reason
        ),
    };
    Placement {
        target: None,
        core_node_reason,
        compute_node_reason,
        refused,
    }
}

fn core_reason(core: &CoreNode, fitting: usize, registered: usize) -> String {
    let name = shown(&core.name, &core.hash);
    match fitting {
        1 if registered == 1 => format!("core node {name} takes it: it is the only one"),
        1 => format!(
            "core node {name} takes it: it is the only one of {registered} with a compute node that fits"
        ),
        _ => format!(
            "core node {name} takes it: first in the draw by (program, node) hash among {fitting} with a compute node that fits"
        ),
    }
}

fn compute_reason(node: &ResourceNode, fitting: usize, equals: usize) -> String {
    let name = shown(&node.name, &node.hash);
    match (fitting, equals) {
        (1, _) => format!("compute node {name} runs it: it is the only one there that fits"),
        (_, 1) => {
            format!("compute node {name} runs it: it is the least loaded of {fitting} that fit")
        }
        _ => format!(
            "compute node {name} runs it: first in the draw by (program, node) hash among {equals} equally loaded"
        ),
    }
}

/// Whether a workload fits on a node; the reason when it does not.
fn judge<'a>(
    workload: &Workload,
    node: &'a ResourceNode,
    network: &'a Snapshot,
) -> Result<Candidate<'a>, String> {
    let core = core_of(node, &network.registry)?;
    if let Some(wish) = &workload.node {
        check_node(wish, node)?;
    }
    let state = network
        .states
        .get(&node.hash)
        .ok_or("it has not answered yet")?;
    if let Some(fault) = &state.fault {
        return Err(fault.clone());
    }
    check_abilities(workload, state)?;
    let load = network.loads.get(&node.hash).copied().unwrap_or_default();
    let taken = if workload.kind == Kind::OnDemand {
        Load::default()
    } else {
        load
    };
    check_capacity(workload, state, taken)?;
    let eighths = (load.memory_mib * 8)
        .checked_div(state.memory_mib)
        .unwrap_or(8);
    Ok(Candidate {
        core,
        node,
        eighths,
    })
}

fn core_of<'a>(node: &ResourceNode, registry: &'a Registry) -> Result<&'a CoreNode, String> {
    let parent = match &node.parent {
        Some(parent) if node.is_linked() => parent,
        _ => return Err("it is not linked to a core node; its owner can link it".to_owned()),
    };
    let core = registry
        .core_node(parent)
        .ok_or_else(|| format!("its core node {} is not registered", short(parent)))?;
    if let Some(height) = core.inactive_since {
        return Err(format!(
            "its core node {} has been inactive since block {height}",
            shown(&core.name, &core.hash)
        ));
    }
    if !registry
        .linked(parent)
        .iter()
        .any(|linked| linked.hash == node.hash)
    {
        return Err(format!(
            "its core node {} has {} older compute nodes, and no more count",
            shown(&core.name, &core.hash),
            limits::RESOURCE_NODES_PER_CORE_NODE_MAX
        ));
    }
    if node.address.is_empty() {
        return Err("its record has no address".to_owned());
    }
    Ok(core)
}

fn check_node(wish: &NodeRequirements, node: &ResourceNode) -> Result<(), String> {
    if let Some(hash) = &wish.node_hash
        && *hash != node.hash
    {
        return Err(format!("the program asks for node {}", short(hash)));
    }
    if let Some(owner) = &wish.owner
        && !owner.eq_ignore_ascii_case(&node.owner)
    {
        return Err(format!(
            "the program asks for a node of {owner}, this one belongs to {}",
            node.owner
        ));
    }
    if let Some(terms) = &wish.terms_and_conditions
        && terms.as_str() != node.terms_and_conditions
    {
        return Err(format!(
            "the program accepts the terms {}, this node has others",
            short(terms)
        ));
    }
    if wish.address_regex.is_some() {
        return Err(
            "the program asks for a pattern of node addresses, which placement does not support; \
                    name a node by its hash instead"
                .to_owned(),
        );
    }
    Ok(())
}

fn check_abilities(workload: &Workload, state: &NodeState) -> Result<(), String> {
    if let Some(needed) = workload.needs
        && !state.capabilities.contains(&needed)
    {
        return Err(match needed {
            Capability::MicroVm => {
                "it runs no microVMs (no QEMU or no guest images there)".to_owned()
            }
            Capability::Instance => "it runs no instances".to_owned(),
        });
    }
    if let Some(special) = workload.special {
        return Err(format!(
            "the program needs {special}, which placement does not support"
        ));
    }
    if let Some(cpu) = &workload.cpu {
        check_cpu(cpu, &state.cpu)?;
    }
    Ok(())
}

fn check_cpu(wish: &CpuRequirements, cpu: &Cpu) -> Result<(), String> {
    let differs =
        |wish: &Option<String>, has: &str| wish.as_deref().is_some_and(|wish| wish != has);
    if differs(&wish.architecture, &cpu.architecture) || differs(&wish.vendor, &cpu.vendor) {
        return Err(format!(
            "its processor is {} {}, which is not what the program asks for",
            cpu.architecture, cpu.vendor
        ));
    }
    match wish
        .features
        .iter()
        .flatten()
        .find(|feature| !cpu.features.contains(feature))
    {
        Some(feature) => Err(format!("its processor has no {feature}")),
        None => Ok(()),
    }
}

fn check_capacity(workload: &Workload, state: &NodeState, taken: Load) -> Result<(), String> {
    let memory_left = state.memory_mib.saturating_sub(taken.memory_mib);
    if workload.memory_mib > memory_left {
        return Err(format!(
            "the program needs {} MiB of memory, {memory_left} MiB of {} are left",
            workload.memory_mib, state.memory_mib
        ));
    }
    let vcpus_left = state
        .vcpus
        .saturating_mul(limits::VCPU_OVERCOMMIT)
        .saturating_sub(taken.vcpus);
    if workload.vcpus > vcpus_left {
        return Err(format!(
            "the program needs {} virtual CPUs, {vcpus_left} are left",
            workload.vcpus
        ));
    }
    if workload.disk_mib > state.disk_mib {
        return Err(format!(
            "the program needs {} MiB of disk, the node has {} MiB",
            workload.disk_mib, state.disk_mib
        ));
    }
    Ok(())
}

/// The place of a node in the draw for a workload: the highest wins.
fn weight(item: &ItemHash, node: &ItemHash) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(item.as_str());
    hasher.update(b"\n");
    hasher.update(node.as_str());
    hasher.finalize().into()
}

fn short(hash: &ItemHash) -> &str {
    &hash.as_str()[..hash.as_str().len().min(10)]
}

fn shown(name: &str, hash: &ItemHash) -> String {
    if name.is_empty() {
        short(hash).to_owned()
    } else {
        format!("{name} ({})", short(hash))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
