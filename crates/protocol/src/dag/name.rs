//! Names of blocks as links and archives carry them: any CID there may be, and
//! the ones whose blocks can be checked.

use std::fmt;

use sha2::{Digest, Sha256};

use super::cursor::Cursor;
use crate::cid::{Cid, Codec, Version};
use crate::encoding::{base32, base58};
use crate::limits::{CID_BYTES_MAX, CID_DIGEST_BYTES_MAX};

const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
/// Bytes of a CID of version 0.
const V0_BYTES: usize = 34;

/// The bytes of a CID, whatever it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidBytes<'a> {
    codec: u64,
    hash: u64,
    digest: &'a [u8],
    bytes: &'a [u8],
}

/// A block that can be told from others by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BlockName {
    /// SHA-256 of the block.
    Hashed {
        /// How the block is read.
        codec: Codec,
        /// Its SHA-256.
        digest: [u8; 32],
    },
    /// The block itself.
    Inline {
        /// How the block is read.
        codec: Codec,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
}

/// A name that nobody here can check, as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is neither DAG-PB nor raw, or not named by SHA-256")]
pub struct UnknownBlock(pub String);

impl<'a> CidBytes<'a> {
    /// Reads a CID that is all of these bytes.
    pub fn read(bytes: &'a [u8]) -> Option<CidBytes<'a>> {
        let (cid, rest) = CidBytes::read_first(bytes)?;
        rest.is_empty().then_some(cid)
    }

    /// Reads a CID in front of other bytes.
    pub fn read_first(bytes: &'a [u8]) -> Option<(CidBytes<'a>, &'a [u8])> {
        let mut rest = Cursor(bytes);
        let (codec, hash, digest) = if bytes.starts_with(&[0x12, 0x20]) {
            rest.take(2)?;
            (DAG_PB, SHA2_256, rest.take(32)?)
        } else {
            if rest.varint().ok()? != 1 {
                return None;
            }
            let (codec, hash) = (rest.varint().ok()?, rest.varint().ok()?);
            let length = rest.varint().ok()?;
            if length > CID_DIGEST_BYTES_MAX {
                return None;
            }
            (codec, hash, rest.take(length)?)
        };
        let bytes = &bytes[..bytes.len() - rest.0.len()];
        let cid = CidBytes {
            codec,
            hash,
            digest,
            bytes,
        };
        Some((cid, rest.0))
    }

    /// The block that it names.
    pub fn block(&self) -> Result<BlockName, UnknownBlock> {
        let unknown = || UnknownBlock(self.to_string());
        let codec = match self.codec {
            DAG_PB => Codec::DagPb,
            RAW => Codec::Raw,
            _ => return Err(unknown()),
        };
        match (self.hash, <[u8; 32]>::try_from(self.digest)) {
            (SHA2_256, Ok(digest)) => Ok(BlockName::Hashed { codec, digest }),
            (IDENTITY, _) => Ok(BlockName::Inline {
                codec,
                bytes: self.digest.into(),
            }),
            _ => Err(unknown()),
        }
    }
}

/// Base58 for version 0, base32 for version 1.
impl fmt::Display for CidBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes.first() == Some(&0x12) {
            f.write_str(&base58::encode(self.bytes))
        } else {
            write!(f, "b{}", base32::encode(self.bytes))
        }
    }
}

impl BlockName {
    /// How the block is read.
    pub fn codec(&self) -> Codec {
        match self {
            BlockName::Hashed { codec, .. } | BlockName::Inline { codec, .. } => *codec,
        }
    }

    /// Reads the text of a CID: base58 for version 0; base32, base58 or base16
    /// for version 1.
    pub fn parse(text: &str) -> Result<(BlockName, Version), UnknownBlock> {
        let unknown = || {
            let shown: String = text.chars().take(CID_BYTES_MAX as usize).collect();
            UnknownBlock(format!("{shown:?}"))
        };
        if text.len() > 2 * CID_BYTES_MAX as usize {
            return Err(unknown());
        }
        let (base, digits) = text.split_at_checked(1).ok_or_else(unknown)?;
        let bytes = match base {
            "Q" => base58::decode(text, V0_BYTES).ok(),
            "b" => base32::decode(digits),
            "B" => base32::decode(&digits.to_ascii_lowercase()),
            "z" => base58::decode(digits, CID_BYTES_MAX as usize).ok(),
            "f" | "F" => const_hex::decode(digits).ok(),
            _ => None,
        };
        let bytes = bytes.ok_or_else(unknown)?;
        let version = match bytes.len() {
            V0_BYTES => Version::V0,
            _ => Version::V1,
        };
        let cid = CidBytes::read(&bytes).ok_or_else(unknown)?;
        Ok((cid.block()?, version))
    }

    /// Its CID, spelt in this version if it can be; `None` of a block that stands
    /// in its name.
    pub fn cid(&self, version: Version) -> Option<Cid> {
        match self {
            BlockName::Hashed { codec, digest } => Some(Cid::new(version, *codec, *digest)),
            BlockName::Inline { .. } => None,
        }
    }

    /// True when these bytes are the block.
    pub fn is_of(&self, block: &[u8]) -> bool {
        match self {
            BlockName::Hashed { digest, .. } => Sha256::digest(block)[..] == digest[..],
            BlockName::Inline { bytes, .. } => block == &bytes[..],
        }
    }
}

/// As version 1: what a tool says when it is asked for the block.
impl fmt::Display for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hash, digest): (u8, &[u8]) = match self {
            BlockName::Hashed { digest, .. } => (0x12, digest),
            BlockName::Inline { bytes, .. } => (0x00, bytes),
        };
        let codec: u8 = match self.codec() {
            Codec::DagPb => 0x70,
            Codec::Raw => 0x55,
        };
        // Nothing longer than 127 bytes gets here: one digit is enough.
        let head = [0x01, codec, hash, digest.len() as u8];
        write!(f, "b{}", base32::encode(&[&head, digest].concat()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named() {
        let digest = [7; 32];
        let hashed = |codec| BlockName::Hashed { codec, digest };
        let v0 = [&[0x12, 0x20], &digest[..]].concat();
        let v1 = [&[0x01, 0x55, 0x12, 0x20], &digest[..]].concat();
        for (bytes, block) in [
            (&v0, hashed(Codec::DagPb)),
            (&v1, hashed(Codec::Raw)),
            (
                &vec![0x01, 0x55, 0x00, 0x02, b'h', b'i'],
                BlockName::Inline {
                    codec: Codec::Raw,
                    bytes: (*b"hi").into(),
                },
            ),
        ] {
            let cid = CidBytes::read(bytes).unwrap();
            assert_eq!(cid.block(), Ok(block));
            assert_eq!(CidBytes::read(&bytes[..bytes.len() - 1]), None);
            assert_eq!(CidBytes::read(&[bytes, &[0][..]].concat()), None);
        }
        let text = CidBytes::read(&v1).unwrap().to_string();
        assert_eq!(Cid::parse(&text).unwrap().digest(), &digest);
        assert_eq!(hashed(Codec::Raw).to_string(), text);
        assert!(CidBytes::read(&v0).unwrap().to_string().starts_with("Qm"));
    }

    #[test]
    fn texts_of_one_block() {
        let (v0, v1) = (Version::V0, Version::V1);
        let root = Cid::parse("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o").unwrap();
        let v1_bytes = Cid::new(v1, Codec::DagPb, *root.digest()).to_bytes();
        for (text, version) in [
            (root.to_string(), v0),
            (format!("b{}", base32::encode(&v1_bytes)), v1),
            (format!("B{}", base32::encode(&v1_bytes).to_uppercase()), v1),
            (format!("z{}", base58::encode(&v1_bytes)), v1),
            (format!("f{}", const_hex::encode(&v1_bytes)), v1),
        ] {
            let (name, spelt) = BlockName::parse(&text).unwrap();
            assert_eq!(name.cid(v0), Some(root), "{text}");
            assert_eq!(spelt, version, "{text}");
        }
        for bad in [
            "",
            "Q",
            "é",
            "Qmé",
            "b",
            "bafy",
            "x".repeat(10_000).as_str(),
        ] {
            assert!(BlockName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_checked() {
        for bytes in [
            // DAG-CBOR; SHA-512; a short SHA-256.
            [&[0x01, 0x71, 0x12, 0x20], &[0; 32][..]].concat(),
            [&[0x01, 0x70, 0x13, 0x40], &[0; 64][..]].concat(),
            [&[0x01, 0x70, 0x12, 0x10], &[0; 16][..]].concat(),
        ] {
            assert!(CidBytes::read(&bytes).unwrap().block().is_err());
        }
        let endless = [&[0x01, 0x55, 0x00, 0xff, 0x7f], &[0; 127][..]].concat();
        assert_eq!(CidBytes::read(&endless), None);
    }
}
