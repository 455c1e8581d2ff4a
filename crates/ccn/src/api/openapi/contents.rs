//! Contents of messages as the node understands them: what the author left
//! out is there with its default (core-api.md §1.11).
#![allow(dead_code, missing_docs)]

use serde_json::Value;
use utoipa::ToSchema;

use super::machines::{InstanceContent, ProgramContent, VerifiedProgramContent};
use super::words::{Chain, ItemHash, ItemType, PaymentType};

/// The content of a message, by its type.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Content {
    Post(PostContent),
    Aggregate(AggregateContent),
    Store(StoreContent),
    Forget(ForgetContent),
    Instance(InstanceContent),
    Program(ProgramContent),
    VerifiedProgram(VerifiedProgramContent),
}

/// Of a POST: anything, with a type.
#[derive(ToSchema)]
pub struct PostContent {
    /// In whose name.
    address: String,
    /// Seconds since the epoch.
    time: f64,
    content: Value,
    /// What it refers to; for an amend, the post.
    r#ref: Value,
    r#type: String,
}

/// Of an AGGREGATE: members to merge into the object of a key.
#[derive(ToSchema)]
pub struct AggregateContent {
    address: String,
    time: f64,
    /// A text, or an object with a `name`.
    key: Value,
    #[schema(value_type = Object)]
    content: Value,
}

/// Of a STORE: the file that is to be kept.
#[derive(ToSchema)]
pub struct StoreContent {
    address: String,
    time: f64,
    item_type: ItemType,
    item_hash: ItemHash,
    #[schema(required)]
    size: Option<i64>,
    #[schema(required)]
    content_type: Option<String>,
    /// The STORE that this one updates, or a name of the owner's.
    #[schema(required)]
    r#ref: Option<String>,
    #[schema(required)]
    tags: Option<Vec<String>>,
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(required)]
    payment: Option<Payment>,
}

/// Of a FORGET: what is to be forgotten.
#[derive(ToSchema)]
pub struct ForgetContent {
    address: String,
    time: f64,
    hashes: Vec<ItemHash>,
    aggregates: Vec<String>,
    #[schema(required)]
    reason: Option<String>,
}

/// How a message is paid for.
#[derive(ToSchema)]
pub struct Payment {
    #[schema(required)]
    chain: Option<Chain>,
    #[schema(required)]
    receiver: Option<String>,
    r#type: PaymentType,
}
