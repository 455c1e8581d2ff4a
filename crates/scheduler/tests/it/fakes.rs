//! A core node and a compute node that do no more than the scheduler asks for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use beth_protocol::signature::evm;
use beth_protocol::{Account, ItemHash};
use beth_scheduler::{Config, Scheduler};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub const CORECHANNEL: &str = "0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10";

pub fn hash(text: &str) -> ItemHash {
    ItemHash::of_bytes(text.as_bytes())
}

struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        self.0.to_string().into_response()
    }
}

/// A message as the list and the stream have it.
pub fn program(name: &str, memory: u64, persistent: bool) -> Value {
    json!({
        "type": "PROGRAM", "item_hash": hash(name), "item_type": "inline", "sender": "0x1", "chain": "ETH",
        "content": {
            "address": "0x1", "time": 1.0, "type": "vm-function", "allow_amend": false,
            "code": {"encoding": "zip", "entrypoint": "main:app", "ref": hash("code"), "use_latest": true},
            "on": {"http": true, "persistent": persistent},
            "environment": {"reproducible": false, "internet": true, "aleph_api": true, "shared_cache": false},
            "resources": {"vcpus": 1, "memory": memory, "seconds": 30},
            "runtime": {"ref": hash("runtime"), "use_latest": true, "comment": ""},
            "volumes": [],
        },
    })
}

pub fn forget(name: &str) -> Value {
    json!({
        "type": "FORGET", "item_hash": hash("forget"), "item_type": "inline", "sender": "0x1", "chain": "ETH",
        "content": {"address": "0x1", "time": 2.0, "hashes": [hash(name)], "aggregates": []},
    })
}

/// The registry: one core node, and these compute nodes linked to it.
pub fn registry(nodes: &[&ComputeNode]) -> Value {
    let linked: Vec<Value> = nodes
        .iter()
        .map(|node| json!({
            "hash": node.hash, "type": "compute", "status": "linked", "parent": hash("core"), "time": 1.0,
            "name": "fake", "address": format!("{}/", node.url), "owner": "0x1", "locked": "", "authorized": "",
        }))
        .collect();
    json!({"nodes": [{"hash": hash("core"), "status": "active", "name": "core"}], "resource_nodes": linked})
}

#[derive(Clone)]
pub struct CoreNode {
    pub url: String,
    state: Arc<Mutex<CoreState>>,
    frames: broadcast::Sender<Option<Value>>,
}

#[derive(Default)]
struct CoreState {
    messages: Vec<Value>,
    registry: Option<Value>,
}

impl CoreNode {
    pub async fn start() -> CoreNode {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let core = CoreNode {
            url,
            state: Arc::default(),
            frames: broadcast::channel(64).0,
        };
        let router = Router::new()
            .route("/api/v0/messages.json", get(list))
            .route("/api/v0/aggregates/{address}", get(aggregate))
            .route("/api/ws0/messages", get(stream))
            .with_state(core.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        core
    }

    /// Keeps a message without telling anybody.
    pub fn store(&self, message: Value) {
        self.state.lock().unwrap().messages.push(message);
    }

    /// Keeps a message and sends it down the streams.
    pub fn accept(&self, message: Value) {
        self.store(message.clone());
        self.frames.send(Some(message)).unwrap();
    }

    /// Removes a message from the list, as a FORGET does, telling nobody.
    pub fn remove(&self, name: &str) {
        let gone = json!(hash(name));
        self.state
            .lock()
            .unwrap()
            .messages
            .retain(|message| message["item_hash"] != gone);
    }

    pub fn store_registry(&self, registry: Value) {
        self.state.lock().unwrap().registry = Some(registry);
    }

    /// Publishes the registry as the network does: aggregate and frame.
    pub fn publish_registry(&self, registry: Value) {
        self.store_registry(registry);
        let frame = json!({"type": "AGGREGATE", "item_hash": hash("aggregate"), "content": {"address": CORECHANNEL, "key": "corechannel", "time": 1.0, "content": {}}});
        self.frames.send(Some(frame)).unwrap();
    }

    pub fn cut_streams(&self) {
        self.frames.send(None).unwrap();
    }

    /// True when somebody reads the stream.
    pub fn is_followed(&self) -> bool {
        self.frames.receiver_count() > 0
    }
}

async fn list(State(core): State<CoreNode>, Query(query): Query<Vec<(String, String)>>) -> Json {
    // One message a page, so that the cursor is used.
    let cursor = query
        .iter()
        .find(|(name, _)| name == "cursor")
        .map_or("", |(_, value)| value);
    let index: usize = cursor.parse().unwrap_or(0);
    let messages = &core.state.lock().unwrap().messages;
    let page: Vec<&Value> = messages.iter().skip(index).take(1).collect();
    let next = (index + 1 < messages.len()).then(|| (index + 1).to_string());
    Json(json!({"messages": page, "pagination_per_page": 1, "next_cursor": next}))
}

async fn aggregate(State(core): State<CoreNode>) -> Response {
    match &core.state.lock().unwrap().registry {
        Some(registry) => {
            Json(json!({"address": CORECHANNEL, "data": {"corechannel": registry}, "info": {}}))
                .into_response()
        }
        None => (StatusCode::NOT_FOUND, "No aggregate found for this address").into_response(),
    }
}

async fn stream(State(core): State<CoreNode>, upgrade: WebSocketUpgrade) -> Response {
    let mut frames = core.frames.subscribe();
    upgrade.on_upgrade(async move |mut socket| {
        while let Ok(Some(frame)) = frames.recv().await {
            if socket
                .send(Frame::Text(frame.to_string().into()))
                .await
                .is_err()
            {
                return;
            }
        }
    })
}

/// A compute node with 4 cores and 8 GiB that remembers what it was told.
pub struct ComputeNode {
    pub url: String,
    pub hash: ItemHash,
    pub allocations: watch::Receiver<Option<Value>>,
    stop: CancellationToken,
}

#[derive(Clone)]
struct ComputeState {
    told: watch::Sender<Option<Value>>,
    refusals: Arc<Mutex<u32>>,
}

impl ComputeNode {
    pub async fn start(name: &str) -> ComputeNode {
        ComputeNode::refusing(name, 0).await
    }

    /// Refuses this many allocations before it takes one.
    pub async fn refusing(name: &str, refusals: u32) -> ComputeNode {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, allocations) = watch::channel(None);
        let state = ComputeState {
            told,
            refusals: Arc::new(Mutex::new(refusals)),
        };
        let router = Router::new()
            .route("/about/usage/system", get(usage))
            .route(
                "/status/config",
                get(async || {
                    Json(json!({"version": "1.0", "beth": {"executors": ["wasm", "microvm"]}}))
                }),
            )
            .route("/about/executions/list", get(executions))
            .route("/control/allocations", post(allocate))
            .with_state(state);
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(token.cancelled_owned())
                .await
        });
        ComputeNode {
            url,
            hash: hash(name),
            allocations,
            stop,
        }
    }

    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the node was told this list of functions.
    pub async fn told(&self, member: &str, names: &[&str]) {
        let mut expected: Vec<ItemHash> = names.iter().map(|name| hash(name)).collect();
        expected.sort();
        let expected = json!(expected);
        let mut allocations = self.allocations.clone();
        let told =
            allocations.wait_for(|body| body.as_ref().is_some_and(|body| body[member] == expected));
        let outcome = tokio::time::timeout(Duration::from_secs(20), told)
            .await
            .map(|told| told.is_ok());
        assert_eq!(
            outcome,
            Ok(true),
            "{member} {names:?}; last told: {:?}",
            self.allocations.borrow().as_ref()
        );
    }
}

/// Everything it was told runs at once.
async fn executions(State(state): State<ComputeState>) -> Json {
    let told = state.told.borrow().clone().unwrap_or_default();
    let lists = told.as_object().into_iter().flatten();
    let hashes = lists.flat_map(|(_, list)| list.as_array().cloned().unwrap_or_default());
    Json(
        hashes
            .map(|hash| (hash.as_str().unwrap().to_owned(), json!({})))
            .collect(),
    )
}

async fn usage() -> Json {
    Json(
        json!({"cpu": {"count": 4}, "mem": {"total_kB": 8_589_935, "available_kB": 1}, "disk": {"total_kB": 100_000_000, "available_kB": 50_000_000}, "active": true}),
    )
}

async fn allocate(State(state): State<ComputeState>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers["authorization"].to_str().unwrap();
    let (signature, payload) = authorization
        .strip_prefix("Aleph-EIP191-V1 sig=")
        .unwrap()
        .split_once(",payload=0x")
        .unwrap();
    let payload = hex(payload);
    let account = Account::ethereum(KEY).unwrap();
    if !evm::verify(&payload, signature, account.address()) {
        return (
            StatusCode::UNAUTHORIZED,
            "Authentication token received is invalid",
        )
            .into_response();
    }
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["body_sha256"], json!(ItemHash::of_bytes(&body)));
    {
        let mut refusals = state.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    }
    state
        .told
        .send_replace(Some(serde_json::from_slice(&body).unwrap()));
    Json(json!({"success": true, "successful": [], "failing": [], "stopped": [], "errors": {}}))
        .into_response()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}

/// A running scheduler; it ends with the test.
pub struct Running {
    pub router: Router,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub fn start(core: &CoreNode) -> Running {
        let config = Config {
            core_node: Some(core.url.clone()),
            corechannel_address: CORECHANNEL.into(),
            key_file: "unused".into(),
            poll_seconds: 1,
        };
        let scheduler = Scheduler::new(&config, Account::ethereum(KEY).unwrap()).unwrap();
        let cancel = CancellationToken::new();
        let router = scheduler.router();
        let task = tokio::spawn(scheduler.run(cancel.clone()));
        Running {
            router,
            cancel,
            task,
        }
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task)
            .await
            .expect("the scheduler ends when told")
            .unwrap();
    }
}
