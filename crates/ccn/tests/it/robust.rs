//! What a hostile sender might try, and what a crash might leave.

use std::sync::Arc;

use beth_ccn::{CcnConfig, Context, api, node};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, Message, MessageType, Status};
use beth_store::rows::Outcome;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

const TIME: Timestamp = Timestamp::from_seconds(1_790_000_000);

struct Offline {
    context: Arc<Context>,
    account: Account,
    _folder: tempfile::TempDir,
}

impl Offline {
    fn new() -> Offline {
        let folder = tempfile::tempdir().unwrap();
        let context = node::offline(CcnConfig::in_folder(folder.path())).unwrap();
        Offline {
            context,
            account: Account::ethereum(&"11".repeat(32)).unwrap(),
            _folder: folder,
        }
    }

    fn sign(&self, message_type: MessageType, mut content: Value) -> Message {
        content["address"] = json!(self.account.address());
        content["time"] = json!(TIME.seconds_f64());
        self.account
            .sign_message(message_type, &content, Some("TEST"), TIME)
    }

    async fn offer(&self, message: &impl serde::Serialize) -> Outcome {
        let raw = serde_json::to_value(message).unwrap();
        self.context.pipeline.offer(raw).await.unwrap()
    }

    async fn status_of(&self, path: &str) -> StatusCode {
        let router = api::router(self.context.clone());
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status()
    }

    async fn known(&self, hash: &str) -> Option<Status> {
        let hash = hash.to_owned();
        let status = self.context.read(move |state| state.status(&hash)).await;
        status.unwrap().map(|(status, _)| status)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_content_is_read_and_forgotten_like_any_other() {
    let node = Offline::new();
    let mut deep = json!(1);
    for _ in 0..900 {
        deep = json!([deep]);
    }
    let post = node.sign(MessageType::Post, json!({"type": "deep", "content": deep}));
    assert_eq!(node.offer(&post).await, Outcome::Processed);
    for path in [
        "/api/v0/messages.json",
        "/api/v0/posts.json",
        &format!("/api/v0/messages/{}", post.item_hash),
    ] {
        assert_eq!(node.status_of(path).await, StatusCode::OK, "{path}");
    }
    let forget = node.sign(MessageType::Forget, json!({"hashes": [post.item_hash]}));
    assert_eq!(node.offer(&forget).await, Outcome::Processed);
    assert_eq!(
        node.known(post.item_hash.as_str()).await,
        Some(Status::Forgotten)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_claims_to_be_elsewhere_waits_for_nothing() {
    let node = Offline::new();
    let post = node.sign(MessageType::Post, json!({"type": "t", "content": {}}));
    let mut elsewhere = serde_json::to_value(&post).unwrap();
    elsewhere["item_type"] = json!("storage");
    elsewhere["item_content"] = Value::Null;
    // Before the good copy it waits for its file …
    assert!(matches!(node.offer(&elsewhere).await, Outcome::Pending(_)));
    // … which does not hide the good copy …
    assert_eq!(node.offer(&post).await, Outcome::Processed);
    // … and afterwards it has nothing to wait for.
    assert_eq!(node.offer(&elsewhere).await, Outcome::Known);
    let forget = node.sign(MessageType::Forget, json!({"hashes": [post.item_hash]}));
    assert_eq!(node.offer(&forget).await, Outcome::Processed);
    assert_eq!(
        node.offer(&elsewhere).await,
        Outcome::Final(Status::Forgotten)
    );
    let waiting = node.context.read(|state| state.next_due()).await.unwrap();
    assert_eq!(waiting, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_registration_was_lost_has_its_size() {
    let node = Offline::new();
    // The bytes are there, as after a crash, but nothing knows of them.
    let kept = node.context.blobs.put(&vec![7; 1_000]).unwrap();
    let store = node.sign(
        MessageType::Store,
        json!({"item_type": "storage", "item_hash": kept.hash}),
    );
    assert_eq!(node.offer(&store).await, Outcome::Processed);
    let path = format!("/api/v0/storage/raw/{}", kept.hash);
    assert_eq!(node.status_of(&path).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_for_a_message_is_refused() {
    let node = Offline::new();
    let body = format!("{{\"type\":\"t\",\"content\":\"{}\"}}", "x".repeat(5 << 20));
    let kept = node.context.blobs.put(body.as_bytes()).unwrap();
    let mut message = node.sign(MessageType::Post, json!({"type": "t", "content": {}}));
    message.item_type = beth_protocol::ItemType::Storage;
    message.item_content = None;
    message.item_hash = kept.hash.parse().unwrap();
    message.signature = Some(
        node.account
            .sign_text(message.verification_buffer().as_bytes()),
    );
    let outcome = node.offer(&message).await;
    assert!(
        matches!(&outcome, Outcome::Rejected(rejection) if rejection.code.number() == 0),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_smuggles_text_through_the_parser() {
    let node = Offline::new();
    let inner = json!({"address": node.account.address(), "time": 1.0, "type": "t"}).to_string();
    let content = json!({"$serde_json::private::RawValue": inner});
    let message = node
        .account
        .sign_message(MessageType::Post, &content, None, TIME);
    assert!(matches!(node.offer(&message).await, Outcome::Rejected(_)));
}
