//! Item hashes: how contents and files are named (messages.md §3).

pub mod chain;
mod naming;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::EXCERPT_CHARS_MAX;

pub use naming::{Naming, Parts};

/// Where a hash is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// Lowercase hex SHA-256 of the bytes.
    Storage,
    /// An IPFS CID: v0 `Qm…` or v1 `bafy…` of 59 characters.
    Ipfs,
}

/// A hash that passed the strict classifier. The text is kept as received.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ItemHash(String);

/// The text is no item hash. Of a long one only the beginning is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Could not determine hash type: '{0}'")]
pub struct UnknownHash(pub String);

const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

fn classify(text: &str) -> Option<HashKind> {
    if let Some(rest) = text.strip_prefix("Qm") {
        let fits = (44..=46).contains(&text.len()) && rest.chars().all(|c| BASE58.contains(c));
        return fits.then_some(HashKind::Ipfs);
    }
    if let Some(rest) = text.strip_prefix("bafy") {
        let fits = text.len() == 59 && rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        return fits.then_some(HashKind::Ipfs);
    }
    let fits = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    fits.then_some(HashKind::Storage)
}

/// The lenient test of the storage routes and of STORE checks: prefix and
/// length only (core-api.md §1.8, processing.md §11.1).
pub fn classify_loosely(text: &str) -> Option<HashKind> {
    if text.starts_with("Qm") && (44..=46).contains(&text.len()) {
        return Some(HashKind::Ipfs);
    }
    if text.starts_with("bafy") && text.len() == 59 {
        return Some(HashKind::Ipfs);
    }
    (text.chars().count() == 64).then_some(HashKind::Storage)
}

/// The beginning of a text that somebody sent: refusals are stored and served.
pub(crate) fn excerpt(text: &str) -> &str {
    excerpt_of(EXCERPT_CHARS_MAX, text)
}

/// At most so many characters of the beginning of a text.
pub(crate) fn excerpt_of(chars_max: usize, text: &str) -> &str {
    let end = text.char_indices().nth(chars_max);
    end.map_or(text, |(end, _)| &text[..end])
}

impl ItemHash {
    /// Reads a hash with the strict classifier of messages.md §3.1.
    pub fn parse(text: &str) -> Result<ItemHash, UnknownHash> {
        match classify(text) {
            Some(_) => Ok(ItemHash(text.to_owned())),
            None => Err(UnknownHash(excerpt(text).to_owned())),
        }
    }

    /// The name of these bytes in the storage engine: hex SHA-256.
    pub fn of_bytes(bytes: &[u8]) -> ItemHash {
        ItemHash(const_hex::encode(Sha256::digest(bytes)))
    }

    /// Wraps a finished SHA-256 digest.
    pub fn of_digest(digest: [u8; 32]) -> ItemHash {
        ItemHash(const_hex::encode(digest))
    }

    /// Where it is resolved.
    pub fn kind(&self) -> HashKind {
        if self.0.starts_with("Qm") || self.0.starts_with("bafy") {
            HashKind::Ipfs
        } else {
            HashKind::Storage
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 bytes of a storage hash; `None` for a CID.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        const_hex::decode_to_slice(&self.0, &mut bytes).ok()?;
        Some(bytes)
    }
}

impl std::fmt::Display for ItemHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ItemHash {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ItemHash {
    type Err = UnknownHash;
    fn from_str(text: &str) -> Result<ItemHash, UnknownHash> {
        ItemHash::parse(text)
    }
}

impl<'de> Deserialize<'de> for ItemHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ItemHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        ItemHash::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let sha = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        let v0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";
        let v1 = "bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im";
        assert_eq!(ItemHash::parse(sha).unwrap().kind(), HashKind::Storage);
        assert_eq!(ItemHash::parse(v0).unwrap().kind(), HashKind::Ipfs);
        assert_eq!(ItemHash::parse(v1).unwrap().kind(), HashKind::Ipfs);
        assert_eq!(ItemHash::of_bytes(b"hello world").as_str(), sha);
        for bad in [
            "",
            "abc",
            &sha.to_uppercase(),
            &sha[1..],
            "Qm0",
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
        ] {
            assert!(ItemHash::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_long_text_the_beginning_is_repeated() {
        for text in ["a", "é"].map(|one| one.repeat(1 << 20)) {
            let UnknownHash(told) = ItemHash::parse(&text).unwrap_err();
            assert_eq!(told.chars().count(), EXCERPT_CHARS_MAX);
            assert!(text.starts_with(&told));
        }
    }
}
