//! JSON as the network writes and reads it (messages.md §4, core-api.md §1.5).

mod members;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::limits::JSON_DEPTH_MAX;
pub use members::{Members, members};

/// Why a content text is no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// The six characters `\u0000` appear in the text.
    #[error("Unsupported character in message: \\u0000")]
    Nul,
    /// Not JSON as RFC 8259 has it, or a number out of range.
    #[error("Can't decode JSON: {0}")]
    Syntax(String),
}

/// Parses the text of a content, strictly, down to
/// [`JSON_DEPTH_MAX`] levels.
pub fn parse_content(text: &str) -> Result<Value, ContentFault> {
    if text.contains("\\u0000") {
        return Err(ContentFault::Nul);
    }
    if depth(text) > JSON_DEPTH_MAX {
        return Err(ContentFault::Syntax("Recursion limit reached".into()));
    }
    parse_bounded(text)
}

/// Parses JSON that a node wrote: contents inside it may be as deep as
/// [`parse_content`] lets in, so the parser's own limit must not apply.
pub fn parse_written(text: &str) -> Result<Value, ContentFault> {
    read_written(text.as_bytes())
}

/// [`parse_written`] of bytes, into any type.
pub fn read_written<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ContentFault> {
    let text = std::str::from_utf8(bytes).map_err(|error| syntax(&error))?;
    if depth(text) > JSON_DEPTH_MAX + ENVELOPE_DEPTH {
        return Err(ContentFault::Syntax("Recursion limit reached".into()));
    }
    parse_bounded(text)
}

fn parse_bounded<T: DeserializeOwned>(text: &str) -> Result<T, ContentFault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // The depth is known to be bounded.
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader).map_err(|error| syntax(&error))?;
    reader.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

fn syntax(error: &impl std::fmt::Display) -> ContentFault {
    ContentFault::Syntax(error.to_string())
}

/// Levels that pages and envelopes add around a content.
const ENVELOPE_DEPTH: usize = 24;

/// Deepest nesting of a text, as if it were JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Compact JSON with keys sorted by code point at every level.
pub fn to_sorted_string(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            Value::Object(
                keys.into_iter()
                    .map(|key| (key.clone(), sorted(&object[key])))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sorts_every_level() {
        let value = json!({"b": [{"z": 1, "a": "é"}], "a": 1.0});
        assert_eq!(
            to_sorted_string(&value),
            r#"{"a":1.0,"b":[{"a":"é","z":1}]}"#
        );
    }

    #[test]
    fn strict() {
        for bad in [
            "NaN",
            "{\"a\":1e400}",
            "{} x",
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\\u0000"}"#,
            "{'a':1}",
        ] {
            assert!(parse_content(bad).is_err(), "{bad}");
        }
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse_content(&nested(900)).is_ok());
        assert!(parse_content(&nested(1_100)).is_err());
        assert!(parse_content(" {\"a\":1,\"a\":2} ").is_ok());
        assert!(parse_written(&nested(1_020)).is_ok());
        assert!(parse_written(&nested(1_100)).is_err());
        assert_eq!(read_written::<Vec<u8>>(b"[1,2]"), Ok(vec![1, 2]));
        assert!(read_written::<Vec<u8>>(b"[1,2] 3").is_err());
        assert!(read_written::<Value>(b"\"\xff\"").is_err());
    }
}
