//! The two renderings of a message (core-api.md §1.11).
//!
//! *Listed*: what lists and the history of streams show: the content as the
//! client wrote it. *Typed*: what `/messages/{hash}` and live streams show:
//! the content as this node understood it, defaults filled in.

use beth_protocol::Content;
use beth_store::confirmations::Confirmation;
use beth_store::rows::StoredMessage;
use serde_json::{Map, Value, json};

/// How much of a content a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ContentFormat {
    #[default]
    Full,
    Headers,
    None,
}

impl ContentFormat {
    /// Spellings.
    pub const WORDS: [(&'static str, ContentFormat); 3] = [
        ("full", ContentFormat::Full),
        ("headers", ContentFormat::Headers),
        ("none", ContentFormat::None),
    ];
}

/// A message in a list.
pub fn listed(
    stored: &StoredMessage,
    format: ContentFormat,
    confirmations: &[Confirmation],
) -> Value {
    let message = &stored.message;
    let mut item = Map::new();
    let mut put = |key: &str, value: Value| item.insert(key.to_owned(), value);
    put("chain", message.chain.as_str().into());
    put("channel", message.channel.clone().into());
    put("confirmations", listed_confirmations(confirmations));
    put("confirmed", (!confirmations.is_empty()).into());
    match format {
        ContentFormat::Full => drop(put("content", stored.content.clone())),
        ContentFormat::Headers => drop(put("content", headers(stored))),
        ContentFormat::None => {}
    }
    put("item_content", message.item_content.clone().into());
    put("item_hash", message.item_hash.as_str().into());
    put("item_type", message.item_type.as_str().into());
    put("sender", message.sender.clone().into());
    put("signature", message.signature.clone().into());
    put("size", stored.size.into());
    put("time", message.time.to_json());
    put("type", message.message_type.as_str().into());
    Value::Object(item)
}

/// A message with its content as the node understood it; without a content
/// when `typed` is `None`.
pub fn typed(
    stored: &StoredMessage,
    typed: Option<&Content>,
    confirmations: &[Confirmation],
) -> Value {
    let message = &stored.message;
    let mut item = Map::new();
    let mut put = |key: &str, value: Value| item.insert(key.to_owned(), value);
    put("sender", message.sender.clone().into());
    put("chain", message.chain.as_str().into());
    put("signature", message.signature.clone().into());
    put("type", message.message_type.as_str().into());
    put("item_content", message.item_content.clone().into());
    put("item_type", message.item_type.as_str().into());
    put("item_hash", message.item_hash.as_str().into());
    put("time", message.time.to_json());
    put("channel", message.channel.clone().into());
    if let Some(content) = typed {
        put("content", typed_content(stored, content));
    }
    put("confirmed", (!confirmations.is_empty()).into());
    put("confirmations", listed_confirmations(confirmations));
    Value::Object(item)
}

/// Confirmations as every resource shows them.
pub fn listed_confirmations(confirmations: &[Confirmation]) -> Value {
    let items = confirmations.iter().map(|confirmation| {
        json!({
            "chain": confirmation.chain, "height": confirmation.height, "hash": confirmation.hash,
        })
    });
    items.collect()
}

/// The content as the node understands it, as JSON.
pub fn typed_content(stored: &StoredMessage, content: &Content) -> Value {
    serde_json::to_value(content).unwrap_or_else(|_| stored.content.clone())
}

/// The content of a stored message, read again. It was valid when it was
/// stored; should the rules have become stricter since, `None`.
pub fn understand(stored: &StoredMessage) -> Option<Content> {
    Content::parse(stored.message.message_type, &stored.content).ok()
}

/// The members of a content that identify what it is about.
fn headers(stored: &StoredMessage) -> Value {
    use beth_protocol::MessageType::{Aggregate, Post, Store};
    let members: &[&str] = match stored.message.message_type {
        Post => &["address", "type", "ref"],
        Aggregate => &["address", "key"],
        Store => &["address", "item_hash", "ref"],
        _ => &["address"],
    };
    let kept = members.iter().filter_map(|&member| {
        let value = stored
            .content
            .get(member)
            .filter(|value| !value.is_null())?;
        Some((member.to_owned(), value.clone()))
    });
    Value::Object(kept.collect())
}
