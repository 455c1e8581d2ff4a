//! The document of the API and the API itself: paths, parameters and answers
//! of one are those of the other.

pub mod described;

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use beth_ccn::api::{self, Asked};
use http::{Request, StatusCode};
use serde_json::Value;

use crate::api::{Fixture, recorded};
use described::Operation;

#[test]
fn the_document_is_checked_in() {
    let written = format!("{:#}\n", api::document());
    let checked_in = include_str!("../../../../docs/openapi.json");
    assert!(
        written == checked_in,
        "docs/openapi.json is not what the routes say; write it again: \
         cargo run -q -p beth-ccn --example openapi > docs/openapi.json"
    );
}

#[test]
fn every_operation_has_a_name_and_a_place() {
    let document = api::document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let mut names = BTreeSet::new();
    for operation in described::operations(&document) {
        let Operation { path, body, .. } = &operation;
        assert!(
            names.insert(body["operationId"].as_str().unwrap().to_owned()),
            "{path}"
        );
        assert!(body["summary"].is_string(), "{path} has no summary");
        let tag = body["tags"][0].as_str().unwrap();
        assert!(tags.contains(tag), "{path}: {tag}");
        let in_path: BTreeSet<String> = described::placeholders(path).collect();
        let declared: BTreeSet<String> = operation
            .parameters("path")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(in_path, declared, "{path}");
    }
    assert!(names.len() >= 48, "only {} operations", names.len());
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    found.push(target.to_owned());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = api::document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

/// Routes that do not come to their parameters without more than a path.
const NOT_ASKED: [(&str, &str); 2] = [
    ("/api/ws0/messages", "reads them after the upgrade"),
    ("/api/ws0/status", "has none"),
];

#[tokio::test(flavor = "multi_thread")]
async fn handlers_read_the_parameters_that_are_described() {
    let fixture = Fixture::seeded().await;
    let seed = recorded(include_str!("../../../../vectors/api/captures/seed.json"));
    let document = api::document();
    for operation in described::operations(&document) {
        if NOT_ASKED.iter().any(|(path, _)| *path == operation.path) {
            continue;
        }
        let described: BTreeMap<String, (Value, String)> = operation
            .parameters("query")
            .map(|parameter| {
                let text = parameter["description"].as_str().unwrap();
                let others = text.find(" Also read as").map_or("", |at| &text[at..]);
                let name = parameter["name"].as_str().unwrap();
                (
                    name.to_owned(),
                    (parameter["schema"].clone(), others.to_owned()),
                )
            })
            .collect();
        let asked = Asked::default();
        let path = filled(&operation.path, &seed);
        let request = Request::builder()
            .method(operation.method.as_str())
            .uri(&path)
            .extension(asked.clone())
            .body(Body::empty())
            .unwrap();
        let answer = fixture.ask(request).await;
        let names = (operation.method.as_str(), operation.path.as_str());
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{names:?}");
        let mut asked = asked.parameters();
        for (name, (schema, _)) in &mut asked {
            // A text that has a meaning may be described as what it means.
            let text = serde_json::json!({"type": "string"});
            if let Some((narrower, _)) = described.get(name).filter(|_| *schema == text) {
                assert_eq!(narrower["type"], "string", "{names:?}: {name}");
                *schema = narrower.clone();
            }
        }
        assert_eq!(asked, described, "{names:?} as {path}");
    }
}

/// The path with names that a seeded node knows.
fn filled(path: &str, seed: &Value) -> String {
    let mut filled = path.to_owned();
    for name in described::placeholders(path) {
        let hash = |step: &str| seed["hashes"][step].as_str().unwrap().to_owned();
        let value = match name.as_str() {
            "item_hash" if path.contains("/price/") => hash("instance"),
            "item_hash" => hash("post1"),
            "message_hash" | "ref" => hash("store1"),
            "file_hash" | "hash" => hash("file1"),
            "page" => "1".to_owned(),
            "address" => seed["accounts"]["A0"]["address"]
                .as_str()
                .unwrap()
                .to_owned(),
            "path" => "index.html".to_owned(),
            "cid" => "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o".to_owned(),
            "node_id" => "dd".repeat(32),
            other => panic!("{path}: what is {other}?"),
        };
        filled = filled.replace(&format!("{{{name}}}"), &value);
    }
    filled
}
