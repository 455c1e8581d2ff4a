//! Solana and Eclipse: Ed25519 over the bare buffer, carried as JSON
//! (messages.md §7.3).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Value, json};

use super::{Claim, Fault};
use crate::encoding::base58;

/// Checks a claim: the key named in the signature must be the sender and have
/// signed the buffer.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    Fault::unless(is_valid(claim).unwrap_or(false))
}

fn is_valid(claim: &Claim) -> Option<bool> {
    let document: Value = serde_json::from_str(claim.signature).ok()?;
    let is_first = match document.get("version") {
        None => true,
        Some(Value::Bool(flag)) => *flag,
        Some(version) => version.as_f64() == Some(1.0),
    };
    let public_key = document.get("publicKey")?.as_str()?;
    if !is_first || public_key != claim.sender {
        return None;
    }
    let key = base58::decode_exactly(public_key)?;
    let signature = base58::decode_exactly(document.get("signature")?.as_str()?)?;
    Some(verify(claim.buffer.as_bytes(), &signature, &key))
}

/// True when the key signed the bytes, by the rules of libsodium: no point of
/// small order, no second encoding of `s`.
pub(super) fn verify(bytes: &[u8], signature: &[u8; 64], key: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| {
        key.verify_strict(bytes, &Signature::from_bytes(signature))
            .is_ok()
    })
}

/// Signs a buffer; the JSON text that `signature` carries.
pub fn sign(buffer: &[u8], key: &SigningKey) -> String {
    let signature = base58::encode(&key.sign(buffer).to_bytes());
    json!({"signature": signature, "publicKey": address(key)}).to_string()
}

/// The address of a key: base58 of its public half.
pub fn address(key: &SigningKey) -> String {
    base58::encode(&key.verifying_key().to_bytes())
}
