//! STORE: keeps a file on the network (messages.md §8.4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Payment;
use crate::{ItemHash, ItemType};

/// Content of a STORE message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreContent {
    /// Owner.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// Engine of the file; must be the class of `item_hash`.
    pub item_type: ItemType,
    /// The file.
    pub item_hash: ItemHash,
    /// Informational.
    #[serde(default)]
    pub size: Option<i64>,
    /// Informational.
    #[serde(default)]
    pub content_type: Option<String>,
    /// First version of the file (a STORE message hash), or a label of the owner.
    #[serde(rename = "ref", default)]
    pub reference: Option<String>,
    /// Search tags.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Free.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// `None` = hold.
    #[serde(default)]
    pub payment: Option<Payment>,
}
