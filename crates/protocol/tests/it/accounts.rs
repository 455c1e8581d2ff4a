//! Accounts: they sign as the released clients do, and what they sign verifies.

use beth_protocol::account::Curve;
use beth_protocol::chain::Scheme;
use beth_protocol::encoding::{base58, base64};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, Chain, Message, MessageType, signature};
use proptest::prelude::*;
use serde_json::{Value, json};

const GENERATED: &str = "messages/generated_signatures.json";

#[test]
fn signatures_of_released_clients_are_reproduced() {
    let mut reproduced = std::collections::BTreeMap::new();
    for vector in crate::vector(GENERATED).as_array().unwrap() {
        let label = vector["label"].as_str().unwrap();
        let (Ok(message), Some(key)) = (
            Message::parse(&vector["message"]),
            vector["private_key_hex"].as_str(),
        ) else {
            continue;
        };
        let theirs = message.signature.as_deref().unwrap();
        let is_other_form = label.contains("raw form") || theirs.contains("micheline");
        if vector["upstream"]["valid"] != true || is_other_form {
            continue;
        }
        let account = account_of(&message, key);
        let ours = account.sign_text(message.verification_buffer().as_bytes());
        if message.chain == Chain::Dot {
            // Theirs is random; ours must be as good.
            continue;
        }
        assert_eq!(essence(&ours), essence(theirs), "{label}");
        *reproduced
            .entry(format!("{:?}", message.chain.scheme()))
            .or_insert(0) += 1;
    }
    let schemes: Vec<&String> = reproduced.keys().collect();
    assert_eq!(
        schemes,
        [
            "Avalanche",
            "Cosmos",
            "Ed25519",
            "Evm",
            "Nuls",
            "Nuls2",
            "Tezos"
        ],
        "{reproduced:?}"
    );
}

fn account_of(message: &Message, key: &str) -> Account {
    let bytes = const_hex::decode_to_array(key).unwrap();
    let curve = match message.sender.get(..3) {
        Some("tz2") => Curve::Secp256k1,
        Some("tz3") => Curve::P256,
        _ => return Account::from_bytes(message.chain, bytes).unwrap(),
    };
    Account::tezos(curve, bytes).unwrap()
}

/// What of a signature is not a matter of spelling.
fn essence(text: &str) -> Vec<u8> {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return text.as_bytes().to_vec();
    };
    let signature = document["signature"].as_str().unwrap();
    match base58::decode_checked(signature, 69) {
        // The curve or "generic" may be named before the 64 bytes.
        Ok(bytes) => bytes[bytes.len() - 64..].to_vec(),
        Err(_) => signature.as_bytes().to_vec(),
    }
}

fn accounts(bytes: [u8; 32]) -> Vec<Account> {
    let chains = Chain::ALL
        .iter()
        .filter(|chain| chain.scheme() != Scheme::Unverifiable)
        .map(|&chain| Account::from_bytes(chain, bytes));
    let curves = [Curve::Secp256k1, Curve::P256].map(|curve| Account::tezos(curve, bytes));
    // Some bytes are no key of some curve.
    chains.chain(curves).flatten().collect()
}

fn sign(account: &Account, seconds: i64) -> Message {
    let content =
        json!({"address": account.address(), "time": seconds, "type": "t", "content": {"é": 1}});
    account.sign_message(
        MessageType::Post,
        &content,
        Some("TEST"),
        Timestamp::from_seconds(seconds),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_account_signs_what_verifies(bytes: [u8; 32], seconds in 0i64..4_000_000_000) {
        let accounts = accounts(bytes);
        prop_assert!(accounts.len() >= 4);
        for account in accounts {
            let message = sign(&account, seconds);
            prop_assert_eq!(signature::verify(&message), Ok(()), "{}", account.chain());
            prop_assert_eq!(sign(&account, seconds), message.clone());
            let mut forged = message;
            forged.message_type = MessageType::Forget;
            let rejection = signature::verify(&forged).unwrap_err();
            prop_assert_eq!(rejection.code.number(), 1);
        }
    }

    #[test]
    fn no_text_of_a_signature_panics(text in ".{0,200}", sender in "[0-9a-zA-Z]{0,60}|.{0,40}") {
        for &chain in Chain::ALL {
            let message = parsed(chain, &sender, &text);
            prop_assert!(signature::verify(&message).is_err());
        }
    }

    #[test]
    fn no_document_panics(
        signature in value(), key in value(), kind in value(), url in value(), sender in ".{0,60}",
    ) {
        for &chain in Chain::ALL {
            let document = json!({
                "signature": signature, "data": signature, "publicKey": key, "version": kind,
                "pub_key": {"type": "tendermint/PubKeySecp256k1", "value": key},
                "curve": "sr25519", "signingType": kind, "dAppUrl": url,
            });
            let message = parsed(chain, &sender, &document.to_string());
            prop_assert!(signature::verify(&message).is_err());
        }
    }

    #[test]
    fn a_damaged_signature_is_refused_or_means_what_it_did(
        bytes: [u8; 32], at: proptest::sample::Index, character in "[ -~é]", cut: bool,
    ) {
        for account in accounts(bytes) {
            let good = sign(&account, 1);
            let text = good.signature.clone().unwrap();
            let at = at.index(text.len());
            let mut damaged = text[..at].to_owned();
            if !cut {
                damaged.push_str(&character);
                damaged.push_str(&text[at + 1..]);
            }
            let mut message = good.clone();
            message.signature = Some(damaged.clone());
            if signature::verify(&message).is_ok() {
                let chain = account.chain();
                prop_assert_eq!(meaning(chain, &text), meaning(chain, &damaged), "{}", chain);
            }
        }
    }
}

/// Any JSON that may stand where a text is expected, texts of the right
/// lengths among them.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,120}".prop_map(Value::from),
        "0x[0-9a-f]{128}".prop_map(Value::from),
        "[1-9A-HJ-NP-Za-km-z]{86,88}".prop_map(Value::from),
        "(edpk|sig|edsig|spsig1|p2sig|sppk7|p2pk6)[1-9A-HJ-NP-Za-km-z]{48,94}"
            .prop_map(Value::from),
        "[A-Za-z0-9+/]{44}|[A-Za-z0-9+/]{86}==".prop_map(Value::from),
    ]
}

fn parsed(chain: Chain, sender: &str, text: &str) -> Message {
    let account = Account::from_bytes(Chain::Eth, [1; 32]).unwrap();
    let mut message = sign(&account, 1);
    message.chain = chain;
    message.sender = sender.to_owned();
    message.signature = Some(format!(" {text}"));
    message
}

/// What of a signature text carries meaning: a damaged text that is accepted
/// must have the same.
fn meaning(chain: Chain, text: &str) -> Vec<u8> {
    let field = |path: &str| {
        let document: Value = serde_json::from_str(text).unwrap();
        document.pointer(path).unwrap().as_str().unwrap().to_owned()
    };
    match chain.scheme() {
        // The last byte may be written in several ways.
        Scheme::Evm => text.to_ascii_lowercase()[2..130].into(),
        Scheme::Ed25519 | Scheme::Tezos => field("/signature").trim_end().into(),
        Scheme::Substrate => field("/data").to_ascii_lowercase().into(),
        Scheme::Cosmos => [field("/signature"), field("/pub_key/value")]
            .map(|text| base64::decode(&text).unwrap())
            .concat(),
        // The kind of the key and a length up to the end are not read.
        Scheme::Nuls => [&text[..68], &text[72..]]
            .concat()
            .to_ascii_lowercase()
            .into(),
        Scheme::Nuls2 => base64::decode(text).unwrap(),
        Scheme::Avalanche | Scheme::Unverifiable => text.trim_end().into(),
    }
}
