//! Answers whose makers or readers never come to an end.

use std::time::{Duration, Instant};

use beth_crn::wasm::WasmConfig;
use beth_protocol::ItemHash;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::fake::{BEHAVIOURS, FakeCore, TestNode, assemble, within};

/// A node with one program that may compute for that long.
struct Ground {
    node: TestNode,
    program: ItemHash,
    _core: FakeCore,
}

impl Ground {
    async fn start(seconds: u64, change: impl FnOnce(&mut WasmConfig)) -> Ground {
        let core = FakeCore::start().await;
        let node = TestNode::start_with(&core, None, |config| {
            config.public_logs = true;
            change(&mut config.wasm);
        })
        .await;
        let code = core.store(assemble(BEHAVIOURS));
        let program = core.wasm_program(&code, json!({"/resources/seconds": seconds}));
        assert_eq!(node.call(&program, "/print").await.0, 200);
        Ground {
            node,
            program,
            _core: core,
        }
    }

    /// An answer whose head has come.
    async fn begin(&self, path: &str) -> reqwest::Response {
        let url = format!("{}/vm/{}{path}", self.node.url, self.program);
        let answer = within(self.node.client.get(url).send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("content-length"));
        answer
    }

    /// Waits until no call has anything of the node any more; how long it took.
    async fn is_free(&self) -> Duration {
        let begun = Instant::now();
        within(async {
            while self.node.wasm.memory_bytes() > 0
                || self.node.program(&self.program).await["calls"] != 0
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        begun.elapsed()
    }

    async fn says_in_its_log(&self, words: &str) {
        let path = format!("/beth/v1/programs/{}/logs", self.program);
        let logs = self.node.get(&path).await.text().await.unwrap();
        assert!(logs.contains(words), "{logs}");
    }

    /// It still answers.
    async fn ends(self) {
        assert_eq!(self.node.call(&self.program, "/print").await.0, 200);
        self.node.stop().await;
    }
}

/// Reads an answer until it ends or breaks; the bytes of it, and whether it is whole.
async fn read(mut answer: reqwest::Response) -> (usize, bool) {
    within(async {
        let mut bytes = 0;
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => bytes += piece.len(),
                Ok(None) => return (bytes, true),
                Err(_) => return (bytes, false),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_after_the_head_ends_with_its_processor_time() {
    let ground = Ground::start(1, |_| {}).await;
    let begun = Instant::now();
    let answer = ground.begin("/head").await;
    assert_eq!(read(answer).await, (0, false), "it is not taken for whole");
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
    ground.is_free().await;
    ground
        .says_in_its_log("computed for more than 1 seconds")
        .await;
    ground.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_end_ends_with_its_processor_time() {
    let ground = Ground::start(1, |_| {}).await;
    let (bytes, is_whole) = read(ground.begin("/stream").await).await;
    assert!(bytes > 100_000 && !is_whole, "{bytes}");
    ground.is_free().await;
    ground
        .says_in_its_log("computed for more than 1 seconds")
        .await;
    ground.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_to_its_end_is_stopped() {
    let ground = Ground::start(10, |config| config.stream_seconds_max = 1).await;
    let (bytes, is_whole) = read(ground.begin("/drip").await).await;
    assert_eq!((bytes, is_whole), (7, false));
    ground.is_free().await;
    ground
        .says_in_its_log("the answer took more than 1 seconds")
        .await;
    ground.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_leaves_takes_the_guest_with_it() {
    let ground = Ground::start(60, |_| {}).await;
    for path in ["/drip", "/stream"] {
        let mut answer = ground.begin(path).await;
        assert!(within(answer.chunk()).await.unwrap().is_some());
        assert!(ground.node.wasm.memory_bytes() > 0, "it is there");
        drop(answer);
        let took = ground.is_free().await;
        assert!(took < Duration::from_secs(5), "{path}: {took:?}");
    }
    // Before the head, too.
    let url = format!("{}/vm/{}/loop", ground.node.url, ground.program);
    let asked = ground.node.client.get(url);
    let asked = tokio::spawn(asked.send());
    within(async {
        while ground.node.wasm.memory_bytes() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    asked.abort();
    let took = ground.is_free().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    ground.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_holds_no_memory() {
    let ground = Ground::start(60, |config| config.reader_seconds_max = 1).await;
    let address = ground.node.url.trim_start_matches("http://");
    let mut reader = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /vm/{}/stream HTTP/1.1\r\nhost: a\r\n\r\n",
        ground.program
    );
    reader.write_all(request.as_bytes()).await.unwrap();
    within(async {
        while ground.node.wasm.memory_bytes() == 0 {
            tokio::task::yield_now().await;
        }
        while ground.node.wasm.memory_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ground
        .says_in_its_log("the reader took too little of the answer")
        .await;
    drop(reader);
    ground.is_free().await;
    ground.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_fails_in_its_answer_breaks_it_off() {
    let ground = Ground::start(10, |_| {}).await;
    let (bytes, is_whole) = read(ground.begin("/broken").await).await;
    assert_eq!((bytes, is_whole), (7, false));
    ground.is_free().await;
    ground
        .says_in_its_log("the program failed in its answer")
        .await;
    ground.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_to_the_host_is_bounded() {
    let ground = Ground::start(10, |_| {}).await;
    let (status, text) = ground.node.call(&ground.program, "/huge").await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("fuel allocated for hostcalls"), "{text}");
    ground.is_free().await;
    ground.ends().await;
}
