//! Schema checks (placeholder).

use serde_json::Value;

use super::*;

/// One fault of a content.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemaError {
    /// Machine-readable kind, e.g. `missing`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where: keys and indexes, outermost first.
    pub loc: Vec<Value>,
    /// A sentence.
    pub msg: String,
}

pub(super) fn parse(message_type: MessageType, value: &Value) -> Result<Content, Vec<SchemaError>> {
    let parsed = match message_type {
        MessageType::Post => serde_json::from_value(value.clone()).map(Content::Post),
        MessageType::Aggregate => serde_json::from_value(value.clone()).map(Content::Aggregate),
        MessageType::Store => serde_json::from_value(value.clone()).map(Content::Store),
        MessageType::Program => serde_json::from_value(value.clone()).map(|c| Content::Program(Box::new(c))),
        MessageType::Instance => serde_json::from_value(value.clone()).map(|c| Content::Instance(Box::new(c))),
        MessageType::VerifiedProgram => serde_json::from_value(value.clone()).map(|c| Content::VerifiedProgram(Box::new(c))),
        MessageType::Forget => serde_json::from_value(value.clone()).map(Content::Forget),
    };
    parsed.map_err(|error| vec![SchemaError { kind: "value_error".into(), loc: Vec::new(), msg: error.to_string() }])
}

impl SchemaError {
    /// The object stored in a rejection's details: `loc` is the text of a
    /// tuple, as upstream serves it.
    pub fn to_details(&self) -> Value {
        let mut loc = String::from("(");
        for (index, part) in self.loc.iter().enumerate() {
            if index > 0 {
                loc.push_str(", ");
            }
            match part {
                Value::String(text) => loc.push_str(&format!("'{text}'")),
                other => loc.push_str(&other.to_string()),
            }
        }
        if self.loc.len() == 1 {
            loc.push(',');
        }
        loc.push(')');
        serde_json::json!({"type": self.kind, "loc": loc, "msg": self.msg})
    }
}
