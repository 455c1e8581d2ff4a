//! The pool with machines that do as they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use beth_crn::body::Body;
use beth_crn::executor::{Answer, Call, Executor, Fault, Machine, Phases, Program};
use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use crate::fake::{FakeCore, TestNode, read, within};

/// Counts what it is asked for.
#[derive(Clone, Default)]
struct Scripted {
    prepared: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
    paused: Arc<AtomicUsize>,
    hangs: Arc<AtomicBool>,
    memory_mib: u64,
}

impl Executor for Scripted {
    fn name(&self) -> &'static str {
        "microvm"
    }

    fn admit(&self, _: &ProgramContent) -> Result<u64, Fault> {
        Ok(self.memory_mib)
    }

    fn prepare<'a>(&'a self, _: &'a Program, _: Phases) -> BoxFuture<'a, Result<(), Fault>> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(Ok(())).boxed()
    }

    fn start<'a>(
        &'a self,
        _: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            phases.begin("kernel");
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            self.started.fetch_add(1, Ordering::SeqCst);
            let machine = ScriptedMachine {
                alive: AtomicBool::new(true),
                paused: AtomicBool::new(false),
                stopped: self.stopped.clone(),
                pauses: self.paused.clone(),
            };
            Ok(Box::new(machine) as Box<dyn Machine>)
        }
        .boxed()
    }
}

struct ScriptedMachine {
    alive: AtomicBool,
    paused: AtomicBool,
    stopped: Arc<AtomicUsize>,
    pauses: Arc<AtomicUsize>,
}

impl Machine for ScriptedMachine {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        self.paused.store(false, Ordering::SeqCst);
        let answer = match call.path.as_str() {
            "/die" => {
                self.alive.store(false, Ordering::SeqCst);
                Err(Fault::Died("the guest panicked".into()))
            }
            "/vanish" => {
                self.alive.store(false, Ordering::SeqCst);
                Ok("gone")
            }
            "/headers" => {
                let headers = [
                    ("Set-Cookie", "a=1"),
                    ("set-cookie", "b=2"),
                    ("transfer-encoding", "chunked"),
                    ("content-encoding", "gzip"),
                    ("Content-Length", "99"),
                    ("location", "/elsewhere"),
                ];
                let headers = headers
                    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
                return futures::future::ready(Ok(Answer {
                    status: 307,
                    headers: headers.into(),
                    body: "moved".into(),
                }))
                .boxed();
            }
            "/bad-status" => {
                return futures::future::ready(Ok(Answer {
                    status: 99,
                    headers: Vec::new(),
                    body: Body::empty(),
                }))
                .boxed();
            }
            _ => Ok("fine"),
        };
        let answer = answer.map(|text| Answer {
            status: 200,
            headers: Vec::new(),
            body: text.into(),
        });
        futures::future::ready(answer).boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.stopped.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(()).boxed()
    }

    fn pause(&self) -> BoxFuture<'_, ()> {
        self.paused.store(true, Ordering::SeqCst);
        self.pauses.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(()).boxed()
    }

    fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    fn logs(&self) -> Vec<String> {
        vec!["boot".into()]
    }
}

async fn node(reuse_seconds: u64) -> (FakeCore, Scripted, TestNode, ItemHash) {
    node_of(reuse_seconds, json!({})).await
}

/// With some more of the message.
async fn node_of(
    reuse_seconds: u64,
    more: serde_json::Value,
) -> (FakeCore, Scripted, TestNode, ItemHash) {
    let core = FakeCore::start().await;
    let scripted = Scripted::default();
    let node = TestNode::start_with(&core, Some(Arc::new(scripted.clone())), |config| {
        config.reuse_seconds = reuse_seconds;
        config.ready_timeout_seconds = 0;
        config.pause_seconds = 1;
    })
    .await;
    let code = core.store(Bytes::from_static(b"an archive"));
    let mut changes = json!({"/code/entrypoint": "main:app", "/code/interface": "asgi"});
    changes
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let program = core.wasm_program(&code, changes);
    (core, scripted, node, program)
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_machine_is_replaced() {
    let (_core, scripted, node, program) = node(3600).await;
    assert_eq!(node.call(&program, "/").await, (200, "fine".into()));
    assert_eq!(node.call(&program, "/").await, (200, "fine".into()));
    assert_eq!(count(&scripted.started), 1);

    let response = node.get(&format!("/vm/{program}/die")).await;
    assert_eq!(response.status().as_u16(), 502);
    assert_eq!(
        response.text().await.unwrap(),
        "VM did not respond and was shut down"
    );
    let state = node.reaches(&program, "failed").await;
    assert!(
        state["fault"]
            .as_str()
            .unwrap()
            .contains("the guest panicked")
    );
    assert_eq!(node.call(&program, "/").await, (200, "fine".into()));
    assert_eq!(count(&scripted.started), 2);
    assert_eq!(node.program(&program).await["fault"], json!(null));

    assert_eq!(node.call(&program, "/vanish").await, (200, "gone".into()));
    assert_eq!(node.call(&program, "/").await, (200, "fine".into()));
    assert_eq!(count(&scripted.started), 3);
    node.stop().await;
    assert_eq!(
        count(&scripted.stopped),
        3,
        "the end of the node stops the last one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unused_machines_are_paused_until_the_next_call() {
    let (_core, scripted, node, program) = node(3600).await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    node.reaches(&program, "paused").await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    assert_eq!(node.program(&program).await["state"], "running");
    assert_eq!(count(&scripted.started), 1);
    let (_core, scripted, node, program) = node_of(2, json!({"/on/persistent": true})).await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    node.reaches(&program, "prepared").await;
    assert_eq!(count(&scripted.paused), 0, "it runs until it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unused_machines_are_stopped() {
    let (_core, scripted, node, program) = node(1).await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    assert_eq!(node.program(&program).await["state"], "running");
    node.reaches(&program, "prepared").await;
    within(async {
        while count(&scripted.stopped) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let logs = node
        .get(&format!("/beth/v1/programs/{program}/logs"))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(logs, "boot\n", "they stay readable");
    assert_eq!(node.call(&program, "/").await.0, 200);
    assert_eq!(count(&scripted.started), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_reuse_a_machine_lives_for_one_call() {
    let (_core, scripted, node, program) = node(0).await;
    for calls in 1..=3 {
        assert_eq!(node.call(&program, "/").await.0, 200);
        node.reaches(&program, "prepared").await;
        assert_eq!(count(&scripted.started), calls);
    }
    node.stop().await;
    assert_eq!(count(&scripted.stopped), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_hangs_ends() {
    let (_core, scripted, node, program) = node(3600).await;
    scripted.hangs.store(true, Ordering::SeqCst);
    let (status, text) = node.call(&program, "/").await;
    assert_eq!(status, 500);
    assert!(
        text.contains("Error during runtime initialisation") && text.contains("phase: kernel"),
        "{text}"
    );
    scripted.hangs.store(false, Ordering::SeqCst);
    assert_eq!(node.call(&program, "/").await.0, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_passed_on_with_care() {
    let (_core, _scripted, node, program) = node(3600).await;
    let response = node.get(&format!("/vm/{program}/headers")).await;
    assert_eq!(response.status().as_u16(), 307);
    let headers = response.headers();
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(
        (&headers["location"], &headers["content-encoding"]),
        (&"/elsewhere".parse().unwrap(), &"gzip".parse().unwrap())
    );
    assert_eq!(
        headers["content-length"], "5",
        "the length of the body, whatever the program says"
    );
    assert!(!headers.contains_key("transfer-encoding"));
    assert_eq!(
        node.call(&program, "/bad-status").await,
        (502, String::new())
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_share_a_budget_of_memory() {
    let core = FakeCore::start().await;
    let scripted = Scripted {
        memory_mib: 192,
        ..Scripted::default()
    };
    let asgi = |code| json!({"/code/entrypoint": "main:app", "/code/interface": "asgi", "/code/comment": code});
    let archive = Bytes::from_static(b"an archive");
    let code = core.store(archive.clone());
    let programs = ["one", "two", "three"].map(|name| core.wasm_program(&code, asgi(name)));
    let start = |machine_memory_mib| {
        let executor = Arc::new(scripted.clone());
        TestNode::start_with(&core, Some(executor), move |config| {
            config.machine_memory_mib = Some(machine_memory_mib);
        })
    };

    let small = start(191).await;
    let (status, text) = small.call(&programs[0], "/").await;
    assert_eq!(status, 503);
    assert!(
        text.contains("This CRN cannot host the requested workload at this time")
            && text.contains("192 MiB")
            && text.contains("191 MiB"),
        "{text}"
    );
    assert_eq!(core.asked(&archive), 0, "nothing is fetched for nothing");
    small.stop().await;

    let node = start(2 * 192).await;
    for program in &programs {
        assert_eq!(node.call(program, "/").await.0, 200);
    }
    assert_eq!(count(&scripted.started), 3);
    assert_eq!(
        count(&scripted.stopped),
        1,
        "the longest idle one makes room for the third"
    );
    assert_eq!(node.program(&programs[0]).await["state"], "prepared");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_not_for_everybody() {
    let (_core, _scripted, node, program) = node(3600).await;
    assert_eq!(node.call(&program, "/").await.0, 200);
    let logs = format!("{}/beth/v1/programs/{program}/logs", node.url);
    assert_eq!(node.client.get(&logs).send().await.unwrap().status(), 200);
    let proxied = node.client.get(&logs).header("x-forwarded-for", "1.2.3.4");
    let (status, text) = read(proxied.send().await.unwrap()).await;
    assert_eq!(status, 403);
    assert!(text.contains("public_logs"), "{text}");
    node.stop().await;
}
