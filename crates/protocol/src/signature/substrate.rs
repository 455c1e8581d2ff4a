//! Polkadot and its kin: sr25519 with the context `substrate`, addresses in
//! SS58 (messages.md §7.4).
//!
//! ```text
//!   SS58  =  base58( prefix 1–2 bytes ‖ public key 32 ‖ checksum 2 )
//!   signed:  buffer   or, by browser extensions,   <Bytes>buffer</Bytes>
//! ```

use blake2::{Blake2b512, Digest};
use rand_core::{CryptoRng, RngCore};
use schnorrkel::context::attach_rng;
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey, Signature, signing_context};
use serde_json::{Value, json};

use super::{Claim, Fault};
use crate::encoding::{base58, hexadecimal};

const CONTEXT: &[u8] = b"substrate";
/// Network prefixes that the registry of SS58 keeps for other uses.
const RESERVED_PREFIXES: [u16; 2] = [46, 47];
/// Generic Substrate addresses, `5…`.
const GENERIC_PREFIX: u8 = 42;

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    Fault::unless(is_valid(claim).unwrap_or(false))
}

fn is_valid(claim: &Claim) -> Option<bool> {
    let document: Value = serde_json::from_str(claim.signature).ok()?;
    let document = document.as_object()?;
    if !document.get("curve").is_none_or(|curve| curve == "sr25519") {
        return None;
    }
    let data = document.get("data")?.as_str()?;
    let data = data.strip_prefix("0x").unwrap_or(data);
    let signature = Signature::from_bytes(&hexadecimal::decode(data).ok()?).ok()?;
    let key = PublicKey::from_bytes(&public_key(claim.sender)?).ok()?;
    let signed = |text: &[u8]| key.verify_simple(CONTEXT, text, &signature).is_ok();
    Some(signed(claim.buffer.as_bytes()) || signed(&wrapped(claim.buffer)))
}

/// The form that browser extensions sign.
pub fn wrapped(buffer: &str) -> Vec<u8> {
    format!("<Bytes>{buffer}</Bytes>").into_bytes()
}

/// The key of an address of any network, or of `0x` and its hexadecimal digits.
pub fn public_key(address: &str) -> Option<[u8; 32]> {
    if let Some(digits) = address.strip_prefix("0x") {
        return hexadecimal::decode(digits).ok()?.try_into().ok();
    }
    let bytes = base58::decode(address, 36).ok()?;
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (network, prefix_bytes) = if first & 0x40 == 0 {
        (u16::from(first), 1)
    } else {
        let low = (first & 0x3f) << 2 | second >> 6;
        (u16::from(low) | u16::from(second & 0x3f) << 8, 2)
    };
    let (body, checksum) = bytes.split_at_checked(prefix_bytes + 32)?;
    let is_sound = checksum == checksum_of(body) && !RESERVED_PREFIXES.contains(&network);
    is_sound.then(|| body.get(prefix_bytes..)?.try_into().ok())?
}

fn checksum_of(body: &[u8]) -> [u8; 2] {
    let hash = Blake2b512::new()
        .chain_update(b"SS58PRE")
        .chain_update(body)
        .finalize();
    [hash[0], hash[1]]
}

/// The key pair of a 32-byte seed.
pub(crate) fn keypair(seed: [u8; 32]) -> Option<Keypair> {
    let seed = MiniSecretKey::from_bytes(&seed).ok()?;
    Some(seed.expand_to_keypair(ExpansionMode::Ed25519))
}

/// The generic address of a key.
pub fn address(key: &Keypair) -> String {
    let mut body = vec![GENERIC_PREFIX];
    body.extend(key.public.to_bytes());
    body.extend(checksum_of(&body));
    base58::encode(&body)
}

/// Signs a buffer; the JSON text that `signature` carries. The nonce is drawn
/// from the transcript, which holds the message and the public key, and the
/// secret half of the expanded seed; no further randomness is needed.
pub fn sign(buffer: &[u8], key: &Keypair) -> String {
    let transcript = attach_rng(signing_context(CONTEXT).bytes(buffer), NoEntropy);
    let signature = key.sign(transcript).to_bytes();
    json!({"curve": "sr25519", "data": format!("0x{}", const_hex::encode(signature))}).to_string()
}

/// What is mixed into the nonce besides secret and message: nothing.
struct NoEntropy;

impl CryptoRng for NoEntropy {}

impl RngCore for NoEntropy {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        bytes.fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_and_two_prefix_bytes() {
        let key = [7; 32];
        for (prefix, known) in [
            (&[0][..], true),
            (&[42], true),
            (&[46], false),
            (&[47], false),
            (&[0x50, 0x01], true),
            // 46 and 47 written with two bytes.
            (&[0x4b, 0x80], false),
            (&[0x4b, 0xc0], false),
            (&[], false),
        ] {
            let mut body = [prefix, &key[..]].concat();
            body.extend(checksum_of(&body));
            let expected = known.then_some(key);
            assert_eq!(public_key(&base58::encode(&body)), expected, "{prefix:?}");
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
            assert_eq!(public_key(&base58::encode(&body)), None);
        }
    }
}
