//! What happens on the network happens here.

use beth_protocol::{ItemHash, MessageType};
use serde_json::{Value, json};

use crate::fake::instances::{FakeInstances, machine};
use crate::fake::{BEHAVIOURS, FakeCore, HELLO, TestNode, assemble, read, within};

/// Waits until that many follow the core node.
async fn followed(core: &FakeCore, count: usize) {
    within(async {
        while core.followers() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn prepare(node: &TestNode, program: &ItemHash) {
    let body = json!({"on_demand_vms": [program]}).to_string();
    let url = format!("{}/control/allocations", node.url);
    let sent = node.client.post(url).header("X-Auth-Signature", "test");
    let answer = read(within(sent.body(body).send()).await.unwrap()).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
}

async fn node(core: &FakeCore) -> TestNode {
    TestNode::start_with(core, None, |config| {
        config.allocation_token_hash =
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into();
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_runs_at_the_next_call() {
    let core = FakeCore::start().await;
    let node = node(&core).await;
    followed(&core, 1).await;
    let code = core.store(assemble(HELLO));
    let program = core.wasm_program(&code, json!({}));
    let (status, before) = node.call(&program, "/").await;
    assert_eq!(status, 200, "{before}");
    node.reaches(&program, "running").await;
    // Not even a frame that is no message, or a break, is the end.
    core.frame(Some("nonsense".into()));
    core.frame(None);
    followed(&core, 0).await;
    followed(&core, 1).await;
    // Somebody else's file of that name changes nothing.
    let foreign = json!({
        "type": "STORE", "item_hash": "ab".repeat(32), "item_type": "inline",
        "content": {"address": "0x0000000000000000000000000000000000000001", "ref": code},
    });
    core.frame(Some(foreign.to_string()));
    core.amend(&code, assemble(BEHAVIOURS));
    node.reaches(&program, "prepared").await;
    let (_, after) = node.call(&program, "/").await;
    assert_ne!(before, after);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_owner_forgets_is_erased() {
    let core = FakeCore::start().await;
    let node = node(&core).await;
    followed(&core, 1).await;
    let program = core.wasm_program(&core.store(assemble(HELLO)), json!({}));
    assert_eq!(node.call(&program, "/").await.0, 200);
    let foreign = json!({
        "type": "FORGET", "item_hash": "ab".repeat(32), "item_type": "inline",
        "content": {"address": "0x0000000000000000000000000000000000000001", "hashes": [program]},
    });
    core.frame(Some(foreign.to_string()));
    let other = core.wasm_program(&core.store(assemble(HELLO)), json!({"/time": 9.5}));
    assert_eq!(node.call(&other, "/").await.0, 200);
    let content = |name: &ItemHash| json!({"address": core.account().address(), "time": 4.5, "hashes": [name]});
    core.announce(MessageType::Forget, &content(&other));
    let url = |name: &ItemHash| format!("/beth/v1/programs/{name}");
    within(async {
        while node.get(&url(&other)).await.status().as_u16() != 404 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        node.get(&url(&program)).await.status().as_u16(),
        200,
        "not by a stranger"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_18_placed_programs_hear_of_messages() {
    let core = FakeCore::start().await;
    let node = node(&core).await;
    followed(&core, 1).await;
    let wanted = json!([{"channel": "TEST", "content": {"type": "weather"}}]);
    let program = core.wasm_program(&core.store(assemble(HELLO)), json!({"/on/message": wanted}));
    // It was published before this node ran, and is placed here now.
    prepare(&node, &program).await;
    let post = |kind: &str, time: f64| {
        json!({
            "address": core.account().address(), "time": time, "type": kind, "content": {"sun": true},
        })
    };
    core.announce(MessageType::Post, &post("traffic", 5.5));
    assert_eq!(node.program(&program).await["state"], "prepared");
    core.announce(MessageType::Post, &post("weather", 6.5));
    node.reaches(&program, "running").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_again_goes_on_with_what_it_did() {
    let core = FakeCore::start().await;
    let folder = tempfile::tempdir().unwrap();
    let again = || async {
        let folder = folder.path().to_owned();
        TestNode::start_with(&core, None, |config| {
            config.allocation_token_hash =
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into();
            config.folder = folder;
        })
        .await
    };
    let code = core.store(assemble(HELLO));
    let wanted = json!([{"channel": "TEST"}]);
    let listening = core.wasm_program(&code, json!({"/on/message": wanted}));
    let kept = core.wasm_program(&code, json!({"/on/persistent": true}));
    let node = again().await;
    prepare(&node, &listening).await;
    let url = format!("{}/control/allocations", node.url);
    let body = json!({"persistent_vms": [kept], "on_demand_vms": [listening]}).to_string();
    let sent = node.client.post(url).header("X-Auth-Signature", "test");
    let answer = read(within(sent.body(body).send()).await.unwrap()).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    node.reaches(&kept, "running").await;
    let file = folder.path().join("programs.json");
    let is_written = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        [&kept, &listening]
            .iter()
            .all(|name| text.contains(name.as_str()))
    };
    within(async {
        while !is_written() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.stop().await;
    core.frame(None);
    followed(&core, 0).await;
    let node = again().await;
    node.reaches(&kept, "running").await;
    followed(&core, 1).await;
    let post =
        json!({"address": core.account().address(), "time": 5.5, "type": "note", "content": {}});
    core.announce(MessageType::Post, &post);
    node.reaches(&listening, "running").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_ports_are_applied_as_published() {
    let core = FakeCore::start().await;
    let instances = FakeInstances::new();
    let given = instances.clone();
    let node =
        TestNode::start_given(&core, None, |_| {}, |parts| parts.instances = Some(given)).await;
    followed(&core, 1).await;
    let name = ItemHash::of_bytes(b"machine");
    let owner = core.account().address();
    instances.put(machine(&name, owner));
    let ports: Value = json!({name.as_str(): {"ports": {"80": {"tcp": true, "udp": false}}}});
    core.say_aggregate(owner, "port-forwarding", ports.clone());
    let content =
        json!({"address": owner, "time": 4.5, "key": "port-forwarding", "content": ports});
    core.announce(MessageType::Aggregate, &content);
    within(async {
        while instances.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let asked = format!("ports {name} {}", ports[name.as_str()]);
    assert_eq!(instances.take_asked(), [asked]);
    node.stop().await;
}
