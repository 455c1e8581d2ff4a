//! EVM chains: EIP-191 personal signatures, recovered and compared with the
//! sender (messages.md §7.2).
//!
//! Contract wallets (ERC-1271, ERC-6492), typed data (EIP-712) and the compact
//! form (EIP-2098) are deliberately absent: no node accepts them.

use secp256k1::{PublicKey, SecretKey};
use sha3::{Digest as _, Keccak256};

use super::{Claim, Fault, ecdsa};

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    Fault::unless(verify(
        claim.buffer.as_bytes(),
        claim.signature,
        claim.sender,
    ))
}

/// True when `sender` (with `0x`, any case) signed `buffer`.
pub fn verify(buffer: &[u8], signature: &str, sender: &str) -> bool {
    recover(digest(buffer), signature)
        .is_some_and(|address| format!("0x{}", const_hex::encode(address)) == sender.to_lowercase())
}

/// Who signed this digest, or `None` when the signature is malformed.
pub fn recover(digest: [u8; 32], signature: &str) -> Option<[u8; 20]> {
    let text = signature
        .strip_prefix("0x")
        .or_else(|| signature.strip_prefix("0X"))
        .unwrap_or(signature);
    if text.len() != 130 {
        return None;
    }
    let mut bytes = [0u8; 65];
    const_hex::decode_to_slice(text, &mut bytes).ok()?;
    let [compact @ .., v] = bytes;
    let recovery = match v {
        0 | 1 => v,
        27 | 28 => v - 27,
        35.. => (v - 35) % 2,
        _ => return None,
    };
    ecdsa::recover(digest, &compact, recovery).map(|key| address_bytes(&key))
}

/// What is hashed: the EIP-191 form of a text.
pub fn signed_bytes(text: &[u8]) -> Vec<u8> {
    let length = text.len().to_string();
    [b"\x19Ethereum Signed Message:\n", length.as_bytes(), text].concat()
}

/// keccak256 of the EIP-191 form of a text.
pub fn digest(text: &[u8]) -> [u8; 32] {
    Keccak256::digest(signed_bytes(text)).into()
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

/// Signs a text; deterministic (RFC 6979), with `v` 27 or 28.
pub fn sign(buffer: &[u8], key: &SecretKey) -> String {
    let (compact, recovery) = ecdsa::sign_recoverable(digest(buffer), key);
    format!("0x{}{:02x}", const_hex::encode(compact), 27 + recovery)
}

/// The address of a key, with its checksum.
pub fn address(key: &SecretKey) -> String {
    checksummed(address_bytes(&ecdsa::public_key(key)))
}
