//! Measurements of nodes come with a post of somebody who is believed, and go
//! with it or with time.

use std::sync::Arc;

use axum::body::Body;
use beth_ccn::{CcnConfig, Context, api, node};
use beth_protocol::judge::Measured;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, Message, MessageType};
use beth_store::query::Order;
use beth_store::rows::Outcome;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const AT: i64 = 1_790_000_000;

struct Node {
    context: Arc<Context>,
    account: Account,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::ethereum(&"11".repeat(32)).unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        config.rules.scoring_addresses = vec![account.address().to_owned()];
        Node {
            context: node::offline(config).unwrap(),
            account,
            _folder: folder,
        }
    }

    async fn send(&self, kind: MessageType, channel: &str, mut content: Value) -> Message {
        content["address"] = json!(self.account.address());
        content["time"] = json!(AT);
        let time = Timestamp::from_seconds(AT);
        let message = self
            .account
            .sign_message(kind, &content, Some(channel), time);
        let raw = serde_json::to_value(&message).unwrap();
        let outcome = self.context.pipeline.offer(raw).await.unwrap();
        assert_eq!(outcome, Outcome::Processed);
        message
    }

    /// Sends a post with one measurement of the core node `a`.
    async fn measure(&self, channel: &str, at: i64) -> Message {
        let entry = json!({"node_id": "a", "measured_at": at, "base_latency": 0.5});
        let content = json!({
            "type": "aleph-network-metrics", "content": {"metrics": {"ccn": [entry]}},
        });
        self.send(MessageType::Post, channel, content).await
    }

    /// When the node `a` was measured, in the order of the answer.
    async fn times(&self, query: &str) -> Vec<f64> {
        let path = format!("/api/v0/core/a/metrics?{query}");
        let request = Request::get(path).body(Body::empty()).unwrap();
        let router = api::router(self.context.clone());
        let answer = router.oneshot(request).await.unwrap();
        if answer.status() == StatusCode::NOT_FOUND {
            return Vec::new();
        }
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        serde_json::from_value(body["metrics"]["measured_at"].clone()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_listed_by_time_until_their_post_is_forgotten() {
    let node = Node::new();
    node.measure("elsewhere", AT - 1).await;
    assert!(node.times("start_date=0").await.is_empty());
    let first = node.measure("aleph-scoring", AT).await;
    node.measure("aleph-scoring", AT + 60).await;
    let (early, late) = (AT as f64, (AT + 60) as f64);
    assert_eq!(node.times("start_date=0").await, [early, late]);
    let (asked, all) = (
        (Measured::Core, "a"),
        (Timestamp::from_seconds(0), Timestamp::from_seconds(AT + 60)),
    );
    let limited = node
        .context
        .read(move |state| state.measurements_of(asked, all, (Order::Descending, 1)));
    assert_eq!(
        limited.await.unwrap()[0].at,
        Timestamp::from_seconds(AT + 60)
    );
    assert_eq!(
        node.times("start_date=0&sort=descending").await,
        [late, early]
    );
    let exactly = format!("start_date={AT}&end_date={AT}");
    assert_eq!(node.times(&exactly).await, [early], "both ends count");
    let two_weeks = format!("end_date={}", AT + 14 * 86_400 + 1);
    assert_eq!(node.times(&two_weeks).await, [late]);
    let forget = json!({"hashes": [first.item_hash]});
    node.send(MessageType::Forget, "aleph-scoring", forget)
        .await;
    assert_eq!(node.times("start_date=0").await, [late]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_ones_are_deleted() {
    let node = Node::new();
    node.measure("aleph-scoring", AT).await;
    node.measure("aleph-scoring", AT + 2 * 86_400).await;
    let a_year_later = Timestamp::from_seconds(AT + 366 * 86_400);
    let jobs = &node.context.jobs;
    jobs.run("garbage_collector", a_year_later).await.unwrap();
    let left = node.times("start_date=0").await;
    assert_eq!(left, [(AT + 2 * 86_400) as f64]);
}
