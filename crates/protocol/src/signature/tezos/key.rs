//! Tezos keys: three curves behind one form of text.

use blake2::digest::consts::U20;
use blake2::{Blake2b, Digest};
use ed25519_dalek::{Signer, SigningKey};
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use secp256k1::ecdsa::Signature as KoblitzSignature;

use crate::encoding::base58::{self, Base58Error};
use crate::signature::{Fault, ecdsa, ed25519};

/// Length of every signature, in bytes.
const SIGNATURE_BYTES: usize = 64;
/// Text, length and binary prefix of a signature that names no curve.
const GENERIC_SIGNATURE: Form = Form("sig", 96, &[0x04, 0x82, 0x2b]);

/// How a kind of bytes is written: what the text begins with, how many
/// characters it has, and the bytes before the payload.
struct Form(&'static str, usize, &'static [u8]);

impl Form {
    fn fits(&self, text: &str) -> bool {
        text.len() == self.1 && text.starts_with(self.0)
    }

    fn decode<const N: usize>(&self, text: &str) -> Result<Option<[u8; N]>, Base58Error> {
        let bytes = base58::decode_checked(text, self.2.len() + N)?;
        Ok(bytes
            .strip_prefix(self.2)
            .and_then(|payload| payload.try_into().ok()))
    }
}

/// The curve of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `edpk…`, addresses `tz1…`.
    Ed25519,
    /// `sppk…`, addresses `tz2…`.
    Secp256k1,
    /// `p2pk…`, addresses `tz3…`.
    P256,
}

impl Curve {
    fn of(key: &str) -> Option<Curve> {
        match key.get(..2)? {
            "ed" => Some(Curve::Ed25519),
            "sp" => Some(Curve::Secp256k1),
            "p2" => Some(Curve::P256),
            _ => None,
        }
    }

    fn key_form(self) -> Form {
        match self {
            Curve::Ed25519 => Form("edpk", 54, &[0x0d, 0x0f, 0x25, 0xd9]),
            Curve::Secp256k1 => Form("sppk", 55, &[0x03, 0xfe, 0xe2, 0x56]),
            Curve::P256 => Form("p2pk", 55, &[0x03, 0xb2, 0x8b, 0x7f]),
        }
    }

    fn signature_form(self) -> Form {
        match self {
            Curve::Ed25519 => Form("edsig", 99, &[0x09, 0xf5, 0xcd, 0x86, 0x12]),
            Curve::Secp256k1 => Form("spsig", 99, &[0x0d, 0x73, 0x65, 0x13, 0x3f]),
            Curve::P256 => Form("p2sig", 98, &[0x36, 0xf0, 0x2c, 0x34]),
        }
    }

    fn address_prefix(self) -> [u8; 3] {
        match self {
            Curve::Ed25519 => [0x06, 0xa1, 0x9f],
            Curve::Secp256k1 => [0x06, 0xa1, 0xa1],
            Curve::P256 => [0x06, 0xa1, 0xa4],
        }
    }
}

/// A public key whose text was sound; the point itself is read when a
/// signature is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    curve: Curve,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Reads `edpk…`, `sppk…` or `p2pk…`.
    pub fn parse(text: &str) -> Result<PublicKey, Fault> {
        let curve = Curve::of(text)
            .ok_or_else(|| Fault::unreadable("Invalid prefix for a key encoding."))?;
        if !matches!(text.len(), 54 | 55 | 88 | 98) {
            return Err(Fault::unreadable("Invalid length for a key encoding."));
        }
        let form = curve.key_form();
        if !form.fits(text) {
            return Err(Fault::unreadable(
                "Invalid encoding, prefix or length mismatch.",
            ));
        }
        let bytes = match curve {
            Curve::Ed25519 => form.decode::<32>(text).map(|key| key.map(Vec::from)),
            Curve::Secp256k1 | Curve::P256 => form.decode::<33>(text).map(|key| key.map(Vec::from)),
        };
        let bytes = bytes.map_err(Fault::unreadable)?.ok_or(Fault::Invalid)?;
        Ok(PublicKey { curve, bytes })
    }

    /// `tz1…`, `tz2…` or `tz3…`.
    pub fn address(&self) -> String {
        let hash = Blake2b::<U20>::digest(&self.bytes);
        base58::encode_checked(&self.curve.address_prefix(), &hash)
    }

    /// Reads a signature that is generic or of this key's curve.
    pub fn signature(&self, text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
        [GENERIC_SIGNATURE, self.curve.signature_form()]
            .iter()
            .find(|form| form.fits(text))?
            .decode(text)
            .ok()?
    }

    /// True when this key signed the digest.
    pub fn verify(&self, digest: [u8; 32], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        match self.curve {
            Curve::Ed25519 => <&[u8; 32]>::try_from(self.bytes.as_slice())
                .is_ok_and(|key| ed25519::verify(&digest, signature, key)),
            Curve::Secp256k1 => secp256k1::PublicKey::from_slice(&self.bytes).is_ok_and(|key| {
                KoblitzSignature::from_compact(signature)
                    .is_ok_and(|signature| ecdsa::verify(digest, &signature, &key))
            }),
            Curve::P256 => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.bytes).is_ok_and(|key| {
                    p256::ecdsa::Signature::from_slice(signature)
                        .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
                })
            }
        }
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&base58::encode_checked(
            self.curve.key_form().2,
            &self.bytes,
        ))
    }
}

/// A key that signs.
#[derive(Clone)]
pub enum SecretKey {
    /// `tz1…`
    Ed25519(Box<SigningKey>),
    /// `tz2…`
    Secp256k1(secp256k1::SecretKey),
    /// `tz3…`
    P256(Box<p256::ecdsa::SigningKey>),
}

impl SecretKey {
    /// A key from its 32 bytes; `None` when the curve has no such key.
    pub fn from_bytes(curve: Curve, bytes: [u8; 32]) -> Option<SecretKey> {
        Some(match curve {
            Curve::Ed25519 => SecretKey::Ed25519(Box::new(SigningKey::from_bytes(&bytes))),
            Curve::Secp256k1 => {
                SecretKey::Secp256k1(secp256k1::SecretKey::from_byte_array(bytes).ok()?)
            }
            Curve::P256 => {
                SecretKey::P256(Box::new(p256::ecdsa::SigningKey::from_slice(&bytes).ok()?))
            }
        })
    }

    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        let (curve, bytes) = match self {
            SecretKey::Ed25519(key) => (Curve::Ed25519, key.verifying_key().to_bytes().to_vec()),
            SecretKey::Secp256k1(key) => (
                Curve::Secp256k1,
                ecdsa::public_key(key).serialize().to_vec(),
            ),
            SecretKey::P256(key) => (
                Curve::P256,
                key.verifying_key().to_sec1_point(true).as_bytes().to_vec(),
            ),
        };
        PublicKey { curve, bytes }
    }

    /// Signs a digest; the text of the signature, with the curve's prefix.
    pub(super) fn sign(&self, digest: [u8; 32]) -> String {
        let (curve, bytes) = match self {
            SecretKey::Ed25519(key) => (Curve::Ed25519, key.sign(&digest).to_bytes()),
            SecretKey::Secp256k1(key) => (
                Curve::Secp256k1,
                ecdsa::sign(digest, key).serialize_compact(),
            ),
            SecretKey::P256(key) => {
                let signature: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&digest);
                // Only a digest shorter than half the order is refused.
                (
                    Curve::P256,
                    signature.map_or([0; 64], |s| s.to_bytes().into()),
                )
            }
        };
        base58::encode_checked(curve.signature_form().2, &bytes)
    }
}
