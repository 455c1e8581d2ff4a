//! Sending messages (core-api.md §4).
#![allow(dead_code, missing_docs)]

use utoipa::ToSchema;

use super::words::{Chain, ItemHash, ItemType, MessageType};

/// A message, and whether to wait for what becomes of it.
#[derive(ToSchema)]
pub struct Submission {
    message: SignedMessage,
    #[schema(required = false, default = false)]
    sync: bool,
}

/// A message. Other members are passed on and ignored.
#[derive(ToSchema)]
pub struct SignedMessage {
    sender: String,
    chain: Chain,
    /// Over chain, sender, type and item hash. A message without is refused later.
    #[schema(required = false)]
    signature: Option<String>,
    r#type: MessageType,
    #[schema(required = false)]
    item_type: ItemType,
    /// The content as JSON text, when it is inline.
    #[schema(required = false)]
    item_content: Option<String>,
    item_hash: ItemHash,
    /// Seconds since the epoch.
    time: f64,
    #[schema(required = false)]
    channel: Option<String>,
}

/// A message for the network, as older clients send it.
#[derive(ToSchema)]
pub struct Publication {
    /// The topic of messages, nothing else.
    topic: String,
    /// A message as JSON text, or as an object.
    data: PublishedMessage,
}

#[derive(ToSchema)]
#[serde(untagged)]
pub enum PublishedMessage {
    Text(String),
    Message(SignedMessage),
}

/// Which carriers took a message.
#[derive(ToSchema)]
pub struct PublicationStatus {
    status: PublicationWord,
    failed: Vec<Carrier>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum PublicationWord {
    Success,
    Warning,
    Error,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Carrier {
    Ipfs,
    P2p,
}

/// What became of a submission.
#[derive(ToSchema)]
pub struct SubmissionStatus {
    publication_status: PublicationStatus,
    #[schema(required)]
    message_status: Option<SubmissionWord>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum SubmissionWord {
    Pending,
    Processed,
    Rejected,
}
