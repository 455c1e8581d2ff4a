//! Lists of what everybody has, got, did and granted (core-api.md §6.3, §7).
#![allow(dead_code, missing_docs)]

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::accounts::MessageCounts;
use super::words::{ItemHash, Moment};

/// A page of statistics: by number, or by cursor.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum StatisticsPage {
    Numbered(NumberedStatistics),
    Following(FollowingStatistics),
}

/// A page of statistics by its number.
#[derive(ToSchema)]
pub struct NumberedStatistics {
    /// By address, in the order of the list.
    data: HashMap<String, MessageCounts>,
    pagination_per_page: u64,
    pagination_page: u64,
    pagination_total: u64,
    #[schema(pattern = "^addresses$")]
    pagination_item: String,
}

/// A page of statistics by its cursor.
#[derive(ToSchema)]
pub struct FollowingStatistics {
    /// By address, in the order of the list.
    data: HashMap<String, MessageCounts>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A page of token balances: by number, or by cursor.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum BalancePage {
    Numbered(NumberedBalances),
    Following(FollowingBalances),
}

/// A page of token balances by its number.
#[derive(ToSchema)]
pub struct NumberedBalances {
    balances: Vec<Holding>,
    pagination_page: u64,
    pagination_per_page: u64,
    pagination_total: u64,
    #[schema(pattern = "^balances$")]
    pagination_item: String,
}

/// A page of token balances by its cursor.
#[derive(ToSchema)]
pub struct FollowingBalances {
    balances: Vec<Holding>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Tokens of an address on a chain.
#[derive(ToSchema)]
pub struct Holding {
    address: String,
    balance: f64,
    chain: String,
}

/// A page of credit balances: by number, or by cursor.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum CreditBalancePage {
    Numbered(NumberedCreditBalances),
    Following(FollowingCreditBalances),
}

/// A page of credit balances by its number.
#[derive(ToSchema)]
pub struct NumberedCreditBalances {
    credit_balances: Vec<CreditHolder>,
    pagination_page: u64,
    pagination_per_page: u64,
    pagination_total: u64,
    #[schema(pattern = "^credit_balances$")]
    pagination_item: String,
}

/// A page of credit balances by its cursor.
#[derive(ToSchema)]
pub struct FollowingCreditBalances {
    credit_balances: Vec<CreditHolder>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Credits of an address that are left.
#[derive(ToSchema)]
pub struct CreditHolder {
    address: String,
    credits: u64,
}

/// A page of a credit history: by number, or by cursor. Their times and prices
/// differ in kind.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum CreditPage {
    Numbered(NumberedCredits),
    Following(FollowingCredits),
}

/// A page of a credit history by its number.
#[derive(ToSchema)]
pub struct NumberedCredits {
    address: String,
    credit_history: Vec<CreditEntry>,
    pagination_page: u64,
    pagination_total: u64,
    /// As asked for; 0 means everything.
    pagination_per_page: u64,
}

/// Credits that came, or went.
#[derive(ToSchema)]
pub struct CreditEntry {
    /// Less than nothing: credits that went.
    amount: i64,
    /// A decimal text.
    #[schema(required)]
    price: Option<String>,
    #[schema(required)]
    bonus_amount: Option<i64>,
    #[schema(required)]
    tx_hash: Option<String>,
    #[schema(required)]
    token: Option<String>,
    #[schema(required)]
    chain: Option<String>,
    #[schema(required)]
    provider: Option<String>,
    #[schema(required)]
    origin: Option<String>,
    #[schema(required)]
    origin_ref: Option<String>,
    #[schema(required)]
    payment_method: Option<String>,
    /// The message that says so.
    credit_ref: ItemHash,
    credit_index: u64,
    #[schema(required)]
    expiration_date: Option<Moment>,
    message_timestamp: Moment,
    #[schema(required)]
    expense_count: Option<i64>,
    /// A decimal text.
    #[schema(required)]
    expense_size_mib: Option<String>,
}

/// A page of a credit history by its cursor.
#[derive(ToSchema)]
pub struct FollowingCredits {
    address: String,
    credit_history: Vec<FollowingCreditEntry>,
    pagination_per_page: u64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Credits that came, or went.
#[derive(ToSchema)]
pub struct FollowingCreditEntry {
    /// Less than nothing: credits that went.
    amount: i64,
    #[schema(required)]
    price: Option<f64>,
    #[schema(required)]
    bonus_amount: Option<i64>,
    #[schema(required)]
    tx_hash: Option<String>,
    #[schema(required)]
    token: Option<String>,
    #[schema(required)]
    chain: Option<String>,
    #[schema(required)]
    provider: Option<String>,
    #[schema(required)]
    origin: Option<String>,
    #[schema(required)]
    origin_ref: Option<String>,
    #[schema(required)]
    payment_method: Option<String>,
    /// The message that says so.
    credit_ref: ItemHash,
    credit_index: u64,
    /// Seconds since the epoch.
    #[schema(required)]
    expiration_date: Option<f64>,
    /// Seconds since the epoch.
    message_timestamp: f64,
    #[schema(required)]
    expense_count: Option<i64>,
    /// A decimal text.
    #[schema(required)]
    expense_size_mib: Option<String>,
}

/// A credit history in numbers.
#[derive(ToSchema)]
pub struct CreditSummary {
    address: String,
    entry_count: u64,
    total_amount: i64,
    total_incoming: i64,
    /// Zero or less.
    total_outgoing: i64,
}

/// Rights by the address that has them, or gave them.
#[derive(ToSchema)]
pub struct Authorizations {
    /// Entries as written, without the address they name.
    #[schema(value_type = Object)]
    authorizations: Value,
    pagination_page: u64,
    pagination_per_page: u64,
    pagination_total: u64,
    #[schema(pattern = "^authorizations$")]
    pagination_item: String,
    address: String,
}
