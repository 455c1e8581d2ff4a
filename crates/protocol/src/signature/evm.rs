//! EVM chains: EIP-191 personal signatures, recovered and compared with the
//! sender (messages.md §7.2).

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message as Digest, PublicKey, Secp256k1, SecretKey};
use sha3::{Digest as _, Keccak256};

/// keccak256 of the EIP-191 form of a text.
pub fn digest(text: &[u8]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    hasher.update(b"\x19Ethereum Signed Message:\n");
    hasher.update(text.len().to_string().as_bytes());
    hasher.update(text);
    hasher.finalize().into()
}

/// The address of a public key: the last 20 bytes of keccak256 of its 64 bytes.
pub fn address_bytes(key: &PublicKey) -> [u8; 20] {
    let hash = Keccak256::digest(&key.serialize_uncompressed()[1..]);
    let mut address = [0; 20];
    address.copy_from_slice(&hash[12..]);
    address
}

/// The address with the mixed-case checksum of EIP-55.
pub fn checksummed(address: [u8; 20]) -> String {
    let lower = const_hex::encode(address);
    let hash = Keccak256::digest(lower.as_bytes());
    let mut text = String::from("0x");
    for (index, character) in lower.chars().enumerate() {
        let nibble = (hash[index / 2] >> (4 * (1 - index % 2))) & 0xf;
        text.push(if nibble >= 8 {
            character.to_ascii_uppercase()
        } else {
            character
        });
    }
    text
}

/// Who signed this digest, or `None` when the signature is malformed.
pub fn recover(digest: [u8; 32], signature: &str) -> Option<[u8; 20]> {
    let text = signature
        .strip_prefix("0x")
        .or_else(|| signature.strip_prefix("0X"))
        .unwrap_or(signature);
    let mut bytes = [0u8; 65];
    const_hex::decode_to_slice(text, &mut bytes).ok()?;
    if text.len() != 130 {
        return None;
    }
    let recovery = match bytes[64] {
        v @ (0 | 1) => v,
        v @ (27 | 28) => v - 27,
        v if v >= 35 => (v - 35) % 2,
        _ => return None,
    };
    let recovery = RecoveryId::try_from(i32::from(recovery)).ok()?;
    let signature = RecoverableSignature::from_compact(&bytes[..64], recovery).ok()?;
    let key = Secp256k1::verification_only()
        .recover_ecdsa(Digest::from_digest(digest), &signature)
        .ok()?;
    Some(address_bytes(&key))
}

/// True when `sender` (with `0x`, any case) signed `buffer`.
pub fn verify(buffer: &[u8], signature: &str, sender: &str) -> bool {
    recover(digest(buffer), signature)
        .is_some_and(|address| format!("0x{}", const_hex::encode(address)) == sender.to_lowercase())
}

/// Signs a text; deterministic (RFC 6979), with `v` 27 or 28.
pub fn sign(buffer: &[u8], key: &SecretKey) -> String {
    let signature =
        Secp256k1::signing_only().sign_ecdsa_recoverable(Digest::from_digest(digest(buffer)), key);
    let (recovery, compact) = signature.serialize_compact();
    let v = 27 + i32::from(recovery) as u8;
    format!("0x{}{v:02x}", const_hex::encode(compact))
}
