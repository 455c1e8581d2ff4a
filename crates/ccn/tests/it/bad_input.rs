//! Everything that is wrong with a message, through the real entrances: HTTP
//! bodies, and the pipeline that gossip feeds. Each case has its code and a
//! sentence that helps; none crashes the node, which works as before at the
//! end of every test.

mod bodies;
mod contents;
mod effort;
mod envelopes;
mod references;
mod signatures;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use beth_ccn::{CcnConfig, Context, api, node};
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, ItemType, Message, MessageType};
use beth_store::rows::Outcome;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

const TIME: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A node without neighbours and somebody who signs.
struct Offline {
    context: Arc<Context>,
    router: Router,
    account: Account,
    _folder: tempfile::TempDir,
}

impl Offline {
    fn new() -> Offline {
        let folder = tempfile::tempdir().unwrap();
        let context = node::offline(CcnConfig::in_folder(folder.path())).unwrap();
        Offline {
            router: api::router(context.clone()),
            context,
            account: Account::ethereum(&"11".repeat(32)).unwrap(),
            _folder: folder,
        }
    }

    /// A signed inline message with exactly this text.
    fn sign_text(&self, message_type: MessageType, text: &str) -> Value {
        let mut message = Message {
            sender: self.account.address().to_owned(),
            chain: self.account.chain(),
            signature: None,
            message_type,
            item_type: ItemType::Inline,
            item_content: Some(text.to_owned()),
            item_hash: ItemHash::of_bytes(text.as_bytes()),
            time: TIME,
            channel: Some("TEST".to_owned()),
        };
        let buffer = message.verification_buffer();
        message.signature = Some(self.account.sign_text(buffer.as_bytes()));
        serde_json::to_value(message).unwrap()
    }

    /// A signed message with these members and the common ones.
    fn sign(&self, message_type: MessageType, mut content: Value) -> Value {
        content["address"] = json!(self.account.address());
        content["time"] = json!(TIME.seconds_f64());
        self.sign_text(message_type, &content.to_string())
    }

    /// A good POST with this content.
    fn post(&self, content: Value) -> Value {
        self.sign(MessageType::Post, json!({"type": "t", "content": content}))
    }

    async fn offer(&self, raw: &Value) -> Outcome {
        self.context.pipeline.offer(raw.clone()).await.unwrap()
    }

    /// The code of a refused or waiting message, after looking at what the
    /// node tells whoever asks for its hash.
    async fn code(&self, raw: &Value) -> i32 {
        let rejection = match self.offer(raw).await {
            Outcome::Rejected(rejection) | Outcome::Pending(rejection) => rejection,
            other => panic!("{other:?}: {}", excerpt(raw)),
        };
        assert!(rejection.code.advice().contains(' '), "{rejection}");
        if rejection.code == Code::InvalidFormat {
            assert!(
                !rejection.errors.is_empty(),
                "nothing said of {}",
                excerpt(raw)
            );
        }
        if let Some(hash) = raw["item_hash"].as_str().filter(|hash| hash.len() == 64) {
            let (status, body) = self.get(&format!("/api/v0/messages/{hash}")).await;
            let told: Value = serde_json::from_str(&body).unwrap_or_default();
            if status == StatusCode::OK && told["status"] == "rejected" {
                assert_eq!(told["error_code"], rejection.code.number());
                assert_eq!(told["details"], rejection.details());
                assert_eq!(told["advice"], rejection.code.advice());
            }
        }
        rejection.code.number()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn submit(&self, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::post("/api/v0/messages").body(body.into());
        self.ask(request.unwrap()).await
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 26).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// The node takes a good message and shows it.
    async fn still_works(&self) {
        let post = self.post(json!("still here"));
        let body = json!({"sync": true, "message": post}).to_string();
        let (status, answer) = self.submit(body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let path = format!("/api/v0/messages/{}", post["item_hash"].as_str().unwrap());
        let (status, answer) = self.get(&path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer.contains("still here"), "{answer}");
    }
}

fn excerpt(raw: &Value) -> String {
    raw.to_string().chars().take(400).collect()
}
