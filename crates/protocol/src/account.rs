//! Accounts: keys that sign messages, one scheme per chain.
//!
//! ```text
//!   text of a key ─▶ account::secret ─▶ 32 bytes (and a curve) ─▶ Account ─▶ address, signatures
//! ```
//! Everything is a function of the key: no randomness, so that the same message
//! is signed with the same text every time.

mod secret;

use ed25519_dalek::SigningKey;
use schnorrkel::Keypair;
use secp256k1::SecretKey;
use serde_json::Value;

use crate::chain::Scheme;
use crate::message::{ItemType, Message, MessageType};
use crate::signature::tezos::key::SecretKey as TezosKey;
use crate::signature::{avalanche, cosmos, ed25519, evm, nuls, nuls2, substrate, tezos};
use crate::time::Timestamp;
use crate::{Chain, ItemHash};

pub use crate::signature::tezos::key::Curve;
use secret::Secret;

/// Chain id of the first NULS network's addresses (`Ns…`).
const NULS_CHAIN_ID: i16 = 8964;
/// Zone of Cosmos addresses.
const COSMOS_ZONE: &str = "cosmos";
/// Chain of Avalanche addresses.
const AVALANCHE_CHAIN: &str = "X";

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
    Substrate(Box<Keypair>),
    Cosmos(SecretKey),
    Nuls(SecretKey),
    Nuls2(SecretKey),
    Avalanche(SecretKey),
    Tezos(TezosKey),
}

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length or alphabet.
    #[error("a private key is 64 hexadecimal characters (32 bytes), with or without 0x")]
    NotHex,
    /// Neither hexadecimal digits nor a form of this chain's wallets.
    #[error("this is no private key of chain {0}: give 64 hexadecimal characters, or {1}")]
    NotNative(Chain, &'static str),
    /// 32 bytes that are no key of this curve.
    #[error("these 32 bytes are no valid private key")]
    OutOfRange,
    /// No node can check signatures of this chain.
    #[error("no node verifies messages of chain {0}: choose another chain, ETH for instance")]
    Unverifiable(Chain),
}

impl Account {
    /// An account of any chain from the text of its key: 64 hexadecimal digits
    /// (`0x` optional); for Tezos also `edsk…`, `spsk…`, `p2sk…`; for Solana
    /// and Eclipse also what their wallets export.
    pub fn parse(chain: Chain, text: &str) -> Result<Account, KeyError> {
        let secret = Secret::parse(chain, text.trim())?;
        Account::from_secret(chain, secret)
    }

    /// An account of any chain from 32 bytes. On Tezos the curve is Ed25519.
    pub fn from_bytes(chain: Chain, bytes: [u8; 32]) -> Result<Account, KeyError> {
        let curve = Curve::Ed25519;
        Account::from_secret(chain, Secret { bytes, curve })
    }

    /// A Tezos account from 32 bytes on a curve.
    pub fn tezos(curve: Curve, bytes: [u8; 32]) -> Result<Account, KeyError> {
        Account::from_secret(Chain::Tezos, Secret { bytes, curve })
    }

    /// An Ethereum account from 32 bytes of hex, `0x` optional.
    pub fn ethereum(hex: &str) -> Result<Account, KeyError> {
        Account::parse(Chain::Eth, hex)
    }

    /// A Solana account from a 32-byte seed in hex, `0x` optional.
    pub fn solana(hex: &str) -> Result<Account, KeyError> {
        Account::parse(Chain::Sol, hex)
    }

    fn from_secret(chain: Chain, Secret { bytes, curve }: Secret) -> Result<Account, KeyError> {
        let scalar = || SecretKey::from_byte_array(bytes).map_err(|_| KeyError::OutOfRange);
        let key = match chain.scheme() {
            Scheme::Evm => Key::Evm(scalar()?),
            Scheme::Ed25519 => Key::Ed25519(Box::new(SigningKey::from_bytes(&bytes))),
            Scheme::Substrate => {
                let pair = substrate::keypair(bytes).ok_or(KeyError::OutOfRange)?;
                Key::Substrate(Box::new(pair))
            }
            Scheme::Cosmos => Key::Cosmos(scalar()?),
            Scheme::Nuls => Key::Nuls(scalar()?),
            Scheme::Nuls2 => Key::Nuls2(scalar()?),
            Scheme::Avalanche => Key::Avalanche(scalar()?),
            Scheme::Tezos => {
                Key::Tezos(TezosKey::from_bytes(curve, bytes).ok_or(KeyError::OutOfRange)?)
            }
            Scheme::Unverifiable => return Err(KeyError::Unverifiable(chain)),
        };
        Ok(Account {
            chain,
            address: key.address(),
            key,
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

    /// Signs a text the way the chain's wallets do. Schemes that wrap the text
    /// in another one take it as UTF-8.
    pub fn sign_text(&self, text: &[u8]) -> String {
        let utf8 = String::from_utf8_lossy(text);
        match &self.key {
            Key::Evm(key) => evm::sign(text, key),
            Key::Ed25519(key) => ed25519::sign(text, key),
            Key::Substrate(key) => substrate::sign(text, key),
            Key::Cosmos(key) => cosmos::sign(&utf8, &self.address, key),
            Key::Nuls(key) => nuls::sign(&utf8, key),
            Key::Nuls2(key) => nuls2::sign(&utf8, key),
            Key::Avalanche(key) => avalanche::sign(&utf8, key),
            Key::Tezos(key) => tezos::sign(text, key),
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

impl Key {
    fn address(&self) -> String {
        match self {
            Key::Evm(key) => evm::address(key),
            Key::Ed25519(key) => ed25519::address(key),
            Key::Substrate(key) => substrate::address(key),
            Key::Cosmos(key) => cosmos::address(COSMOS_ZONE, key),
            Key::Nuls(key) => nuls::address(NULS_CHAIN_ID, key),
            Key::Nuls2(key) => nuls2::address(key),
            Key::Avalanche(key) => avalanche::address(AVALANCHE_CHAIN, key),
            Key::Tezos(key) => key.public_key().address(),
        }
    }
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
#[allow(clippy::unwrap_used)]
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
        for (chain, address) in [
            (Chain::Base, "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"),
            (Chain::Es, "F25s3DdjXdCxYBhh2z8FBusVEMT4b9bGNFVKJi3wFoF4"),
            (
                Chain::Dot,
                "5DtDLm5rQHShDqojQpsvcN8tRXHVFaecfDoRet1SU6BFD9Fi",
            ),
            (Chain::Csdk, "cosmos1l3e9pgs3mmwuwrh95fecme0s0qtn2880f2jmfe"),
            (Chain::Nuls, "Nse9eGX8wkCgi14BwqCqwHmu4DGJeNps"),
            (Chain::Nuls2, "NULSd6HgjPhStxjH1tBJppNWsa7ZQMJTr9zu7"),
            (Chain::Tezos, "tz1SuVm2EtvzCVfkgpgDWNnvXFNJpL6z1kCC"),
        ] {
            let account = Account::from_bytes(chain, [0x11; 32]).unwrap();
            assert_eq!(account.address(), address, "{chain}");
        }
        for (curve, address) in [
            (Curve::Secp256k1, "tz2JFtZVrrFRkv3WzaaPK6ogGBEs4bQoTTWZ"),
            (Curve::P256, "tz3X3GAu1qXQPXFZpfUZR98jpVa1iWMth712"),
        ] {
            let account = Account::tezos(curve, [0x11; 32]).unwrap();
            assert_eq!(account.address(), address);
        }
    }

    #[test]
    fn what_is_no_key() {
        assert_eq!(Account::ethereum("0x00").unwrap_err(), KeyError::NotHex);
        for chain in [Chain::Eth, Chain::Csdk, Chain::Avax, Chain::Nuls2] {
            let error = Account::from_bytes(chain, [0; 32]).unwrap_err();
            assert_eq!(error, KeyError::OutOfRange, "{chain}");
        }
        for curve in [Curve::Secp256k1, Curve::P256] {
            assert!(Account::tezos(curve, [0xff; 32]).is_err());
        }
        for chain in [Chain::Aurora, Chain::Stt] {
            let error = Account::from_bytes(chain, [1; 32]).unwrap_err();
            assert_eq!(error, KeyError::Unverifiable(chain));
        }
    }
}
