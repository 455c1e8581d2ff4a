//! Tokens of operators: ECDSA over secp256k1 of the SHA-256 of a text, as DER
//! (core-api.md §8.5).

use secp256k1::PublicKey;
use secp256k1::ecdsa::Signature;
use sha2::{Digest, Sha256};

use super::ecdsa;

/// True when the holder of this key signed the text. `public_key`: compressed,
/// in hexadecimal digits.
pub fn verify(text: &[u8], der: &[u8], public_key: &str) -> bool {
    let key = const_hex::decode(public_key)
        .ok()
        .and_then(|bytes| PublicKey::from_slice(&bytes).ok());
    let (Some(key), Ok(signature)) = (key, Signature::from_der(der)) else {
        return false;
    };
    ecdsa::verify(Sha256::digest(text).into(), &signature, &key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_the_specification() {
        const KEY: &str = "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa";
        const OTHER: &str = "0209fe82e08ec3c5c3ee4904fa147a11d49c7130579066c8a452d279d539959389";
        const DER: &str = "304402200089281f68a27f1c7412f1e1795a5c79d19bd2bbe494e8be6b2931071bd16fba\
            02200fb58a848700482308be3649920d11fac2d0fed228b46f400a0f4a05d0d5f28a";
        let der = const_hex::decode(DER).unwrap_or_default();
        assert!(verify(b"1700000000", &der, KEY));
        assert!(!verify(b"1700000001", &der, KEY));
        assert!(!verify(b"1700000000", &der, OTHER));
        assert!(!verify(b"1700000000", &der[1..], KEY));
        assert!(!verify(b"1700000000", &der, ""));
    }
}
