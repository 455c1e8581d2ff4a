//! The envelope: what travels (messages.md §1–§6).
//!
//! [`Message::parse`] turns one JSON object into a [`Message`] or a
//! [`Rejection`]; everything that needs no state is checked here, in the order
//! that the network uses.

mod envelope;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::json::ContentFault;
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use crate::{Chain, HashKind, ItemHash};

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum MessageType {
    Post,
    Aggregate,
    Store,
    Program,
    Instance,
    #[serde(rename = "V-PROGRAM")]
    VerifiedProgram,
    Forget,
}

impl MessageType {
    /// Every type, in the order upstream lists them.
    pub const ALL: [MessageType; 7] = [
        MessageType::Post,
        MessageType::Aggregate,
        MessageType::Store,
        MessageType::Program,
        MessageType::Instance,
        MessageType::VerifiedProgram,
        MessageType::Forget,
    ];

    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            MessageType::Post => "POST",
            MessageType::Aggregate => "AGGREGATE",
            MessageType::Store => "STORE",
            MessageType::Program => "PROGRAM",
            MessageType::Instance => "INSTANCE",
            MessageType::VerifiedProgram => "V-PROGRAM",
            MessageType::Forget => "FORGET",
        }
    }

    /// Reads the wire spelling (case sensitive).
    pub fn parse(text: &str) -> Option<MessageType> {
        MessageType::ALL.into_iter().find(|t| t.as_str() == text)
    }
}

impl std::fmt::Display for MessageType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemType {
    /// In the envelope.
    Inline,
    /// A file of the storage engine, named by SHA-256.
    Storage,
    /// A file of IPFS, named by CID.
    Ipfs,
}

impl ItemType {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemType::Inline => "inline",
            ItemType::Storage => "storage",
            ItemType::Ipfs => "ipfs",
        }
    }

    /// Reads the wire spelling.
    pub fn parse(text: &str) -> Option<ItemType> {
        Some(match text {
            "inline" => ItemType::Inline,
            "storage" => ItemType::Storage,
            "ipfs" => ItemType::Ipfs,
            _ => return None,
        })
    }
}

impl From<HashKind> for ItemType {
    fn from(kind: HashKind) -> ItemType {
        match kind {
            HashKind::Storage => ItemType::Storage,
            HashKind::Ipfs => ItemType::Ipfs,
        }
    }
}

/// A well-formed envelope. Nothing is known about its signature yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Address that signs, as written.
    pub sender: String,
    /// Its chain.
    pub chain: Chain,
    /// `None` only for messages from smart contracts.
    pub signature: Option<String>,
    /// What it says.
    #[serde(rename = "type")]
    pub message_type: MessageType,
    /// Where the content is.
    pub item_type: ItemType,
    /// The content text of inline messages.
    pub item_content: Option<String>,
    /// Its name.
    pub item_hash: ItemHash,
    /// Unsigned, unhashed time of the envelope.
    pub time: Timestamp,
    /// Free namespace.
    pub channel: Option<String>,
}

/// The content of a message, raw and typed.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageContent {
    /// The client's JSON.
    pub raw: Value,
    /// What it means.
    pub typed: Content,
    /// Characters of inline text, bytes of a file (messages.md §3.3).
    pub size: u64,
}

impl Message {
    /// Reads an envelope. The order of the checks is that of messages.md §1;
    /// the first group of faults wins, and every one of them is code 0.
    pub fn parse(value: &Value) -> Result<Message, Rejection> {
        envelope::read(value)
    }

    /// The bytes that the signature covers: `chain`, `sender`, `type` and
    /// `item_hash`, one a line, no newline at the end (messages.md §7.1).
    pub fn verification_buffer(&self) -> String {
        format!(
            "{}\n{}\n{}\n{}",
            self.chain, self.sender, self.message_type, self.item_hash
        )
    }

    /// Fails with code 1 when a signature is needed and absent.
    pub fn require_signature(&self) -> Result<(), Rejection> {
        match self.signature.as_deref() {
            None | Some("") => Err(Rejection::text(Code::InvalidSignature, "Missing signature")),
            Some(_) => Ok(()),
        }
    }

    /// Reads and validates the content of an inline message.
    ///
    /// Returns `Ok(None)` when the content is elsewhere.
    pub fn inline_content(&self) -> Result<Option<MessageContent>, Rejection> {
        match &self.item_content {
            None => Ok(None),
            Some(text) => self
                .content_from(text, text.chars().count() as u64)
                .map(Some),
        }
    }

    /// Reads and validates the content from the bytes of its file.
    pub fn fetched_content(&self, bytes: &[u8]) -> Result<MessageContent, Rejection> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Rejection::invalid_format(format!(
                "Invalid message content for {}: Can't decode JSON: {error}",
                self.item_hash
            ))
        })?;
        self.content_from(text, bytes.len() as u64)
    }

    fn content_from(&self, text: &str, size: u64) -> Result<MessageContent, Rejection> {
        let mut raw = crate::json::parse_content(text).map_err(|fault| match fault {
            ContentFault::Syntax(cause) if self.item_type == ItemType::Inline => {
                envelope::not_json(&cause)
            }
            fault => Rejection::invalid_format(format!(
                "Invalid message content for {}: {fault}",
                self.item_hash
            )),
        })?;
        if self.item_type != ItemType::Inline
            && let Value::Object(fields) = &mut raw
        {
            if fields.get("address").is_none_or(Value::is_null) {
                fields.insert("address".into(), Value::String(self.sender.clone()));
            }
            if fields.get("time").is_none_or(Value::is_null) {
                fields.insert("time".into(), self.time.to_json());
            }
        }
        let typed = Content::parse(self.message_type, &raw).map_err(|errors| {
            let errors = errors
                .iter()
                .map(crate::content::schema::SchemaError::to_details)
                .collect();
            Rejection::with(Code::InvalidFormat, errors)
        })?;
        Ok(MessageContent { raw, typed, size })
    }

    /// The envelope as it travels on the message topic: compact, sorted keys.
    pub fn to_wire(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or(Value::Null);
        crate::json::to_sorted_string(&value)
    }
}
