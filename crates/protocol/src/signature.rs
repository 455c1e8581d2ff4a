//! Signatures, by chain (messages.md §7).
//!
//! `verify` never panics and never asks anybody: the answer depends on the
//! message alone. One message is verified at a time; batch verification of
//! Ed25519 accepts other signatures than single verification.

pub mod ed25519;
pub mod evm;

use crate::chain::Scheme;
use crate::message::Message;
use crate::rejection::{Code, Rejection};

/// Checks the signature of a message.
pub fn verify(message: &Message) -> Result<(), Rejection> {
    message.require_signature()?;
    let signature = message.signature.as_deref().unwrap_or_default();
    let buffer = message.verification_buffer();
    let valid = match message.chain.scheme() {
        Scheme::Evm => evm::verify(buffer.as_bytes(), signature, &message.sender),
        Scheme::Ed25519 => ed25519::verify(buffer.as_bytes(), signature, &message.sender),
        Scheme::Unverifiable => {
            return Err(Rejection::invalid_format(format!(
                "Unknown chain for validation: Chain.{}",
                message.chain.member_name()
            )));
        }
        Scheme::Substrate
        | Scheme::Cosmos
        | Scheme::Nuls
        | Scheme::Nuls2
        | Scheme::Avalanche
        | Scheme::Tezos => {
            return Err(Rejection::text(
                Code::InvalidSignature,
                format!(
                    "this node does not verify signatures of chain {} yet",
                    message.chain
                ),
            ));
        }
    };
    if valid {
        Ok(())
    } else {
        Err(Rejection::text(
            Code::InvalidSignature,
            "The signature of the message is invalid",
        ))
    }
}
