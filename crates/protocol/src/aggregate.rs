//! How revisions of an aggregate merge (processing.md §10).
//!
//! Elements are ordered by content time, then by item hash; later top-level
//! members replace earlier ones whole. The result does not depend on the order
//! of arrival.

use serde_json::{Map, Value};

use crate::time::Timestamp;

/// One revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The AGGREGATE message.
    pub item_hash: String,
    /// Content time.
    pub time: Timestamp,
    /// Its members.
    pub content: Map<String, Value>,
}

/// Merges revisions in any order; `None` when there is none.
pub fn merge(mut elements: Vec<Element>) -> Option<Map<String, Value>> {
    if elements.is_empty() {
        return None;
    }
    elements.sort_by(|a, b| (a.time, &a.item_hash).cmp(&(b.time, &b.item_hash)));
    let mut merged = Map::new();
    for element in elements {
        for (key, value) in element.content {
            merged.insert(key, value);
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn element(hash: &str, seconds: i64, content: Value) -> Element {
        let Value::Object(content) = content else {
            unreachable!()
        };
        Element {
            item_hash: hash.into(),
            time: Timestamp::from_seconds(seconds),
            content,
        }
    }

    #[test]
    fn later_members_replace_earlier_ones() {
        let merged = merge(vec![
            element("b", 2, json!({"a": {"x": 1}, "b": null})),
            element("a", 1, json!({"a": {"y": 1}, "c": 3})),
        ]);
        assert_eq!(
            Value::Object(merged.unwrap()),
            json!({"a": {"x": 1}, "c": 3, "b": null})
        );
        assert_eq!(merge(vec![]), None);
    }

    proptest! {
        #[test]
        fn order_of_arrival_does_not_matter(parts in proptest::collection::vec((0i64..4, 0u8..4, 0u8..9), 1..8)) {
            let elements: Vec<Element> = parts.iter().enumerate()
                .map(|(i, (time, key, value))| element(&i.to_string(), *time, json!({key.to_string(): value})))
                .collect();
            let mut reversed = elements.clone();
            reversed.reverse();
            prop_assert_eq!(merge(elements), merge(reversed));
        }
    }
}
