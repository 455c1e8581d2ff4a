//! ECDSA over secp256k1, which five of the schemes are made of.

use std::sync::LazyLock;

use ripemd::Ripemd160;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
use secp256k1::{All, Message as Digest, PublicKey, Secp256k1, SecretKey};
use sha2::{Digest as _, Sha256};

// Tables that depend on nothing; making them anew would cost a tenth of a
// verification.
static CURVE: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// Who signed this digest; `recovery` is 0–3. High `s` is accepted.
pub(super) fn recover(digest: [u8; 32], compact: &[u8], recovery: u8) -> Option<PublicKey> {
    let recovery = RecoveryId::try_from(i32::from(recovery)).ok()?;
    let signature = RecoverableSignature::from_compact(compact, recovery).ok()?;
    CURVE
        .recover_ecdsa(Digest::from_digest(digest), &signature)
        .ok()
}

/// True when the key signed this digest. High `s` is refused.
pub(super) fn verify(digest: [u8; 32], signature: &Signature, key: &PublicKey) -> bool {
    CURVE
        .verify_ecdsa(Digest::from_digest(digest), signature, key)
        .is_ok()
}

/// Signs a digest; the nonce is that of RFC 6979.
pub(super) fn sign(digest: [u8; 32], key: &SecretKey) -> Signature {
    CURVE.sign_ecdsa(Digest::from_digest(digest), key)
}

/// Signs a digest; `r`, `s` and the recovery id.
pub(super) fn sign_recoverable(digest: [u8; 32], key: &SecretKey) -> ([u8; 64], u8) {
    let signature = CURVE.sign_ecdsa_recoverable(Digest::from_digest(digest), key);
    let (recovery, compact) = signature.serialize_compact();
    (compact, i32::from(recovery) as u8)
}

/// The public half of a key.
pub(crate) fn public_key(key: &SecretKey) -> PublicKey {
    PublicKey::from_secret_key(&CURVE, key)
}

/// RIPEMD-160 of the SHA-256 of a public key.
pub(super) fn key_hash(key: &[u8]) -> [u8; 20] {
    Ripemd160::digest(Sha256::digest(key)).into()
}
