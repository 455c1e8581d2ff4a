//! What Wasm programs take of a node, and what goes when it is too much.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beth_crn::body::Body;
use beth_crn::core_node::CoreNode;
use beth_crn::download::Files;
use beth_crn::executor::Call;
use beth_crn::pool::{Bounds, Executors, Pool};
use beth_crn::program::Programs;
use beth_crn::wasm::{Wasm, WasmConfig};
use beth_protocol::ItemHash;
use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fake::{BEHAVIOURS, FakeCore, HELLO, TestNode, assemble};

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
async fn amended_code_answers_the_next_call() {
    let core = FakeCore::start().await;
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let pool = pool(&core, folder.path(), cancel.clone());
    let code = core.store(assemble(HELLO));
    let latest = core.wasm_program(&code, json!({}));
    let exact = core.wasm_program(&code, json!({"/code/use_latest": false}));
    for program in [&latest, &exact] {
        assert_eq!(said(&pool, program, "/p").await, HELLO_ANSWER);
    }
    core.redirect(&code, assemble(BEHAVIOURS));
    assert_eq!(
        said(&pool, &latest, "/p").await,
        HELLO_ANSWER,
        "not told yet"
    );
    assert_eq!(
        pool.amended(&code),
        1,
        "the other one wants the version it names"
    );
    assert_eq!(said(&pool, &latest, "/p").await, "printed");
    assert_eq!(pool.amended(&latest), 0);
    cancel.cancel();
    pool.close().await;
}

/// A pool of Wasm functions alone.
fn pool(core: &FakeCore, folder: &std::path::Path, cancel: CancellationToken) -> Pool {
    let core = CoreNode::new(&core.url).unwrap();
    let files = Files::open(core.clone(), folder).unwrap();
    let programs = Programs::open(core, files, folder, BTreeMap::new()).unwrap();
    let wasm = Arc::new(Wasm::new(WasmConfig::default(), folder.join("compiled")).unwrap());
    let executors = Executors {
        wasm: wasm.clone(),
        microvm: wasm,
    };
    let bounds = Bounds {
        reuse: Duration::from_secs(3600),
        pause: None,
        ready: Duration::from_secs(30),
        memory_mib: 1024,
    };
    Pool::start(programs, executors, bounds, cancel)
}

async fn said(pool: &Pool, program: &ItemHash, path: &str) -> Bytes {
    let call = Call {
        method: "GET".into(),
        path: path.into(),
        query: String::new(),
        headers: Vec::new(),
        body: Body::empty(),
    };
    let answer = pool.call(program, call).await.unwrap().answer;
    answer.body.collect(1 << 20).await.unwrap()
}
