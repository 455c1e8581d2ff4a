//! The schema of contents: what a message of each type may say
//! (messages.md §8).
//!
//! ```text
//!  &Value ──▶ reader of the type ──▶ readers of its members ──▶ typed content
//!                  │                        │
//!             cross rules               Walk: the path so far and every fault
//! ```
//!
//! A reader takes a [`Walk`](walk::Walk) and a value and answers `Some(typed)`
//! or notes at least one fault and answers `None`. Cross rules run only over a
//! faultless object, and the first broken one ends the object. Values are
//! coerced as the network does (§8.0) while they are read, so that nothing is
//! copied twice. The depth of the walk is that of the types, not of the input.
//!
//! Deliberately absent: anything that needs the state of the node (whether a
//! referenced file exists, whether `item_type` fits `item_hash`, whether a
//! FORGET names a target).

mod aggregate;
pub(crate) mod credits;
mod environment;
mod forget;
mod gpu;
mod instance;
mod machine;
mod measurement;
mod metadata;
mod pattern;
mod payment;
mod post;
mod program;
mod requirements;
mod scalar;
mod store;
mod trusted;
mod volume;
mod vprogram;
mod walk;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Content;
use crate::MessageType;
use walk::Walk;

/// One fault of a content.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemaError {
    /// Machine-readable kind, e.g. `missing`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where: keys and indexes below the content, outermost first.
    pub loc: Vec<Value>,
    /// A sentence.
    pub msg: String,
    /// The parameters of the sentence, e.g. `{"max_length": 256}`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub ctx: Map<String, Value>,
}

/// Reads a content; all its faults are reported, up to
/// [`SCHEMA_FAULTS_MAX`](crate::limits::SCHEMA_FAULTS_MAX).
pub(super) fn parse(message_type: MessageType, value: &Value) -> Result<Content, Vec<SchemaError>> {
    let mut walk = Walk::default();
    let content = match message_type {
        MessageType::Post => post::read(&mut walk, value).map(Content::Post),
        MessageType::Aggregate => aggregate::read(&mut walk, value).map(Content::Aggregate),
        MessageType::Store => store::read(&mut walk, value).map(Content::Store),
        MessageType::Program => {
            program::read(&mut walk, value).map(|c| Content::Program(Box::new(c)))
        }
        MessageType::Instance => {
            instance::read(&mut walk, value).map(|c| Content::Instance(Box::new(c)))
        }
        MessageType::VerifiedProgram => {
            vprogram::read(&mut walk, value).map(|c| Content::VerifiedProgram(Box::new(c)))
        }
        MessageType::Forget => forget::read(&mut walk, value).map(Content::Forget),
    };
    content.ok_or_else(|| walk.into_faults())
}

/// Reads one volume of a program or instance.
pub(super) fn volume(value: &Value) -> Result<super::machine::Volume, Vec<SchemaError>> {
    let mut walk = Walk::default();
    let read = volume::volume(&mut walk, value);
    read.ok_or_else(|| walk.into_faults())
}

impl SchemaError {
    /// The object stored in a rejection's details (processing.md §7): `loc` is
    /// the text of a tuple that starts at the message, hence with `content`.
    pub fn to_details(&self) -> Value {
        let mut loc = String::from("('content'");
        for part in &self.loc {
            loc.push_str(", ");
            match part {
                Value::String(text) => loc.push_str(&quoted(text)),
                other => loc.push_str(&other.to_string()),
            }
        }
        if self.loc.is_empty() {
            loc.push(',');
        }
        loc.push(')');
        let mut details = serde_json::json!({"type": self.kind, "loc": loc, "msg": self.msg});
        if !self.ctx.is_empty() {
            details["ctx"] = Value::Object(self.ctx.clone());
        }
        details
    }
}

/// A text in quotes, as error sentences of the network show it: single quotes
/// unless the text has some and no double ones; controls escaped.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() && u32::from(c) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_start_at_the_message() {
        let value = json!({"address": "a", "time": -1, "type": "t", "it's": 1});
        let errors = parse(MessageType::Post, &value).unwrap_err();
        assert_eq!(
            errors
                .iter()
                .map(SchemaError::to_details)
                .collect::<Vec<_>>(),
            [
                json!({
                    "type": "greater_than_equal", "loc": "('content', 'time')",
                    "msg": "Input should be greater than or equal to 0", "ctx": {"ge": 0.0}
                }),
                json!({
                    "type": "extra_forbidden", "loc": "('content', \"it's\")",
                    "msg": "Extra inputs are not permitted"
                }),
            ]
        );
        let errors = parse(MessageType::Post, &json!([])).unwrap_err();
        assert_eq!(errors[0].to_details()["loc"], "('content',)");
    }

    #[test]
    fn long_values_are_not_repeated() {
        let long = "k".repeat(1 << 20);
        let entry = json!({"address": "a", "amount": 1, "price": long, "provider": "p"});
        let credits = json!({"distribution": {"token": "T", "chain": "ETH", "credits": [entry]}});
        for (label, told) in [
            ("unknown member", {
                let mut post = json!({"address": "a", "time": 1, "type": "t", "content": {}});
                post[&long] = json!(1);
                told(MessageType::Post, &post)
            }),
            ("hash to forget", {
                let forget = json!({"address": "a", "time": 1, "hashes": [long]});
                told(MessageType::Forget, &forget)
            }),
            (
                "price",
                credits::written(&credits::distribution(&credits).unwrap_err()),
            ),
        ] {
            let repeated = told.matches('k').count();
            assert!((100..300).contains(&repeated), "{label}: {repeated}");
        }
    }

    fn told(message_type: MessageType, content: &Value) -> String {
        let Err(faults) = parse(message_type, content) else {
            return String::new();
        };
        let told: Vec<Value> = faults.iter().map(SchemaError::to_details).collect();
        Value::from(told).to_string()
    }
}
