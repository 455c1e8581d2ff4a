//! Price lists: the built-in one, and one that the foundation published.

use std::collections::HashMap;

use beth_protocol::content::PaymentType;
use beth_protocol::cost::{FileRef, Prices, Sizes, bill, payment_type};
use beth_protocol::{Content, MessageType};
use serde_json::{Map, Value};

use super::vector;

/// Sizes of the files that the recorded bills are about.
struct Files(HashMap<String, u64>);

impl Sizes for Files {
    fn referenced(&self, file: FileRef<'_>) -> Option<u64> {
        self.0.get(file.reference).copied()
    }
    fn stored(&self, file_hash: &str) -> Option<u64> {
        self.0.get(file_hash).copied()
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

#[test]
fn the_built_in_lists_are_those_of_the_network() {
    let prices = Prices::defaults();
    let (pricing, settings) = (
        vector("messages/default_pricing.json"),
        vector("messages/default_settings.json"),
    );
    assert_eq!(prices.pricing(), object(&pricing));
    assert_eq!(prices.settings(), object(&settings));
}

/// In the published list a credit is worth a streamed token, and what is held
/// and streamed costs as in the built-in one, cards apart.
#[test]
fn a_published_list_is_applied() {
    let sample = vector("messages/pricing_aggregate_sample.json");
    let published = Prices::new(Some(object(&sample["data"]["pricing"]).clone()), None);
    let recorded = vector("messages/cost_vectors.json");
    let mut files = Files(HashMap::new());
    for file in recorded["files"].as_array().unwrap() {
        let size = file["size_bytes"].as_u64().unwrap();
        for name in ["store_message_item_hash", "file_hash"] {
            files
                .0
                .insert(file[name].as_str().unwrap().to_owned(), size);
        }
    }
    let mut compared = 0;
    for case in recorded["cases"].as_array().unwrap() {
        let label = &case["label"];
        let message_type = MessageType::parse(case["type"].as_str().unwrap()).unwrap();
        let content = Content::parse(message_type, &case["content"]).unwrap();
        let Ok(rows) = bill(&"f".repeat(64), &content, &published, &files) else {
            assert!(case["expected"].get("error").is_some(), "{label}");
            continue;
        };
        let credit = payment_type(&content) == PaymentType::Credit;
        for (row, expected) in rows
            .iter()
            .zip(case["expected"]["rows"].as_array().unwrap())
        {
            if !row.name.contains("gpu") && row.cost_type.as_str() != "STORAGE" {
                let hold = expected["cost_hold"].as_str().unwrap();
                assert!(
                    row.hold.to_cost_string() == hold || rows[0].name.contains("gpu"),
                    "{label}"
                );
                assert_eq!(
                    row.stream.to_cost_string(),
                    expected["cost_stream"],
                    "{label}"
                );
                // Paid with credits, a row has a least price.
                assert!(row.credit == row.stream || credit, "{label}");
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "only {compared} rows");
}
