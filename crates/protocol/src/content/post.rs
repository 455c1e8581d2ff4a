//! POST: anything, of a type the user defines; `amend` changes an earlier one
//! (messages.md §8.2).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Content of a POST message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostContent {
    /// Owner.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// Any JSON.
    #[serde(default)]
    pub content: Value,
    /// Free reference; the original's item hash when `type` is `amend`. A
    /// string, or a chain reference object.
    #[serde(rename = "ref", default)]
    pub reference: Value,
    /// User-defined type; `amend` is reserved.
    #[serde(rename = "type")]
    pub post_type: String,
}

impl PostContent {
    /// True for `type = amend`.
    pub fn is_amend(&self) -> bool {
        self.post_type == "amend"
    }

    /// The reference as text; a chain reference counts as its item hash.
    pub fn reference(&self) -> Option<&str> {
        match &self.reference {
            Value::String(text) => Some(text),
            Value::Object(chain_ref) => chain_ref.get("item_hash").and_then(Value::as_str),
            _ => None,
        }
    }
}
