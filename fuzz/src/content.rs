//! What must hold for a content, whoever wrote it.

use std::sync::LazyLock;

use beth_protocol::cost::{FileRef, Prices, Sizes, bill, payment_type, total};
use beth_protocol::{Content, ItemHash, MessageType, json};
use serde_json::Value;

static PRICES: LazyLock<Prices> = LazyLock::new(Prices::defaults);

/// Sizes that depend on the name alone, some unknown, some very large.
struct AnySize;

impl Sizes for AnySize {
    fn referenced(&self, file: FileRef<'_>) -> Option<u64> {
        self.stored(file.reference)
    }
    fn stored(&self, file_hash: &str) -> Option<u64> {
        match file_hash.bytes().last()? % 4 {
            0 => None,
            1 => Some(1),
            2 => Some(3 << 30),
            _ => Some(u64::MAX),
        }
    }
}

/// Reads bytes as a content of this type.
pub fn check(message_type: MessageType, data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(value) = json::parse_content(text) else {
        return;
    };
    check_value(message_type, &value);
}

/// Reads a value as a content of this type.
pub fn check_value(message_type: MessageType, value: &Value) {
    match Content::parse(message_type, value) {
        Ok(content) => accepted(message_type, &content),
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal without a reason");
            for error in &errors {
                let details = error.to_details();
                assert!(
                    details["loc"]
                        .as_str()
                        .is_some_and(|loc| loc.starts_with("('content',"))
                );
            }
        }
    }
}

fn accepted(message_type: MessageType, content: &Content) {
    assert!((0.0..=9_223_372_036.0).contains(&content.time()));
    let dump = serde_json::to_value(content).expect("an accepted content has a typed form");
    assert_eq!(dump["address"], content.address());
    // An empty `trusted_execution` needs no QEMU, its typed form does.
    let environment = &dump["environment"];
    if environment["trusted_execution"].is_null() || environment["hypervisor"] == "qemu" {
        let again = Content::parse(message_type, &dump);
        assert_eq!(
            again.as_ref(),
            Ok(content),
            "the typed form says something else"
        );
    }
    if let Content::Aggregate(aggregate) = content {
        let named = aggregate
            .key
            .as_str()
            .or_else(|| aggregate.key["name"].as_str());
        assert_eq!(named, Some(aggregate.key()));
    }
    if let Content::Post(post) = content {
        assert!(!post.is_amend() || post.reference().is_some_and(|text| !text.is_empty()));
    }
    let hash = ItemHash::of_bytes(b"fuzz");
    if let Ok(rows) = bill(hash.as_str(), content, &PRICES, &AnySize) {
        let total = total(&rows, payment_type(content));
        assert!(!total.is_negative(), "a bill below nothing: {rows:?}");
    }
}
