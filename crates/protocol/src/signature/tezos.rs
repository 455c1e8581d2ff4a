//! Tezos: three curves and two payloads (messages.md §7.9).
//!
//! ```text
//!   signature  = JSON { signature, publicKey, signingType?, dAppUrl? }
//!   raw        : the buffer
//!   micheline  : 05 01 00 ‖ decimal length ‖ "Tezos Signed Message: " dAppUrl time buffer
//!   digest     = blake2b-256 of the payload
//! ```
//! The second payload holds the time of the envelope. One released client
//! writes it from seconds taken for milliseconds (a date of January 1970);
//! both dates are accepted, though other core nodes refuse the second.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use serde_json::{Map, Value, json};

pub mod key;

use super::{Claim, Fault};
use crate::time::Timestamp;
use key::{PublicKey, SecretKey};

const DEFAULT_APPLICATION: &str = "aleph.im";

/// Checks a claim.
pub fn check(claim: &Claim) -> Result<(), Fault> {
    let document: Map<String, Value> =
        serde_json::from_str(claim.signature).map_err(|_| Fault::Invalid)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let (Some(signature), Some(public_key)) = (document.get("signature"), text("publicKey")) else {
        return Err(Fault::Invalid);
    };
    let is_micheline = match document.get("signingType") {
        None => false,
        Some(kind) if kind == "raw" => false,
        Some(kind) if kind == "micheline" => true,
        Some(kind) => {
            return Err(Fault::Unreadable(format!(
                "{} is not a valid TezosSignatureType",
                kind.to_string().replace('"', "'")
            )));
        }
    };
    let application = match document.get("dAppUrl") {
        None => DEFAULT_APPLICATION,
        Some(url) => url.as_str().ok_or(Fault::Invalid)?,
    };
    let key = PublicKey::parse(public_key)?;
    if key.address() != claim.sender {
        return Err(Fault::Invalid);
    }
    let signature = signature
        .as_str()
        .and_then(|text| key.signature(text))
        .ok_or(Fault::Invalid)?;
    let signed = |payload: &[u8]| key.verify(digest(payload), &signature);
    Fault::unless(if is_micheline {
        dates(claim.time)
            .into_iter()
            .any(|date| signed(&micheline(claim.buffer, application, &date)))
    } else {
        signed(claim.buffer.as_bytes())
    })
}

/// The date of an envelope, and the one that a client makes of it by mistake.
fn dates(time: Timestamp) -> [String; 2] {
    let mistaken = Timestamp::from_micros(time.micros().div_euclid(1_000_000) * 1_000);
    [time.to_iso_millis(), mistaken.to_iso_millis()]
}

/// What wallets sign when asked for "micheline". The length counts the
/// hexadecimal digits of the text.
pub fn micheline(buffer: &str, application: &str, date: &str) -> Vec<u8> {
    let text = format!("Tezos Signed Message: {application} {date} {buffer}");
    let length = (2 * text.len()).to_string();
    [b"\x05\x01\x00", length.as_bytes(), text.as_bytes()].concat()
}

/// blake2b-256 of a payload.
pub fn digest(payload: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(payload).into()
}

/// Signs a buffer in its raw form; the JSON text that `signature` carries.
pub fn sign(buffer: &[u8], key: &SecretKey) -> String {
    let signature = key.sign(digest(buffer));
    json!({"publicKey": key.public_key().to_string(), "signature": signature}).to_string()
}
