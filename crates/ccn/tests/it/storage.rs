//! Files and directories, by both engines: what goes in comes out, nothing is
//! held in memory, and what is not what it says is refused.

pub mod archives;
pub mod car;
mod faults;
mod gateway;
mod ranges;
mod streaming;

use axum::body::Body;
use beth_protocol::cid::{Cid, Layout};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, Chain, MessageType};
use http::Request;
use serde_json::{Map, Value, json};

use crate::api::Fixture;
use crate::api::exchange::Answer;

const TIME: Timestamp = Timestamp::from_seconds(1_793_000_000);
const BOUNDARY: &str = "a-boundary-of-a-test";

/// A node, and an account that can pay for files.
struct Storage {
    node: Fixture,
    owner: Account,
}

impl Storage {
    async fn start() -> Storage {
        Storage::configured(|_| {}).await
    }

    async fn configured(change: impl FnOnce(&mut beth_ccn::CcnConfig)) -> Storage {
        let owner = Account::from_bytes(Chain::Eth, [7; 32]).unwrap();
        let rich = owner.address().to_owned();
        let node = Fixture::new(|config| {
            config.rules.balances_addresses = vec![rich.clone()];
            change(config);
        });
        let storage = Storage { node, owner };
        let balances = Map::from_iter([(rich, json!(1e9))]);
        let content = json!({
            "type": "balances-update",
            "content": {"chain": "ETH", "main_height": 1, "balances": balances},
        });
        let message = storage.sign(MessageType::Post, content);
        let request = json!({"message": message, "sync": true});
        let answer = storage.node.post("/api/v0/messages", &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        storage
    }

    fn sign(&self, message_type: MessageType, mut content: Value) -> Value {
        content["address"] = json!(self.owner.address());
        content["time"] = json!(1_793_000_000.0);
        let signed = self
            .owner
            .sign_message(message_type, &content, Some("TEST"), TIME);
        serde_json::to_value(signed).unwrap()
    }

    /// Metadata of an upload: a signed wish to keep a file.
    fn metadata(&self, item_type: &str, hash: &str) -> String {
        let content = json!({"item_type": item_type, "item_hash": hash});
        let message = self.sign(MessageType::Store, content);
        json!({"message": message, "sync": true}).to_string()
    }

    async fn upload(&self, path: &str, body: Body) -> Answer {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = Request::post(path)
            .header("content-type", content_type)
            .body(body)
            .unwrap();
        self.node.ask(request).await
    }
}

/// The head of a part of a form.
fn part(name: &str, is_file: bool) -> String {
    let filename = if is_file { "; filename=\"f\"" } else { "" };
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n")
}

/// A form with a file and, behind it, metadata.
fn form(file: &[u8], metadata: Option<&str>) -> Body {
    let mut body = part("file", true).into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n");
    if let Some(metadata) = metadata {
        body.extend(format!("{}{metadata}\r\n", part("metadata", false)).bytes());
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    Body::from(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_ipfs_says_so() {
    let storage = Storage::configured(|config| config.ipfs.enabled = false).await;
    for path in ["add_json", "add_file", "add_car"] {
        let path = format!("/api/v0/ipfs/{path}");
        let answer = storage.upload(&path, form(b"{}", None)).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.text(), "403: IPFS is disabled on this node");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_may_be_kept_by_both_engines() {
    let storage = Storage::start().await;
    let bytes = b"kept twice";
    let cid = Cid::of_bytes(Layout::V0, bytes).to_string();
    let sha256 = beth_protocol::ItemHash::of_bytes(bytes).to_string();
    for (engine, hash) in [("storage", &sha256), ("ipfs", &cid)] {
        let metadata = storage.metadata(engine, hash);
        let path = format!("/api/v0/{engine}/add_file");
        let answer = storage.upload(&path, form(bytes, Some(&metadata))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["hash"], json!(hash));
        let kept = storage
            .node
            .get(&format!("/api/v0/storage/raw/{hash}"))
            .await;
        assert_eq!(kept.body, &bytes[..]);
        let count = format!("/api/v0/storage/count/{hash}");
        assert_eq!(storage.node.get(&count).await.text(), "1");
    }
}
