//! Cosmos: ECDSA over an amino sign document with the buffer inside, bech32
//! addresses of any zone (messages.md §7.5).

use std::fmt::Write;

use secp256k1::ecdsa::Signature;
use secp256k1::{PublicKey, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Claim, Fault, ecdsa};
use crate::encoding::{base64, bech32};

const KEY_TYPE: &str = "tendermint/PubKeySecp256k1";

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    Fault::unless(is_valid(claim).unwrap_or(false))
}

fn is_valid(claim: &Claim) -> Option<bool> {
    let document: Value = serde_json::from_str(claim.signature).ok()?;
    let key = document.get("pub_key")?;
    if key.get("type")?.as_str()? != KEY_TYPE {
        return None;
    }
    let key: [u8; 33] = base64::decode(key.get("value")?.as_str()?)
        .ok()?
        .try_into()
        .ok()?;
    let compact = base64::decode(document.get("signature")?.as_str()?).ok()?;
    let mut signature = Signature::from_compact(&compact).ok()?;
    let (zone, _) = claim.sender.split_once('1')?;
    if address_of(zone, &key) != claim.sender {
        return None;
    }
    let key = PublicKey::from_slice(&key).ok()?;
    // Wallets may send either of the two valid `s`; the curve library wants one.
    signature.normalize_s();
    Some(ecdsa::verify(
        digest(claim.buffer, claim.sender),
        &signature,
        &key,
    ))
}

/// The document that is signed: compact JSON, sorted keys, ASCII.
pub fn signed_bytes(buffer: &str, sender: &str) -> Vec<u8> {
    let (message, signer) = (quoted(buffer), quoted(sender));
    format!(
        concat!(
            r#"{{"account_number":"0","chain_id":"signed-message-v1","fee":{{"amount":[],"gas":"0"}},"memo":"","#,
            r#""msgs":[{{"type":"signutil/MsgSignText","value":{{"message":{},"signer":{}}}}}],"sequence":"0"}}"#
        ),
        message, signer
    )
    .into_bytes()
}

/// SHA-256 of the document.
pub fn digest(buffer: &str, sender: &str) -> [u8; 32] {
    Sha256::digest(signed_bytes(buffer, sender)).into()
}

/// A JSON string of ASCII characters.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a text cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

fn address_of(zone: &str, key: &[u8]) -> String {
    bech32::encode(zone, &ecdsa::key_hash(key))
}

/// The address of a key in a zone (`cosmos`, `osmo`, …).
pub fn address(zone: &str, key: &SecretKey) -> String {
    address_of(zone, &ecdsa::public_key(key).serialize())
}

/// Signs a buffer as `sender`; the JSON text that `signature` carries.
pub fn sign(buffer: &str, sender: &str, key: &SecretKey) -> String {
    let signature = ecdsa::sign(digest(buffer, sender), key).serialize_compact();
    let public = ecdsa::public_key(key).serialize();
    json!({
        "signature": base64::encode(&signature),
        "pub_key": {"type": KEY_TYPE, "value": base64::encode(&public)},
        "account_number": "0",
        "sequence": "0",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_ascii() {
        assert_eq!(
            quoted("a\"\\\n\u{1}é\u{7f}😀"),
            r#""a\"\\\n\u0001\u00e9\u007f\ud83d\ude00""#
        );
    }
}
