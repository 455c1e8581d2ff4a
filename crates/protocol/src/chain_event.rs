//! Events of smart contracts, and the unsigned messages they stand for
//! (messages.md §10).
//!
//! ```text
//!  event payload ─▶ ContractEvent ─▶ message (JSON), to be offered with its transaction
//! ```
//!
//! The chain vouches for such a message instead of a signature, so only what
//! reads a chain may offer one. Schema, permissions and payment are judged as
//! for any other.

use serde_json::{Value, json};

use crate::time::Timestamp;
use crate::{Chain, ItemHash};

/// What an Aleph contract emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct ContractEvent {
    /// Chain of the contract.
    pub chain: Chain,
    /// Who called the contract.
    pub sender: String,
    /// `STORE_IPFS`, or a message type.
    pub event_type: String,
    /// A CID, or the content of the message.
    pub content: String,
    /// When the contract was called, Unix seconds.
    pub seconds: f64,
}

impl ContractEvent {
    /// Reads the payload of an event, as either indexer writes it: with
    /// `addr`, `message_type`, `message_content` and seconds (Tezos), or with
    /// `address`, `type`, `content` and milliseconds.
    pub fn parse(chain: Chain, payload: &Value) -> Option<ContractEvent> {
        let text = |key: &str| payload[key].as_str().map(str::to_owned);
        let timestamp = payload["timestamp"].as_f64()?;
        if let Some(sender) = text("addr") {
            return Some(ContractEvent {
                chain,
                sender,
                event_type: text("message_type")?,
                content: text("message_content")?,
                seconds: timestamp,
            });
        }
        Some(ContractEvent {
            chain,
            sender: text("address")?,
            event_type: text("type")?,
            content: text("content")?,
            seconds: timestamp / 1e3,
        })
    }

    /// The unsigned message, as it would travel; `time` is that of the block.
    pub fn to_message(&self, time: Timestamp) -> Value {
        let (message_type, item_content) = match self.event_type.as_str() {
            "STORE_IPFS" => ("STORE", self.store_content()),
            other => (other, self.content.clone()),
        };
        json!({
            "sender": self.sender, "chain": self.chain, "signature": null, "type": message_type,
            "item_type": "inline", "item_hash": ItemHash::of_bytes(item_content.as_bytes()),
            "item_content": item_content, "time": time.to_json(), "channel": null,
        })
    }

    /// The bytes are hashed: order, spaces and digits are those of the network.
    fn store_content(&self) -> String {
        format!(
            "{{\"address\": {}, \"time\": {:?}, \"item_type\": \"ipfs\", \"item_hash\": {}}}",
            ascii(&self.sender),
            self.seconds,
            ascii(&self.content)
        )
    }
}

/// A JSON string in plain ASCII.
fn ascii(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let mut out = String::with_capacity(quoted.len());
    for character in quoted.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn recorded_events_become_recorded_messages() {
        let text = include_str!("../../../vectors/messages/smart_contract_messages.json");
        let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
        assert_eq!(vectors.len(), 4);
        for vector in vectors {
            let tx = &vector["tx"];
            let chain = Chain::parse(tx["chain"].as_str().unwrap()).unwrap();
            let event = ContractEvent::parse(chain, &tx["content"]).unwrap();
            let time = Timestamp::from_json(&tx["datetime"]).unwrap();
            let mut message = event.to_message(time);
            assert!(Message::parse(&message).is_ok(), "{}", vector["label"]);
            // The recording leaves the member out.
            assert_eq!(
                message.as_object_mut().unwrap().remove("channel"),
                Some(Value::Null)
            );
            assert_eq!(message, vector["message"], "{}", vector["label"]);
        }
    }

    #[test]
    fn a_payload_of_another_shape_is_no_event() {
        for payload in [
            json!([]),
            json!({"addr": "a", "timestamp": "1"}),
            json!({"timestamp": 1.0}),
        ] {
            assert_eq!(ContractEvent::parse(Chain::Tezos, &payload), None);
        }
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(ascii("a\"é😀"), r#""a\"\u00e9\ud83d\ude00""#);
    }
}
