//! The texts in which wallets hand out private keys.

use crate::Chain;
use crate::account::{Curve, KeyError};
use crate::chain::Scheme;
use crate::encoding::base58;

/// A private key; the curve matters on Tezos alone.
pub(super) struct Secret {
    pub bytes: [u8; 32],
    pub curve: Curve,
}

impl Secret {
    /// Reads 64 hexadecimal digits, or a native form of the chain.
    pub fn parse(chain: Chain, text: &str) -> Result<Secret, KeyError> {
        if let Some(bytes) = from_hexadecimal(text) {
            let curve = Curve::Ed25519;
            return Ok(Secret { bytes, curve });
        }
        match chain.scheme() {
            Scheme::Tezos => from_tezos(text).ok_or(KeyError::NotNative(
                chain,
                "an unencrypted `edsk…`, `spsk…` or `p2sk…` of 54 characters",
            )),
            Scheme::Ed25519 => from_solana(text)
                .map(|bytes| Secret {
                    bytes,
                    curve: Curve::Ed25519,
                })
                .ok_or(KeyError::NotNative(
                    chain,
                    "the base58 text or the list of 64 numbers that its wallets export",
                )),
            Scheme::Unverifiable => Err(KeyError::Unverifiable(chain)),
            _ => Err(KeyError::NotHex),
        }
    }
}

fn from_hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() != 64 {
        return None;
    }
    const_hex::decode_to_array(digits).ok()
}

fn from_tezos(text: &str) -> Option<Secret> {
    if text.len() != 54 {
        return None;
    }
    let (curve, prefix) = match text.get(..4)? {
        "edsk" => (Curve::Ed25519, [0x0d, 0x0f, 0x3a, 0x07]),
        "spsk" => (Curve::Secp256k1, [0x11, 0xa2, 0xe0, 0xc9]),
        "p2sk" => (Curve::P256, [0x10, 0x51, 0xee, 0xbd]),
        _ => return None,
    };
    let bytes = base58::decode_checked(text, 36).ok()?;
    let bytes = bytes.strip_prefix(&prefix)?.try_into().ok()?;
    Some(Secret { bytes, curve })
}

/// Seed and public key, 64 bytes; the second half must belong to the first.
fn from_solana(text: &str) -> Option<[u8; 32]> {
    let bytes: Vec<u8> = if text.starts_with('[') {
        serde_json::from_str(text).ok()?
    } else {
        base58::decode(text, 64).ok()?
    };
    let pair: [u8; 64] = bytes.try_into().ok()?;
    let key = ed25519_dalek::SigningKey::from_keypair_bytes(&pair).ok()?;
    Some(key.to_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Account;

    #[test]
    fn native_texts() {
        let seed = [0x11; 32];
        let hexadecimal = const_hex::encode(seed);
        for (prefix, curve) in [
            ([0x0d, 0x0f, 0x3a, 0x07], Curve::Ed25519),
            ([0x11, 0xa2, 0xe0, 0xc9], Curve::Secp256k1),
            ([0x10, 0x51, 0xee, 0xbd], Curve::P256),
        ] {
            let text = base58::encode_checked(&prefix, &seed);
            let account = Account::parse(Chain::Tezos, &text).unwrap();
            let same = Account::tezos(curve, seed).unwrap();
            assert_eq!(account.address(), same.address());
            assert!(Account::parse(Chain::Eth, &text).is_err());
        }
        let pair = ed25519_dalek::SigningKey::from_bytes(&seed).to_keypair_bytes();
        let list = serde_json::to_string(&pair.to_vec()).unwrap();
        for text in [
            &base58::encode(&pair),
            &list,
            &hexadecimal,
            &format!(" 0x{hexadecimal}\n"),
        ] {
            let account = Account::parse(Chain::Sol, text).unwrap();
            assert_eq!(
                account.address(),
                "F25s3DdjXdCxYBhh2z8FBusVEMT4b9bGNFVKJi3wFoF4"
            );
        }
        let mut torn = pair;
        torn[40] ^= 1;
        assert!(Account::parse(Chain::Sol, &base58::encode(&torn)).is_err());
        assert_eq!(
            Account::parse(Chain::Csdk, "edsk").unwrap_err(),
            KeyError::NotHex
        );
    }
}
