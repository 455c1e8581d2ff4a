//! Texts that carry bytes: base58, base64, bech32, base32, hexadecimal.
//!
//! Signatures, addresses and CIDs come in these. Each decoder looks at the
//! length before it works, so that no text costs more than reading it, and
//! accepts exactly what the network's nodes accept (their decoders skip what a
//! strict one refuses).

pub mod base32;
pub mod base58;
pub mod base64;
pub mod bech32;
pub mod hexadecimal;
