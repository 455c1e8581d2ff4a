//! Keys that a wallet trusts for a while: P-256, as browsers make them, vouched
//! for by one signature of the wallet (compute.md §5.1).
//!
//! ```text
//!   wallet ── signs once ──▶ statement { key, address, expires }
//!                                          │
//!   key ───── signs each ──▶ operation { time, method, path, domain }
//! ```
//!
//! Signatures of the key are ES256: SHA-256, `r ‖ s`, 64 bytes. DER is refused.

use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::encoding::base58;

/// The public half of such a key: both coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DelegateKey {
    /// Big-endian.
    pub x: [u8; 32],
    /// Big-endian.
    pub y: [u8; 32],
}

impl DelegateKey {
    /// True when the holder of this key signed the bytes.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let point = [&[0x04], &self.x[..], &self.y[..]].concat();
        let key = VerifyingKey::from_sec1_bytes(&point);
        let (Ok(key), Ok(signature)) = (key, Signature::from_slice(signature)) else {
            return false;
        };
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        key.verify_prehash(&digest, &signature).is_ok()
    }

    /// The public half of a secret; `None` for the few numbers that are none.
    pub fn of_secret(secret: &[u8; 32]) -> Option<DelegateKey> {
        let key = SigningKey::from_slice(secret).ok()?;
        let point = key.verifying_key().to_sec1_point(false);
        let (_, coordinates) = point.as_bytes().split_first()?;
        let (x, y) = coordinates.split_first_chunk::<32>()?;
        Some(DelegateKey {
            x: *x,
            y: y.try_into().ok()?,
        })
    }
}

/// Signs bytes with such a key; `None` when the secret is none.
pub fn sign(bytes: &[u8], secret: &[u8; 32]) -> Option<[u8; 64]> {
    let key = SigningKey::from_slice(secret).ok()?;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let signature: Signature = key.sign_prehash(&digest).ok()?;
    signature.to_bytes().as_slice().try_into().ok()
}

/// True when the Solana wallet of this address signed the bytes; the signature
/// is 64 bytes in hexadecimal digits, with or without `0x`.
pub fn solana_signed(bytes: &[u8], signature: &str, address: &str) -> bool {
    let digits = signature.strip_prefix("0x").unwrap_or(signature);
    let mut raw = [0; 64];
    let key = base58::decode_exactly(address);
    match (const_hex::decode_to_slice(digits, &mut raw), key) {
        (Ok(()), Some(key)) => super::ed25519::verify(bytes, &raw, &key),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_vouches_for_bytes() {
        let secret = [7; 32];
        let key = DelegateKey::of_secret(&secret).unwrap();
        let signature = sign(b"operation", &secret).unwrap();
        assert!(key.verify(b"operation", &signature));
        assert!(!key.verify(b"another", &signature));
        assert!(!key.verify(b"operation", &signature[1..]));
        let other = DelegateKey::of_secret(&[8; 32]).unwrap();
        assert!(!other.verify(b"operation", &signature));
        assert!(DelegateKey::of_secret(&[0; 32]).is_none());
    }
}
