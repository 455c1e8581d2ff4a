//! Components that take what they can of a node. Each is stopped with a sentence,
//! leaves nothing behind, and a neighbour answers afterwards.

use std::time::{Duration, Instant};

use beth_protocol::ItemHash;
use bytes::Bytes;
use serde_json::json;

use crate::fake::{BEHAVIOURS, FakeCore, HELLO, TestNode, assemble, within};

/// The component of the tests with something else in place of a part of it.
fn changed(part: &str, other: &str) -> Bytes {
    let text = std::fs::read_to_string(BEHAVIOURS).unwrap();
    assert!(text.contains(part), "{part}");
    wat::parse_str(text.replacen(part, other, 1))
        .unwrap()
        .into()
}

/// A node with a neighbour of the hostile.
struct Ground {
    core: FakeCore,
    node: TestNode,
    neighbour: ItemHash,
}

impl Ground {
    async fn start() -> Ground {
        let core = FakeCore::start().await;
        let node = TestNode::start_with(&core, None, |config| config.public_logs = true).await;
        let neighbour = core.wasm_program(&core.store(assemble(HELLO)), json!({}));
        Ground {
            core,
            node,
            neighbour,
        }
    }

    /// A program that has a second for each call.
    fn program(&self, component: Bytes) -> ItemHash {
        let resources = json!({"vcpus": 1, "memory": 64, "seconds": 1});
        let code = self.core.store(component);
        self.core
            .wasm_program(&code, json!({"/resources": resources}))
    }

    /// What it answers, and that nothing stays.
    async fn answer(&self, program: &ItemHash, path: &str) -> (u16, String) {
        let begun = Instant::now();
        let answer = within(self.node.call(program, path)).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "{path} took {took:?}");
        within(async {
            while self.node.wasm.memory_bytes() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let neighbour = self.node.call(&self.neighbour, "/").await;
        assert_eq!(neighbour, (200, "Hello from Wasm".into()));
        answer
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stacks_objects_and_logs_have_an_end() {
    let ground = Ground::start().await;
    let program = ground.program(assemble(BEHAVIOURS));
    let (status, text) = ground.answer(&program, "/recurse").await;
    assert!(
        status == 500 && text.contains("call stack exhausted"),
        "{text}"
    );
    let (status, text) = ground.answer(&program, "/fields").await;
    assert!(
        status == 500 && text.contains("table has no free"),
        "{text}"
    );
    assert_eq!(ground.answer(&program, "/output").await.0, 504);
    let logs = format!("/beth/v1/programs/{program}/logs");
    let logs = ground.node.get(&logs).await.text().await.unwrap();
    let bytes_max = beth_crn::limits::LOG_LINES_MAX * (beth_crn::limits::LOG_LINE_BYTES_MAX + 1);
    assert!(logs.contains("printed") && logs.len() <= bytes_max);
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_before_the_first_instruction_of_a_call_ends_too() {
    let ground = Ground::start().await;
    let memory = r#"(memory (export "memory") 1)"#;
    let spinning = format!("{memory} (func $spin (loop $for-ever (br $for-ever))) (start $spin)");
    let program = ground.program(changed(memory, &spinning));
    assert_eq!(ground.answer(&program, "/print").await.0, 504);
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_too_large_does_not_begin() {
    let ground = Ground::start().await;
    let memory = r#"(memory (export "memory") 1)"#;
    for (part, words) in [
        (r#"(memory (export "memory") 60000)"#, "its 64 MiB"),
        (
            r#"(memory (export "memory") 1) (table 10000000 funcref)"#,
            "asks for more than a node gives",
        ),
    ] {
        let program = ground.program(changed(memory, part));
        let (status, text) = ground.answer(&program, "/print").await;
        assert!(status == 500 && text.contains(words), "{part}: {text}");
        let compiled = ground.node.wasm.compilations();
        assert_eq!(ground.answer(&program, "/print").await, (500, text));
        assert_eq!(ground.node.wasm.compilations(), compiled, "once is enough");
    }
    ground.node.stop().await;
}
