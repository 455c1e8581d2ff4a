//! Signatures, by chain (messages.md §7).
//!
//! ```text
//!   Message ─▶ Claim { buffer, signature, sender, time } ─▶ one file per scheme ─▶ Ok or Fault
//!                                                                                    │
//!   evm        EIP-191, recovered              ed25519    SOL and ES      code 1 ◀───┘
//!   avalanche  recovered, cb58                 substrate  sr25519, SS58
//!   nuls2      recovered, base64               tezos      three curves, two payloads
//!   nuls       verified, DER                   cosmos     verified, amino document
//! ```
//!
//! `verify` never panics and never asks anybody: the answer depends on the
//! message alone. One message is verified at a time; batch verification of
//! Ed25519 accepts other signatures than single verification. Every decoder
//! looks at lengths before it works, so that a malformed signature costs no
//! more than reading it. Signing is deterministic everywhere.

pub mod avalanche;
pub mod cosmos;
pub mod delegate;
mod ecdsa;
pub mod ed25519;
pub mod evm;
pub mod nuls;
pub mod nuls2;
pub mod operator;
pub mod substrate;
pub mod tezos;

use crate::chain::Scheme;
use crate::message::Message;
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;

/// What a message claims, as the verifiers see it.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The verification buffer (messages.md §7.1).
    pub buffer: &'a str,
    /// The text of `signature`.
    pub signature: &'a str,
    /// Who is said to have signed.
    pub sender: &'a str,
    /// Time of the envelope; one form of Tezos signs it.
    pub time: Timestamp,
}

/// Why a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not the sender's, or has no known form.
    #[error("The signature of the message is invalid")]
    Invalid,
    /// It cannot be read; the text says where.
    #[error("Signature validation error: {0}")]
    Unreadable(String),
}

impl Fault {
    fn unreadable(cause: impl std::fmt::Display) -> Fault {
        Fault::Unreadable(cause.to_string())
    }

    fn unless(valid: bool) -> Result<(), Fault> {
        if valid { Ok(()) } else { Err(Fault::Invalid) }
    }
}

/// Checks the signature of a message: code 1 when it is missing, malformed or
/// somebody else's, code 0 for the chains that nobody verifies.
pub fn verify(message: &Message) -> Result<(), Rejection> {
    message.require_signature()?;
    let buffer = message.verification_buffer();
    let claim = Claim {
        buffer: &buffer,
        signature: message.signature.as_deref().unwrap_or_default(),
        sender: &message.sender,
        time: message.time,
    };
    let verdict = match message.chain.scheme() {
        Scheme::Evm => evm::check(&claim),
        Scheme::Ed25519 => ed25519::check(&claim),
        Scheme::Substrate => substrate::check(&claim),
        Scheme::Cosmos => cosmos::check(&claim),
        Scheme::Nuls => nuls::check(&claim),
        Scheme::Nuls2 => nuls2::check(&claim),
        Scheme::Avalanche => avalanche::check(&claim),
        Scheme::Tezos => tezos::check(&claim),
        Scheme::Unverifiable => {
            return Err(Rejection::invalid_format(format!(
                "Unknown chain for validation: Chain.{}",
                message.chain.member_name()
            )));
        }
    };
    verdict.map_err(|fault| Rejection::text(Code::InvalidSignature, fault.to_string()))
}
