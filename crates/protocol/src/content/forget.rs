//! FORGET: deletes messages and aggregates (messages.md §8.5).

use serde::{Deserialize, Serialize};

use crate::ItemHash;

/// Content of a FORGET message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForgetContent {
    /// Owner of the aggregates named below; free otherwise.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// Messages to forget.
    pub hashes: Vec<ItemHash>,
    /// Keys of aggregates to forget.
    #[serde(default)]
    pub aggregates: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub reason: Option<String>,
}
