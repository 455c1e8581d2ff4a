//! A state in maps, and messages, for the tests of judging.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Complete;
use crate::content::{Content, PaymentType};
use crate::decimal::Decimal;
use crate::message::{ItemType, Message, MessageContent, MessageType};
use crate::status::Status;
use crate::time::Timestamp;
use crate::view::{KnownMessage, KnownPin, KnownPost, KnownTag, View, ViewError};
use crate::{Chain, ItemHash};

/// What is known. Everybody is poor.
#[derive(Default)]
pub(super) struct Known {
    pub messages: BTreeMap<String, KnownMessage>,
    /// Built aggregates by owner and key.
    pub aggregates: BTreeMap<(String, String), Value>,
    pub elements: BTreeMap<(String, String), Vec<String>>,
    pub posts: BTreeMap<String, KnownPost>,
    pub amends: BTreeMap<String, Vec<String>>,
    pub tags: BTreeMap<String, KnownTag>,
    pub files: BTreeMap<String, u64>,
    /// File references in use.
    pub used: Vec<String>,
    /// A file whose size cannot be read.
    pub unreadable: Option<String>,
    /// How many messages were read.
    pub reads: Cell<usize>,
}

impl Known {
    /// Adds a message of which nothing but itself is known.
    pub fn add(&mut self, complete: &Complete) -> String {
        let item_hash = complete.message.item_hash.to_string();
        let known = KnownMessage {
            message: complete.message.clone(),
            content: complete.content.raw.clone(),
            status: Status::Processed,
        };
        self.messages.insert(item_hash.clone(), known);
        item_hash
    }

    /// Adds a post, or an amend of another.
    pub fn add_post(&mut self, owner: &str, number: u64, amended: Option<&str>) -> String {
        let mut content = json!({"address": owner, "time": number, "type": "t", "content": {}});
        if let Some(target) = amended {
            content["type"] = "amend".into();
            content["ref"] = target.into();
        }
        let post = KnownPost {
            owner: owner.to_owned(),
            post_type: content["type"].as_str().unwrap_or_default().to_owned(),
            last_updated: Timestamp::from_seconds(number as i64),
            latest_amend: None,
        };
        let hash = self.add(&complete("POST", owner, content));
        self.posts.insert(hash.clone(), post);
        if let Some(target) = amended {
            let amends = self.amends.entry(target.to_owned()).or_default();
            amends.push(hash.clone());
        }
        hash
    }
}

/// A message of this content; its hash is that of the content.
pub(super) fn complete(message_type: &str, sender: &str, raw: Value) -> Complete {
    let message_type = MessageType::parse(message_type).expect("a type");
    let text = raw.to_string();
    Complete {
        message: Message {
            sender: sender.to_owned(),
            chain: Chain::Eth,
            signature: Some("0x".into()),
            message_type,
            item_type: ItemType::Inline,
            item_hash: ItemHash::of_bytes(text.as_bytes()),
            item_content: None,
            time: Timestamp::from_seconds(1),
            channel: None,
        },
        content: MessageContent {
            typed: Content::parse(message_type, &raw).expect("a content"),
            size: text.len() as u64,
            raw,
        },
        gone: Vec::new(),
    }
}

fn pair(owner: &str, key: &str) -> (String, String) {
    (owner.to_owned(), key.to_owned())
}

impl View for Known {
    fn message(&self, item_hash: &str) -> Result<Option<KnownMessage>, ViewError> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.messages.get(item_hash).cloned())
    }
    fn forgotten_signature(&self, _: &str) -> Result<Option<Option<String>>, ViewError> {
        Ok(None)
    }
    fn aggregate(&self, owner: &str, key: &str) -> Result<Option<Map<String, Value>>, ViewError> {
        let found = self.aggregates.get(&pair(owner, key));
        Ok(found.and_then(Value::as_object).cloned())
    }
    fn aggregate_elements(&self, owner: &str, key: &str) -> Result<Vec<String>, ViewError> {
        let elements = self.elements.get(&pair(owner, key)).cloned();
        Ok(elements.unwrap_or_default())
    }
    fn post(&self, item_hash: &str) -> Result<Option<KnownPost>, ViewError> {
        Ok(self.posts.get(item_hash).cloned())
    }
    fn amends(&self, item_hash: &str) -> Result<Vec<String>, ViewError> {
        Ok(self.amends.get(item_hash).cloned().unwrap_or_default())
    }
    fn tag(&self, tag: &str) -> Result<Option<KnownTag>, ViewError> {
        Ok(self.tags.get(tag).cloned())
    }
    fn message_pin(&self, _: &str) -> Result<Option<KnownPin>, ViewError> {
        Ok(None)
    }
    fn file_size(&self, file_hash: &str) -> Result<Option<u64>, ViewError> {
        if self.unreadable.as_deref() == Some(file_hash) {
            return Err(ViewError("the disk is gone".into()));
        }
        Ok(self.files.get(file_hash).copied())
    }
    fn program_allows_amend(&self, _: &str) -> Result<Option<bool>, ViewError> {
        Ok(None)
    }
    fn machine_using(&self, reference: &str) -> Result<Option<String>, ViewError> {
        let is_used = self.used.iter().any(|used| used == reference);
        Ok(is_used.then(|| "machine".to_owned()))
    }
    fn balance(&self, _: &str) -> Result<Decimal, ViewError> {
        Ok(Decimal::zero())
    }
    fn credit_balance(&self, _: &str, _: Timestamp) -> Result<Decimal, ViewError> {
        Ok(Decimal::zero())
    }
    fn committed(&self, _: &str, _: PaymentType) -> Result<Decimal, ViewError> {
        Ok(Decimal::zero())
    }
}
