//! AGGREGATE: one revision of a key of the owner's key-value store
//! (messages.md §8.3).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Content of an AGGREGATE message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateContent {
    /// Owner.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// A string, or `{"name": string}` which counts as that string.
    pub key: Value,
    /// Members to merge over the aggregate.
    pub content: Map<String, Value>,
}

impl AggregateContent {
    /// The key as text.
    pub fn key(&self) -> &str {
        match &self.key {
            Value::String(text) => text,
            Value::Object(object) => object
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            _ => "",
        }
    }
}
