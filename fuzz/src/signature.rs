//! Decoders of signatures, with recorded messages: the sender and the
//! signature are the fuzzer's, the rest is fixed.
//!
//! ```text
//!  input = one byte (which recorded message) sender LF signature
//! ```
//!
//! Whoever is accepted under another sender than the recorded one has forged
//! a signature: the signed text contains the sender.

use std::sync::LazyLock;

use beth_protocol::chain::Scheme;
use beth_protocol::{Message, signature};
use serde_json::Value;

static RECORDED: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let text = include_str!("../../vectors/messages/generated_signatures.json");
    let records: Vec<Value> = serde_json::from_str(text).expect("recorded signatures are JSON");
    let messages = records
        .iter()
        .filter_map(|record| Message::parse(&record["message"]).ok());
    messages.collect()
});

/// The recorded messages of a scheme.
pub fn recorded(scheme: Scheme) -> Vec<&'static Message> {
    RECORDED
        .iter()
        .filter(|message| message.chain.scheme() == scheme)
        .collect()
}

/// Decodes and verifies.
pub fn check(scheme: Scheme, data: &[u8]) {
    let Some((index, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let Some((sender, signature)) = text.split_once('\n') else {
        return;
    };
    let messages = recorded(scheme);
    let Some(original) = messages.get(usize::from(*index) % messages.len().max(1)) else {
        return;
    };
    let mut message = (*original).clone();
    message.sender = sender.to_owned();
    message.signature = Some(signature.to_owned());
    match signature::verify(&message) {
        Ok(()) => assert_eq!(sender, original.sender, "forged by {signature}"),
        Err(rejection) => assert!(matches!(rejection.code.number(), 0 | 1)),
    }
}
