//! Judging, with a state that knows half of everything.
//!
//! ```text
//!  input = [type, content, security aggregate of every owner]
//! ```
//!
//! What the state answers depends on the asked name alone, so that the same
//! content is always judged in the same way.

use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::judge::{Complete, Rules, judge};
use beth_protocol::message::MessageContent;
use beth_protocol::time::Timestamp;
use beth_protocol::view::{KnownMessage, KnownPin, KnownPost, KnownTag, View, ViewError};
use beth_protocol::{Chain, Content, ItemHash, ItemType, Message, MessageType, Status, json};
use serde_json::{Map, Value};

const OWNER: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// Judges bytes as a content, twice.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(Value::Array(mut parts)) = json::parse_content(text) else {
        return;
    };
    parts.resize(3, Value::Null);
    let Some(message_type) = parts[0].as_str().and_then(MessageType::parse) else {
        return;
    };
    let security = parts.remove(2);
    let raw = parts.remove(1);
    let Ok(typed) = Content::parse(message_type, &raw) else {
        return;
    };
    let size = raw.to_string().len() as u64;
    let mut rules = Rules::default();
    rules.balances_addresses.push(OWNER.to_owned());
    rules.credits_addresses.push(OWNER.to_owned());
    let view = Half {
        security: security.as_object().cloned(),
    };
    for seconds in [1_700_000_000, 1_780_000_000, 1_800_000_000] {
        let message = message(message_type, ItemHash::of_bytes(data), seconds);
        let content = MessageContent {
            raw: raw.clone(),
            typed: typed.clone(),
            size,
        };
        let complete = Complete { message, content };
        let first = judge(&complete, &view, &rules, NOW).expect("this state can be read");
        let again = judge(&complete, &view, &rules, NOW).expect("this state can be read");
        assert_eq!(first, again, "judged in two ways");
    }
}

fn message(message_type: MessageType, item_hash: ItemHash, seconds: i64) -> Message {
    Message {
        sender: OWNER.to_owned(),
        chain: Chain::Eth,
        signature: Some("s".to_owned()),
        message_type,
        item_type: ItemType::Inline,
        item_content: None,
        item_hash,
        time: Timestamp::from_seconds(seconds),
        channel: Some("ALEPH_CREDIT".to_owned()),
    }
}

struct Half {
    security: Option<Map<String, Value>>,
}

/// One of `sides` numbers, by the name.
fn side(name: &str, sides: u8) -> u8 {
    name.bytes()
        .fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
        % sides
}

fn sometimes<T>(name: &str, value: T) -> Result<Option<T>, ViewError> {
    Ok((side(name, 4) > 0).then_some(value))
}

fn owner(name: &str) -> String {
    if side(name, 3) > 0 {
        OWNER.to_owned()
    } else {
        name.to_owned()
    }
}

impl View for Half {
    fn message(&self, item_hash: &str) -> Result<Option<KnownMessage>, ViewError> {
        let Ok(hash) = ItemHash::parse(item_hash) else {
            return Ok(None);
        };
        let message_type = MessageType::ALL[usize::from(side(item_hash, 7))];
        let content = serde_json::json!({
            "address": owner(item_hash), "time": 1.0, "type": "t", "key": "k", "content": {}, "hashes": [],
            "item_hash": item_hash, "item_type": "storage", "ref": item_hash,
        });
        let message = message(message_type, hash, 1_700_000_000);
        sometimes(
            item_hash,
            KnownMessage {
                message,
                content,
                status: Status::Processed,
            },
        )
    }
    fn forgotten_signature(&self, item_hash: &str) -> Result<Option<Option<String>>, ViewError> {
        Ok((side(item_hash, 9) == 1).then(|| Some("s".to_owned())))
    }
    fn aggregate(&self, _: &str, key: &str) -> Result<Option<Map<String, Value>>, ViewError> {
        Ok(self
            .security
            .clone()
            .filter(|_| key == "security" || side(key, 2) == 0))
    }
    fn aggregate_elements(&self, _: &str, key: &str) -> Result<Vec<String>, ViewError> {
        Ok(vec![key.to_owned(), "ab".repeat(32)])
    }
    fn post(&self, item_hash: &str) -> Result<Option<KnownPost>, ViewError> {
        let post = KnownPost {
            owner: owner(item_hash),
            post_type: if side(item_hash, 5) == 0 {
                "amend"
            } else {
                "t"
            }
            .to_owned(),
            last_updated: Timestamp::from_seconds(1_700_000_000),
            latest_amend: None,
        };
        sometimes(item_hash, post)
    }
    fn amends(&self, item_hash: &str) -> Result<Vec<String>, ViewError> {
        Ok(vec![item_hash.to_owned(); usize::from(side(item_hash, 3))])
    }
    fn tag(&self, tag: &str) -> Result<Option<KnownTag>, ViewError> {
        let (owner, file_hash) = (owner(tag), tag.to_owned());
        let last_updated = Timestamp::from_seconds(1_700_000_000);
        sometimes(
            tag,
            KnownTag {
                owner,
                file_hash,
                last_updated,
            },
        )
    }
    fn message_pin(&self, item_hash: &str) -> Result<Option<KnownPin>, ViewError> {
        let reference = (side(item_hash, 5) == 0).then(|| item_hash.to_owned());
        sometimes(
            item_hash,
            KnownPin {
                file_hash: item_hash.to_owned(),
                reference,
            },
        )
    }
    fn file_size(&self, file_hash: &str) -> Result<Option<u64>, ViewError> {
        let sizes = [0, 1, 1 << 20, 3 << 30, u64::MAX];
        sometimes(file_hash, sizes[usize::from(side(file_hash, 5))])
    }
    fn program_allows_amend(&self, item_hash: &str) -> Result<Option<bool>, ViewError> {
        sometimes(item_hash, side(item_hash, 2) == 0)
    }
    fn machine_using(&self, reference: &str) -> Result<Option<String>, ViewError> {
        Ok((side(reference, 5) == 0).then(|| reference.to_owned()))
    }
    fn balance(&self, address: &str) -> Result<Decimal, ViewError> {
        Ok(Decimal::from(u64::from(side(address, 3)) * 1_000_000))
    }
    fn credit_balance(&self, address: &str, _: Timestamp) -> Result<Decimal, ViewError> {
        Ok(Decimal::from(u64::from(side(address, 3)) * 1_000_000_000))
    }
    fn committed(&self, address: &str, _: PaymentType) -> Result<Decimal, ViewError> {
        Ok(Decimal::from(u64::from(side(address, 7)) * 100))
    }
}
