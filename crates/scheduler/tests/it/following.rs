//! What the core node accepts comes to run, and what it forgets ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes::{ComputeNode, CoreNode, Running, forget, program, registry};

async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn from_the_listing_and_from_the_stream() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store(program("a", 128, false));
    core.store(program("b", 128, true));
    core.store(json!({"type": "PROGRAM", "item_hash": "broken", "content": 3}));
    core.store_registry(registry(&[&node]));
    let scheduler = Running::start(&core);
    node.told("on_demand_vms", &["a"]).await;
    node.told("persistent_vms", &["b"]).await;

    core.accept(program("c", 128, false));
    node.told("on_demand_vms", &["a", "c"]).await;
    core.accept(forget("a"));
    node.told("on_demand_vms", &["c"]).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_new_program_is_told_within_fifty_milliseconds() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    let scheduler = Running::start(&core);
    node.told("on_demand_vms", &[]).await;
    until("followed", || core.is_followed()).await;
    let mut delays = Vec::new();
    for index in 0..21 {
        let name = format!("p{index}");
        let begun = Instant::now();
        core.accept(program(&name, 128, false));
        let mut allocations = node.allocations.clone();
        let told = allocations.wait_for(|body| {
            body.as_ref().is_some_and(|body| {
                body.to_string()
                    .contains(crate::fakes::hash(&name).as_str())
            })
        });
        tokio::time::timeout(Duration::from_secs(20), told)
            .await
            .unwrap()
            .unwrap();
        delays.push(begun.elapsed());
    }
    delays.sort();
    assert!(
        delays[10] < Duration::from_millis(50),
        "median {:?}, longest {:?}",
        delays[10],
        delays[20]
    );
    scheduler.stop().await;
}

#[tokio::test]
async fn a_registry_that_comes_later() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store(program("a", 128, false));
    let scheduler = Running::start(&core);
    until("followed", || core.is_followed()).await;
    core.publish_registry(registry(&[&node]));
    node.told("on_demand_vms", &["a"]).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn what_was_missed_while_the_stream_was_cut() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    core.store(program("a", 128, false));
    let scheduler = Running::start(&core);
    node.told("on_demand_vms", &["a"]).await;
    until("followed", || core.is_followed()).await;
    core.remove("a");
    core.store(program("b", 128, false));
    core.cut_streams();
    node.told("on_demand_vms", &["b"]).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_node_that_is_down_blocks_nobody_and_loses_its_work() {
    let core = CoreNode::start().await;
    let (first, second) = (
        ComputeNode::start("n1").await,
        ComputeNode::start("n2").await,
    );
    core.store_registry(registry(&[&first, &second]));
    let names: Vec<String> = (0..8).map(|index| format!("p{index}")).collect();
    for name in &names {
        core.store(program(name, 128, false));
    }
    let scheduler = Running::start(&core);
    until("everything is somewhere", || {
        let told = |node: &ComputeNode| {
            node.allocations
                .borrow()
                .as_ref()
                .and_then(|body| Some(body["on_demand_vms"].as_array()?.len()))
        };
        told(&first).unwrap_or(0) + told(&second).unwrap_or(0) == names.len()
    })
    .await;
    first.stop();
    second
        .told(
            "on_demand_vms",
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_refused_allocation_is_pushed_again() {
    let (core, node) = (
        CoreNode::start().await,
        ComputeNode::refusing("n1", 2).await,
    );
    core.store_registry(registry(&[&node]));
    core.store(program("a", 128, false));
    let scheduler = Running::start(&core);
    node.told("on_demand_vms", &["a"]).await;
    scheduler.stop().await;
}
