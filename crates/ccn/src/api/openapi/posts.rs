//! Posts (core-api.md §5).
#![allow(dead_code, missing_docs)]

use serde_json::Value;
use utoipa::ToSchema;

use super::messages::Confirmation;
use super::words::{Chain, ItemHash, ItemType, Moment};

/// A page of posts, in the older form.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum OlderPostPage {
    Numbered(NumberedOlderPosts),
    Following(FollowingOlderPosts),
}

/// A page of posts.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum PostPage {
    Numbered(NumberedPosts),
    Following(FollowingPosts),
}

/// A page of posts by its number.
#[derive(ToSchema)]
pub struct NumberedOlderPosts {
    posts: Vec<OlderPost>,
    pagination_page: u64,
    pagination_total: u64,
    /// As asked for; 0 means everything.
    pagination_per_page: u64,
    #[schema(pattern = "^posts$")]
    pagination_item: String,
}

/// A page of posts by its cursor.
#[derive(ToSchema)]
pub struct FollowingOlderPosts {
    posts: Vec<OlderPost>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A page of posts by its number.
#[derive(ToSchema)]
pub struct NumberedPosts {
    posts: Vec<Post>,
    pagination_page: u64,
    pagination_total: u64,
    /// As asked for; 0 means everything.
    pagination_per_page: u64,
    #[schema(pattern = "^posts$")]
    pagination_item: String,
}

/// A page of posts by its cursor.
#[derive(ToSchema)]
pub struct FollowingPosts {
    posts: Vec<Post>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A post with its latest amend. Clients refuse any other member.
#[derive(ToSchema)]
pub struct OlderPost {
    /// Of the original.
    chain: Chain,
    /// Of the latest amend, else of the original.
    item_hash: ItemHash,
    /// The owner, whoever signed.
    sender: String,
    /// `amend`, or the type of the post.
    r#type: String,
    /// Of the original.
    #[schema(required)]
    channel: Option<String>,
    /// Whether the latest version is confirmed.
    confirmed: bool,
    content: Value,
    #[schema(required)]
    item_content: Option<String>,
    item_type: ItemType,
    #[schema(required)]
    signature: Option<String>,
    /// Characters of an inline content, bytes of any other.
    size: u64,
    /// Of the latest version, in seconds since the epoch.
    time: f64,
    confirmations: Vec<Confirmation>,
    original_item_hash: ItemHash,
    #[schema(required)]
    original_signature: Option<String>,
    original_type: String,
    /// The same as `original_item_hash`.
    hash: ItemHash,
    /// The owner.
    address: String,
    /// What the original refers to.
    r#ref: Value,
}

/// A post with its latest amend.
#[derive(ToSchema)]
pub struct Post {
    /// Of the latest amend, else of the original.
    item_hash: ItemHash,
    content: Value,
    original_item_hash: ItemHash,
    original_type: String,
    /// The owner.
    address: String,
    /// What the original refers to.
    r#ref: Value,
    /// Of the original.
    #[schema(required)]
    channel: Option<String>,
    created: Moment,
    last_updated: Moment,
}
