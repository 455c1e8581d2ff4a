//! What it costs to refuse a message: never more than a constant times its
//! length, whatever is wrong with it.

use std::time::{Duration, Instant};

use beth_protocol::{ItemHash, Message};
use serde_json::{Value, json};

/// A content text of about `size` bytes that costs as much as its author can
/// make it.
type Shape = fn(usize) -> String;

const SHAPES: &[(&str, &str, Shape)] = &[
    ("POST", "unknown members", |size| {
        let members: Vec<String> = (0..size / 12)
            .map(|index| format!(r#""{index:08}":1"#))
            .collect();
        format!("{{{}}}", members.join(","))
    }),
    ("POST", "one long member", |size| {
        format!(r#"{{"{}":1}}"#, "k".repeat(size))
    }),
    ("POST", "escapes", |size| {
        format!(r#"{{"type":5,"content":"{}"}}"#, r"\u00e9".repeat(size / 6))
    }),
    ("POST", "numbers", |size| {
        format!(r#"{{"content":[{}1e400]}}"#, "1e300,".repeat(size / 6))
    }),
    ("POST", "a long number", |size| {
        format!(r#"{{"content":0.{}}}"#, "7".repeat(size))
    }),
    ("POST", "a long exponent", |size| {
        format!(r#"{{"content":1e-{}}}"#, "9".repeat(size))
    }),
    ("POST", "deep lists", |size| {
        let nest = "[".repeat(900) + &"]".repeat(900);
        format!(
            r#"{{"content":[{}0]}}"#,
            format!("{nest},").repeat(size / 1_801)
        )
    }),
    ("POST", "too deep", |size| "[".repeat(size)),
    ("POST", "the forbidden characters at the end", |size| {
        format!(r#"{{"content":"{}\u0000"}}"#, "a".repeat(size))
    }),
    ("POST", "tags", |size| {
        format!(r#"{{"content":{{"tags":["{}"]}}}}"#, "t".repeat(size))
    }),
    ("FORGET", "hashes", |size| {
        format!(r#"{{"hashes":[{}5]}}"#, r#""Qm","#.repeat(size / 5))
    }),
    ("FORGET", "one long hash", |size| {
        format!(r#"{{"hashes":["{}"]}}"#, "a".repeat(size))
    }),
    ("PROGRAM", "volumes", |size| {
        let volume = r#"{"ref":"x","size_mib":1},"#;
        format!(
            r#"{{"volumes":[{}{{}}]}}"#,
            volume.repeat((size / volume.len()).min(255))
        )
    }),
    ("PROGRAM", "variables", |size| {
        let members: Vec<String> = (0..size / 12)
            .map(|index| format!(r#""{index:08}":1"#))
            .collect();
        format!(r#"{{"variables":{{{}}}}}"#, members.join(","))
    }),
    ("INSTANCE", "cards", |size| {
        format!(
            r#"{{"requirements":{{"gpu":[{}5]}}}}"#,
            "{},".repeat(size / 3)
        )
    }),
];

fn envelope(message_type: &str, text: &str) -> Value {
    json!({
        "sender": "0x0", "chain": "ETH", "type": message_type, "item_type": "inline", "item_content": text,
        "item_hash": ItemHash::of_bytes(text.as_bytes()), "time": 1.0, "signature": "x",
    })
}

/// The shortest of several times, so that a busy machine does not count.
fn shortest(mut work: impl FnMut()) -> Duration {
    let times = (0..9).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    times.min().unwrap()
}

fn refusal(message: &Value) -> Duration {
    shortest(|| {
        let read = Message::parse(message).and_then(|message| message.inline_content());
        assert!(read.is_err());
    })
}

/// Refusing the longest of texts costs about what reading it costs. Anything
/// that grew faster than the text would be far beyond.
#[test]
fn refusing_costs_as_much_as_reading() {
    for (message_type, name, shape) in SHAPES {
        let text = shape(190_000);
        let message = envelope(message_type, &text);
        let wire = message.to_string();
        let read = || {
            let read: Value = serde_json::from_str(&wire).unwrap();
            let content = read["item_content"].as_str().unwrap();
            ItemHash::of_bytes(content.as_bytes());
            let _ = beth_protocol::json::parse_content(content);
        };
        // One slow pair may be the machine; three in a row are the code.
        let pairs = [(); 3].map(|()| (shortest(read), refusal(&message)));
        let within = pairs
            .iter()
            .any(|(reading, refusing)| *refusing < reading.mul_f64(2.0) + Duration::from_millis(2));
        assert!(
            within,
            "{message_type}, {name}: refusing costs more than reading: {pairs:?}"
        );
    }
}
