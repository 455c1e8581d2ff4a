//! What an account has: aggregates, posts, balances, prices (core-api.md §5–§8).

use std::collections::BTreeMap;

use beth_protocol::{ItemHash, Message};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Client;
use crate::error::Error;
use crate::limits;

/// Tokens and credits of an address (core-api.md §7.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Whose.
    pub address: String,
    /// ALEPH over all chains.
    pub balance: f64,
    /// ALEPH by chain.
    #[serde(default)]
    pub details: Option<BTreeMap<String, f64>>,
    /// ALEPH held back by what the address runs and stores.
    #[serde(default)]
    pub locked_amount: f64,
    /// Credits.
    #[serde(default)]
    pub credit_balance: f64,
}

/// What a message costs (core-api.md §8.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Total in the unit of the payment type, 18 decimals.
    pub cost: String,
    /// `hold`, `superfluid` or `credit`.
    pub payment_type: String,
    /// `cost` as a number.
    pub required_tokens: f64,
    /// Parts of the total, as served.
    #[serde(default)]
    pub detail: Vec<Value>,
}

/// Which posts to list; empty members do not filter (core-api.md §5.0).
#[derive(Clone, Debug, Default)]
pub struct PostFilter {
    /// Original messages.
    pub hashes: Vec<ItemHash>,
    /// Owners.
    pub addresses: Vec<String>,
    /// Original types.
    pub types: Vec<String>,
    /// `ref` of the originals.
    pub refs: Vec<String>,
    /// Tags of the newest versions.
    pub tags: Vec<String>,
    /// Channels.
    pub channels: Vec<String>,
    /// 1-based; `None` = 1.
    pub page: Option<u32>,
    /// Posts per page; `None` = 20, 0 = all.
    pub per_page: Option<u32>,
}

/// A post with its newest amend merged (core-api.md §5.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// The newest version.
    pub item_hash: ItemHash,
    /// Its inner content.
    pub content: Value,
    /// The original.
    pub original_item_hash: ItemHash,
    /// Type of the original.
    pub original_type: String,
    /// Owner.
    pub address: String,
    /// `ref` of the original.
    #[serde(rename = "ref", default)]
    pub reference: Value,
    /// Channel of the original.
    #[serde(default)]
    pub channel: Option<String>,
    /// ISO.
    pub created: String,
    /// ISO.
    pub last_updated: String,
}

impl Client {
    /// One key of an address's key-value store; `None` when it was never set.
    pub async fn aggregate(&self, address: &str, key: &str) -> Result<Option<Value>, Error> {
        #[derive(Deserialize)]
        struct Aggregates {
            data: serde_json::Map<String, Value>,
        }
        let request = self
            .node
            .get(&["api", "v0", "aggregates", &format!("{address}.json")])
            .query(&[("keys", key)]);
        let found: Option<Aggregates> = self.node.find(request).await?;
        Ok(found.and_then(|mut found| found.data.remove(key)))
    }

    /// One page of posts, newest first.
    pub async fn posts(&self, filter: &PostFilter) -> Result<Vec<Post>, Error> {
        #[derive(Deserialize)]
        struct Page {
            posts: Vec<Post>,
        }
        let page: Page = self
            .node
            .fetch(
                self.node
                    .get(&["api", "v1", "posts.json"])
                    .query(&filter.query()),
            )
            .await?;
        Ok(page.posts)
    }

    /// What an address has. Unknown addresses have nothing.
    pub async fn balance(&self, address: &str) -> Result<Balance, Error> {
        self.node
            .fetch(
                self.node
                    .get(&["api", "v0", "addresses", address, "balance"]),
            )
            .await
    }

    /// What a message would cost (core-api.md §8.2). Its signature is not looked at.
    pub async fn price_estimate(&self, message: &Message) -> Result<Price, Error> {
        let request = self
            .node
            .post(&["api", "v0", "price", "estimate"])
            .json(&json!({ "message": message }));
        let answer = self.node.ask(request, limits::REQUEST_TIMEOUT).await?;
        self.node.json(&answer)
    }

    /// What a processed message costs; `None` when it is unknown or costs nothing.
    pub async fn price(&self, hash: &ItemHash) -> Result<Option<Price>, Error> {
        self.node
            .find(self.node.get(&["api", "v0", "price", hash.as_str()]))
            .await
    }
}

impl PostFilter {
    /// The query parameters.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let hashes: Vec<String> = self.hashes.iter().map(ToString::to_string).collect();
        let lists = [
            ("hashes", hashes),
            ("addresses", self.addresses.clone()),
            ("types", self.types.clone()),
            ("refs", self.refs.clone()),
            ("tags", self.tags.clone()),
            ("channels", self.channels.clone()),
        ];
        let mut query: Vec<(&'static str, String)> = lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| (name, list.join(",")))
            .collect();
        query.extend(self.page.map(|page| ("page", page.to_string())));
        query.extend(
            self.per_page
                .map(|per_page| ("pagination", per_page.to_string())),
        );
        query
    }
}
