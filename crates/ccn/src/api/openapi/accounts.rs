//! What addresses have and did (core-api.md §7).
#![allow(dead_code, missing_docs)]

use std::collections::HashMap;

use utoipa::ToSchema;

use super::words::{ItemHash, Moment};

/// What an address owns.
#[derive(ToSchema)]
pub struct Balance {
    address: String,
    /// Tokens on all chains, or on the one that was asked for.
    balance: f64,
    /// Tokens by chain; empty when one was asked for.
    details: HashMap<String, f64>,
    /// Tokens that must be held for what the address runs and stores.
    locked_amount: f64,
    /// Credits that are left.
    credit_balance: u64,
    /// With `include_credit_details`: lots of credits.
    #[schema(required)]
    credit_balance_details: Option<Vec<CreditLot>>,
}

/// Credits that expire together.
#[derive(ToSchema)]
pub struct CreditLot {
    #[schema(required)]
    expiration_date: Option<Moment>,
    amount: u64,
}

/// A page of files: by number, or by cursor. Their times differ in kind.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum FilePage {
    Numbered(NumberedFiles),
    Following(FollowingFiles),
}

/// A page of files by its number.
#[derive(ToSchema)]
pub struct NumberedFiles {
    address: String,
    /// Bytes of all files of the address, whatever was asked for.
    total_size: u64,
    files: Vec<StoredFile>,
    pagination_page: u64,
    pagination_total: u64,
    /// As asked for; 0 means everything.
    pagination_per_page: u64,
}

/// A file that a STORE message of the address names.
#[derive(ToSchema)]
pub struct StoredFile {
    file_hash: ItemHash,
    size: u64,
    r#type: FileKind,
    created: Moment,
    /// The STORE message.
    item_hash: ItemHash,
}

/// A page of files by its cursor.
#[derive(ToSchema)]
pub struct FollowingFiles {
    address: String,
    /// Bytes of all files of the address, as a number with a fraction.
    total_size: f64,
    files: Vec<FollowingFile>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A file that a STORE message of the address names.
#[derive(ToSchema)]
pub struct FollowingFile {
    file_hash: ItemHash,
    size: u64,
    r#type: FileKind,
    /// Seconds since the epoch.
    created: f64,
    /// The STORE message.
    item_hash: ItemHash,
}

/// A file or a directory.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum FileKind {
    File,
    Dir,
}

/// Types of posts that an address signed.
#[derive(ToSchema)]
pub struct PostTypes {
    address: String,
    post_types: Vec<String>,
}

/// Channels that an address used.
#[derive(ToSchema)]
pub struct ChannelsOfAddress {
    address: String,
    channels: Vec<String>,
}

/// Counts of messages, by who signed them.
#[derive(ToSchema)]
pub struct Statistics {
    data: HashMap<String, MessageCounts>,
}

/// Messages in force, by type. Clients refuse any other member.
#[derive(ToSchema)]
pub struct MessageCounts {
    /// Of every type.
    messages: u64,
    aggregate: u64,
    forget: u64,
    instance: u64,
    post: u64,
    program: u64,
    store: u64,
}
