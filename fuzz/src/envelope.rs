//! What must hold for an envelope, whoever wrote it.

use beth_protocol::{ItemHash, ItemType, Message, json};

use crate::content;

/// Reads bytes as an envelope with its content.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(value) = json::parse_written(text) else {
        return;
    };
    let message = match Message::parse(&value) {
        Ok(message) => message,
        Err(rejection) => {
            assert_eq!(rejection.code.number(), 0);
            assert!(!rejection.errors.is_empty() && !rejection.to_string().is_empty());
            return;
        }
    };
    if let Some(text) = &message.item_content {
        assert_eq!(ItemHash::of_bytes(text.as_bytes()), message.item_hash);
        assert_eq!(message.item_type, ItemType::Inline);
    }
    let wire = json::parse_written(&message.to_wire()).expect("what we send is JSON");
    assert_eq!(
        Message::parse(&wire).as_ref(),
        Ok(&message),
        "what we send says something else"
    );
    match message.inline_content() {
        Ok(Some(read)) => {
            content::check_value(message.message_type, &read.raw);
            assert!(read.size <= 200_000);
        }
        Ok(None) => assert_ne!(message.item_type, ItemType::Inline),
        Err(rejection) => assert_eq!(rejection.code.number(), 0),
    }
}
