//! Signatures that are missing, malformed or somebody else's (messages.md §7).

use beth_protocol::Account;
use beth_store::rows::Outcome;
use serde_json::{Value, json};

use super::Offline;

/// Order of the group of secp256k1, big endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The other signature that the same key could have made: `(r, n - s)` with
/// the other recovery id.
fn with_high_s(signature: &str) -> String {
    let mut bytes: [u8; 65] = const_hex::decode_to_array(signature).unwrap();
    let mut borrow = 0;
    for place in (0..32).rev() {
        let difference = i32::from(ORDER[place]) - i32::from(bytes[32 + place]) - borrow;
        borrow = i32::from(difference < 0);
        bytes[32 + place] = difference.rem_euclid(256) as u8;
    }
    bytes[64] ^= 27 ^ 28;
    const_hex::encode_prefixed(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_are_refused() {
    let node = Offline::new();
    let good = node.post(json!("good"))["signature"]
        .as_str()
        .unwrap()
        .to_owned();
    let signatures = [
        Value::Null,
        json!(""),
        json!("0x"),
        json!("0"),
        json!("nothing"),
        json!(good[..good.len() - 2]),
        json!(good[..good.len() - 1]),
        json!(format!("{good}00")),
        json!(good),
        json!(format!("0x{}", "00".repeat(65))),
        json!(format!("0x{}", "ff".repeat(65))),
        json!(format!("0x{}1b", "ff".repeat(64))),
        json!(format!("{}02", &good[..130])),
        json!("é".repeat(65)),
        json!({}),
        json!({"signature": good, "publicKey": "x"}),
    ];
    for (index, signature) in signatures.into_iter().enumerate() {
        let mut message = node.post(json!(["signature", index]));
        message["signature"] = signature;
        assert_eq!(node.code(&message).await, 1, "{}", message["signature"]);
    }
    // Not even read.
    for signature in [
        json!(5),
        json!([]),
        json!(true),
        json!("0".repeat(10_000)),
        json!({"a": "0".repeat(10_000)}),
    ] {
        let mut message = node.post(json!(["unreadable", signature.to_string().len()]));
        message["signature"] = signature;
        assert_eq!(node.code(&message).await, 0, "{}", super::excerpt(&message));
    }
    node.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_signature() {
    let node = Offline::new();
    let stranger = Account::ethereum(&"22".repeat(32)).unwrap();
    let mut message = node.post(json!("mine"));
    message["sender"] = json!(stranger.address());
    assert_eq!(node.code(&message).await, 1);
    // The bad copy does not stand in the way of the good one.
    message["sender"] = json!(node.account.address());
    assert_eq!(node.offer(&message).await, Outcome::Processed);
    for chain in ["SOL", "DOT", "CSDK", "TEZOS", "NULS", "NULS2", "AVAX", "ES"] {
        let mut message = node.post(json!(chain));
        message["chain"] = json!(chain);
        assert_eq!(node.code(&message).await, 1, "{chain}");
    }
    node.still_works().await;
}

/// Recovery accepts both halves of the curve, as upstream does; a second copy
/// with the other one is another signature of a known message.
#[tokio::test(flavor = "multi_thread")]
async fn a_high_s_is_accepted_on_evm_chains() {
    let node = Offline::new();
    let mut message = node.post(json!("malleable"));
    let low = message["signature"].clone();
    message["signature"] = with_high_s(low.as_str().unwrap()).into();
    assert_eq!(node.offer(&message).await, Outcome::Processed);
    let path = format!(
        "/api/v0/messages/{}",
        message["item_hash"].as_str().unwrap()
    );
    message["signature"] = low;
    assert_eq!(node.code(&message).await, 1);
    let (_, body) = node.get(&path).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["status"], "processed");
    node.still_works().await;
}
