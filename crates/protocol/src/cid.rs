//! CIDs: how IPFS names files (messages.md §3.1, §3.2).
//!
//! ```text
//!   Qm…    base58( 12 20 ‖ sha256 of the root block )                  version 0
//!   bafy…  'b' base32( 01 70 12 20 ‖ sha256 of the root block )        version 1
//!   bafk…  'b' base32( 01 55 12 20 ‖ sha256 of the bytes )             version 1, one raw block
//! ```
//!
//! [`Cid`] reads and writes names; [`FileHasher`] computes the name of a file
//! from its bytes while they pass, and [`FileCheck`] compares it with the one
//! that was asked for. Only SHA-256 and the two codecs of files are known.
//! Directories, other chunk sizes and other hash functions have CIDs too, but
//! their bytes cannot be checked by this crate.

mod blocks;
mod file;
mod tree;

use std::fmt;

use crate::encoding::{base32, base58};

pub use blocks::{FileBlocks, Leaf, Leaves, Place};
pub use file::{FileCheck, FileHasher};

/// `sha2-256`, 32 bytes: how every digest here is introduced.
const MULTIHASH_PREFIX: [u8; 2] = [0x12, 0x20];
/// Characters of a version 0 name.
const V0_CHARS: usize = 46;
/// Characters of a version 1 name, the `b` of base32 included.
const V1_CHARS: usize = 59;

/// What the root block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A node with links or framed bytes.
    DagPb,
    /// The bytes of the file themselves.
    Raw,
}

impl Codec {
    fn code(self) -> u8 {
        match self {
            Codec::DagPb => 0x70,
            Codec::Raw => 0x55,
        }
    }
}

/// Which spelling a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `Qm…`; only for [`Codec::DagPb`].
    V0,
    /// `b…`.
    V1,
}

/// The name of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cid {
    version: Version,
    codec: Codec,
    digest: [u8; 32],
}

/// How a file is cut into blocks and how these name each other. The network
/// uses the defaults of kubo: chunks of 256 KiB, 174 links a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Version 0, framed leaves: `ipfs add`.
    V0,
    /// Version 1, framed leaves: `ipfs add --cid-version=1 --raw-leaves=false`.
    V1,
    /// Version 1, raw leaves: `ipfs add --cid-version=1`.
    V1RawLeaves,
}

/// The text names no block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a CID of a file: `Qm…` of 46 characters, or `bafy…` or `bafk…` of 59, with a SHA-256 inside"
)]
pub struct UnknownCid;

impl Cid {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Cid, UnknownCid> {
        let (version, bytes) = match text.len() {
            V0_CHARS => (Version::V0, base58::decode(text, 34).ok()),
            V1_CHARS => (Version::V1, text.strip_prefix('b').and_then(base32::decode)),
            _ => return Err(UnknownCid),
        };
        let bytes = bytes.ok_or(UnknownCid)?;
        let (codec, multihash) = match (version, bytes.as_slice()) {
            (Version::V0, multihash) => (Codec::DagPb, multihash),
            (Version::V1, [0x01, 0x70, multihash @ ..]) => (Codec::DagPb, multihash),
            (Version::V1, [0x01, 0x55, multihash @ ..]) => (Codec::Raw, multihash),
            _ => return Err(UnknownCid),
        };
        let digest = multihash
            .strip_prefix(&MULTIHASH_PREFIX)
            .and_then(|digest| digest.try_into().ok())
            .ok_or(UnknownCid)?;
        Ok(Cid {
            version,
            codec,
            digest,
        })
    }

    /// The name that these bytes get when they are added as one file.
    pub fn of_bytes(layout: Layout, bytes: &[u8]) -> Cid {
        let mut hasher = FileHasher::new(layout);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Which spelling it has.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What the root block is.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The name of a block with this SHA-256. Bytes of a file have no name of
    /// version 0.
    pub fn new(version: Version, codec: Codec, digest: [u8; 32]) -> Cid {
        let version = match codec {
            Codec::Raw => Version::V1,
            Codec::DagPb => version,
        };
        Cid {
            version,
            codec,
            digest,
        }
    }

    /// Names under which the block with this SHA-256 may be the root of a file
    /// or directory, the most usual first.
    pub fn with_digest(digest: [u8; 32]) -> [Cid; 3] {
        let of = |version, codec| Cid::new(version, codec, digest);
        [
            of(Version::V0, Codec::DagPb),
            of(Version::V1, Codec::DagPb),
            of(Version::V1, Codec::Raw),
        ]
    }

    /// SHA-256 of the root block.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The bytes that links carry.
    pub fn to_bytes(self) -> Vec<u8> {
        let head: &[u8] = match self.version {
            Version::V0 => &[],
            Version::V1 => &[0x01, self.codec.code()],
        };
        [head, &MULTIHASH_PREFIX, &self.digest].concat()
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::V0 => f.write_str(&base58::encode(&self.to_bytes())),
            Version::V1 => write!(f, "b{}", base32::encode(&self.to_bytes())),
        }
    }
}

impl std::str::FromStr for Cid {
    type Err = UnknownCid;
    fn from_str(text: &str) -> Result<Cid, UnknownCid> {
        Cid::parse(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (text, version, codec) in [
            (
                "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
                Version::V0,
                Codec::DagPb,
            ),
            (
                "bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im",
                Version::V1,
                Codec::DagPb,
            ),
            (
                "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
                Version::V1,
                Codec::Raw,
            ),
        ] {
            let cid = Cid::parse(text).unwrap();
            assert_eq!((cid.version(), cid.codec()), (version, codec));
            assert_eq!(cid.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_name() {
        for bad in [
            "",
            // Base58 of 46 and 44 characters with another multihash inside.
            "Qmzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "Qm111111111111111111111111111111111111111111",
            // A spare bit is set.
            "bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7in",
            // Another codec (dag-cbor), another base.
            "bafyreihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im",
            "zafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im",
            "bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7é",
        ] {
            assert_eq!(Cid::parse(bad), Err(UnknownCid), "{bad}");
        }
    }
}
