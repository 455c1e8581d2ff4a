//! JSON as the network writes and reads it (messages.md §4, core-api.md §1.5).

use serde_json::Value;

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

/// Parses the text of a content, strictly.
///
/// Nesting is limited by the parser itself (128 levels); upstream takes about
/// a thousand, which no client writes.
pub fn parse_content(text: &str) -> Result<Value, ContentFault> {
    if text.contains("\\u0000") {
        return Err(ContentFault::Nul);
    }
    serde_json::from_str(text).map_err(|error| ContentFault::Syntax(error.to_string()))
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
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&object[key]))).collect())
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
        assert_eq!(to_sorted_string(&value), r#"{"a":1.0,"b":[{"a":"é","z":1}]}"#);
    }

    #[test]
    fn strict() {
        for bad in ["NaN", "{\"a\":1e400}", "{} x", r#"{"a":"\ud800"}"#, r#"{"a":"\\u0000"}"#, "{'a':1}"] {
            assert!(parse_content(bad).is_err(), "{bad}");
        }
        assert!(parse_content(" {\"a\":1,\"a\":2} ").is_ok());
    }
}
