//! NULS of the first generation: ECDSA in DER, with the key beside it
//! (messages.md §7.6).
//!
//! ```text
//!   signature = hex( length ‖ public key ‖ 0x00 ‖ length ‖ DER )
//!   address   = base58( chain id 2 ‖ 0x01 ‖ hash of the key 20 ‖ xor of the 23 )
//!   signed    = 0x18 "NULS Signed Message:\n" ‖ length ‖ buffer            (wallets)
//!             | 0x18 "NULS Signed Message:\n" ‖ b'…'                       (the network's clients)
//! ```
//! The second form is an accident that became the rule: the text that Python
//! shows for `length ‖ buffer`. Messages of the first years have the first.

use secp256k1::ecdsa::Signature;
use secp256k1::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

use super::{Claim, Fault, ecdsa};
use crate::encoding::{base58, hexadecimal};

const PREFIX: &[u8] = b"\x18NULS Signed Message:\n";
/// Length of an address before base58, in bytes.
const ADDRESS_BYTES: usize = 24;

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    let bytes = hexadecimal::decode(claim.signature).map_err(Fault::unreadable)?;
    let (key, signature) = split(&bytes).ok_or(Fault::Invalid)?;
    let chain_id = chain_id(claim.sender)?;
    if address_body(chain_id, key) != claim.sender {
        return Err(Fault::Invalid);
    }
    let key = PublicKey::from_slice(key).map_err(|_| Fault::Invalid)?;
    let signature = Signature::from_der(signature).map_err(|_| Fault::Invalid)?;
    let signed = |bytes: Vec<u8>| ecdsa::verify(Sha256::digest(bytes).into(), &signature, &key);
    Fault::unless(signed(signed_bytes(claim.buffer)) || signed(raw_signed_bytes(claim.buffer)))
}

/// Public key and signature; a length beyond the end means "the rest".
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = read(bytes)?;
    let (_, rest) = rest.split_first()?;
    let (signature, _) = read(rest)?;
    Some((key, signature))
}

fn read(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        253 => 2,
        254 => 4,
        255 => 8,
        _ => 0,
    };
    let (digits, rest) = rest.split_at_checked(width)?;
    let length = match width {
        0 => u64::from(first),
        _ => digits
            .iter()
            .rev()
            .fold(0, |length, &digit| length << 8 | u64::from(digit)),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Some(rest.split_at(length.min(rest.len())))
}

/// A length the way Bitcoin writes it.
fn length_prefix(length: usize) -> Vec<u8> {
    match length {
        0..253 => vec![length as u8],
        253..0x1_0000 => [&[253], &(length as u16).to_le_bytes()[..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[254], &(length as u32).to_le_bytes()[..]].concat(),
        _ => [&[255], &(length as u64).to_le_bytes()[..]].concat(),
    }
}

/// The form of wallets, and of NULS2.
pub fn raw_signed_bytes(buffer: &str) -> Vec<u8> {
    [PREFIX, &length_prefix(buffer.len()), buffer.as_bytes()].concat()
}

/// The form that the network's clients sign and its nodes verify.
pub fn signed_bytes(buffer: &str) -> Vec<u8> {
    let plain = [&length_prefix(buffer.len()), buffer.as_bytes()].concat();
    [PREFIX, shown(&plain).as_bytes()].concat()
}

/// Bytes as Python shows them.
fn shown(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut text = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            _ if char::from(byte) == quote => text.extend(['\\', quote]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push(quote);
    text
}

/// The chain id inside an address without its letters.
pub(super) fn chain_id(address: &str) -> Result<[u8; 2], Fault> {
    if let Some(stranger) = address.chars().find(|&c| !base58::is_digit(c)) {
        return Err(Fault::Unreadable(format!(
            "Character '{stranger}' is not a valid base58 character"
        )));
    }
    match base58::decode(address, ADDRESS_BYTES).as_deref() {
        Ok([low, high, _, ..]) => Ok([*low, *high]),
        _ => Err(Fault::Invalid),
    }
}

/// An address without its letters.
pub(super) fn address_body(chain_id: [u8; 2], key: &[u8]) -> String {
    let mut body = Vec::with_capacity(ADDRESS_BYTES);
    body.extend(chain_id);
    body.push(1);
    body.extend(ecdsa::key_hash(key));
    body.push(body.iter().fold(0, |xor, byte| xor ^ byte));
    base58::encode(&body)
}

/// The address of a key on a chain of NULS (8964 is its main network).
pub fn address(chain_id: i16, key: &SecretKey) -> String {
    address_body(chain_id.to_le_bytes(), &ecdsa::public_key(key).serialize())
}

/// Signs a buffer, in the form that the network's nodes verify.
pub fn sign(buffer: &str, key: &SecretKey) -> String {
    let digest = Sha256::digest(signed_bytes(buffer)).into();
    let signature = ecdsa::sign(digest, key).serialize_der();
    let public = ecdsa::public_key(key).serialize();
    let bytes = [
        &length_prefix(public.len()),
        &public[..],
        &[0],
        &length_prefix(signature.len()),
        &signature[..],
    ]
    .concat();
    const_hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_python_shows_them() {
        for (bytes, text) in [
            (&b"ab\n\t\r\\\x00\x7f\xff"[..], r"b'ab\n\t\r\\\x00\x7f\xff'"),
            (b"it's", r#"b"it's""#),
            (b"it's \"so\"", r#"b'it\'s "so"'"#),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn lengths_round_trip_and_never_reach_beyond_the_end() {
        for length in [0, 1, 252, 253, 65_535, 65_536] {
            let bytes = [length_prefix(length), vec![7; length], vec![9]].concat();
            assert_eq!(read(&bytes), Some((&vec![7; length][..], &[9][..])));
        }
        assert_eq!(
            read(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
            Some((&[1][..], &[][..]))
        );
        assert_eq!(read(&[253, 1]), None);
        assert_eq!(read(&[]), None);
    }
}
