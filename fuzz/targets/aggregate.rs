#![no_main]
use beth_protocol::aggregate::{Element, merge};
use beth_protocol::time::Timestamp;
use beth_protocol::{ItemHash, json};
use serde_json::Value;

// `[[seconds, {members}], …]` in any order gives one aggregate.
libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(Value::Array(items)) = json::parse_content(text) else {
        return;
    };
    let elements: Vec<Element> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            Some(Element {
                item_hash: ItemHash::of_bytes(&index.to_le_bytes()).to_string(),
                time: Timestamp::from_json(item.get(0)?).ok()?,
                content: item.get(1)?.as_object()?.clone(),
            })
        })
        .collect();
    let keys: std::collections::BTreeSet<_> = elements
        .iter()
        .flat_map(|element| element.content.keys().cloned())
        .collect();
    let mut reversed = elements.clone();
    reversed.reverse();
    let merged = merge(elements);
    assert_eq!(merged, merge(reversed));
    if let Some(merged) = merged {
        assert!(merged.keys().all(|key| keys.contains(key)) && merged.len() == keys.len());
    }
});
beth_fuzz::json_mutator!();
