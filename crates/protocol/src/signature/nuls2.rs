//! NULS of the second generation: a recoverable signature in base64
//! (messages.md §7.7).
//!
//! ```text
//!   signature = base64( 27 + recovery id ‖ r ‖ s )
//!   address   = NULS d …  (chain 1)   or   tNULS e …  (chain 2), … as in `nuls`
//! ```

use secp256k1::SecretKey;
use sha2::{Digest, Sha256};

use super::nuls::{address_body, chain_id, raw_signed_bytes};
use super::{Claim, Fault, ecdsa};
use crate::encoding::base64;

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    let bytes = base64::decode(claim.signature).map_err(Fault::unreadable)?;
    let chain_id = chain_id(&body(claim.sender).ok_or(Fault::Invalid)?)?;
    let letters = letters(chain_id).ok_or(Fault::Invalid)?;
    let [header, compact @ ..] = bytes.as_slice() else {
        return Err(Fault::Invalid);
    };
    let recovery = header.checked_sub(27).filter(|&id| id < 4);
    let key = recovery
        .and_then(|recovery| ecdsa::recover(digest(claim.buffer), compact, recovery))
        .ok_or(Fault::Invalid)?;
    let address = address_body(chain_id, &key.serialize());
    Fault::unless(claim.sender.strip_prefix(letters) == Some(&address))
}

/// An address without the five or six characters at its beginning; which
/// letter comes last there is compared later.
fn body(address: &str) -> Option<String> {
    let count = if address.starts_with("NULS") {
        5
    } else if address.starts_with("tNULS") {
        6
    } else {
        return None;
    };
    Some(address.chars().skip(count).collect())
}

/// What addresses of a chain begin with.
fn letters(chain_id: [u8; 2]) -> Option<&'static str> {
    match i16::from_le_bytes(chain_id) {
        1 => Some("NULSd"),
        2 => Some("tNULSe"),
        _ => None,
    }
}

/// SHA-256 of the signed bytes, which are the raw form of [`super::nuls`].
pub fn digest(buffer: &str) -> [u8; 32] {
    Sha256::digest(raw_signed_bytes(buffer)).into()
}

/// The address of a key on the main network.
pub fn address(key: &SecretKey) -> String {
    let public = ecdsa::public_key(key).serialize();
    format!("NULSd{}", address_body([1, 0], &public))
}

/// Signs a buffer.
pub fn sign(buffer: &str, key: &SecretKey) -> String {
    let (compact, recovery) = ecdsa::sign_recoverable(digest(buffer), key);
    base64::encode(&[&[27 + recovery], &compact[..]].concat())
}
