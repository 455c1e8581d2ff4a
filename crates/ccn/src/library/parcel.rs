//! How one message travels between neighbours that reconcile.
//!
//! As in gossip; but what a FORGET deleted is gone for good, and who comes late
//! would wait for it in vain. So the envelopes of its targets go along:
//!
//! ```text
//!   {"message": the FORGET, "gone": [envelope, …]}
//! ```
//!
//! The signatures of these show that the targets existed and whose they were.

use beth_network::payload::encode_payload;
use beth_protocol::content::ForgetContent;
use beth_protocol::json::{parse_written, to_sorted_string};
use beth_protocol::{Content, ItemType, Message, MessageType};
use beth_store::pending::Arrival;
use beth_store::{Error, State};
use serde_json::{Value, json};

use crate::gossip::decode;
use crate::pipeline::arrival;

/// The bytes of a message in force.
pub(super) fn wrap(state: &State<'_>, message: &Message) -> Result<Option<Vec<u8>>, Error> {
    let Ok(raw) = serde_json::to_value(message) else {
        return Ok(None);
    };
    let mut gone = Vec::new();
    if let Some(forget) = forget_of(state, message)? {
        let hashes: Vec<&str> = forget.hashes.iter().map(|hash| hash.as_str()).collect();
        gone = state.gone(&hashes, message.item_hash.as_str())?;
    }
    Ok(Some(match gone.is_empty() {
        true => encode_payload(&to_sorted_string(&raw)),
        false => json!({"message": raw, "gone": gone})
            .to_string()
            .into_bytes(),
    }))
}

/// The message of such bytes; `None` when there is none in them.
pub(super) fn open(data: &[u8]) -> Option<Arrival> {
    if let Some(raw) = decode(data) {
        return Some(arrival(raw));
    }
    let mut parcel: Value = parse_written(std::str::from_utf8(data).ok()?).ok()?;
    let raw = parcel["message"].take();
    Message::parse(&raw).ok()?;
    let gone = parcel["gone"].as_array()?.iter().filter_map(envelope);
    Some(Arrival {
        gone: gone.collect(),
        ..arrival(raw)
    })
}

/// An envelope whose content nobody has any more.
fn envelope(raw: &Value) -> Option<Message> {
    let is_inline = raw["item_type"] == ItemType::Inline.as_str();
    if !is_inline {
        return Message::parse(raw).ok();
    }
    let mut elsewhere = raw.clone();
    elsewhere["item_type"] = ItemType::Storage.as_str().into();
    let mut message = Message::parse(&elsewhere).ok()?;
    message.item_type = ItemType::Inline;
    Some(message)
}

fn forget_of(state: &State<'_>, message: &Message) -> Result<Option<ForgetContent>, Error> {
    if message.message_type != MessageType::Forget {
        return Ok(None);
    }
    let Some(stored) = state.stored_message(message.item_hash.as_str())? else {
        return Ok(None);
    };
    Ok(match Content::parse(MessageType::Forget, &stored.content) {
        Ok(Content::Forget(forget)) => Some(forget),
        _ => None,
    })
}
