//! The plan: every workload placed, none of them twice.

use std::collections::BTreeMap;

use super::{Placement, Snapshot, Workload, place, stay};
use crate::ItemHash;

/// Placements by item hash.
pub type Plan = BTreeMap<ItemHash, Placement>;

/// Places all workloads. Those that can stay where they are come first, so that
/// nothing that has to move drives them out; then by item hash. What
/// `network.loads` holds is added to what the workloads take.
pub fn plan(workloads: &[Workload], network: &Snapshot) -> Plan {
    let mut network = network.clone();
    let mut workloads: Vec<&Workload> = workloads.iter().collect();
    workloads.sort_by_key(|workload| &workload.item_hash);
    workloads.dedup_by_key(|workload| &workload.item_hash);
    let mut plan = Plan::new();
    let mut movers = Vec::new();
    for workload in workloads {
        match stay(workload, &network) {
            Some(placement) => settle(&mut plan, &mut network, workload, placement),
            None => movers.push(workload),
        }
    }
    for workload in movers {
        let placement = place(workload, &network);
        settle(&mut plan, &mut network, workload, placement);
    }
    plan
}

fn settle(plan: &mut Plan, network: &mut Snapshot, workload: &Workload, placement: Placement) {
    if let Some(target) = &placement.target {
        let load = network
            .loads
            .entry(target.compute_node.clone())
            .or_default();
        load.vcpus = load.vcpus.saturating_add(workload.load().vcpus);
        load.memory_mib = load.memory_mib.saturating_add(workload.load().memory_mib);
    }
    plan.insert(workload.item_hash.clone(), placement);
}
