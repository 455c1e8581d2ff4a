//! Calls through HTTP that find less or more prepared.

use bytes::Bytes;

use crate::ground::{Core, Node};
use crate::{account, report};

/// A component that compiles for seconds is measured less often.
const SMALL_BYTES: usize = 1 << 20;

pub async fn measure(component: Bytes) {
    let rounds = if component.len() < SMALL_BYTES { 20 } else { 3 };
    let core = Core::start(&account()).await;
    let mut times = Vec::new();
    for round in 0..rounds {
        let node = Node::start(&core, &account(), None).await;
        let program = core.program(&component, &format!("deployed {round}"));
        times.push(node.timed_call(&program).await);
        node.stop().await;
    }
    report(
        "first call, nothing prepared (fetch, compile, answer)",
        times,
    );

    let mut times = Vec::new();
    for round in 0..rounds {
        let node = Node::start(&core, &account(), None).await;
        let program = core.program(&component, &format!("allocated {round}"));
        node.allocate(&account(), &program).await;
        times.push(node.timed_call(&program).await);
        node.stop().await;
    }
    report("first call after an allocation prepared the program", times);

    let node = Node::start(&core, &account(), None).await;
    let program = core.program(&component, "restarted");
    node.timed_call(&program).await;
    let folder = node.stop().await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let node = Node::start_in(&core, &account(), None, folder.path()).await;
        times.push(node.timed_call(&program).await);
        node.stop().await;
    }
    report(
        "first call of a started node (compiled on disk: load, link, answer)",
        times,
    );

    let node = Node::start_in(&core, &account(), Some(0), folder.path()).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        times.push(node.timed_call(&program).await);
    }
    report("call that creates its machine", times.split_off(1));
    node.stop().await;

    let node = Node::start_in(&core, &account(), None, folder.path()).await;
    node.timed_call(&program).await;
    let mut times = Vec::new();
    for _ in 0..500 {
        times.push(node.timed_call(&program).await);
    }
    report("warm call, one connection, back to back", times);
    node.stop().await;
}
