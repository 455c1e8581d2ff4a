//! What Wasm programs take of a node, and what goes when it is too much.

use serde_json::json;

use crate::fake::{BEHAVIOURS, FakeCore, HELLO, TestNode, assemble, within};

const HELLO_ANSWER: &str = "Hello from Wasm";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_beyond_the_bound_are_loaded_again() {
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| config.wasm.resident_mib_max = 0).await;
    let hello = core.wasm_program(&core.store(assemble(HELLO)), json!({}));
    let other = core.wasm_program(&core.store(assemble(BEHAVIOURS)), json!({}));
    for _ in 0..3 {
        assert_eq!(node.call(&hello, "/").await, (200, HELLO_ANSWER.into()));
        assert_eq!(node.wasm.resident().0, 1);
        assert_eq!(node.call(&other, "/p").await, (200, "printed".into()));
        assert_eq!(node.wasm.resident().0, 1);
    }
    assert_eq!(node.wasm.compilations(), 2, "compiled once each");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_files_beyond_the_bound_are_compiled_again() {
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| {
        config.wasm.resident_mib_max = 0;
        config.wasm.compiled_mib_max = 0;
    })
    .await;
    let hello = core.wasm_program(&core.store(assemble(HELLO)), json!({}));
    let other = core.wasm_program(&core.store(assemble(BEHAVIOURS)), json!({}));
    for round in 1..=2 {
        assert_eq!(node.call(&hello, "/").await, (200, HELLO_ANSWER.into()));
        assert_eq!(node.call(&other, "/p").await, (200, "printed".into()));
        assert_eq!(node.wasm.compilations(), 2 * round);
    }
    let folder = node.folder.path().join("crn/compiled");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_calls_together_keep_to_the_memory_of_the_node() {
    let core = FakeCore::start().await;
    let code = core.store(assemble(BEHAVIOURS));
    let program = core.wasm_program(&code, json!({}));

    let none = TestNode::start_with(&core, None, |config| {
        config.wasm.memory_mib_total = Some(0);
    })
    .await;
    let (status, text) = none.call(&program, "/p").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("memory for Wasm calls is taken"), "{text}");
    none.stop().await;

    let little = TestNode::start_with(&core, None, |config| {
        config.wasm.memory_mib_total = Some(2);
    })
    .await;
    // It grows until it is refused, and then gives up.
    let (status, text) = little.call(&program, "/m").await;
    assert_eq!(status, 503, "{text}");
    assert_eq!(little.wasm.memory_bytes(), 0, "given back");
    assert_eq!(little.call(&program, "/p").await.0, 200);
    little.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_functions_do_not_take_the_places_of_machines() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let code = core.store(assemble(HELLO));
    let mut programs = Vec::new();
    for number in 0..beth_crn::limits::MACHINES_MAX + 20 {
        let changes = json!({"/variables": {"NUMBER": number.to_string()}});
        let program = core.wasm_program(&code, changes);
        assert_eq!(node.call(&program, "/").await.0, 200);
        programs.push(program);
    }
    for program in [&programs[0], &programs[programs.len() - 1]] {
        assert_eq!(node.program(program).await["state"], "running");
    }
    assert_eq!(node.wasm.resident().0, 1, "they share their component");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_code_answers_once_the_machine_is_made_anew() {
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| config.reuse_seconds = 0).await;
    let code = core.store(assemble(HELLO));
    let latest = core.wasm_program(&code, json!({}));
    let exact = core.wasm_program(&code, json!({"/code/use_latest": false}));
    assert_eq!(node.call(&latest, "/p").await, (200, HELLO_ANSWER.into()));
    assert_eq!(node.call(&exact, "/p").await, (200, HELLO_ANSWER.into()));
    core.redirect(&code, assemble(BEHAVIOURS));
    assert_eq!(node.call(&latest, "/p").await, (200, "printed".into()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amended_code_answers_as_soon_as_the_node_hears_of_it() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    within(async {
        while core.followers() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let code = core.store(assemble(HELLO));
    let latest = core.wasm_program(&code, json!({}));
    assert_eq!(node.call(&latest, "/p").await, (200, HELLO_ANSWER.into()));
    core.amend(&code, assemble(BEHAVIOURS));
    within(async {
        loop {
            let (status, text) = node.call(&latest, "/p").await;
            assert_eq!(status, 200, "{text}");
            if text == "printed" {
                return;
            }
        }
    })
    .await;
    node.stop().await;
}
