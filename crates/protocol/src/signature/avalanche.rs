//! Avalanche's X- and P-chains: a recoverable signature with a checksum in
//! base58 (messages.md §7.8).
//!
//! ```text
//!   signature = base58( r ‖ s ‖ recovery id ‖ last 4 bytes of SHA-256 of the 65 )
//!   sender    = X-avax1…     the text before the first `-` is free
//! ```
//! A sender with `0x` is a C-chain account and is checked like an Ethereum one;
//! the network's other core nodes refuse it.

use secp256k1::SecretKey;
use sha2::{Digest, Sha256};

use super::{Claim, Fault, ecdsa, evm};
use crate::encoding::{base58, bech32};

const PREFIX: &[u8] = b"\x1aAvalanche Signed Message:\n";
/// Human-readable part of the main network's addresses; no other is accepted.
const NETWORK: &str = "avax";

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    match claim.sender.split_once('-') {
        Some((chain, _)) => Fault::unless(is_valid(claim, chain).unwrap_or(false)),
        None if claim.sender.starts_with("0x") => evm::check(claim),
        None => Err(Fault::Invalid),
    }
}

fn is_valid(claim: &Claim, chain: &str) -> Option<bool> {
    let bytes: [u8; 69] = base58::decode_exactly(claim.signature)?;
    let (signature, checksum) = bytes.split_at(65);
    if checksum != checksum_of(signature) {
        return None;
    }
    let (&recovery, compact) = signature.split_last()?;
    let key = ecdsa::recover(digest(claim.buffer), compact, recovery)?;
    Some(address_of(chain, &key.serialize()) == claim.sender)
}

/// What is hashed: prefix, length of the buffer in four bytes, buffer.
pub fn signed_bytes(buffer: &str) -> Vec<u8> {
    let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    [PREFIX, &length.to_be_bytes(), buffer.as_bytes()].concat()
}

/// SHA-256 of the signed bytes.
pub fn digest(buffer: &str) -> [u8; 32] {
    Sha256::digest(signed_bytes(buffer)).into()
}

fn checksum_of(bytes: &[u8]) -> [u8; 4] {
    let [.., a, b, c, d] = <[u8; 32]>::from(Sha256::digest(bytes));
    [a, b, c, d]
}

fn address_of(chain: &str, key: &[u8]) -> String {
    format!("{chain}-{}", bech32::encode(NETWORK, &ecdsa::key_hash(key)))
}

/// The address of a key on a chain (`X` or `P`).
pub fn address(chain: &str, key: &SecretKey) -> String {
    address_of(chain, &ecdsa::public_key(key).serialize())
}

/// Signs a buffer.
pub fn sign(buffer: &str, key: &SecretKey) -> String {
    let (compact, recovery) = ecdsa::sign_recoverable(digest(buffer), key);
    let signature = [&compact[..], &[recovery]].concat();
    base58::encode(&[&signature[..], &checksum_of(&signature)].concat())
}
