//! Aggregates (core-api.md §6).
#![allow(dead_code, missing_docs)]

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::words::{ItemHash, Moment};

/// The keys of an address; or the bare value of one.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AggregateAnswer {
    Keys(AggregatesOfAddress),
    /// With `value_only`.
    Value(Value),
}

/// The keys of an address.
#[derive(ToSchema)]
pub struct AggregatesOfAddress {
    address: String,
    /// Values by key.
    #[schema(value_type = Object)]
    data: Value,
    /// With `with_info`: when and by what each key was written; else empty.
    info: HashMap<String, AggregateInfo>,
}

/// When and by which messages a key was written.
#[derive(ToSchema)]
pub struct AggregateInfo {
    created: Moment,
    last_updated: Moment,
    original_item_hash: ItemHash,
    last_update_item_hash: ItemHash,
}

/// A page of aggregates: by number, or by cursor.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AggregatePage {
    Numbered(NumberedAggregates),
    Following(FollowingAggregates),
}

/// A page of aggregates by its number.
#[derive(ToSchema)]
pub struct NumberedAggregates {
    aggregates: Vec<Aggregate>,
    pagination_per_page: u64,
    pagination_page: u64,
    pagination_total: u64,
    #[schema(pattern = "^aggregates$")]
    pagination_item: String,
}

/// A page of aggregates by its cursor.
#[derive(ToSchema)]
pub struct FollowingAggregates {
    aggregates: Vec<Aggregate>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One key of one owner.
#[derive(ToSchema)]
pub struct Aggregate {
    /// The owner.
    address: String,
    key: String,
    /// Every revision, merged.
    #[schema(value_type = Object)]
    content: Value,
    created: Moment,
    last_updated: Moment,
}
