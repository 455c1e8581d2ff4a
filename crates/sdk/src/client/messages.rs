//! Messages: submit, follow, read, list (core-api.md §3, §4).

use std::time::Duration;

use beth_protocol::time::Timestamp;
use beth_protocol::{ItemHash, Message, MessageType, Status};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Client;
use crate::error::Error;
use crate::limits;

/// Whether a submission waits for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Answer as soon as the message is queued.
    No,
    /// Answer after the first attempt at processing it (at most 30 s).
    Verdict,
}

/// What a node said about a submitted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The message.
    pub item_hash: ItemHash,
    /// `pending`, `processed` or `rejected`.
    pub status: Status,
    /// Networks that could not be told, of `ipfs` and `p2p`.
    pub failed: Vec<String>,
}

/// A message as a node lists or streams it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMessage {
    /// The envelope; its hash was checked when the content is inline.
    pub message: Message,
    /// The content as served; null when the node left it out.
    pub content: Value,
    /// True when a chain confirms it.
    pub confirmed: bool,
    /// Everything, as served.
    pub raw: Value,
}

/// What a node knows about one item hash (core-api.md §3.4).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MessageRecord {
    /// Its status there.
    pub status: Status,
    /// The message.
    pub item_hash: ItemHash,
    /// First time that node saw it, ISO.
    #[serde(default)]
    pub reception_time: Option<String>,
    /// The members that depend on the status, as served.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

/// Which messages to list; empty members do not filter (core-api.md §3.1).
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// These messages.
    pub hashes: Vec<ItemHash>,
    /// Of these types.
    pub types: Vec<MessageType>,
    /// Signed by these addresses.
    pub senders: Vec<String>,
    /// Owned by these addresses.
    pub owners: Vec<String>,
    /// With these `content.ref`.
    pub refs: Vec<String>,
    /// In these channels.
    pub channels: Vec<String>,
    /// Posts of these types.
    pub post_types: Vec<String>,
    /// Aggregates with these keys.
    pub keys: Vec<String>,
    /// Files with these hashes.
    pub files: Vec<ItemHash>,
    /// Not older than this.
    pub start: Option<Timestamp>,
    /// 1-based; `None` = 1.
    pub page: Option<u32>,
    /// Messages per page; `None` = 20, 0 = all.
    pub per_page: Option<u32>,
}

#[derive(Deserialize)]
struct Published {
    publication_status: PublicationStatus,
    message_status: Option<Status>,
}

#[derive(Deserialize)]
struct PublicationStatus {
    #[serde(default)]
    failed: Vec<String>,
}

impl Client {
    /// Hands a signed message to the node (core-api.md §4.1). A rejection is an
    /// answer, not an error: see [`publish`](Self::publish) for the other view.
    ///
    /// # Errors
    /// [`Error::Rejected`] without a code when the node refuses the form of the
    /// message; otherwise connection errors.
    pub async fn submit(&self, message: &Message, wait: Wait) -> Result<Submission, Error> {
        let body = json!({"sync": wait == Wait::Verdict, "message": message});
        let request = self.node.post(&["api", "v0", "messages"]).json(&body);
        let answer = self.node.ask(request, limits::SUBMIT_TIMEOUT).await?;
        let published = serde_json::from_slice::<Published>(&answer.body).ok();
        match (answer.status.as_u16(), published) {
            (200 | 202 | 422, Some(published)) => Ok(Submission {
                item_hash: message.item_hash.clone(),
                status: published.message_status.unwrap_or(Status::Pending),
                failed: published.publication_status.failed,
            }),
            (422, None) => Err(malformed_message(message, &answer.body)),
            (200 | 202, None) => Err(self
                .node
                .malformed(&answer.url, "no publication status".into())),
            _ => Err(self.node.refused(&answer)),
        }
    }

    /// Submits and follows the message until it is processed.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason, [`Error::StillPending`] after the
    /// deadline; otherwise connection errors.
    pub async fn publish(
        &self,
        message: &Message,
        deadline: Duration,
    ) -> Result<MessageRecord, Error> {
        let begun = Instant::now();
        self.submit(message, Wait::Verdict).await?;
        self.wait_until_processed(&message.item_hash, deadline.saturating_sub(begun.elapsed()))
            .await
    }

    /// Looks at a message until this node has processed it. A message that is
    /// unknown there counts as pending, because it may still arrive.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn wait_until_processed(
        &self,
        hash: &ItemHash,
        deadline: Duration,
    ) -> Result<MessageRecord, Error> {
        let until = Instant::now() + deadline;
        let mut pause = Duration::from_millis(20);
        loop {
            let record = self.message(hash).await?;
            let pending = |reason: &str| Error::StillPending {
                item_hash: hash.clone(),
                seconds: deadline.as_secs(),
                reason: reason.to_owned(),
            };
            let state = match record {
                Some(record) if record.status == Status::Rejected => return Err(record.rejected()),
                Some(record) if record.status == Status::Pending => {
                    pending("the node has not found everything it needs to judge it")
                }
                Some(record) => return Ok(record),
                None => pending("it has not arrived at this node"),
            };
            if Instant::now() + pause > until {
                return Err(state);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::POLL_PAUSE);
        }
    }

    /// Everything the node knows about a message; `None` when it is unknown.
    pub async fn message(&self, hash: &ItemHash) -> Result<Option<MessageRecord>, Error> {
        self.node
            .find(self.node.get(&["api", "v0", "messages", hash.as_str()]))
            .await
    }

    /// Status of a message; `None` when it is unknown (core-api.md §3.5).
    pub async fn status(&self, hash: &ItemHash) -> Result<Option<Status>, Error> {
        #[derive(Deserialize)]
        struct Brief {
            status: Status,
        }
        let request = self
            .node
            .get(&["api", "v0", "messages", hash.as_str(), "status"]);
        let brief: Option<Brief> = self.node.find(request).await?;
        Ok(brief.map(|brief| brief.status))
    }

    /// One page of messages, newest first (core-api.md §3.1).
    pub async fn messages(&self, filter: &MessageFilter) -> Result<Vec<ListedMessage>, Error> {
        #[derive(Deserialize)]
        struct Page {
            messages: Vec<Value>,
        }
        let request = self
            .node
            .get(&["api", "v0", "messages.json"])
            .query(&filter.query());
        let page: Page = self.node.fetch(request).await?;
        let url = self.node.url(&["api", "v0", "messages.json"]);
        page.messages
            .into_iter()
            .map(|raw| {
                ListedMessage::parse(raw)
                    .map_err(|reason| self.node.malformed(url.as_str(), reason))
            })
            .collect()
    }
}

impl ListedMessage {
    /// Reads a message as listed (L) or typed (T) (core-api.md §1.11).
    ///
    /// # Errors
    /// A text when it is no message, or when its inline content does not have
    /// its hash.
    pub fn parse(raw: Value) -> Result<ListedMessage, String> {
        let message = Message::parse(&raw).map_err(|rejection| rejection.to_string())?;
        let content = raw.get("content").cloned().unwrap_or(Value::Null);
        let confirmed = raw
            .get("confirmed")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        Ok(ListedMessage {
            message,
            content,
            confirmed,
            raw,
        })
    }
}

impl MessageRecord {
    /// The message itself, where the status still has one in full.
    pub fn message(&self) -> Option<ListedMessage> {
        self.members
            .get("message")
            .cloned()
            .and_then(|raw| ListedMessage::parse(raw).ok())
    }

    /// This record as the error it is when it was rejected.
    pub fn rejected(&self) -> Error {
        Error::Rejected {
            item_hash: self.item_hash.clone(),
            code: self
                .members
                .get("error_code")
                .and_then(Value::as_i64)
                .and_then(|code| i32::try_from(code).ok()),
            details: self.members.get("details").cloned().unwrap_or(Value::Null),
        }
    }

    /// The record as one JSON object, as served.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("status".into(), self.status.as_str().into());
        object.insert("item_hash".into(), self.item_hash.as_str().into());
        object.insert("reception_time".into(), self.reception_time.clone().into());
        object.extend(self.members.clone());
        Value::Object(object)
    }
}

impl MessageFilter {
    /// The query parameters.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let hashes = |list: &[ItemHash]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let types: Vec<String> = self.types.iter().map(ToString::to_string).collect();
        let lists = [
            ("hashes", hashes(&self.hashes)),
            ("msgTypes", types),
            ("addresses", self.senders.clone()),
            ("owners", self.owners.clone()),
            ("refs", self.refs.clone()),
            ("channels", self.channels.clone()),
            ("contentTypes", self.post_types.clone()),
            ("contentKeys", self.keys.clone()),
            ("contentHashes", hashes(&self.files)),
        ];
        let mut query: Vec<(&'static str, String)> = lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| (name, list.join(",")))
            .collect();
        query.extend(
            self.start
                .map(|start| ("startDate", start.seconds_f64().to_string())),
        );
        query.extend(self.page.map(|page| ("page", page.to_string())));
        query.extend(
            self.per_page
                .map(|per_page| ("pagination", per_page.to_string())),
        );
        query
    }
}

pub(super) fn malformed_message(message: &Message, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body)
        .trim()
        .chars()
        .take(2_000)
        .collect::<String>();
    Error::Rejected {
        item_hash: message.item_hash.clone(),
        code: None,
        details: json!({ "errors": [text] }),
    }
}
