//! The two renderings of a message (core-api.md §1.11).
//!
//! *Listed*: what lists and the history of streams show: the content as the
//! client wrote it. *Typed*: what `/messages/{hash}` and live streams show:
//! the content as this node understood it, defaults filled in.

use beth_protocol::json::parse_written;
use beth_protocol::{Content, MessageType};
use beth_store::Error;
use beth_store::confirmations::Confirmation;
use beth_store::query::messages::ListedMessage;
use beth_store::rows::StoredMessage;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
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
        ContentFormat::Headers => drop(put(
            "content",
            headers(message.message_type, &stored.content),
        )),
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

/// Writes a message of a list, its content as the text that was stored. Keys
/// are sorted.
pub fn write_listed(
    row: &ListedMessage,
    format: ContentFormat,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.extend_from_slice(b"{\"chain\":");
    write(&row.chain, out)?;
    member("channel", &row.channel, out)?;
    member("confirmations", &Confirmations(&row.confirmations), out)?;
    member("confirmed", &!row.confirmations.is_empty(), out)?;
    match format {
        ContentFormat::Full => written("content", &row.body, out),
        ContentFormat::Headers => {
            let content = parse_written(&row.body).map_err(damaged)?;
            member("content", &headers(row.message_type, &content), out)?;
        }
        ContentFormat::None => {}
    }
    member("item_content", &inline(row), out)?;
    member("item_hash", &row.item_hash, out)?;
    member("item_type", &row.item_type, out)?;
    member("sender", &row.sender, out)?;
    member("signature", &row.signature, out)?;
    member("size", &row.size, out)?;
    member("time", &row.time.to_json(), out)?;
    member("type", row.message_type.as_str(), out)?;
    out.push(b'}');
    Ok(())
}

/// Writes another member of an object.
pub fn member(
    key: &str,
    value: &(impl Serialize + ?Sized),
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    written(key, "", out);
    write(value, out)
}

/// Writes another member of an object, whose text is known.
pub fn written(key: &str, json: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(json.as_bytes());
}

/// Writes a value as JSON.
pub fn write(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) -> Result<(), Error> {
    serde_json::to_writer(out, value).map_err(damaged)
}

/// `item_content`: the text of an inline message.
pub fn inline(row: &ListedMessage) -> Option<&str> {
    (row.item_type == "inline").then_some(row.body.as_str())
}

/// Stored JSON cannot be read or written.
pub fn damaged(cause: impl std::fmt::Display) -> Error {
    Error::Damaged(format!("stored JSON: {cause}"))
}

/// Confirmations, as every resource shows them.
pub struct Confirmations<'a>(pub &'a [Confirmation]);

impl Serialize for Confirmations<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(self.0.iter().map(Shown))
    }
}

struct Shown<'a>(&'a Confirmation);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(3))?;
        map.serialize_entry("chain", &self.0.chain)?;
        map.serialize_entry("hash", &self.0.hash)?;
        map.serialize_entry("height", &self.0.height)?;
        map.end()
    }
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
fn headers(message_type: MessageType, content: &Value) -> Value {
    use MessageType::{Aggregate, Post, Store};
    let members: &[&str] = match message_type {
        Post => &["address", "type", "ref"],
        Aggregate => &["address", "key"],
        Store => &["address", "item_hash", "ref"],
        _ => &["address"],
    };
    let kept = members.iter().filter_map(|&member| {
        let value = content.get(member).filter(|value| !value.is_null())?;
        Some((member.to_owned(), value.clone()))
    });
    Value::Object(kept.collect())
}
