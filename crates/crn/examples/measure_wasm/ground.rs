//! What the measurements stand on: a core node that serves components from
//! memory, and a compute node started against it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beth_crn::{CrnConfig, node};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, MessageType};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

pub fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub struct Node {
    pub url: String,
    client: reqwest::Client,
    cancel: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), node::Error>>,
    folder: Option<tempfile::TempDir>,
}

impl Node {
    pub async fn start(core: &Core, account: &Account, reuse_seconds: Option<u64>) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start_in(core, account, reuse_seconds, folder.path()).await;
        Node {
            folder: Some(folder),
            ..node
        }
    }

    /// In a folder that another node has used.
    pub async fn start_in(
        core: &Core,
        account: &Account,
        reuse_seconds: Option<u64>,
        folder: &std::path::Path,
    ) -> Node {
        let config = CrnConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            core_node: core.url.clone(),
            folder: folder.join("crn"),
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
            folder: None,
        }
    }

    /// A call to its last byte; whatever it answers, it must answer well.
    pub async fn timed_call(&self, program: &ItemHash) -> Duration {
        let begun = Instant::now();
        let response = self
            .client
            .get(format!("{}/vm/{program}/", self.url))
            .send()
            .await
            .unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        let took = begun.elapsed();
        assert!(status.is_success(), "{status} {text}");
        took
    }

    pub async fn allocate(&self, account: &Account, program: &ItemHash) {
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

    /// Ends it; its folder, if it has one of its own.
    pub async fn stop(self) -> tempfile::TempDir {
        self.cancel.cancel();
        self.ended.await.unwrap().unwrap();
        self.folder.unwrap_or_else(|| tempfile::tempdir().unwrap())
    }
}

#[derive(Clone)]
pub struct Core {
    pub url: String,
    shelves: Arc<Mutex<Shelves>>,
    account: Account,
}

#[derive(Default)]
struct Shelves {
    /// By the hash of the STORE message and by that of the bytes.
    stores: HashMap<String, ItemHash>,
    files: HashMap<String, Bytes>,
    programs: HashMap<String, Value>,
}

impl Core {
    pub async fn start(account: &Account) -> Core {
        let shelves = Arc::new(Mutex::new(Shelves::default()));
        let router = Router::new()
            .route("/api/v0/messages.json", get(messages))
            .route("/api/v0/storage/by-ref/{hash}", get(reference))
            .route("/api/v0/storage/raw/{hash}", get(raw))
            .with_state(shelves.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Core {
            url,
            shelves,
            account: account.clone(),
        }
    }

    /// Stores a component and publishes a program of it.
    pub fn program(&self, component: &Bytes, name: &str) -> ItemHash {
        let file = ItemHash::of_bytes(component);
        let content = json!({
            "address": self.account.address(), "time": 1.5, "item_type": "storage", "item_hash": file,
        });
        let store = self.sign(MessageType::Store, &content).0;
        let content = self::content(&self.account, &store, name);
        let (program, message) = self.sign(MessageType::Program, &content);
        let mut shelves = self.shelves.lock().unwrap();
        shelves.stores.insert(store.to_string(), file.clone());
        shelves.files.insert(file.to_string(), component.clone());
        shelves.programs.insert(program.to_string(), message);
        program
    }

    fn sign(&self, message_type: MessageType, content: &Value) -> (ItemHash, Value) {
        let message =
            self.account
                .sign_message(message_type, content, None, Timestamp::from_seconds(3));
        let value = serde_json::to_value(&message).unwrap();
        (message.item_hash, value)
    }
}

/// The content of a PROGRAM message for a component.
pub fn content(account: &Account, store: &ItemHash, name: &str) -> Value {
    json!({
        "address": account.address(), "time": 2.5, "type": "vm-function", "allow_amend": false,
        "variables": {"NAME": name},
        "code": {"encoding": "plain", "entrypoint": "function.wasm", "ref": store, "interface": "binary", "use_latest": true},
        "runtime": {"ref": store, "use_latest": true, "comment": "none"},
        "on": {"http": true},
        "environment": {"reproducible": false, "internet": false, "aleph_api": false, "shared_cache": false},
        "resources": {"vcpus": 1, "memory": 256, "seconds": 10},
        "volumes": [],
    })
}

type Shared = State<Arc<Mutex<Shelves>>>;

async fn messages(State(shelves): Shared, Query(query): Query<Vec<(String, String)>>) -> Response {
    let shelves = shelves.lock().unwrap();
    let found: Vec<&Value> = shelves.programs.get(&query[0].1).into_iter().collect();
    json!({"messages": found}).to_string().into_response()
}

async fn reference(State(shelves): Shared, Path(hash): Path<String>) -> Response {
    let shelves = shelves.lock().unwrap();
    json!({"file_hash": shelves.stores[&hash]})
        .to_string()
        .into_response()
}

async fn raw(State(shelves): Shared, Path(hash): Path<String>) -> Response {
    shelves.lock().unwrap().files[&hash].clone().into_response()
}
