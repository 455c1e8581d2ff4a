//! What bad input costs the whole node: thousands of bad messages are dealt
//! with while good ones go on, and nothing of them waits afterwards.

use beth_protocol::MessageType;
use beth_store::rows::Outcome;
use serde_json::json;

use super::Offline;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_bad_messages() {
    let node = Offline::new();
    let good = node.post(json!("good"));
    let mut waiting = Vec::new();
    for index in 0..10_000 {
        let mut message = good.clone();
        match index % 5 {
            0 => message["time"] = json!("x"),
            1 => message["item_hash"] = json!(format!("{index:064x}")),
            2 => message = json!({"type": "POST", "item_hash": format!("{index}")}),
            3 => message["signature"] = json!(format!("0x{index:0130x}")),
            _ => {
                let text = format!(r#"{{"number":{index}}}"#);
                message = node.sign_text(MessageType::Post, &text);
            }
        }
        let pipeline = node.context.pipeline.clone();
        waiting.push(tokio::spawn(async move { pipeline.offer(message).await }));
        if waiting.len() == 500 {
            for outcome in waiting.drain(..) {
                let outcome = outcome.await.unwrap().unwrap();
                assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
            }
        }
    }
    let due = node.context.read(|state| state.next_due()).await.unwrap();
    assert_eq!(due, None, "a bad message waits for something");
    assert_eq!(node.offer(&good).await, Outcome::Processed);
    node.still_works().await;
}
