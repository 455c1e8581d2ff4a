//! Accounts: keys that sign messages.

use ed25519_dalek::SigningKey;
use secp256k1::{PublicKey, Secp256k1, SecretKey};
use serde_json::Value;

use crate::message::{ItemType, Message, MessageType};
use crate::signature::{ed25519, evm};
use crate::time::Timestamp;
use crate::{Chain, ItemHash};

/// A key of one chain. The key itself is never shown by `Debug`.
#[derive(Clone)]
pub struct Account {
    chain: Chain,
    address: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Evm(SecretKey),
    Ed25519(Box<SigningKey>),
}

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length or alphabet.
    #[error("a private key is 64 hexadecimal characters (32 bytes), with or without 0x")]
    NotHex,
    /// 32 bytes that are no key of this curve.
    #[error("these 32 bytes are no valid private key")]
    OutOfRange,
}

impl Account {
    /// An Ethereum account from 32 bytes of hex, `0x` optional.
    pub fn ethereum(hex: &str) -> Result<Account, KeyError> {
        let bytes = decode_key(hex)?;
        let secret = SecretKey::from_byte_array(bytes).map_err(|_| KeyError::OutOfRange)?;
        let public = PublicKey::from_secret_key(&Secp256k1::signing_only(), &secret);
        let address = evm::checksummed(evm::address_bytes(&public));
        Ok(Account {
            chain: Chain::Eth,
            address,
            key: Key::Evm(secret),
        })
    }

    /// A Solana account from a 32-byte seed in hex, `0x` optional.
    pub fn solana(hex: &str) -> Result<Account, KeyError> {
        let key = SigningKey::from_bytes(&decode_key(hex)?);
        Ok(Account {
            chain: Chain::Sol,
            address: ed25519::address(&key),
            key: Key::Ed25519(Box::new(key)),
        })
    }

    /// The chain it signs for.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Its address, as written in messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Signs a text the way the chain's wallets do.
    pub fn sign_text(&self, text: &[u8]) -> String {
        match &self.key {
            Key::Evm(key) => evm::sign(text, key),
            Key::Ed25519(key) => ed25519::sign(text, key),
        }
    }

    /// Makes an inline message of a content and signs it.
    pub fn sign_message(
        &self,
        message_type: MessageType,
        content: &Value,
        channel: Option<&str>,
        time: Timestamp,
    ) -> Message {
        let item_content = content.to_string();
        let item_hash = ItemHash::of_bytes(item_content.as_bytes());
        let mut message = Message {
            sender: self.address.clone(),
            chain: self.chain,
            signature: None,
            message_type,
            item_type: ItemType::Inline,
            item_content: Some(item_content),
            item_hash,
            time,
            channel: channel.map(str::to_owned),
        };
        message.signature = Some(self.sign_text(message.verification_buffer().as_bytes()));
        message
    }
}

fn decode_key(hex: &str) -> Result<[u8; 32], KeyError> {
    let text = hex.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return Err(KeyError::NotHex);
    }
    const_hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::NotHex)?;
    Ok(bytes)
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("chain", &self.chain)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_addresses() {
        let account =
            Account::ethereum("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
                .unwrap();
        assert_eq!(
            account.address(),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
        assert!(Account::ethereum("0x00").is_err());
        assert_eq!(
            Account::ethereum(&"0".repeat(64)).unwrap_err(),
            KeyError::OutOfRange
        );
    }

    #[test]
    fn signs_what_it_verifies() {
        for account in [
            Account::ethereum(&"11".repeat(32)).unwrap(),
            Account::solana(&"11".repeat(32)).unwrap(),
        ] {
            let content = serde_json::json!({"address": account.address(), "time": 1.0, "type": "t", "content": {}});
            let message = account.sign_message(
                MessageType::Post,
                &content,
                Some("TEST"),
                Timestamp::from_seconds(1),
            );
            assert_eq!(crate::signature::verify(&message), Ok(()));
            let mut forged = message.clone();
            forged.message_type = MessageType::Forget;
            assert!(crate::signature::verify(&forged).is_err());
        }
    }
}
