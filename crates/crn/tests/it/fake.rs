//! What the tests stand on: a core node that serves messages and files from
//! memory, and compute nodes started against it.

pub mod instances;
pub mod wallet;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beth_crn::CrnConfig;
use beth_crn::core_node::CoreNode;
use beth_crn::executor::Executor;
use beth_crn::instance::InstancesConfig;
use beth_crn::node::{self, Given};
use beth_crn::pool::Executors;
use beth_crn::wasm::Wasm;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, MessageType};
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// Every wait of a test ends here at the latest.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const HELLO: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/wasm-hello/function.wat"
);
pub const BEHAVIOURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wasm/behaviours.wat");

/// Bytes of a component from its text.
pub fn assemble(path: &str) -> Bytes {
    wat::parse_file(path).unwrap().into()
}

#[derive(Default)]
struct Shelves {
    messages: HashMap<String, Value>,
    files: HashMap<String, Bytes>,
    /// STORE message to the file it names now.
    references: HashMap<String, String>,
    /// Files that wait for a permission before they are served.
    held: HashMap<String, Arc<Notify>>,
    /// How often each file was asked for.
    asked: HashMap<String, usize>,
    /// Answers to anything else, by path; null is a fault.
    facts: HashMap<String, Value>,
    /// Frames for whoever follows; `None` breaks the connections.
    frames: Option<broadcast::Sender<Option<String>>>,
}

/// A core node as compute nodes see it.
pub struct FakeCore {
    pub url: String,
    shelves: Arc<Mutex<Shelves>>,
    account: Account,
    _stop: tokio_util::sync::DropGuard,
}

impl FakeCore {
    pub async fn start() -> FakeCore {
        let shelves = Arc::new(Mutex::new(Shelves {
            frames: Some(broadcast::channel(64).0),
            ..Shelves::default()
        }));
        let router = Router::new()
            .route("/api/v0/messages.json", get(messages))
            .route("/api/v0/storage/by-ref/{hash}", get(reference))
            .route("/api/v0/storage/by-message-hash/{hash}", get(reference))
            .route("/api/v0/storage/raw/{hash}", get(raw))
            .route("/api/ws0/messages", get(follow))
            .fallback(fact)
            .with_state(shelves.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
        });
        let account =
            Account::ethereum("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
                .unwrap();
        FakeCore {
            url,
            shelves,
            account,
            _stop: stop.drop_guard(),
        }
    }

    /// Who signs everything.
    pub fn address(&self) -> String {
        self.account.address().to_string()
    }

    /// Stores a file; the hash of its STORE message.
    pub fn store(&self, bytes: Bytes) -> ItemHash {
        let file_hash = ItemHash::of_bytes(&bytes);
        let content = json!({
            "address": self.account.address(), "time": 1.5, "item_type": "storage", "item_hash": file_hash,
        });
        let message = self.publish(MessageType::Store, &content);
        let mut shelves = self.shelves.lock().unwrap();
        shelves.files.insert(file_hash.to_string(), bytes);
        shelves
            .references
            .insert(message.to_string(), file_hash.to_string());
        message
    }

    /// Makes a STORE message lead to another file; nobody is told.
    pub fn redirect(&self, store: &ItemHash, bytes: Bytes) {
        let file_hash = ItemHash::of_bytes(&bytes);
        let mut shelves = self.shelves.lock().unwrap();
        shelves.files.insert(file_hash.to_string(), bytes);
        shelves
            .references
            .insert(store.to_string(), file_hash.to_string());
    }

    /// Replaces what is served for a file, under its old name.
    pub fn corrupt(&self, bytes: &Bytes, other: &'static str) {
        let name = ItemHash::of_bytes(bytes).to_string();
        self.shelves
            .lock()
            .unwrap()
            .files
            .insert(name, Bytes::from_static(other.as_bytes()));
    }

    /// Takes a file away, its message stays.
    pub fn lose(&self, bytes: &Bytes) {
        self.shelves
            .lock()
            .unwrap()
            .files
            .remove(ItemHash::of_bytes(bytes).as_str());
    }

    /// Makes requests for a file wait for the returned permission.
    pub fn hold(&self, bytes: &Bytes) -> Arc<Notify> {
        let permission = Arc::new(Notify::new());
        let name = ItemHash::of_bytes(bytes).to_string();
        self.shelves
            .lock()
            .unwrap()
            .held
            .insert(name, permission.clone());
        permission
    }

    /// How often a file was asked for.
    pub fn asked(&self, bytes: &Bytes) -> usize {
        let name = ItemHash::of_bytes(bytes).to_string();
        self.shelves
            .lock()
            .unwrap()
            .asked
            .get(&name)
            .copied()
            .unwrap_or_default()
    }

    /// Publishes a Wasm program of that code.
    pub fn wasm_program(&self, code: &ItemHash, changes: Value) -> ItemHash {
        let mut content = json!({
            "address": self.account.address(), "time": 2.5, "type": "vm-function", "allow_amend": false,
            "code": {"encoding": "plain", "entrypoint": "function.wasm", "ref": code, "interface": "binary", "use_latest": true},
            "runtime": {"ref": code, "use_latest": true, "comment": "none"},
            "on": {"http": true},
            "environment": {"reproducible": false, "internet": false, "aleph_api": false, "shared_cache": false},
            "resources": {"vcpus": 1, "memory": 128, "seconds": 10},
            "volumes": [],
        });
        for (pointer, value) in changes.as_object().unwrap() {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            content.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        self.publish(MessageType::Program, &content)
    }

    /// Who publishes everything here.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Answers that path from now on; null is status 503.
    pub fn say(&self, path: &str, answer: Value) {
        let mut shelves = self.shelves.lock().unwrap();
        shelves.facts.insert(path.to_owned(), answer);
    }

    /// One key of an address' aggregates.
    pub fn say_aggregate(&self, address: &str, key: &str, value: Value) {
        let path = format!("/api/v0/aggregates/{address}.json");
        self.say(&path, json!({"address": address, "data": {key: value}}));
    }

    /// Has a message that somebody else published.
    pub fn insert(&self, message: &Value) -> ItemHash {
        let name = message["item_hash"].as_str().unwrap();
        let mut shelves = self.shelves.lock().unwrap();
        shelves.messages.insert(name.to_owned(), message.clone());
        ItemHash::parse(name).unwrap()
    }

    /// A new version of a stored file.
    pub fn amend(&self, original: &ItemHash, bytes: Bytes) {
        let file_hash = ItemHash::of_bytes(&bytes);
        let content = json!({
            "address": self.account.address(), "time": 2.5, "item_type": "storage", "item_hash": file_hash,
            "ref": original,
        });
        let message = self.publish(MessageType::Store, &content);
        let mut shelves = self.shelves.lock().unwrap();
        shelves.files.insert(file_hash.to_string(), bytes);
        shelves
            .references
            .insert(original.to_string(), file_hash.to_string());
        let frame = shelves.messages[message.as_str()].to_string();
        drop(shelves);
        self.frame(Some(frame));
    }

    /// Publishes a message and tells whoever follows.
    pub fn announce(&self, message_type: MessageType, content: &Value) -> ItemHash {
        let name = self.publish(message_type, content);
        let frame = self.shelves.lock().unwrap().messages[name.as_str()].to_string();
        self.frame(Some(frame));
        name
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        let shelves = self.shelves.lock().unwrap();
        shelves.frames.as_ref().unwrap().receiver_count()
    }

    /// A frame for whoever follows; `None` breaks the connections.
    pub fn frame(&self, frame: Option<String>) {
        let shelves = self.shelves.lock().unwrap();
        // Nobody may follow.
        let _ = shelves.frames.as_ref().unwrap().send(frame);
    }

    /// Publishes any message.
    pub fn publish(&self, message_type: MessageType, content: &Value) -> ItemHash {
        let message = self.account.sign_message(
            message_type,
            content,
            Some("TEST"),
            Timestamp::from_seconds(3),
        );
        let mut value = serde_json::to_value(&message).unwrap();
        value["content"] = content.clone();
        value["confirmed"] = json!(false);
        self.shelves
            .lock()
            .unwrap()
            .messages
            .insert(message.item_hash.to_string(), value);
        message.item_hash
    }
}

type Shared = State<Arc<Mutex<Shelves>>>;

async fn messages(
    State(shelves): Shared,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let shelves = shelves.lock().unwrap();
    let list: Vec<&Value> = shelves.messages.get(&query["hashes"]).into_iter().collect();
    json!({"messages": list, "pagination_page": 1})
        .to_string()
        .into_response()
}

async fn follow(State(shelves): Shared, upgrade: WebSocketUpgrade) -> Response {
    let mut frames = shelves.lock().unwrap().frames.as_ref().unwrap().subscribe();
    upgrade.on_upgrade(async move |mut socket| {
        while let Ok(Some(frame)) = frames.recv().await {
            if socket.send(Message::text(frame)).await.is_err() {
                return;
            }
        }
    })
}

async fn fact(State(shelves): Shared, request: axum::extract::Request) -> Response {
    match shelves.lock().unwrap().facts.get(request.uri().path()) {
        Some(Value::Null) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(answer) => answer.to_string().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn reference(State(shelves): Shared, UrlPath(hash): UrlPath<String>) -> Response {
    match shelves.lock().unwrap().references.get(&hash) {
        Some(file) => {
            let body = json!({"ref": hash, "owner": "0x", "file_hash": file, "size": 1});
            body.to_string().into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn raw(State(shelves): Shared, UrlPath(hash): UrlPath<String>) -> Response {
    let held = {
        let mut shelves = shelves.lock().unwrap();
        *shelves.asked.entry(hash.clone()).or_default() += 1;
        shelves.held.get(&hash).cloned()
    };
    if let Some(permission) = held {
        permission.notified().await;
    }
    match shelves.lock().unwrap().files.get(&hash) {
        Some(bytes) => Body::from(bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A compute node of a test.
pub struct TestNode {
    pub url: String,
    pub wasm: Arc<Wasm>,
    pub client: reqwest::Client,
    pub folder: TempDir,
    cancel: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), node::Error>>,
}

impl TestNode {
    /// A node of that core node, with Wasm alone.
    pub async fn start(core: &FakeCore) -> TestNode {
        TestNode::start_with(core, None, |_| {}).await
    }

    /// The same, with another executor for what is not Wasm, or another configuration.
    pub async fn start_with(
        core: &FakeCore,
        other: Option<Arc<dyn Executor>>,
        change: impl FnOnce(&mut CrnConfig),
    ) -> TestNode {
        TestNode::start_given(core, other, change, |_| {}).await
    }

    /// The same, with more parts.
    pub async fn start_given(
        core: &FakeCore,
        other: Option<Arc<dyn Executor>>,
        change: impl FnOnce(&mut CrnConfig),
        give: impl FnOnce(&mut Given),
    ) -> TestNode {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&core.url, folder.path());
        change(&mut config);
        let wasm = Wasm::with_network(
            config.wasm.clone(),
            config.folder.join("compiled"),
            CoreNode::new(&config.core_node).unwrap(),
            &config.folder.join("read"),
        );
        let wasm = Arc::new(wasm.unwrap());
        let microvm = other.unwrap_or_else(|| wasm.clone());
        let executors = Executors {
            wasm: wasm.clone(),
            microvm,
        };
        let listener = tokio::net::TcpListener::bind(config.listen).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let (ready_sender, ready) = tokio::sync::oneshot::channel();
        let ready_now = move |()| ready_sender.send(()).unwrap();
        let mut given = Given::new(executors);
        give(&mut given);
        let ended = tokio::spawn(node::run_given(
            config,
            given,
            listener,
            ready_now,
            cancel.clone(),
        ));
        within(ready).await.unwrap();
        TestNode {
            url,
            wasm,
            client: client(),
            folder,
            cancel,
            ended,
        }
    }

    /// GET a path of the node.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        within(self.client.get(format!("{}{path}", self.url)).send())
            .await
            .unwrap()
    }

    /// Calls a program.
    pub async fn call(&self, program: &ItemHash, suffix: &str) -> (u16, String) {
        read(self.get(&format!("/vm/{program}{suffix}")).await).await
    }

    /// Its state as `/beth/v1` has it.
    pub async fn program(&self, program: &ItemHash) -> Value {
        let text = self
            .get(&format!("/beth/v1/programs/{program}"))
            .await
            .text()
            .await
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until a program is in that state.
    pub async fn reaches(&self, program: &ItemHash, state: &str) -> Value {
        within(async {
            loop {
                let now = self.program(program).await;
                if now["state"] == state {
                    return now;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Tells the node to end.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends the node and waits for it.
    pub async fn stop(self) {
        self.cancel.cancel();
        within(self.ended).await.unwrap().unwrap();
    }
}

/// Status and text of a response.
pub async fn read(response: reqwest::Response) -> (u16, String) {
    (
        response.status().as_u16(),
        within(response.text()).await.unwrap(),
    )
}

/// A client that does not take part in the node's own ways.
pub fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// A configuration on a free port.
pub fn config(core_node: &str, folder: &Path) -> CrnConfig {
    CrnConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        core_node: core_node.into(),
        folder: folder.join("crn"),
        domain_name: "crn.example.org".into(),
        instances: InstancesConfig {
            enabled: false,
            ..InstancesConfig::default()
        },
        ..CrnConfig::default()
    }
}

/// Waits, but not forever.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it took too long")
}
