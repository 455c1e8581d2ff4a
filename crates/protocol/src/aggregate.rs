//! How revisions of an aggregate merge (processing.md §10).
//!
//! Elements are ordered by content time, then by item hash, so of two at the
//! same time the greater hash is the later one; later top-level members replace
//! earlier ones whole, in the place where the first one stood. Neither the
//! content nor the order of its members depends on the order of arrival:
//!
//! ```text
//!  merge [e1, e2, e3]  =  append (merge [e1, e2]) e3  =  prepend e1 (merge [e2, e3])
//! ```

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
        append(&mut merged, element.content);
    }
    Some(merged)
}

/// Merges the members of a revision that is later than all of `merged`.
pub fn append(merged: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        merged.insert(key, value);
    }
}

/// Merges the members of a revision that is earlier than all of `merged`.
pub fn prepend(merged: &mut Map<String, Value>, mut earlier: Map<String, Value>) {
    append(&mut earlier, std::mem::take(merged));
    *merged = earlier;
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

    /// With the order of the members.
    fn text(content: Option<Map<String, Value>>) -> String {
        Value::Object(content.unwrap()).to_string()
    }

    proptest! {
        #[test]
        fn order_of_arrival_does_not_matter(parts in proptest::collection::vec((0i64..4, 0u8..4, 0u8..9), 1..8)) {
            let elements: Vec<Element> = parts.iter().enumerate()
                .map(|(i, (time, key, value))| element(&i.to_string(), *time, json!({key.to_string(): value, (key ^ 1).to_string(): i})))
                .collect();
            let mut reversed = elements.clone();
            reversed.reverse();
            prop_assert_eq!(text(merge(elements.clone())), text(merge(reversed)));

            let mut sorted = elements.clone();
            sorted.sort_by(|a, b| (a.time, &a.item_hash).cmp(&(b.time, &b.item_hash)));
            let (mut newest_last, mut oldest_last) = (Map::new(), Map::new());
            for element in &sorted {
                append(&mut newest_last, element.content.clone());
            }
            for element in sorted.iter().rev() {
                prepend(&mut oldest_last, element.content.clone());
            }
            prop_assert_eq!(text(Some(newest_last)), text(merge(elements.clone())));
            prop_assert_eq!(text(Some(oldest_last)), text(merge(elements)));
        }
    }
}
