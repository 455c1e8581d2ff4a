//! Envelopes whose fields are of a wrong type, out of range or at odds with
//! each other (messages.md §1, §3, §5).

use beth_store::rows::Outcome;
use serde_json::{Value, json};

use super::Offline;

/// A field, a value for it, and the code; `None`: the message is as good.
fn fields() -> Vec<(&'static str, Value, Option<i32>)> {
    let mut cases = Vec::new();
    let wrong = |field| {
        let values = [
            json!(5),
            json!(1.5),
            json!([]),
            json!([1]),
            json!({}),
            json!({"a": 1}),
        ];
        values.map(|value| (field, value, Some(0)))
    };
    for field in [
        "sender",
        "chain",
        "type",
        "item_type",
        "item_content",
        "item_hash",
        "channel",
    ] {
        cases.extend(wrong(field));
        cases.push((field, json!(true), Some(0)));
    }
    for field in [
        "sender",
        "chain",
        "type",
        "item_content",
        "item_hash",
        "time",
    ] {
        cases.push((field, Value::Null, Some(0)));
    }
    cases.extend([
        ("sender", json!("a\u{0}b"), Some(0)),
        ("sender", json!("a".repeat(2_000)), Some(0)),
        ("sender", json!(""), Some(1)),
        ("chain", json!(""), Some(0)),
        ("chain", json!("XXX"), Some(0)),
        ("chain", json!("eth"), Some(0)),
        ("chain", json!("AURORA"), Some(0)),
        ("chain", json!("STT"), Some(0)),
        ("chain", json!("ADA"), Some(0)),
        ("type", json!("post"), Some(0)),
        ("type", json!("x".repeat(100_000)), Some(0)),
        ("item_type", Value::Null, None),
        ("item_type", json!(""), None),
        ("item_type", json!("INLINE"), Some(0)),
        ("item_type", json!("storage"), Some(0)),
        ("item_type", json!("ipfs"), Some(0)),
        ("item_hash", json!("aa".repeat(32)), Some(0)),
        ("item_hash", json!("AA".repeat(32)), Some(0)),
        ("item_hash", json!("é".repeat(32)), Some(0)),
        ("item_hash", json!(""), Some(0)),
        ("item_hash", json!("a".repeat(500_000)), Some(0)),
        (
            "item_hash",
            json!("Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
            Some(0),
        ),
        ("channel", Value::Null, None),
        ("channel", json!(""), None),
        ("channel", json!("c".repeat(500)), None),
        ("channel", json!("c".repeat(5_000)), Some(0)),
        ("channel", json!("\u{0}"), Some(0)),
        (
            "content",
            json!("anything: inline contents are read from their text"),
            None,
        ),
        ("size", json!("ignored"), None),
    ]);
    for time in [
        json!("1700000000.0"),
        json!("now"),
        json!([]),
        json!({}),
        json!([1]),
    ] {
        cases.push(("time", time, Some(0)));
    }
    for time in [
        json!(1e12),
        json!(1e17),
        json!(1e20),
        json!(1e300),
        json!(-1e12),
        json!(u64::MAX),
        json!(i64::MIN),
    ] {
        cases.push(("time", time, Some(0)));
    }
    for time in [
        json!(true),
        json!(0),
        json!(-5),
        json!(-62135596800.0),
        json!(1e11),
        json!(253402300799.0),
    ] {
        cases.push(("time", time, None));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn one_field_is_wrong() {
    let node = Offline::new();
    for (index, (field, value, code)) in fields().into_iter().enumerate() {
        let mut message = node.post(json!(index));
        message[field] = value;
        match code {
            Some(code) => assert_eq!(
                node.code(&message).await,
                code,
                "{field}: {}",
                super::excerpt(&message)
            ),
            None => assert_eq!(
                node.offer(&message).await,
                Outcome::Processed,
                "{field}: {message}"
            ),
        }
    }
    node.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_field_is_missing() {
    let node = Offline::new();
    for (field, code) in [
        ("sender", 0),
        ("chain", 0),
        ("type", 0),
        ("item_hash", 0),
        ("time", 0),
        ("item_content", 0),
        ("signature", 1),
    ] {
        let mut message = node.post(json!(field));
        message.as_object_mut().unwrap().remove(field);
        assert_eq!(node.code(&message).await, code, "{field}");
    }
    for what in [json!([]), json!(null), json!("text"), json!(5), json!({})] {
        assert_eq!(node.code(&what).await, 0, "{what}");
    }
    node.still_works().await;
}

/// A content beside a hash is not used, but it must be one of the type.
#[tokio::test(flavor = "multi_thread")]
async fn a_content_beside_a_hash() {
    let node = Offline::new();
    let mut message = node.post(json!("elsewhere"));
    message["item_type"] = json!("storage");
    message["item_content"] = Value::Null;
    let content = json!({"address": "a", "time": 1, "type": "t"});
    for (content, code) in [
        (json!({}), 0),
        (json!("text"), 0),
        (
            json!({"address": "a", "time": 1, "type": "t", "extra": 1}),
            0,
        ),
        (content, 3),
        (Value::Null, 3),
    ] {
        message["content"] = content;
        assert_eq!(node.code(&message).await, code, "{message}");
    }
    node.still_works().await;
}

/// Times in the future or long ago are as good as any (messages.md §5), and
/// none of them holds the message back.
#[tokio::test(flavor = "multi_thread")]
async fn far_times_wait_for_nothing() {
    let node = Offline::new();
    for (index, time) in [4e9, 2.5e11, -6e10].into_iter().enumerate() {
        let mut message = node.post(json!(["far", index]));
        message["time"] = json!(time);
        assert_eq!(node.offer(&message).await, Outcome::Processed);
        let path = format!(
            "/api/v0/messages/{}",
            message["item_hash"].as_str().unwrap()
        );
        let (_, body) = node.get(&path).await;
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(told["status"], "processed");
    }
    node.still_works().await;
}
