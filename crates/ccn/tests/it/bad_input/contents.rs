//! Content texts: what is JSON, how long, how deep, how large (messages.md
//! §3.3, §4, §8).

use beth_protocol::MessageType;
use beth_store::rows::Outcome;
use serde_json::{Value, json};

use super::Offline;

/// A POST with this JSON text as its content.
fn around(node: &Offline, content: &str) -> String {
    let address = node.account.address();
    format!(r#"{{"address":"{address}","time":1790000000.0,"type":"t","content":{content}}}"#)
}

/// A POST of exactly that many characters.
fn of_length(node: &Offline, filler: char, chars: usize) -> String {
    let empty = around(node, r#""""#).chars().count();
    let filling: String = std::iter::repeat_n(filler, chars - empty).collect();
    around(node, &format!(r#""{filling}""#))
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn nested_value(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_refused() {
    let node = Offline::new();
    let deep_objects = r#"{"a":"#.repeat(1_100) + "1" + &"}".repeat(1_100);
    let contents = [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        &"9".repeat(400),
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "'a'",
        "undefined",
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\u0000""#,
        r#""a\\u0000b""#,
        r#"{"\u0000":1}"#,
        "\"\u{1}\"",
        "\"\u{0}\"",
        r#""\x41""#,
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "1 x",
        "/* no */ 1",
        &nested(1_100),
        &nested(90_000),
        &"[".repeat(150_000),
        &deep_objects,
    ];
    for content in contents {
        let text = around(&node, content);
        let message = node.sign_text(MessageType::Post, &text);
        let shown: String = content.chars().take(60).collect();
        assert_eq!(node.code(&message).await, 0, "{shown}");
    }
    for text in [
        "",
        " ",
        "null",
        "5",
        "\"text\"",
        "[]",
        "[1]",
        "true",
        "{",
        "\u{feff}{}",
    ] {
        let message = node.sign_text(MessageType::Post, text);
        assert_eq!(node.code(&message).await, 0, "{text:?}");
    }
    node.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_look_bad_and_are_not() {
    let node = Offline::new();
    let contents = [
        "1180591620717411303424",
        "-1180591620717411303424",
        &"9".repeat(300),
        "1e308",
        "-0.0",
        "5e-324",
        "1e-400",
        r#"{"a":1,"a":2}"#,
        r#""\ud83d\ude00""#,
        r#""\u0001""#,
        r#""\\\u0030000""#,
        r#"{"":{"":null}}"#,
        &nested(900),
        " [ 1 , 2 ] ",
    ];
    for content in contents {
        let message = node.sign_text(MessageType::Post, &around(&node, content));
        assert_eq!(node.offer(&message).await, Outcome::Processed, "{content}");
    }
    // Clients may send the content once more beside its text.
    let mut message = node.sign_text(MessageType::Post, &around(&node, &nested(899)));
    message["content"] = nested_value(1_000);
    let body = json!({"sync": true, "message": message}).to_string();
    assert_eq!(node.submit(body).await.0, http::StatusCode::OK);
    // The last of two members counts.
    let text = around(&node, "1").replacen("{", r#"{"type":5,"address":"somebody else","#, 1);
    let message = node.sign_text(MessageType::Post, &text);
    assert_eq!(node.offer(&message).await, Outcome::Processed);
    let text = format!("\n\t {} \r\n", around(&node, "2"));
    let message = node.sign_text(MessageType::Post, &text);
    assert_eq!(node.offer(&message).await, Outcome::Processed);
    node.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_are_counted_in_characters() {
    let node = Offline::new();
    for filler in ['a', '€', '\u{1f600}'] {
        let longest = node.sign_text(MessageType::Post, &of_length(&node, filler, 200_000));
        assert_eq!(node.offer(&longest).await, Outcome::Processed, "{filler}");
        let longer = node.sign_text(MessageType::Post, &of_length(&node, filler, 200_001));
        assert_eq!(node.code(&longer).await, 0, "{filler}");
    }
    node.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_break_their_schema() {
    let node = Offline::new();
    let hash = "aa".repeat(32);
    let cases = [
        (MessageType::Post, json!({"content": 1})),
        (MessageType::Post, json!({"type": 5})),
        (MessageType::Post, json!({"type": "t", "extra": 1})),
        (MessageType::Post, json!({"type": "amend"})),
        (
            MessageType::Post,
            json!({"type": "t", "content": {"tags": "no list"}}),
        ),
        (MessageType::Aggregate, json!({"key": "k"})),
        (MessageType::Aggregate, json!({"key": "k", "content": []})),
        (MessageType::Aggregate, json!({"key": 5, "content": {}})),
        (
            MessageType::Store,
            json!({"item_type": "storage", "item_hash": "short"}),
        ),
        (
            MessageType::Store,
            json!({"item_type": "ipfs", "item_hash": hash}),
        ),
        (MessageType::Forget, json!({})),
        (MessageType::Forget, json!({"hashes": "all"})),
        (MessageType::Forget, json!({"hashes": vec![&hash; 1_001]})),
        (MessageType::Program, json!({"type": "vm-function"})),
        (MessageType::Instance, json!({})),
        (MessageType::VerifiedProgram, json!({})),
    ];
    for (message_type, content) in cases {
        let message = node.sign(message_type, content);
        assert_eq!(node.code(&message).await, 0, "{message}");
    }
    let times = ["-1", "9223372037", "1e300", "\"1\"", "null", "[]", "{}"];
    for time in times {
        let text = around(&node, "1").replace("1790000000.0", time);
        let message = node.sign_text(MessageType::Post, &text);
        assert_eq!(node.code(&message).await, 0, "time {time}");
    }
    node.still_works().await;
}
