//! Messages as lists and look-ups show them (core-api.md §1.11, §3).
#![allow(dead_code, missing_docs)]

use serde_json::Value;
use utoipa::ToSchema;

use super::contents::Content;
use super::words::{Chain, ItemHash, ItemType, MessageType, Moment, PaymentType, Status};

/// A transaction of a chain that says when a message was there.
#[derive(ToSchema)]
pub struct Confirmation {
    chain: Chain,
    /// Hash of the transaction.
    hash: String,
    /// Height of its block.
    height: u64,
}

/// A page of messages: by number, or by cursor.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum MessagePage {
    Numbered(NumberedMessages),
    Following(FollowingMessages),
}

/// A page of messages by its number.
#[derive(ToSchema)]
pub struct NumberedMessages {
    messages: Vec<AnyListed>,
    #[schema(pattern = "^messages$")]
    pagination_item: String,
    pagination_page: u64,
    /// As asked for; 0 means everything.
    pagination_per_page: u64,
    pagination_total: u64,
}

/// A page of messages by its cursor.
#[derive(ToSchema)]
pub struct FollowingMessages {
    messages: Vec<AnyListed>,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
    pagination_per_page: u64,
}

/// A message in force, or what is kept of one that is gone.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AnyListed {
    InForce(ListedMessage),
    Forgotten(ForgottenItem),
    Removed(RemovedItem),
}

/// A message as it was sent.
#[derive(ToSchema)]
pub struct ListedMessage {
    chain: Chain,
    #[schema(required)]
    channel: Option<String>,
    confirmations: Vec<Confirmation>,
    confirmed: bool,
    /// The content as its author wrote it; cut or left out by `contentFormat`.
    #[schema(value_type = Object, required = false)]
    content: Value,
    /// The signed text of an inline content.
    #[schema(required)]
    item_content: Option<String>,
    item_hash: ItemHash,
    item_type: ItemType,
    sender: String,
    #[schema(required)]
    signature: Option<String>,
    /// Characters of an inline content, bytes of any other.
    size: u64,
    /// Seconds since the epoch.
    time: f64,
    r#type: MessageType,
}

/// What is kept of a forgotten message.
#[derive(ToSchema)]
pub struct ForgottenItem {
    #[schema(required)]
    chain: Option<Chain>,
    #[schema(required)]
    channel: Option<String>,
    /// Seconds since the epoch.
    #[schema(required)]
    forgotten_at: Option<f64>,
    /// FORGET messages.
    forgotten_by: Vec<ItemHash>,
    item_hash: ItemHash,
    #[schema(required)]
    item_type: Option<ItemType>,
    #[schema(required)]
    owner: Option<String>,
    #[schema(required)]
    payment_type: Option<PaymentType>,
    #[schema(required)]
    sender: Option<String>,
    #[schema(required)]
    signature: Option<String>,
    /// Bytes of its file.
    #[schema(required)]
    size: Option<u64>,
    #[schema(pattern = "^forgotten$")]
    status: String,
    #[schema(required)]
    time: Option<f64>,
    #[schema(required)]
    r#type: Option<MessageType>,
}

/// What is kept of a message that was removed because nobody paid for it.
#[derive(ToSchema)]
pub struct RemovedItem {
    #[schema(required)]
    chain: Option<Chain>,
    #[schema(required)]
    channel: Option<String>,
    item_hash: ItemHash,
    #[schema(required)]
    item_type: Option<ItemType>,
    #[schema(required)]
    owner: Option<String>,
    #[schema(required)]
    payment_type: Option<PaymentType>,
    /// Seconds since the epoch.
    #[schema(required)]
    removed_at: Option<f64>,
    #[schema(required)]
    sender: Option<String>,
    #[schema(required)]
    signature: Option<String>,
    /// Bytes of its file.
    #[schema(required)]
    size: Option<u64>,
    #[schema(pattern = "^removed$")]
    status: String,
    #[schema(required)]
    time: Option<f64>,
    #[schema(required)]
    r#type: Option<MessageType>,
}

/// A page of item hashes.
#[derive(ToSchema)]
pub struct HashPage {
    hashes: Vec<HashItem>,
    #[schema(pattern = "^hashes$")]
    pagination_item: String,
    pagination_page: u64,
    pagination_per_page: u64,
    pagination_total: u64,
}

/// A hash alone, or with `hash_only=false` what became of it.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum HashItem {
    Hash(ItemHash),
    Status(MessageStatus),
}

/// What became of a message, and since when the node knows of it.
#[derive(ToSchema)]
pub struct MessageStatus {
    status: Status,
    item_hash: ItemHash,
    reception_time: Moment,
}

/// Credits that a resource used up.
#[derive(ToSchema)]
pub struct ConsumedCredits {
    /// As asked for: it is not checked.
    item_hash: String,
    consumed_credits: u64,
}

/// A message as the node understood it.
#[derive(ToSchema)]
pub struct TypedMessage {
    sender: String,
    chain: Chain,
    #[schema(required)]
    signature: Option<String>,
    r#type: MessageType,
    #[schema(required)]
    item_content: Option<String>,
    item_type: ItemType,
    item_hash: ItemHash,
    /// Seconds since the epoch.
    time: f64,
    #[schema(required)]
    channel: Option<String>,
    /// Left out by streams with `contentFormat` other than `full`.
    #[schema(required = false)]
    content: Content,
    confirmed: bool,
    confirmations: Vec<Confirmation>,
}

/// Everything known of a message; the members depend on its status.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum KnownMessage {
    Pending(PendingStatus),
    Processed(ProcessedStatus),
    Removing(RemovingStatus),
    Forgotten(ForgottenStatus),
    Rejected(RejectedStatus),
    Removed(RemovedStatus),
}

/// It waits for something.
#[derive(ToSchema)]
pub struct PendingStatus {
    #[schema(pattern = "^pending$")]
    status: String,
    item_hash: ItemHash,
    reception_time: Moment,
    /// The copies that wait.
    messages: Vec<PendingMessage>,
    /// What it waits for.
    #[schema(required = false)]
    waits: Waits,
}

/// A copy of a message that waits.
#[derive(ToSchema)]
pub struct PendingMessage {
    sender: String,
    chain: Chain,
    #[schema(required)]
    signature: Option<String>,
    r#type: MessageType,
    #[schema(required)]
    item_content: Option<String>,
    item_type: ItemType,
    item_hash: ItemHash,
    time: Moment,
    #[schema(required)]
    channel: Option<String>,
    #[schema(required, value_type = Option<Object>)]
    content: Option<Value>,
    reception_time: Moment,
}

/// Why a message waits, and until when.
#[derive(ToSchema)]
pub struct Waits {
    error_code: i32,
    #[schema(required, value_type = Option<Object>)]
    details: Option<Value>,
    /// What happened, and what to do.
    #[schema(required)]
    advice: Option<String>,
    /// Attempts so far.
    retries: u64,
    next_attempt: Moment,
}

/// It is in force.
#[derive(ToSchema)]
pub struct ProcessedStatus {
    #[schema(pattern = "^processed$")]
    status: String,
    item_hash: ItemHash,
    reception_time: Moment,
    message: TypedMessage,
}

/// It will be removed, because it is no longer paid for.
#[derive(ToSchema)]
pub struct RemovingStatus {
    #[schema(pattern = "^removing$")]
    status: String,
    item_hash: ItemHash,
    reception_time: Moment,
    message: TypedMessage,
    reason: RemovalReason,
}

/// What there is too little of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum RemovalReason {
    BalanceInsufficient,
    CreditInsufficient,
}

/// A FORGET message ended it.
#[derive(ToSchema)]
pub struct ForgottenStatus {
    #[schema(pattern = "^forgotten$")]
    status: String,
    item_hash: ItemHash,
    reception_time: Moment,
    message: ForgottenSkeleton,
    /// FORGET messages.
    forgotten_by: Vec<ItemHash>,
}

/// What is kept of it.
#[derive(ToSchema)]
pub struct ForgottenSkeleton {
    #[schema(required)]
    sender: Option<String>,
    #[schema(required)]
    chain: Option<Chain>,
    #[schema(required)]
    signature: Option<String>,
    #[schema(required)]
    r#type: Option<MessageType>,
    #[schema(required)]
    item_type: Option<ItemType>,
    item_hash: ItemHash,
    #[schema(required)]
    time: Option<Moment>,
    #[schema(required)]
    channel: Option<String>,
    #[schema(required)]
    owner: Option<String>,
    #[schema(required)]
    payment_type: Option<PaymentType>,
    #[schema(required)]
    size: Option<u64>,
    /// Seconds since the epoch.
    #[schema(required)]
    forgotten_at: Option<f64>,
}

/// The node refused it.
#[derive(ToSchema)]
pub struct RejectedStatus {
    #[schema(pattern = "^rejected$")]
    status: String,
    item_hash: ItemHash,
    reception_time: Moment,
    message: RejectedMessage,
    error_code: i32,
    #[schema(required, value_type = Option<Object>)]
    details: Option<Value>,
    /// What happened, and what to do.
    #[schema(required)]
    advice: Option<String>,
}

/// What was sent, as it was sent: it may lack anything.
#[derive(ToSchema)]
pub struct RejectedMessage {
    #[schema(required)]
    time: Option<f64>,
    r#type: Value,
    chain: Value,
    /// How the node got it.
    origin: Value,
    sender: Value,
    channel: Value,
    content: Value,
    item_hash: Value,
    item_type: Value,
    signature: Value,
    item_content: Value,
}

/// It was removed.
#[derive(ToSchema)]
pub struct RemovedStatus {
    #[schema(pattern = "^removed$")]
    status: String,
    item_hash: ItemHash,
    reception_time: Moment,
    message: RemovedSkeleton,
    reason: RemovalReason,
    /// Seconds since the epoch.
    #[schema(required)]
    removed_at: Option<f64>,
    /// Bytes of its file.
    #[schema(required)]
    size: Option<u64>,
}

/// What is kept of it.
#[derive(ToSchema)]
pub struct RemovedSkeleton {
    #[schema(required)]
    sender: Option<String>,
    #[schema(required)]
    chain: Option<Chain>,
    #[schema(required)]
    signature: Option<String>,
    #[schema(required)]
    r#type: Option<MessageType>,
    #[schema(required)]
    item_type: Option<ItemType>,
    item_hash: ItemHash,
    #[schema(required)]
    time: Option<f64>,
    #[schema(required)]
    channel: Option<String>,
    #[schema(required)]
    owner: Option<String>,
    #[schema(required)]
    payment_type: Option<PaymentType>,
    #[schema(required)]
    size: Option<u64>,
    /// Seconds since the epoch.
    #[schema(required)]
    removed_at: Option<f64>,
}
