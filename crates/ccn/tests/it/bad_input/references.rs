//! References that lead nowhere, to themselves or in circles. A message names
//! others by the hash of their content, so that no two can name each other;
//! what is left are chains that must not be followed, and waits that end.

use beth_protocol::MessageType;
use beth_store::rows::Outcome;
use serde_json::{Value, json};

use super::Offline;

fn hash(message: &Value) -> &str {
    message["item_hash"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_references_are_not_followed() {
    let node = Offline::new();
    let original = node.post(json!("first"));
    assert_eq!(node.offer(&original).await, Outcome::Processed);
    let amend = |target: &Value, content: &str| {
        node.sign(
            MessageType::Post,
            json!({"type": "amend", "ref": hash(target), "content": content}),
        )
    };
    let second = amend(&original, "second");
    assert_eq!(node.offer(&second).await, Outcome::Processed);
    let third = amend(&second, "third");
    assert_eq!(node.code(&third).await, 102);

    let forget = node.sign(MessageType::Forget, json!({"hashes": [hash(&second)]}));
    assert_eq!(node.offer(&forget).await, Outcome::Processed);
    let forget_forget = node.sign(MessageType::Forget, json!({"hashes": [hash(&forget)]}));
    assert_eq!(node.code(&forget_forget).await, 502);

    let file = node.context.blobs.put(b"a file").unwrap();
    let store = |reference: Option<&str>, mark: i32| {
        let content =
            json!({"item_type": "storage", "item_hash": file.hash, "ref": reference, "mark": mark});
        let mut message = node.sign(MessageType::Store, content);
        // Files cost nothing then.
        message["time"] = json!(1_700_000_000);
        message
    };
    let first = store(None, 1);
    assert_eq!(node.offer(&first).await, Outcome::Processed);
    let update = store(Some(hash(&first)), 2);
    assert_eq!(node.offer(&update).await, Outcome::Processed);
    assert_eq!(node.code(&store(Some(hash(&update)), 3)).await, 201);
    node.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_nothing_waits_with_its_code() {
    let node = Offline::new();
    let nothing = "ab".repeat(32);
    let post = |reference: Value| {
        node.sign(
            MessageType::Post,
            json!({"type": "amend", "ref": reference, "content": 1}),
        )
    };
    assert_eq!(node.code(&post(json!(nothing))).await, 101);
    assert_eq!(node.code(&post(json!("no hash at all"))).await, 101);
    let forget = node.sign(MessageType::Forget, json!({"hashes": [nothing]}));
    assert_eq!(node.code(&forget).await, 501);
    let empty = node.sign(MessageType::Forget, json!({"hashes": []}));
    assert_eq!(node.code(&empty).await, 500);
    let file = node.context.blobs.put(b"another file").unwrap();
    let store = json!({"item_type": "storage", "item_hash": file.hash, "ref": nothing});
    assert_eq!(node.code(&node.sign(MessageType::Store, store)).await, 200);
    let missing = json!({"item_type": "storage", "item_hash": nothing});
    assert_eq!(node.code(&node.sign(MessageType::Store, missing)).await, 4);
    node.still_works().await;
}

/// One file that many name, and one message that names one thing many times.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_target_many_times() {
    let node = Offline::new();
    let post = node.post(json!("target"));
    assert_eq!(node.offer(&post).await, Outcome::Processed);
    let forget = node.sign(
        MessageType::Forget,
        json!({"hashes": vec![hash(&post); 1_000], "aggregates": vec!["k"; 0]}),
    );
    assert_eq!(node.offer(&forget).await, Outcome::Processed);
    node.still_works().await;
}
