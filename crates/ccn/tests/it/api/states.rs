//! Answers about messages that are confirmed, about to be removed, or removed,
//! and about costs computed again: a recorded node is brought into that state.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beth_protocol::Chain;
use beth_protocol::time::Timestamp;
use beth_store::confirmations::Transaction;
use secp256k1::{Message as Digest, Secp256k1, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exchange::{differences, request_of};
use super::expectations::{Expectation, of_post, of_state};
use super::{Fixture, compare, recorded};

/// When the recorded node removed a message.
const REMOVED_AT: Timestamp = Timestamp::from_micros(1_795_348_800_500_000);

#[tokio::test(flavor = "multi_thread")]
async fn states_are_shown_as_recorded() {
    let states = recorded(include_str!(
        "../../../../../vectors/api/captures/db_states.json"
    ));
    let fixture = Fixture::seeded().await;
    let posts = recorded(include_str!(
        "../../../../../vectors/api/captures/post.json"
    ));
    let (_, different) = compare(&fixture, posts.as_array().unwrap(), of_post).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
    remove(&fixture, &states).await;
    confirm(&fixture).await;
    let mut failures = Vec::new();
    let entries = states["captures"].as_array().unwrap();
    for entry in entries {
        let template = entry["template"].as_str().unwrap();
        let (ignored, status) = match of_state(entry) {
            Expectation::Later(_) => continue,
            Expectation::Same => (&[][..], None),
            Expectation::But {
                ignored, status, ..
            } => (ignored, status),
        };
        let mut entry = entry.clone();
        if entry["request_headers"]["X-Auth-Token"].is_string() {
            entry["request_headers"]["X-Auth-Token"] = token().into();
        }
        let answer = fixture.ask(request_of(&entry)).await;
        let found = differences(&entry["expect"], &answer, ignored, status);
        failures.extend(found.into_iter().map(|text| format!("{template}: {text}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(entries.len(), 32);
}

/// Stores both files with their messages; one is about to be removed, the other
/// was. The recordings hold the first message whole, and of the second what a
/// node keeps: its content is that of the first with its own time and file.
async fn remove(fixture: &Fixture, states: &Value) {
    let body = |index: usize| {
        recorded(
            states["captures"][index]["expect"]["body"]
                .as_str()
                .unwrap(),
        )
    };
    let removing = body(0)["message"].clone();
    let mut removed = body(1)["message"].clone();
    let content = removing["item_content"].as_str().unwrap();
    let file = |text: &str| hex(&Sha256::digest(text.as_bytes()));
    removed["item_content"] = content
        .replace("1793498000.0", "1793498001.0")
        .replace(&file("removing"), &file("removed"))
        .into();
    for (text, message) in [("removing", &removing), ("removed", &removed)] {
        let upload = http::Request::post("/api/v0/storage/add_file")
            .body(text.into())
            .unwrap();
        assert_eq!(fixture.ask(upload).await.json()["hash"], file(text));
        let submission = json!({"message": message, "sync": true});
        let answer = fixture.post("/api/v0/messages", &submission).await;
        assert_eq!(answer.json()["message_status"], "processed", "{text}");
    }
    let hash = |name: &str| states["hashes"][name].as_str().unwrap().to_owned();
    let (removing, removed) = (hash("store_removing"), hash("store_removed"));
    let long_ago = Timestamp::from_micros(REMOVED_AT.micros() - 10 * 86_400_000_000);
    let change = fixture.context.pipeline.work(move |state| {
        state.begin_removal(&removed, long_ago)?;
        state.finish_removals(REMOVED_AT, 10)?;
        state.begin_removal(&removing, REMOVED_AT)
    });
    assert!(change.await.unwrap());
}

/// Confirms two messages.
async fn confirm(fixture: &Fixture) {
    let seed = recorded(include_str!(
        "../../../../../vectors/api/captures/seed.json"
    ));
    for name in ["post1", "agg1"] {
        let steps = seed["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        let transaction = Transaction {
            hash: format!("0x{}", "1".repeat(64)),
            chain: Chain::parse("ETH").unwrap(),
            height: 21_000_000,
            time: Timestamp::from_iso("2026-11-01T01:00:00Z").unwrap(),
            publisher: "0x23eC28598DCeB2f7082Cc3a9D670592DfEd6e0dC".into(),
        };
        let message = step["json"]["message"].clone();
        let pipeline = &fixture.context.pipeline;
        pipeline
            .offer_confirmed(message, transaction)
            .await
            .unwrap();
    }
}

/// A token of the operator of the recorded node.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let time = now.as_secs().to_string();
    let key = SecretKey::from_byte_array([0x11; 32]).unwrap();
    let digest = Digest::from_digest(Sha256::digest(time.as_bytes()).into());
    let signature = Secp256k1::new().sign_ecdsa(digest, &key);
    let signature = STANDARD.encode(signature.serialize_der());
    STANDARD.encode(format!("{time}:{signature}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
