//! Examples and properties of placement.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::content::Content;
use crate::{MessageType, limits};

fn hash(kind: char, index: usize) -> ItemHash {
    let kind = if kind == 'c' {
        'c'
    } else if kind == 'n' {
        'a'
    } else {
        'f'
    };
    ItemHash::parse(&format!("{kind}{index:063x}")).unwrap()
}

fn node(index: usize, core: usize) -> ResourceNode {
    let value = json!({
        "hash": hash('n', index), "type": "compute", "owner": "0xAb", "status": "linked", "time": index,
        "parent": hash('c', core), "address": format!("https://n{index}.example.org/"), "name": format!("n{index}"),
    });
    serde_json::from_value(value).unwrap()
}

fn core(index: usize) -> CoreNode {
    serde_json::from_value(
        json!({"hash": hash('c', index), "status": "active", "name": format!("c{index}")}),
    )
    .unwrap()
}

fn state(vcpus: u64, memory_mib: u64) -> NodeState {
    let capabilities = BTreeSet::from([Capability::MicroVm]);
    NodeState {
        vcpus,
        memory_mib,
        disk_mib: 10_000,
        capabilities,
        ..NodeState::default()
    }
}

/// `cores` core nodes with three healthy compute nodes each.
fn network(cores: usize) -> Snapshot {
    let mut network = Snapshot::default();
    for index in 0..cores * 3 {
        if index % 3 == 0 {
            network.registry.nodes.push(core(index / 3));
        }
        network.registry.resource_nodes.push(node(index, index / 3));
        network.states.insert(hash('n', index), state(4, 8_192));
    }
    network
}

fn workload(index: usize) -> Workload {
    Workload {
        item_hash: hash('w', index),
        kind: Kind::OnDemand,
        needs: Some(Capability::MicroVm),
        special: None,
        vcpus: 1,
        memory_mib: 128,
        disk_mib: 0,
        node: None,
        cpu: None,
    }
}

fn only_reason(placement: &Placement) -> &str {
    assert_eq!(placement.target, None);
    &placement.refused[0].reason
}

#[test]
fn one_node_takes_it_and_says_why() {
    let mut network = network(1);
    network.registry.resource_nodes.truncate(1);
    let placement = place(&workload(1), &network);
    let target = placement.target.unwrap();
    assert_eq!(
        (target.core_node, target.compute_node),
        (hash('c', 0), hash('n', 0))
    );
    assert_eq!(
        placement.core_node_reason,
        "core node c0 (c000000000) takes it: it is the only one"
    );
    assert_eq!(
        placement.compute_node_reason,
        "compute node n0 (a000000000) runs it: it is the only one there that fits"
    );
}

#[test]
fn an_empty_network_says_so() {
    let placement = place(&workload(1), &Snapshot::default());
    assert_eq!(placement.target, None);
    assert!(
        placement
            .core_node_reason
            .contains("corechannel aggregate is missing")
    );
}

#[test]
fn each_refusal_has_its_sentence() {
    type Change = fn(&mut Workload, &mut Snapshot);
    let cases: &[(Change, &str)] = &[
        (
            |_, n| n.registry.resource_nodes[0].status = "waiting".into(),
            "not linked",
        ),
        (
            |_, n| n.registry.resource_nodes[0].address.clear(),
            "no address",
        ),
        (|_, n| n.registry.nodes.clear(), "is not registered"),
        (
            |_, n| n.registry.nodes[0].inactive_since = Some(7),
            "since block 7",
        ),
        (|_, n| n.states.clear(), "has not answered"),
        (
            |_, n| {
                n.states.get_mut(&hash('n', 0)).unwrap().fault = Some("it does not answer".into())
            },
            "it does not answer",
        ),
        (
            |_, n| {
                n.states
                    .get_mut(&hash('n', 0))
                    .unwrap()
                    .capabilities
                    .clear()
            },
            "runs no microVMs",
        ),
        (
            |w, _| w.needs = Some(Capability::Instance),
            "runs no instances",
        ),
        (
            |w, _| w.memory_mib = 9_000,
            "9000 MiB of memory, 8192 MiB of 8192 are left",
        ),
        (
            |w, n| {
                w.kind = Kind::Persistent;
                w.memory_mib = 8_000;
                n.loads.insert(
                    hash('n', 0),
                    Load {
                        vcpus: 0,
                        memory_mib: 193,
                    },
                );
            },
            "7999 MiB of 8192 are left",
        ),
        (|w, _| w.vcpus = 17, "17 virtual CPUs, 16 are left"),
        (|w, _| w.disk_mib = 10_001, "10001 MiB of disk"),
        (
            |w, _| w.special = Some("a graphics card"),
            "a graphics card",
        ),
        (
            |w, _| {
                w.node = Some(NodeRequirements {
                    node_hash: Some(hash('n', 9)),
                    ..Default::default()
                })
            },
            "asks for node a000000000",
        ),
        (
            |w, _| {
                w.node = Some(NodeRequirements {
                    owner: Some("0xcd".into()),
                    ..Default::default()
                })
            },
            "a node of 0xcd",
        ),
        (
            |w, _| {
                w.node = Some(NodeRequirements {
                    terms_and_conditions: Some(hash('w', 1)),
                    ..Default::default()
                })
            },
            "accepts the terms",
        ),
        (
            |w, _| {
                w.node = Some(NodeRequirements {
                    address_regex: Some(".*".into()),
                    ..Default::default()
                })
            },
            "by its hash instead",
        ),
        (
            |w, _| {
                w.cpu = Some(CpuRequirements {
                    features: Some(vec!["sev".into()]),
                    ..Default::default()
                })
            },
            "no sev",
        ),
        (
            |w, _| {
                w.cpu = Some(CpuRequirements {
                    architecture: Some("arm64".into()),
                    ..Default::default()
                })
            },
            "not what the program asks for",
        ),
    ];
    for (change, expected) in cases {
        let (mut workload, mut network) = (workload(1), network(1));
        network.registry.resource_nodes.truncate(1);
        assert!(
            place(&workload, &network).target.is_some(),
            "{expected}: fits before the change"
        );
        change(&mut workload, &mut network);
        let placement = place(&workload, &network);
        assert!(
            only_reason(&placement).contains(expected),
            "{expected} in {placement:?}"
        );
    }
}

#[test]
fn a_wasm_function_needs_no_capability() {
    let mut network = network(1);
    for state in network.states.values_mut() {
        state.capabilities.clear();
    }
    assert_eq!(place(&workload(1), &network).target, None);
    assert!(
        place(
            &Workload {
                needs: None,
                ..workload(1)
            },
            &network
        )
        .target
        .is_some()
    );
}

#[test]
fn wishes_are_granted() {
    let network = network(3);
    for index in 0..9 {
        let node = Some(NodeRequirements {
            node_hash: Some(hash('n', index)),
            owner: Some("0xaB".into()),
            ..Default::default()
        });
        let target = place(
            &Workload {
                node,
                ..workload(1)
            },
            &network,
        )
        .target
        .unwrap();
        assert_eq!(
            target,
            Target {
                core_node: hash('c', index / 3),
                compute_node: hash('n', index)
            }
        );
    }
}

#[test]
fn a_fourth_compute_node_does_not_count() {
    let mut network = network(1);
    network.registry.resource_nodes.push(node(7, 0));
    network.states.insert(hash('n', 7), state(4, 8_192));
    let wish = NodeRequirements {
        node_hash: Some(hash('n', 7)),
        ..Default::default()
    };
    let placement = place(
        &Workload {
            node: Some(wish),
            ..workload(1)
        },
        &network,
    );
    assert_eq!(limits::RESOURCE_NODES_PER_CORE_NODE_MAX, 3);
    assert!(
        placement
            .refused
            .iter()
            .any(|r| r.node_hash == hash('n', 7) && r.reason.contains("older compute nodes"))
    );
}

#[test]
fn it_moves_when_its_node_fails_and_not_back() {
    let mut network = network(1);
    let first = place(&workload(1), &network).target.unwrap();
    network.states.get_mut(&first.compute_node).unwrap().fault = Some("it does not answer".into());
    let second = place(&workload(1), &network).target.unwrap();
    assert_ne!(first, second);
    network
        .current
        .insert(hash('w', 1), second.compute_node.clone());
    network.states.get_mut(&first.compute_node).unwrap().fault = None;
    let third = place(&workload(1), &network);
    assert_eq!(third.target.unwrap(), second);
    assert!(third.compute_node_reason.contains("still fits"));
}

#[test]
fn reads_programs_and_leaves_instances_of_owners() {
    let program = json!({
        "address": "0x1", "time": 1.0, "allow_amend": false, "environment": {}, "resources": {"memory": 256},
        "type": "vm-function", "on": {"http": true}, "volumes": [{"ephemeral": true, "size_mib": 5}],
        "code": {"encoding": "zip", "entrypoint": "main:app", "ref": hash('w', 2)},
        "runtime": {"ref": hash('w', 3), "comment": ""},
    });
    let read = |value: &serde_json::Value| {
        let content = Content::Program(Box::new(serde_json::from_value(value.clone()).unwrap()));
        Workload::of(&hash('w', 1), &content).unwrap()
    };
    let function = read(&program);
    assert_eq!(
        (
            function.kind,
            function.needs,
            function.memory_mib,
            function.disk_mib
        ),
        (Kind::OnDemand, Some(Capability::MicroVm), 256, 5)
    );
    let mut wasm = program.clone();
    wasm["code"]["entrypoint"] = json!("function.wasm");
    wasm["on"]["persistent"] = json!(true);
    assert_eq!(
        (read(&wasm).kind, read(&wasm).needs),
        (Kind::Persistent, None)
    );

    let instance = json!({
        "address": "0x1", "time": 1.0, "allow_amend": false, "environment": {}, "resources": {},
        "rootfs": {"parent": {"ref": hash('w', 2)}, "persistence": "host", "size_mib": 100},
    });
    let read = |value: serde_json::Value| {
        let content = Content::Instance(Box::new(serde_json::from_value(value).unwrap()));
        Workload::of(&hash('w', 1), &content)
    };
    assert_eq!(read(instance.clone()).unwrap().kind, Kind::Instance);
    let mut stream = instance.clone();
    stream["payment"] = json!({"type": "superfluid", "chain": "BASE"});
    assert_eq!(read(stream), None);
    let mut tied = instance;
    tied["requirements"] = json!({"node": {"node_hash": hash('n', 1)}});
    assert_eq!(read(tied), None);
    let post = Content::parse(
        MessageType::Post,
        &json!({"address": "0x1", "time": 1.0, "type": "t", "content": {}}),
    )
    .unwrap();
    assert_eq!(Workload::of(&hash('w', 1), &post), None);
}

fn any_workload(index: usize) -> impl Strategy<Value = Workload> {
    (
        prop_oneof![Just(Kind::OnDemand), Just(Kind::Persistent)],
        any::<bool>(),
        1u64..6,
        1u64..4_000,
    )
        .prop_map(move |(kind, wasm, vcpus, memory_mib)| Workload {
            kind,
            vcpus,
            memory_mib,
            needs: (!wasm).then_some(Capability::MicroVm),
            ..workload(index)
        })
}

fn any_network() -> impl Strategy<Value = Snapshot> {
    (1usize..5).prop_flat_map(|cores| {
        prop::collection::vec(
            (0u64..8, 0u64..10_000, any::<bool>(), any::<bool>()),
            cores * 3,
        )
        .prop_map(move |nodes| {
            let mut network = network(cores);
            for (index, (vcpus, memory_mib, healthy, machines)) in nodes.into_iter().enumerate() {
                let state = network.states.get_mut(&hash('n', index)).unwrap();
                (state.vcpus, state.memory_mib) = (vcpus, memory_mib);
                state.fault = (!healthy).then(|| "it does not answer".into());
                if !machines {
                    state.capabilities.clear();
                }
            }
            network
        })
    })
}

fn any_workloads() -> impl Strategy<Value = Vec<Workload>> {
    (0usize..20).prop_flat_map(|count| (0..count).map(any_workload).collect::<Vec<_>>())
}

fn targets(plan: &Plan) -> BTreeMap<ItemHash, ItemHash> {
    plan.iter()
        .filter_map(|(item, p)| Some((item.clone(), p.target.as_ref()?.compute_node.clone())))
        .collect()
}

proptest! {
    #[test]
    fn the_order_of_the_input_means_nothing(network in any_network(), workloads in any_workloads(), seed in any::<u64>()) {
        let expected = plan(&workloads, &network);
        let mut shuffled = network.clone();
        let key = |hash: &ItemHash| weight(hash, &ItemHash::of_bytes(&seed.to_le_bytes()));
        shuffled.registry.nodes.sort_by_key(|node| key(&node.hash));
        shuffled.registry.resource_nodes.sort_by_key(|node| key(&node.hash));
        let mut reordered = workloads.clone();
        reordered.sort_by_key(|workload| key(&workload.item_hash));
        prop_assert_eq!(plan(&reordered, &shuffled), expected);
    }

    #[test]
    fn every_placement_fits(network in any_network(), workloads in any_workloads()) {
        let mut taken: BTreeMap<ItemHash, Load> = BTreeMap::new();
        let plan = plan(&workloads, &network);
        prop_assert_eq!(plan.len(), workloads.len());
        for workload in &workloads {
            let Some(target) = &plan[&workload.item_hash].target else { continue };
            let node = network.registry.resource_node(&target.compute_node).unwrap();
            let state = &network.states[&target.compute_node];
            prop_assert_eq!(node.parent.as_ref(), Some(&target.core_node));
            prop_assert!(state.fault.is_none());
            prop_assert!(workload.needs.is_none_or(|needed| state.capabilities.contains(&needed)));
            prop_assert!(workload.memory_mib <= state.memory_mib && workload.vcpus <= state.vcpus * 4);
            let load = taken.entry(target.compute_node.clone()).or_default();
            load.memory_mib += workload.load().memory_mib;
            load.vcpus += workload.load().vcpus;
            prop_assert!(load.memory_mib <= state.memory_mib && load.vcpus <= state.vcpus * 4);
        }
    }

    #[test]
    fn what_fits_somewhere_is_placed(network in any_network(), workload in any_workload(0)) {
        let fits = network.states.values().any(|state| {
            state.fault.is_none()
                && workload.memory_mib <= state.memory_mib
                && workload.vcpus <= state.vcpus * 4
                && workload.needs.is_none_or(|needed| state.capabilities.contains(&needed))
        });
        prop_assert_eq!(place(&workload, &network).target.is_some(), fits);
    }

    #[test]
    fn removing_another_node_moves_nothing(network in any_network(), workload in any_workload(0), removed in any::<prop::sample::Index>()) {
        let before = place(&workload, &network);
        let mut smaller = network.clone();
        let gone = smaller.registry.resource_nodes.remove(removed.index(network.registry.resource_nodes.len()));
        let after = place(&workload, &smaller);
        if before.target.as_ref().is_none_or(|target| target.compute_node != gone.hash) {
            prop_assert_eq!(after.target, before.target);
        }
    }

    #[test]
    fn a_plan_made_true_stays(network in any_network(), workloads in any_workloads(), removed in any::<prop::sample::Index>()) {
        let first = targets(&plan(&workloads, &network));
        let mut later = network.clone();
        later.current = first.clone();
        prop_assert_eq!(&targets(&plan(&workloads, &later)), &first);
        let gone = later.registry.resource_nodes.remove(removed.index(network.registry.resource_nodes.len()));
        let second = targets(&plan(&workloads, &later));
        for (item, node) in first.iter().filter(|(_, node)| **node != gone.hash) {
            prop_assert_eq!(second.get(item), Some(node));
        }
    }
}
