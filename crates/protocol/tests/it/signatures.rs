//! Recorded signatures: every vector of the chains that this node verifies must
//! get the network's verdict, and our signers must produce the same bytes.

use beth_protocol::chain::Scheme;
use beth_protocol::{Account, Chain, Message, signature};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let text = include_str!("../../../../vectors/messages/generated_signatures.json");
    serde_json::from_str::<Vec<Value>>(text).unwrap()
}

fn scheme(vector: &Value) -> Option<Scheme> {
    vector["message"]["chain"]
        .as_str()
        .and_then(Chain::parse)
        .map(Chain::scheme)
}

#[test]
fn verdicts() {
    let mut checked = 0;
    for vector in vectors() {
        let label = vector["label"].as_str().unwrap();
        if !matches!(
            scheme(&vector),
            Some(Scheme::Evm | Scheme::Ed25519 | Scheme::Unverifiable)
        ) {
            continue;
        }
        // `recommend` names tolerances that the specification asks for.
        let expected = vector["upstream"]["valid"] == true || vector["recommend"].is_string();
        let verdict =
            Message::parse(&vector["message"]).and_then(|message| signature::verify(&message));
        assert_eq!(verdict.is_ok(), expected, "{label}: {verdict:?}");
        checked += 1;
    }
    assert!(checked >= 40, "only {checked} vectors are of these chains");
}

#[test]
fn signed_bytes_and_signatures() {
    let mut signed = 0;
    for vector in vectors()
        .iter()
        .filter(|vector| vector["upstream"]["valid"] == true)
    {
        let label = vector["label"].as_str().unwrap();
        let Ok(message) = Message::parse(&vector["message"]) else {
            continue;
        };
        let buffer = message.verification_buffer();
        assert_eq!(
            buffer,
            vector["verification_buffer"].as_str().unwrap(),
            "{label}"
        );
        let Some(key) = vector["private_key_hex"].as_str() else {
            continue;
        };
        let account = match message.chain.scheme() {
            Scheme::Evm => Account::ethereum(key),
            Scheme::Ed25519 => Account::solana(key),
            _ => continue,
        };
        let Ok(account) = account else { continue };
        let ours = account.sign_text(buffer.as_bytes());
        let theirs = message.signature.as_deref().unwrap();
        let same = ours == theirs
            || serde_json::from_str::<Value>(&ours)
                .ok()
                .is_some_and(|ours| {
                    serde_json::from_str::<Value>(theirs)
                        .is_ok_and(|theirs| theirs["signature"] == ours["signature"])
                });
        if account.address() != message.sender {
            continue;
        }
        assert!(same, "{label}: ours is {ours}");
        signed += 1;
    }
    assert!(signed >= 10, "only {signed} signatures were reproduced");
}
