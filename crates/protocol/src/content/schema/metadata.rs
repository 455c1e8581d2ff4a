//! Tags, and the `metadata` of executables (messages.md §8.1, §8.6).

use serde_json::{Map, Value, json};

use super::quoted;
use super::scalar::{check_length, text_ref};
use super::walk::Walk;
use crate::hash::excerpt;
use crate::limits;

/// Reads a list of tags.
pub(super) fn tags<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Vec<String>> {
    walk.list(value, limits::TAGS_MAX, |walk, value| {
        let text = text_ref(walk, value)?;
        if text.is_empty() {
            let msg = "String should have at least 1 character";
            walk.fault("string_too_short", msg, json!({"min_length": 1}));
            return None;
        }
        check_length(walk, text, limits::TAG_CHARS_MAX)?;
        Some(text.to_owned())
    })
}

/// Checks the `tags` of a user's object, if it has some. Their faults are
/// placed at the object.
pub(super) fn nested_tags<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<()> {
    match value.get("tags") {
        None | Some(Value::Null) => Some(()),
        Some(value) => tags(walk, value).map(drop),
    }
}

/// Reads the metadata of an executable: short keys, scalars, and `tags`. The
/// first fault hides the others.
pub(super) fn metadata<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Map<String, Value>> {
    let entries = walk.table(value, limits::METADATA_ENTRIES_MAX)?;
    for (key, value) in entries {
        if key.chars().count() > limits::METADATA_KEY_CHARS_MAX {
            let max = limits::METADATA_KEY_CHARS_MAX;
            let key = quoted(excerpt(key));
            walk.broken(format!("metadata key {key} exceeds {max} chars"));
            return None;
        }
        if key == "tags" {
            tags(walk, value)?;
            continue;
        }
        let found = match value {
            Value::String(text) if text.chars().count() > limits::METADATA_VALUE_CHARS_MAX => {
                let max = limits::METADATA_VALUE_CHARS_MAX;
                walk.broken(format!(
                    "metadata value at {} exceeds {max} chars",
                    quoted(key)
                ));
                return None;
            }
            Value::Array(_) => "list",
            Value::Object(_) => "dict",
            _ => continue,
        };
        walk.broken(format!(
            "metadata value at {} must be a scalar (str, int, float, bool, or null); got {found}",
            quoted(key)
        ));
        return None;
    }
    Some(entries.clone())
}
