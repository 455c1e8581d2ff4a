//! What leaves the store: rows of messages, rejections, files.

use beth_protocol::time::Timestamp;
use beth_protocol::{Message, Rejection, Status};
use serde_json::Value;

/// A processed (or removing) message.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMessage {
    /// Envelope.
    pub message: Message,
    /// Content, as the client wrote it.
    pub content: Value,
    /// Characters of inline content, bytes otherwise.
    pub size: u64,
    /// `Processed` or `Removing`.
    pub status: Status,
    /// When this node first saw it.
    pub reception_time: Timestamp,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingMessage {
    /// Row.
    pub id: i64,
    /// The envelope as received.
    pub message: Value,
    /// Tries so far.
    pub retries: i64,
    /// Next try.
    pub next_attempt: Timestamp,
    /// Why it waits: code and details.
    pub reason: Option<(i32, Value)>,
    /// When this node first saw it.
    pub reception_time: Timestamp,
    /// `p2p`, `ipfs` or `onchain`.
    pub origin: String,
}

/// A refused message.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedMessage {
    /// The pending message, with its content when that was known.
    pub message: Value,
    /// Number of the code.
    pub error_code: i32,
    /// `{"errors": […]}` or null.
    pub details: Value,
}

/// What became of a message handed to the writer.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Applied now.
    Processed,
    /// Applied before.
    Known,
    /// Waits for something; tried again.
    Pending(Rejection),
    /// Refused.
    Rejected(Rejection),
    /// Known under a final status (forgotten, removed): nothing happened.
    Final(Status),
}
