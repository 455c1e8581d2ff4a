//! The statement of a wallet: which key speaks for it, and until when.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beth_protocol::signature::delegate::{DelegateKey, solana_signed};
use beth_protocol::signature::evm;
use beth_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, hexadecimal, time};

/// A statement whose signature is right.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) key: DelegateKey,
    pub(super) address: String,
}

#[derive(Deserialize)]
struct Payload {
    pubkey: PublicKey,
    address: String,
    expires: String,
    #[serde(default = "ethereum")]
    chain: String,
}

#[derive(Deserialize)]
struct PublicKey {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

fn ethereum() -> String {
    "ETH".into()
}

impl Statement {
    /// Reads the member or header `X-SignedPubKey` and verifies it.
    pub(super) fn verify(value: &Value, now: Timestamp) -> Result<Statement, Refusal> {
        let wrong = || Refusal::StatementData;
        let member = |name: &str| value.get(name).and_then(Value::as_str);
        let (digits, signature) = member("payload")
            .zip(member("signature"))
            .ok_or_else(wrong)?;
        let bytes = hexadecimal(digits).ok_or_else(wrong)?;
        let payload: Payload = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let key = payload.pubkey.key().ok_or_else(wrong)?;
        let expires = time(&payload.expires).ok_or_else(wrong)?;
        let is_signed: fn(&[u8], &str, &str) -> bool = match payload.chain.as_str() {
            "ETH" => evm::verify,
            "SOL" => |bytes, signature, address| {
                // What wallets can show: the digits, not what they stand for.
                solana_signed(const_hex::encode(bytes).as_bytes(), signature, address)
            },
            _ => return Err(wrong()),
        };
        if expires < now {
            return Err(Refusal::Expired);
        }
        if !is_signed(&bytes, signature, &payload.address) {
            return Err(Refusal::WalletSignature);
        }
        Ok(Statement {
            key,
            address: payload.address,
        })
    }
}

impl PublicKey {
    fn key(&self) -> Option<DelegateKey> {
        let coordinate =
            |text: &str| -> Option<[u8; 32]> { URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok() };
        (self.kty == "EC" && self.crv == "P-256").then_some(())?;
        Some(DelegateKey {
            x: coordinate(&self.x)?,
            y: coordinate(&self.y)?,
        })
    }
}
