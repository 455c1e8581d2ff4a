//! Solana and Eclipse: Ed25519 over the bare buffer, carried as JSON
//! (messages.md §7.3).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Value, json};

/// True when the key named in the signature is `sender` and signed `buffer`.
pub fn verify(buffer: &[u8], signature: &str, sender: &str) -> bool {
    check(buffer, signature, sender).unwrap_or(false)
}

fn check(buffer: &[u8], signature: &str, sender: &str) -> Option<bool> {
    let document: Value = serde_json::from_str(signature).ok()?;
    match document.get("version") {
        None => {}
        Some(version) if version.as_i64() == Some(1) => {}
        Some(_) => return None,
    }
    let public_key = document.get("publicKey")?.as_str()?;
    if public_key != sender {
        return None;
    }
    let key: [u8; 32] = decode(public_key)?;
    let signature: [u8; 64] = decode(document.get("signature")?.as_str()?)?;
    let key = VerifyingKey::from_bytes(&key).ok()?;
    Some(
        key.verify_strict(buffer, &Signature::from_bytes(&signature))
            .is_ok(),
    )
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() > 2 * N {
        return None;
    }
    bs58::decode(text).into_vec().ok()?.try_into().ok()
}

/// Signs a buffer; the JSON text that `signature` carries.
pub fn sign(buffer: &[u8], key: &SigningKey) -> String {
    let signature = bs58::encode(key.sign(buffer).to_bytes()).into_string();
    json!({"signature": signature, "publicKey": address(key)}).to_string()
}

/// The address of a key: base58 of its public half.
pub fn address(key: &SigningKey) -> String {
    bs58::encode(key.verifying_key().to_bytes()).into_string()
}
