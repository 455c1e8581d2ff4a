//! Copies of one message that differ in what nobody signed: nodes agree,
//! whatever came first.

use std::sync::Arc;

use beth_ccn::{CcnConfig, Context, node};
use beth_protocol::reconcile::{Range, Set, Summary};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use beth_store::StateDigest;
use beth_store::rows::Outcome;
use serde_json::{Value, json};

/// The content's time, which is signed.
const TIME: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// What two nodes compare, and the time that readers see.
type Seen = (StateDigest, Summary, Timestamp);

async fn seen(context: &Arc<Context>, item_hash: &str) -> Seen {
    let item_hash = item_hash.to_owned();
    let read = context.read(move |state| {
        let kept = state.digest()?;
        assert_eq!(kept, state.recompute_digest()?);
        let stored = state.stored_message(&item_hash)?.unwrap();
        Ok((kept, state.summary(Range::ALL)?, stored.message.time))
    });
    read.await.unwrap()
}

/// What a node has that took these, in this order.
async fn after(copies: &[&Value], others: &[Value]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let context = node::offline(CcnConfig::in_folder(folder.path())).unwrap();
    let offer = async |message: &Value| {
        let outcome = context.pipeline.offer(message.clone()).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Processed | Outcome::Known),
            "{outcome:?}"
        );
    };
    for copy in copies {
        offer(copy).await;
    }
    for message in others {
        offer(message).await;
    }
    seen(&context, copies[0]["item_hash"].as_str().unwrap()).await
}

fn sign(kind: MessageType, mut content: Value) -> Value {
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    content["address"] = account.address().into();
    content["time"] = TIME.seconds_f64().into();
    let message = account.sign_message(kind, &content, Some("copies"), TIME);
    serde_json::to_value(message).unwrap()
}

fn messages() -> (Value, Vec<Value>) {
    let tagged = json!({"type": "t", "content": {"tags": ["one", "two"]}});
    let post = sign(MessageType::Post, tagged);
    let other = json!({"type": "t", "content": {"n": 1}});
    (post, vec![sign(MessageType::Post, other)])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_nearest_to_the_signed_one_wins() {
    let (post, others) = messages();
    let moved = |seconds: f64| {
        let mut copy = post.clone();
        copy["time"] = (TIME.seconds_f64() + seconds).into();
        copy
    };
    let copies = [
        moved(-1e9),
        moved(3.0),
        moved(-3.0),
        moved(0.25),
        moved(86_400.0),
    ];
    let forth: Vec<&Value> = copies.iter().collect();
    let back: Vec<&Value> = copies.iter().rev().collect();
    let first = after(&forth, &others).await;
    assert_eq!(first.2.micros() - TIME.micros(), 250_000);
    assert_eq!(first, after(&back, &others).await);
    // As near, but earlier.
    let late = after(&[&copies[1], &copies[2]], &others).await;
    assert_eq!(late.2.micros() - TIME.micros(), -3_000_000);
    let exact = after(&[&copies[4], &post, &copies[0]], &others).await;
    assert_eq!(exact, after(&[&post], &others).await);
}
