//! Nodes that meet late: what was deleted before they met is no obstacle.

use std::time::Duration;

use axum::Router;
use beth_ccn::node::Node;
use beth_ccn::{CcnConfig, Context};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType, Status};
use beth_store::StateDigest;
use beth_store::rows::Outcome;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

const TIME: Timestamp = Timestamp::from_seconds(1_790_000_000);
const DEADLINE: Duration = Duration::from_secs(60);

struct Running {
    context: Arc<Context>,
    cancel: CancellationToken,
    served: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Running {
    /// A node that took these messages, before it met the others.
    async fn start(messages: &[&Value], bootstrap: &[&Running]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        config.listen = ([127, 0, 0, 1], 0).into();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".to_owned();
        {
            let context = beth_ccn::node::offline(config.clone()).unwrap();
            for message in messages {
                let outcome = context.pipeline.offer((*message).clone()).await.unwrap();
                assert_eq!(outcome, Outcome::Processed, "{message}");
            }
        }
        let addresses = bootstrap
            .iter()
            .flat_map(|node| node.context.network.addresses());
        config.p2p.bootstrap = addresses.collect();
        let cancel = CancellationToken::new();
        let node = Node::start(config, cancel.clone()).await.unwrap();
        let context = node.context.clone();
        let served = tokio::spawn(async move { node.serve(Router::new()).await.unwrap() });
        Running {
            context,
            cancel,
            served,
            _folder: folder,
        }
    }

    async fn digest(&self) -> StateDigest {
        self.context.read(|state| state.digest()).await.unwrap()
    }

    async fn status(&self, message: &Value) -> Option<Status> {
        let hash = message["item_hash"].as_str().unwrap().to_owned();
        let status = self.context.read(move |state| state.status(&hash)).await;
        status.unwrap().map(|(status, _)| status)
    }

    async fn agrees_with(&self, other: &Running) {
        let agreed = async {
            let mut looks = interval(Duration::from_millis(20));
            while self.digest().await != other.digest().await {
                looks.tick().await;
            }
        };
        let agreed = timeout(DEADLINE, agreed).await;
        assert!(
            agreed.is_ok(),
            "{:?} and {:?}",
            self.digest().await,
            other.digest().await
        );
    }

    async fn stop(self) {
        self.cancel.cancel();
        drop(self.context);
        self.served.await.unwrap();
    }
}

fn sign(kind: MessageType, mut content: Value) -> Value {
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    content["address"] = account.address().into();
    content["time"] = TIME.seconds_f64().into();
    let message = account.sign_message(kind, &content, Some("late"), TIME);
    serde_json::to_value(message).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_learns_what_was_forgotten() {
    let post = sign(MessageType::Post, json!({"type": "t", "content": {"n": 1}}));
    let amend = json!({"type": "amend", "ref": post["item_hash"], "content": {"n": 2}});
    let amend = sign(MessageType::Post, amend);
    let kept = sign(MessageType::Post, json!({"type": "t", "content": {"n": 3}}));
    let forget = sign(MessageType::Forget, json!({"hashes": [post["item_hash"]]}));
    let first = Running::start(&[&post, &amend, &kept, &forget], &[]).await;
    let late = Running::start(&[], &[&first]).await;
    late.agrees_with(&first).await;
    assert_eq!(late.digest().await.messages, 2);
    assert_eq!(late.status(&post).await, Some(Status::Forgotten));
    // A copy that somebody kept does not come back.
    let outcome = late.context.pipeline.offer(post.clone()).await.unwrap();
    assert_eq!(outcome, Outcome::Final(Status::Forgotten));
    late.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_forgot_the_same_apart_agree() {
    let post = sign(MessageType::Post, json!({"type": "t", "content": {"n": 1}}));
    let other = sign(MessageType::Post, json!({"type": "t", "content": {"n": 2}}));
    let both = json!({"hashes": [post["item_hash"], other["item_hash"]]});
    let both = sign(MessageType::Forget, both);
    let one = sign(MessageType::Forget, json!({"hashes": [post["item_hash"]]}));
    let first = Running::start(&[&post, &other, &both], &[]).await;
    let second = Running::start(&[&post, &one], &[&first]).await;
    second.agrees_with(&first).await;
    assert_eq!(first.digest().await.messages, 2);
    assert_eq!(second.status(&other).await, Some(Status::Forgotten));
    second.stop().await;
    first.stop().await;
}
