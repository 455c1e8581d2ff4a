//! An operator has costs computed again, with the prices of their time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beth_ccn::{CcnConfig, Context, api, node};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, Message, MessageType};
use beth_store::rows::Outcome;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use secp256k1::{Message as Digest, PublicKey, Secp256k1, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt;

/// Before files had to be paid, so that nobody needs tokens.
const AT: i64 = 1_700_000_000;

struct Node {
    context: Arc<Context>,
    account: Account,
    operator: SecretKey,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::ethereum(&"11".repeat(32)).unwrap();
        let operator = SecretKey::from_byte_array([0x22; 32]).unwrap();
        let public = PublicKey::from_secret_key(&Secp256k1::new(), &operator);
        let mut config = CcnConfig::in_folder(folder.path());
        config.rules.pricing_address = account.address().to_owned();
        config.auth.public_key = public.to_string();
        Node {
            context: node::offline(config).unwrap(),
            account,
            operator,
            _folder: folder,
        }
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        let router = api::router(self.context.clone());
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, bytes.to_vec())
    }

    async fn send(&self, kind: MessageType, time: i64, mut content: Value) -> Message {
        content["address"] = json!(self.account.address());
        content["time"] = json!(time);
        let at = Timestamp::from_seconds(time);
        let message = self.account.sign_message(kind, &content, Some("T"), at);
        let raw = serde_json::to_value(&message).unwrap();
        let outcome = self.context.pipeline.offer(raw).await.unwrap();
        assert_eq!(outcome, Outcome::Processed);
        message
    }

    /// Stores a file of one MiB.
    async fn store(&self, time: i64) -> Message {
        let bytes = vec![7; 1 << 20];
        let hash = ItemHash::of_bytes(&bytes);
        let request = Request::post("/api/v0/storage/add_file")
            .body(Body::from(bytes))
            .unwrap();
        assert_eq!(self.ask(request).await.0, StatusCode::OK);
        let content = json!({"item_type": "storage", "item_hash": hash});
        self.send(MessageType::Store, time, content).await
    }

    /// Tokens to hold for a file.
    async fn price(&self, message: &Message) -> f64 {
        let path = format!("/api/v0/price/{}", message.item_hash);
        let (_, body) = self
            .ask(Request::get(path).body(Body::empty()).unwrap())
            .await;
        let bill: Value = serde_json::from_slice(&body).unwrap();
        bill["required_tokens"].as_f64().unwrap()
    }

    async fn recalculate(&self, what: &str, token: &str) -> (StatusCode, Value) {
        let request = Request::post(format!("/api/v0/price/{what}"))
            .header("X-Auth-Token", token)
            .body(Body::empty())
            .unwrap();
        let (status, body) = self.ask(request).await;
        let text = || String::from_utf8_lossy(&body).into_owned().into();
        (
            status,
            serde_json::from_slice(&body).unwrap_or_else(|_| text()),
        )
    }

    /// A token made so many seconds ago.
    fn token(&self, age: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let time = (now.as_secs() as i64 - age).to_string();
        let digest = Digest::from_digest(Sha256::digest(time.as_bytes()).into());
        let signature = Secp256k1::new().sign_ecdsa(digest, &self.operator);
        STANDARD.encode(format!(
            "{time}:{}",
            STANDARD.encode(signature.serialize_der())
        ))
    }

    /// Publishes prices that hold from this time on; files cost `factor` times
    /// the built-in price.
    async fn publish(&self, time: i64, factor: f64) {
        let price = (factor / 3.0).to_string();
        let prices = json!({"storage": {"price": {"storage": {"holding": price, "payg": "0", "credit": "0"}}}});
        let content = json!({"key": "pricing", "content": prices});
        self.send(MessageType::Aggregate, time, content).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_costs_what_it_cost_in_its_time() {
    let node = Node::new();
    let (early, late) = (node.store(AT).await, node.store(AT + 1_000).await);
    let built_in = node.price(&early).await;
    assert_eq!(built_in, node.price(&late).await);
    node.publish(AT + 500, 2.0).await;
    node.publish(AT + 5_000, 4.0).await;
    assert_eq!(
        node.price(&late).await,
        built_in,
        "nothing happens by itself"
    );

    let (status, body) = node.recalculate("recalculate", &node.token(0)).await;
    let expected = json!({
        "message": "Cost recalculation completed with historical pricing",
        "recalculated_count": 2, "total_messages": 2, "pricing_changes_found": 3,
    });
    assert_eq!((status, body), (StatusCode::OK, expected));
    assert_eq!(node.price(&early).await, built_in);
    let ratio = node.price(&late).await / built_in;
    assert!((ratio - 2.0).abs() < 1e-6, "{ratio}");

    let one = format!("{}/recalculate", early.item_hash);
    let (status, body) = node.recalculate(&one, &node.token(0)).await;
    assert_eq!(
        (status, &body["total_messages"]),
        (StatusCode::OK, &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_with_a_token_of_the_operator() {
    let node = Node::new();
    for token in [
        node.token(400),
        node.token(-60),
        "abc".into(),
        String::new(),
    ] {
        let (status, _) = node.recalculate("recalculate", &token).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
    }
    let (status, body) = node.recalculate("recalculate", &node.token(10)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["message"], "No messages found for cost recalculation");
    let zero = "0".repeat(64);
    let post = json!({"type": "t", "content": {}});
    let post = node.send(MessageType::Post, AT, post).await.item_hash;
    for (hash, expected, text) in [
        (zero.as_str(), 404, "Message not found with hash: "),
        ("abc", 400, "Invalid message hash: "),
        (
            post.as_str(),
            400,
            "Message is not an executable or store message: ",
        ),
    ] {
        let path = format!("{hash}/recalculate");
        let (status, body) = node.recalculate(&path, &node.token(0)).await;
        assert_eq!(status.as_u16(), expected);
        assert_eq!(body, json!(format!("{text}{hash}")));
    }
}
