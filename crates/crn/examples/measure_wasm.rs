//! Measures Wasm programs over HTTP: `cargo run --release -p beth-crn --example measure_wasm`.
//!
//! Everything is real but the core node, which serves two files from memory:
//!
//! * first call after deployment: prepared by an allocation, and without one;
//! * cold instance: the component is compiled on disk, its machine is created by the call;
//! * warm calls at a steady 1000 requests/s over keep-alive connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beth_crn::{CrnConfig, node};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, MessageType};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

const COMPONENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/wasm-hello/function.wat"
);
const RATE: u32 = 1000;
const SECONDS: u32 = 10;
const CONNECTIONS: u32 = 16;
const ROUNDS: usize = 20;
const TIMER: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() {
    let component: Bytes = wat::parse_file(COMPONENT).unwrap().into();
    let account = Account::ethereum(&"22".repeat(32)).unwrap();
    let core = Core::start(component.clone(), &account).await;
    println!(
        "component {} bytes; {} rounds, median (fastest, slowest)",
        component.len(),
        ROUNDS
    );

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let node = Node::start(&core, &account, None).await;
        let program = core.program(&account, round, "deployed");
        rounds.push(node.timed_call(&program).await);
        node.stop().await;
    }
    report(
        "first call, nothing prepared (fetch + compile + answer)",
        rounds,
    );

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let node = Node::start(&core, &account, None).await;
        let program = core.program(&account, round, "allocated");
        node.allocate(&account, &program).await;
        rounds.push(node.timed_call(&program).await);
        node.stop().await;
    }
    report(
        "first call after an allocation prepared the program",
        rounds,
    );

    let mut rounds = Vec::new();
    let node = Node::start(&core, &account, Some(0)).await;
    let program = core.program(&account, 0, "cold");
    for _ in 0..=ROUNDS {
        rounds.push(node.timed_call(&program).await);
    }
    rounds.remove(0);
    report("call that creates its machine (compiled on disk)", rounds);
    node.stop().await;

    let node = Node::start(&core, &account, None).await;
    node.timed_call(&program).await;
    let mut rounds = Vec::new();
    for _ in 0..1000 {
        rounds.push(node.timed_call(&program).await);
    }
    report(
        "fresh instance in a warm machine, one connection, back to back",
        rounds,
    );
    steady(&node, &program).await;
    node.stop().await;
}

/// Requests at a fixed rate, whether or not the earlier ones were answered;
/// each is timed from the moment it was due.
async fn steady(node: &Node, program: &ItemHash) {
    let begun = Instant::now() + Duration::from_millis(100);
    let tasks = (0..CONNECTIONS).map(|lane| {
        let (client, url) = (client(), format!("{}/vm/{program}/", node.url));
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut number = lane;
            while number < RATE * SECONDS {
                let due = begun + Duration::from_secs(1) / RATE * number;
                tokio::time::sleep_until(due.into()).await;
                // A timer of the runtime may be late by itself; more than that is ours.
                let sent = if due.elapsed() < TIMER {
                    Instant::now()
                } else {
                    due
                };
                let response = client.get(&url).send().await.unwrap();
                assert_eq!(response.bytes().await.unwrap(), "Hello from Wasm");
                latencies.push(sent.elapsed());
                number += CONNECTIONS;
            }
            latencies
        })
    });
    let mut latencies = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        latencies.extend(task.await.unwrap());
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort();
    let at =
        |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "warm, {rate:.0} requests/s for {SECONDS} s over {CONNECTIONS} keep-alive connections: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, slowest {:.2} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn report(what: &str, mut rounds: Vec<Duration>) {
    rounds.sort();
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what}: {:.2} ms ({:.2}, {:.2})",
        ms(&rounds[rounds.len() / 2]),
        ms(&rounds[0]),
        ms(rounds.last().unwrap())
    );
}

fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

struct Node {
    url: String,
    client: reqwest::Client,
    cancel: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), node::Error>>,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start(core: &Core, account: &Account, reuse_seconds: Option<u64>) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let config = CrnConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            core_node: core.url.clone(),
            folder: folder.path().join("crn"),
            reuse_seconds: reuse_seconds.unwrap_or(3600),
            allocation_signers: vec![account.address().to_owned()],
            ..CrnConfig::default()
        };
        let cancel = CancellationToken::new();
        let (sender, ready) = tokio::sync::oneshot::channel();
        let ended = tokio::spawn(node::run(
            config,
            |address| sender.send(address).unwrap(),
            cancel.clone(),
        ));
        let url = format!("http://{}", ready.await.unwrap());
        let client = client();
        // A connection is there before anything is timed.
        client
            .get(format!("{url}/about/login"))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        Node {
            url,
            client,
            cancel,
            ended,
            _folder: folder,
        }
    }

    async fn timed_call(&self, program: &ItemHash) -> Duration {
        let begun = Instant::now();
        let response = self
            .client
            .get(format!("{}/vm/{program}/", self.url))
            .send()
            .await
            .unwrap();
        let text = response.text().await.unwrap();
        let took = begun.elapsed();
        assert_eq!(text, "Hello from Wasm");
        took
    }

    async fn allocate(&self, account: &Account, program: &ItemHash) {
        let body = json!({"on_demand_vms": [program]}).to_string();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let payload = json!({
            "body_sha256": const_hex::encode(Sha256::digest(&body)), "iat": now, "method": "POST",
            "path": "/control/allocations",
        });
        let payload = payload.to_string();
        let signature = account.sign_text(payload.as_bytes());
        let header = format!(
            "Aleph-EIP191-V1 sig={signature},payload={}",
            const_hex::encode(payload)
        );
        let request = self
            .client
            .post(format!("{}/control/allocations", self.url))
            .header("authorization", header);
        assert_eq!(
            request.body(body).send().await.unwrap().status().as_u16(),
            200
        );
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

#[derive(Clone)]
struct Core {
    url: String,
    shelves: Arc<Shelves>,
}

struct Shelves {
    component: Bytes,
    store: ItemHash,
    programs: std::sync::Mutex<Vec<Value>>,
}

impl Core {
    async fn start(component: Bytes, account: &Account) -> Core {
        let content = json!({
            "address": account.address(), "time": 1.5, "item_type": "storage",
            "item_hash": ItemHash::of_bytes(&component),
        });
        let store = account
            .sign_message(
                MessageType::Store,
                &content,
                None,
                Timestamp::from_seconds(1),
            )
            .item_hash;
        let shelves = Arc::new(Shelves {
            component,
            store,
            programs: std::sync::Mutex::default(),
        });
        let router = Router::new()
            .route("/api/v0/messages.json", get(messages))
            .route("/api/v0/storage/by-ref/{hash}", get(reference))
            .route("/api/v0/storage/raw/{hash}", get(raw))
            .with_state(shelves.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Core { url, shelves }
    }

    fn program(&self, account: &Account, number: usize, name: &str) -> ItemHash {
        let content = json!({
            "address": account.address(), "time": 2.5, "type": "vm-function", "allow_amend": false,
            "variables": {"NUMBER": number.to_string(), "NAME": name},
            "code": {"encoding": "plain", "entrypoint": "function.wasm", "ref": self.shelves.store, "interface": "binary", "use_latest": true},
            "runtime": {"ref": self.shelves.store, "use_latest": true, "comment": "none"},
            "on": {"http": true},
            "environment": {"reproducible": false, "internet": false, "aleph_api": false, "shared_cache": false},
            "resources": {"vcpus": 1, "memory": 128, "seconds": 10},
            "volumes": [],
        });
        let message = account.sign_message(
            MessageType::Program,
            &content,
            None,
            Timestamp::from_seconds(3),
        );
        self.shelves
            .programs
            .lock()
            .unwrap()
            .push(serde_json::to_value(&message).unwrap());
        message.item_hash
    }
}

async fn messages(
    State(shelves): State<Arc<Shelves>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let programs = shelves.programs.lock().unwrap();
    let found: Vec<&Value> = programs
        .iter()
        .filter(|message| message["item_hash"] == query[0].1)
        .collect();
    json!({"messages": found}).to_string().into_response()
}

async fn reference(State(shelves): State<Arc<Shelves>>, Path(hash): Path<String>) -> Response {
    if hash != shelves.store.as_str() {
        return StatusCode::NOT_FOUND.into_response();
    }
    json!({"file_hash": ItemHash::of_bytes(&shelves.component)})
        .to_string()
        .into_response()
}

async fn raw(State(shelves): State<Arc<Shelves>>) -> Response {
    shelves.component.clone().into_response()
}
