//! Wasm programs from end to end: message, files, component, HTTP.

mod answers;
mod bounds;
mod examples;
mod hostile;

use std::time::{Duration, Instant};

use beth_crn::api::label_of;
use beth_protocol::MessageType;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::fake::{BEHAVIOURS, FakeCore, HELLO, TestNode, assemble, read, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_by_path_and_by_host_name() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let code = core.store(assemble(HELLO));
    let program = core.wasm_program(&code, json!({}));

    let response = node.get(&format!("/vm/{program}")).await;
    let headers = response.headers().clone();
    assert_eq!(read(response).await, (200, "Hello from Wasm".into()));
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "15"),
        ("aleph-program-itemhash", program.as_str()),
        ("aleph-program-code-ref", code.as_str()),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(
        headers["server"]
            .to_str()
            .unwrap()
            .starts_with("aleph-vm/1.14.0")
    );

    let label = label_of(&program).unwrap();
    for host in [
        format!("{label}.crn.example.org:8443"),
        format!("{}.aleph.sh", label.to_uppercase()),
    ] {
        let request = node
            .client
            .get(format!("{}/any/path?x=1", node.url))
            .header("host", &host);
        assert_eq!(
            read(request.send().await.unwrap()).await,
            (200, "Hello from Wasm".into()),
            "{host}"
        );
        let own_path = node
            .client
            .get(format!("{}/beth/v1/programs", node.url))
            .header("host", &host);
        assert_eq!(
            read(own_path.send().await.unwrap()).await.1,
            "Hello from Wasm",
            "the program's own path"
        );
    }

    let state = node.program(&program).await;
    assert_eq!(
        (&state["state"], &state["executor"]),
        (&json!("running"), &json!("wasm"))
    );
    let names: Vec<&str> = state["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["fetch", "compile"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_reach_the_program_whole() {
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| config.program_body_mib = 1).await;
    let changes = json!({"/variables": {"GREETING": "hé"}});
    let program = core.wasm_program(&core.store(assemble(BEHAVIOURS)), changes);
    let url = |suffix: &str| format!("{}/vm/{program}{suffix}", node.url);

    let body: Vec<u8> = (0..1_048_576u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let answer = node
        .client
        .post(url("/echo"))
        .body(body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.bytes().await.unwrap()),
        (200, Bytes::from(body.clone()))
    );

    let too_large = [body, vec![0]].concat();
    let answer = read(
        node.client
            .post(url("/echo"))
            .body(too_large)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let text =
        r#"{"error": "Maximum request body size 1048576 exceeded, actual body size 1048577"}"#;
    assert_eq!(answer, (413, text.into()));

    assert_eq!(node.call(&program, "/variable").await, (200, "hé".into()));
    let missing = node.get(&format!("/vm/{program}/404")).await;
    assert_eq!(
        missing.headers()["aleph-program-itemhash"],
        program.as_str(),
        "a program's own 404 keeps its headers"
    );
    assert_eq!(
        missing.headers()["content-type"],
        "application/octet-stream"
    );
    assert_eq!(read(missing).await, (404, "missing".into()));

    assert_eq!(
        node.call(&program, "/print/a%20b?q=%26").await,
        (200, "printed".into())
    );
    let logs = read(node.get(&format!("/beth/v1/programs/{program}/logs")).await).await;
    assert_eq!(logs, (200, "/print/a%20b?q=%26\n".into()));

    let head = node.client.head(url("/variable")).send().await.unwrap();
    assert_eq!(
        (
            head.status().as_u16(),
            head.headers()["content-length"].to_str().unwrap()
        ),
        (200, "3")
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_answers_and_the_program_lives_on() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let changes = json!({"/resources": {"vcpus": 1, "memory": 16, "seconds": 1}});
    let program = core.wasm_program(&core.store(assemble(BEHAVIOURS)), changes);

    let (status, text) = node.call(&program, "/trap").await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("unreachable"), "{text}");

    let (status, text) = node.call(&program, "/memory").await;
    assert_eq!(status, 500);
    assert!(text.contains("refused memory beyond its 16 MiB"), "{text}");

    assert_eq!(
        node.call(&program, "/nothing").await,
        (500, "the program returned without an answer".into())
    );

    let begun = Instant::now();
    let timeout = r#"{"error": "Program did not respond within `resource.seconds`"}"#;
    assert_eq!(node.call(&program, "/loop").await, (504, timeout.into()));
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(5)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );

    assert_eq!(node.call(&program, "/print").await, (200, "printed".into()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_do_not_starve_others() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let code = core.store(assemble(BEHAVIOURS));
    let program = core.wasm_program(&code, json!({"/resources/seconds": 5}));
    node.call(&program, "/print").await;

    let loops = (0..8).map(|_| node.call(&program, "/loop"));
    let others = async {
        node.reaches_calls(&program, 8).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(node.call(&program, "/print").await.0, 200);
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    };
    let (loops, slowest) = tokio::join!(futures::future::join_all(loops), others);
    assert!(loops.iter().all(|(status, _)| *status == 504));
    assert!(
        slowest < Duration::from_secs(4),
        "a call beside eight loops took {slowest:?}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_program_does_not_take_all_places() {
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| config.wasm.calls_max = 4).await;
    let code = core.store(assemble(BEHAVIOURS));
    let [greedy, modest] =
        [3, 4].map(|seconds| core.wasm_program(&code, json!({"/resources/seconds": seconds})));
    node.call(&greedy, "/print").await;

    let loops = (0..8).map(|_| node.call(&greedy, "/loop"));
    let other = async {
        node.reaches_calls(&greedy, 8).await;
        let begun = Instant::now();
        assert_eq!(node.call(&modest, "/print").await.0, 200);
        begun.elapsed()
    };
    let (_, waited) = tokio::join!(futures::future::join_all(loops), other);
    assert!(waited < Duration::from_secs(2), "it waited {waited:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_cold_calls_fetch_and_compile_once() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let component = assemble(HELLO);
    let program = core.wasm_program(&core.store(component.clone()), json!({}));
    let calls = (0..100).map(|_| node.call(&program, "/"));
    for answer in within(futures::future::join_all(calls)).await {
        assert_eq!(answer, (200, "Hello from Wasm".into()));
    }
    assert_eq!((core.asked(&component), node.wasm.compilations()), (1, 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_one_component_compile_it_once() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let component = assemble(HELLO);
    let code = core.store(component.clone());
    let programs = ["1", "2", "3"]
        .map(|number| core.wasm_program(&code, json!({"/variables": {"N": number}})));
    let calls = programs.iter().map(|program| node.call(program, "/"));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer, (200, "Hello from Wasm".into()));
    }
    assert_eq!((core.asked(&component), node.wasm.compilations()), (1, 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_do_not_wait_for_each_other() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let (held, free) = (assemble(BEHAVIOURS), assemble(HELLO));
    let slow = core.wasm_program(&core.store(held.clone()), json!({}));
    let fast = core.wasm_program(&core.store(free), json!({}));
    let permission = core.hold(&held);
    let waiting = async {
        let answer = node.call(&slow, "/print").await;
        assert_eq!(answer, (200, "printed".into()));
    };
    let others = async {
        node.reaches(&slow, "preparing").await;
        assert_eq!(node.call(&fast, "/").await, (200, "Hello from Wasm".into()));
        assert_eq!(node.program(&slow).await["state"], "preparing");
        permission.notify_one();
    };
    within(futures::future::join(waiting, others)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_program_is_explained() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let component = assemble(HELLO);

    let (status, text) = node
        .call(&beth_protocol::ItemHash::of_bytes(b"nothing"), "/")
        .await;
    assert_eq!(status, 404);
    assert!(text.contains("knows no message"), "{text}");
    let listed: Value =
        serde_json::from_str(&node.get("/beth/v1/programs").await.text().await.unwrap()).unwrap();
    assert_eq!(
        listed,
        json!({"programs": []}),
        "hashes that somebody made up leave no trace"
    );

    let post = core.publish(
        MessageType::Post,
        &json!({"address": "0x", "time": 1.0, "type": "t", "content": {}}),
    );
    let (status, text) = node.call(&post, "/").await;
    assert_eq!(
        (status, text.contains("is a POST message, not a PROGRAM")),
        (400, true),
        "{text}"
    );

    for (bytes, sentence) in [
        (
            &b"PK\x03\x04 an archive"[..],
            "no WebAssembly component although the entrypoint ends in .wasm",
        ),
        (
            b"\0asm\x01\0\0\0",
            "a core WebAssembly module, not a component",
        ),
        (
            b"\0asm\x0d\0\x01\0\xff\xff\xff",
            "no valid WebAssembly component",
        ),
        (b"\0asm\x0d\0\x01\0", "does not fit this node"),
    ] {
        let program = core.wasm_program(&core.store(Bytes::from_static(bytes)), json!({}));
        let (status, text) = node.call(&program, "/").await;
        assert_eq!(status, 500, "{text}");
        assert!(
            text.contains("Error during vm initialisation") && text.contains(sentence),
            "{text}"
        );
        let state = node.program(&program).await;
        assert_eq!(state["state"], "failed");
        assert!(
            state["fault"].as_str().unwrap().contains(sentence),
            "{state}"
        );
    }

    let program = core.wasm_program(&core.store(component.clone()), json!({}));
    core.corrupt(&component, "something else");
    let (status, text) = node.call(&program, "/").await;
    assert_eq!(status, 400);
    assert!(
        text.contains("Code, runtime or data not available") && text.contains("is corrupt"),
        "{text}"
    );

    core.lose(&component);
    let (status, text) = node.call(&program, "/").await;
    assert_eq!(
        (status, text.contains("has no file")),
        (400, true),
        "{text}"
    );

    core.store(component);
    assert_eq!(
        node.call(&program, "/").await,
        (200, "Hello from Wasm".into()),
        "once it is there again"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_core_node_new_programs_wait_and_old_ones_answer() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let program = core.wasm_program(&core.store(assemble(HELLO)), json!({}));
    let other = core.wasm_program(&core.store(assemble(BEHAVIOURS)), json!({}));
    assert_eq!(node.call(&program, "/").await.0, 200);
    drop(core);
    within(async {
        loop {
            // The core node ends in its own time.
            let (status, text) = node.call(&other, "/print").await;
            if status == 503 {
                assert!(text.contains("does not answer"), "{text}");
                return;
            }
        }
    })
    .await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_finds_what_it_compiled() {
    let core = FakeCore::start().await;
    let component = assemble(HELLO);
    let program = core.wasm_program(&core.store(component.clone()), json!({}));
    let node = TestNode::start(&core).await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    let folder = node.folder.path().join("crn");
    let again = TestNode::start_with(&core, None, |config| config.folder.clone_from(&folder)).await;
    assert_eq!(again.call(&program, "/").await.0, 200);
    assert_eq!((core.asked(&component), again.wasm.compilations()), (1, 0));

    // A file that others can write is not trusted.
    use std::os::unix::fs::PermissionsExt;
    let compiled = std::fs::read_dir(folder.join("compiled"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::set_permissions(&compiled, std::fs::Permissions::from_mode(0o666)).unwrap();
    let third = TestNode::start_with(&core, None, |config| config.folder.clone_from(&folder)).await;
    assert_eq!(third.call(&program, "/").await.0, 200);
    assert_eq!(third.wasm.compilations(), 1);
    third.stop().await;
    again.stop().await;
    node.stop().await;
}

impl TestNode {
    /// Waits until that many calls of a program are under way.
    async fn reaches_calls(&self, program: &beth_protocol::ItemHash, calls: u64) {
        within(async {
            while self.program(program).await["calls"].as_u64() < Some(calls) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
