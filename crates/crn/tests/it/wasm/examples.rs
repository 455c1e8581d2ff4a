//! The examples in other languages, built by their scripts, with every service
//! of the host behind them. Components of that size are compiled in seconds by
//! an optimised node (`--release`), and not in a bearable time by another.

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beth_protocol::ItemHash;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::fake::{FakeCore, TestNode, read, within};

/// An example, built now or earlier.
async fn example(language: &'static str) -> Bytes {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/component.sh");
    let built = tokio::task::spawn_blocking(move || {
        let output = Command::new(script).arg(language).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let path = String::from_utf8(output.stdout).unwrap();
        std::fs::read(PathBuf::from(path.trim())).unwrap()
    });
    built.await.unwrap().into()
}

fn grants(internet: bool, aleph_api: bool) -> Value {
    json!({
        "/environment/internet": internet, "/environment/aleph_api": aleph_api,
        "/resources/memory": 256, "/resources/seconds": 30,
        "/variables": {"NAME": "Ada", "NUMBER": "7"},
    })
}

/// Sets the aggregates of the owner of all programs.
fn aggregates_of(core: &FakeCore, aggregates: Value) {
    let owner = core.account().address();
    let path = format!("/api/v0/aggregates/{owner}.json");
    core.say(&path, json!({"address": owner, "data": aggregates}));
}

/// A node with the Python example, granted all or nothing.
struct Ground {
    core: FakeCore,
    node: TestNode,
    granted: ItemHash,
    denied: ItemHash,
}

impl Ground {
    async fn start() -> Ground {
        Ground::start_with(Vec::new()).await
    }

    async fn start_with(private_addresses: Vec<std::net::SocketAddr>) -> Ground {
        let core = FakeCore::start().await;
        let node = TestNode::start_with(&core, None, |config| {
            config.wasm.private_addresses = private_addresses;
            config.public_logs = true;
        })
        .await;
        let code = core.store(example("python").await);
        let granted = core.wasm_program(&code, grants(true, true));
        let denied = core.wasm_program(&code, grants(false, false));
        Ground {
            core,
            node,
            granted,
            denied,
        }
    }

    async fn granted(&self, path: &str) -> (u16, String) {
        self.node.call(&self.granted, path).await
    }

    async fn denied(&self, path: &str) -> (u16, String) {
        self.node.call(&self.denied, path).await
    }

    async fn logs(&self, program: &ItemHash) -> String {
        let path = format!("/beth/v1/programs/{program}/logs");
        self.node.get(&path).await.text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds components with npm and pip: make long"]
async fn python_answers_and_reads_what_it_was_granted() {
    let ground = Ground::start().await;
    answers(&ground).await;
    aggregates(&ground).await;
    files(&ground).await;
    ground.node.stop().await;
}

async fn answers(ground: &Ground) {
    let (status, text) = ground.denied("/").await;
    assert_eq!(status, 200, "{text} {}", ground.logs(&ground.denied).await);
    assert_eq!(text, r#"{"message":"Hello from Wasm","name":"Ada"}"#);
    assert_eq!(
        ground.denied("/items/2?shout=true").await,
        (200, r#"{"item_id":"2","name":"CAMEL"}"#.into())
    );
    assert_eq!(ground.denied("/items/9").await.0, 404);
    let url = format!("{}/vm/{}/echo", ground.node.url, ground.denied);
    let echo = ground.node.client.post(url).body("über").send();
    let (status, text) = read(within(echo).await.unwrap()).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["body"]), (200, &json!("über")));

    assert_eq!(ground.denied("/variables/NUMBER").await.1, r#""7""#);
    assert_eq!(ground.denied("/variables/nope").await.1, "null");
    assert_eq!(ground.denied("/log/hello").await.0, 200);
    let logs = ground.logs(&ground.denied).await;
    assert!(
        logs.contains("printed hello") && logs.contains("WARN example: hello"),
        "{logs}"
    );
    assert_eq!(ground.denied("/crash").await.0, 500);
    let logs = ground.logs(&ground.denied).await;
    assert!(
        logs.contains("this is what a traceback looks like"),
        "{logs}"
    );
}

async fn aggregates(ground: &Ground) {
    aggregates_of(
        &ground.core,
        json!({"profile": {"name": "Ada", "tags": ["a", 1]}, "an other/one,more": {"é": null}}),
    );
    let (status, text) = ground.granted("/aggregates").await;
    assert_eq!(
        (status, text.as_str()),
        (200, r#"["an other/one,more","profile"]"#),
    );
    for (path, expected) in [
        ("/aggregates/profile/name", (200, r#""Ada""#)),
        ("/aggregates/profile/tags", (200, r#"["a",1]"#)),
        ("/aggregates/profile/none", (200, "null")),
    ] {
        let (status, text) = ground.granted(path).await;
        assert_eq!((status, text.as_str()), expected, "{path}");
    }
    let (status, text) = ground.granted("/aggregates/nothing/x").await;
    assert!(status == 502 && text.contains("NoSuchStore"), "{text}");

    let url = format!(
        "{}/vm/{}/aggregates/profile/name",
        ground.node.url, ground.granted
    );
    let written = ground.node.client.put(url).body("1").send();
    let (status, text) = read(within(written).await.unwrap()).await;
    assert!(status == 502 && text.contains("AccessDenied"), "{text}");
    let logs = ground.logs(&ground.granted).await;
    assert!(logs.contains("cannot be written by a program"), "{logs}");

    for path in ["/aggregates", "/aggregates/profile/name"] {
        let (status, text) = ground.denied(path).await;
        assert!(status == 502 && text.contains("AccessDenied"), "{text}");
    }
    let logs = ground.logs(&ground.denied).await;
    assert!(logs.contains("set environment.aleph_api"), "{logs}");
}

async fn files(ground: &Ground) {
    let content = Bytes::from_static(b"0123456789");
    ground.core.store(content.clone());
    let file = ItemHash::of_bytes(&content);
    for (range, expected) in [
        ("", "0123456789"),
        ("?start=2&end=4", "234"),
        ("?start=9&end=18446744073709551615", "9"),
        ("?start=50", ""),
    ] {
        let (status, text) = ground.granted(&format!("/files/{file}{range}")).await;
        assert_eq!(
            (status, text),
            (200, json!(expected).to_string()),
            "{range}"
        );
    }
    assert_eq!(ground.core.asked(&content), 1, "kept");
    let missing = ItemHash::of_bytes(b"missing");
    for (name, word) in [
        (missing.as_str(), "the network has no file"),
        ("..%2fmessages", "is no hash"),
    ] {
        let (status, text) = ground.granted(&format!("/files/{name}")).await;
        assert!(
            status != 200 && (status == 404 || text.contains(word)),
            "{text}"
        );
    }
    let (status, text) = ground.denied(&format!("/files/{file}")).await;
    assert!(status == 502 && text.contains("aleph_api"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds components with npm and pip: make long"]
async fn python_reaches_public_addresses_alone() {
    let served = Router::new()
        .route("/", get(|| async { "from afar" }))
        .route("/moved", get(moved));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, served).await });
    let ground = Ground::start_with(vec![address]).await;

    let answer = ground
        .granted(&format!("/fetch?url=http://{address}/"))
        .await;
    assert_eq!(answer, (200, r#"{"status":200,"body":"from afar"}"#.into()));
    let (_, text) = ground
        .granted(&format!("/fetch?url=http://{address}/moved"))
        .await;
    assert!(
        text.contains(r#""status":307"#),
        "redirects are the program's: {text}"
    );

    let port = address.port();
    for url in [
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://2130706434:{port}/"),
        format!("http://0x7f.2:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://10.0.0.1/".into(),
        ground.core.url.clone() + "/api/v0/messages.json",
    ] {
        let (status, text) = ground.granted(&format!("/fetch?url={url}")).await;
        assert_eq!(status, 502, "{url}: {text}");
        assert!(text.contains("DestinationIpProhibited"), "{url}: {text}");
    }
    let logs = ground.logs(&ground.granted).await;
    assert!(
        logs.contains("programs reach public addresses only"),
        "{logs}"
    );

    let (status, text) = ground
        .denied(&format!("/fetch?url=http://{address}/"))
        .await;
    assert!(
        status == 502 && text.contains("HttpRequestDenied"),
        "{text}"
    );
    let logs = ground.logs(&ground.denied).await;
    assert!(logs.contains("set environment.internet"), "{logs}");
    server.abort();
    ground.node.stop().await;
}

async fn moved() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [("location", "/")]).into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds components with npm and pip: make long"]
async fn javascript_answers() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let program = core.wasm_program(
        &core.store(example("javascript").await),
        grants(false, false),
    );
    assert_eq!(
        node.call(&program, "/").await,
        (200, r#"{"message":"Hello from Wasm"}"#.into())
    );
    assert_eq!(
        node.call(&program, "/items/3").await,
        (200, r#"{"name":"door"}"#.into())
    );
    assert_eq!(node.call(&program, "/items/9").await.0, 404);
    let echo = node.client.post(format!("{}/vm/{program}/echo", node.url));
    let answer = within(echo.body("ping").send()).await.unwrap();
    assert_eq!(answer.headers()["x-method"], "POST");
    assert_eq!(read(answer).await, (200, "ping".into()));
    let (status, text) = node.call(&program, "/fetch?url=http://10.0.0.1/").await;
    assert_eq!(status, 500, "{text}");
    node.stop().await;
}

/// Needs the standard library for `wasm32-wasip2`, which not every machine has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds components with npm and pip: make long"]
async fn rust_answers_where_its_target_is_installed() {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    if !Path::new(sysroot.trim())
        .join("lib/rustlib/wasm32-wasip2")
        .exists()
    {
        eprintln!("not run: `rustup target add wasm32-wasip2` first");
        return;
    }
    let core = FakeCore::start().await;
    aggregates_of(&core, json!({"profile": {"name": "Ada", "age": 36}}));
    let node = TestNode::start(&core).await;
    let program = core.wasm_program(&core.store(example("rust").await), grants(false, true));
    assert_eq!(
        node.call(&program, "/").await,
        (200, "Hello from Wasm".into())
    );
    assert_eq!(
        node.call(&program, "/aggregates/profile").await,
        (200, "age\nname".into())
    );
    node.stop().await;
}
