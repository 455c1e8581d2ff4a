//! Recorded signatures: every vector gets the network's verdict, except the
//! tolerances that are named here, each with its reason.

use beth_protocol::chain::Scheme;
use beth_protocol::signature::{avalanche, cosmos, evm, nuls, nuls2, substrate, tezos};
use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, ItemHash, Message, Rejection, signature};
use serde_json::Value;
use sha2::{Digest, Sha256};

const GENERATED: &str = "messages/generated_signatures.json";
const REAL: &str = "messages/real_messages.json";

/// Signatures that this node accepts and the other core nodes refuse.
const ACCEPTED_HERE: &[(&str, &str)] = &[
    (
        "SOL signature field is a JSON object instead of a string (what aleph-rs serialises)",
        "a released client sends it; it becomes the compact text",
    ),
    (
        "NULS chain_id=261 raw form (all pre-2020 mainnet messages)",
        "wallets sign this form and genuine messages of the first years carry it",
    ),
    (
        "AVAX C-chain 0x sender with EIP-191 signature",
        "a released client treats the C-chain as an Ethereum chain",
    ),
    (
        "made by ts-sdk TEZOS ed25519",
        "a released client writes the date from seconds taken for milliseconds",
    ),
    (
        "made by ts-sdk TEZOS secp256k1",
        "a released client writes the date from seconds taken for milliseconds",
    ),
    (
        "made by ts-sdk TEZOS p256",
        "a released client writes the date from seconds taken for milliseconds",
    ),
];

/// Real messages that this node accepts and the other core nodes refuse, by
/// item hash.
const REAL_ACCEPTED_HERE: &[(&str, &str)] = &[
    (
        "84afd8484912d3fa11a402e480d17e949fbf600fcdedd69674253be0320fa62c",
        "NULS raw form, 2019",
    ),
    (
        "QmfDkHXdGND7e8uwJr4yvXSAvbPc8rothM6UN5ABQPsLkF",
        "NULS raw form, 2019",
    ),
    (
        "a5498c4c81d0bec9ab7c7fd6a78228eb6ac530ea387ae2878c64d376769dbb79",
        "SOL signature as an object",
    ),
];

fn check(message: &Value) -> Result<(), Rejection> {
    Message::parse(message).and_then(|message| signature::verify(&message))
}

#[test]
fn verdicts_of_generated_vectors() {
    let vectors = crate::vector(GENERATED);
    let mut accepted_here = Vec::new();
    for vector in vectors.as_array().unwrap() {
        let label = vector["label"].as_str().unwrap();
        let upstream = &vector["upstream"];
        match (check(&vector["message"]), upstream["valid"] == true) {
            (Ok(()), true) => {}
            (Ok(()), false) => accepted_here.push(label),
            (Err(rejection), true) => panic!("{label}: refused here alone: {rejection}"),
            (Err(rejection), false) => {
                assert!(vector["recommend"].is_null(), "{label}: {rejection}");
                same_refusal(label, &rejection, upstream);
            }
        }
    }
    let named: Vec<&str> = ACCEPTED_HERE.iter().map(|(label, _)| *label).collect();
    assert_eq!(accepted_here, named);
}

/// Code and text of a refusal are those of the network; where it fails instead
/// of refusing, the code is 1.
fn same_refusal(label: &str, rejection: &Rejection, upstream: &Value) {
    let text = rejection.errors[0].as_str().unwrap();
    let detail = upstream["detail"].as_str().unwrap();
    match upstream["exception"].as_str() {
        Some("InvalidMessageFormat") => assert_eq!(rejection.code.number(), 0, "{label}"),
        _ => assert_eq!(rejection.code.number(), 1, "{label}"),
    }
    // This one was recorded without the check for a missing signature, which
    // nodes make first.
    let is_missing = text == "Missing signature" && label == "ETH sender is another address";
    if upstream["retryable_internal_error"] == false && !is_missing {
        assert!(detail.contains(text), "{label}: {text} instead of {detail}");
    }
}

#[test]
fn verdicts_of_real_messages() {
    let messages = crate::vector(REAL);
    let mut accepted_here = Vec::new();
    for recorded in messages.as_array().unwrap() {
        let message = &recorded["message"];
        let name = message["item_hash"].as_str().unwrap_or_default();
        let upstream = &recorded["upstream"];
        let parsed = Message::parse(message);
        if upstream["parse"] == "ok" {
            let parsed = parsed.as_ref().unwrap();
            let buffer = recorded["verification_buffer"].as_str().unwrap();
            assert_eq!(parsed.verification_buffer(), buffer, "{name}");
        }
        if let Some(hash) = recorded["computed_sha256_of_item_content"].as_str() {
            let content = message["item_content"].as_str().unwrap();
            assert_eq!(ItemHash::of_bytes(content.as_bytes()).as_str(), hash);
        }
        let verdict = parsed.and_then(|message| signature::verify(&message));
        match (verdict, upstream["signature"] == "valid") {
            (Ok(()), true) => {}
            (Ok(()), false) => accepted_here.push(name),
            (Err(rejection), true) => panic!("{name}: refused here alone: {rejection}"),
            (Err(rejection), false) => {
                if let Some(detail) = upstream["signature"].as_str() {
                    let text = rejection.errors[0].as_str().unwrap();
                    assert_eq!(rejection.code.number(), 1, "{name}");
                    assert!(detail.contains(text), "{name}: {text}, not {detail}");
                }
            }
        }
    }
    let named: Vec<&str> = REAL_ACCEPTED_HERE.iter().map(|(name, _)| *name).collect();
    assert_eq!(accepted_here, named);
}

#[test]
fn signed_bytes_and_digests() {
    let mut compared = 0;
    for vector in crate::vector(GENERATED).as_array().unwrap() {
        let label = vector["label"].as_str().unwrap();
        let Ok(message) = Message::parse(&vector["message"]) else {
            continue;
        };
        let buffer = message.verification_buffer();
        assert_eq!(buffer, vector["verification_buffer"].as_str().unwrap());
        let Some(bytes) = vector["signed_bytes_hex"].as_str() else {
            continue;
        };
        let form = forms(&message)
            .into_iter()
            .find(|(signed, _)| const_hex::encode(signed) == bytes);
        let (_, digest) = form.unwrap_or_else(|| panic!("{label}: other bytes are signed"));
        assert_eq!(
            digest.map(const_hex::encode).as_deref(),
            vector["digest_hex"].as_str(),
            "{label}"
        );
        compared += 1;
    }
    assert!(compared >= 47, "only {compared} vectors were compared");
}

type Form = (Vec<u8>, Option<[u8; 32]>);

/// Every byte string whose signature counts for a message, and its digest.
fn forms(message: &Message) -> Vec<Form> {
    let buffer = message.verification_buffer();
    let bytes = buffer.as_bytes();
    let sha256 = |bytes: Vec<u8>| {
        let digest = Sha256::digest(&bytes).into();
        (bytes, Some(digest))
    };
    match message.chain.scheme() {
        Scheme::Evm | Scheme::Unverifiable => {
            vec![(evm::signed_bytes(bytes), Some(evm::digest(bytes)))]
        }
        Scheme::Ed25519 => vec![(bytes.to_vec(), None)],
        Scheme::Substrate => vec![(bytes.to_vec(), None), (substrate::wrapped(&buffer), None)],
        Scheme::Cosmos => vec![(
            cosmos::signed_bytes(&buffer, &message.sender),
            Some(cosmos::digest(&buffer, &message.sender)),
        )],
        Scheme::Nuls => vec![
            sha256(nuls::signed_bytes(&buffer)),
            sha256(nuls::raw_signed_bytes(&buffer)),
        ],
        Scheme::Nuls2 => vec![(
            nuls::raw_signed_bytes(&buffer),
            Some(nuls2::digest(&buffer)),
        )],
        Scheme::Avalanche => vec![(
            avalanche::signed_bytes(&buffer),
            Some(avalanche::digest(&buffer)),
        )],
        Scheme::Tezos => {
            let document: Value =
                serde_json::from_str(message.signature.as_deref().unwrap()).unwrap();
            let url = document["dAppUrl"].as_str().unwrap_or("aleph.im");
            let date = message.time.to_iso_millis();
            [bytes.to_vec(), tezos::micheline(&buffer, url, &date)]
                .map(|payload| {
                    let digest = tezos::digest(&payload);
                    (payload, Some(digest))
                })
                .into()
        }
    }
}

#[test]
fn the_example_of_the_specification() {
    let buffer = "TEZOS\ntz1SuVm2EtvzCVfkgpgDWNnvXFNJpL6z1kCC\nPOST\nac5c5a5d75e14b9d20ac5c126e751edb31f036b15d7698364351ac4d6dc7c21b";
    let date = Timestamp::from_micros(1_700_000_000_123_000).to_iso_millis();
    assert_eq!(
        const_hex::encode(tezos::digest(&tezos::micheline(
            buffer,
            "https://aleph.im",
            &date
        ))),
        "ac675c5e1d87abd00a7b758a7dbf79bfa542a2d5ada24132df2f5d56489f7143"
    );
}

#[test]
fn unverifiable_chains_are_a_fault_of_the_format() {
    for (chain, name) in [(Chain::Aurora, "AURORA"), (Chain::Stt, "SOMNIA")] {
        let message = serde_json::json!({
            "sender": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "chain": chain, "type": "POST",
            "item_hash": "a".repeat(64), "time": 1, "signature": "0x00",
        });
        let rejection = check(&message).unwrap_err();
        assert_eq!(rejection.code.number(), 0);
        let text = format!("Unknown chain for validation: Chain.{name}");
        assert_eq!(rejection.errors, [Value::String(text)]);
    }
}
