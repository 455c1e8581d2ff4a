//! Names of blocks, as far as an exchange needs them.
//!
//! ```text
//!   version 0              12 20 ‖ sha256
//!   version 1   01 ‖ codec ‖ hash ‖ length ‖ digest         numbers are varints
//!   prefix      version ‖ codec ‖ hash ‖ length             what travels with a block
//!   key                    hash ‖ length ‖ digest           what a block is known by here
//! ```
//!
//! Two CIDs that differ in version or codec alone name the same bytes; so
//! wants and blocks meet by their multihash.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::proto::{put_varint, varint};
use crate::limits::EXCHANGE_CID_BYTES;

/// A multihash.
pub(super) type Key = Arc<[u8]>;

const SHA2_256: u64 = 0x12;
const IDENTITY: u64 = 0x00;
const DAG_PB: u64 = 0x70;
const DIGEST_BYTES: usize = 32;

/// A CID taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cid<'a> {
    version: u64,
    codec: u64,
    hash: u64,
    multihash: &'a [u8],
    digest: &'a [u8],
}

/// How the bytes of a name can be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// By asking for this and hashing what comes.
    Hash(Key),
    /// They are in the name.
    Inline(Vec<u8>),
}

impl<'a> Cid<'a> {
    /// Reads the bytes of a link.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Cid<'a>> {
        if bytes.len() > EXCHANGE_CID_BYTES {
            return None;
        }
        let (version, codec, multihash) = match bytes {
            [0x12, 0x20, digest @ ..] if digest.len() == DIGEST_BYTES => (0, DAG_PB, bytes),
            _ => {
                let mut rest = bytes;
                let (1, codec) = (varint(&mut rest)?, varint(&mut rest)?) else {
                    return None;
                };
                (1, codec, rest)
            }
        };
        let mut digest = multihash;
        let hash = varint(&mut digest)?;
        let length = varint(&mut digest)?;
        (usize::try_from(length) == Ok(digest.len())).then_some(Cid {
            version,
            codec,
            hash,
            multihash,
            digest,
        })
    }

    /// What the block is known by.
    pub(super) fn key(&self) -> Key {
        self.multihash.into()
    }

    /// What travels with the block.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(8);
        for number in [
            self.version,
            self.codec,
            self.hash,
            self.digest.len() as u64,
        ] {
            put_varint(&mut prefix, number);
        }
        prefix
    }

    /// `None` when this node cannot tell right bytes from wrong ones.
    pub(super) fn check(&self) -> Option<Check> {
        match self.hash {
            IDENTITY => Some(Check::Inline(self.digest.to_vec())),
            SHA2_256 if self.digest.len() == DIGEST_BYTES => Some(Check::Hash(self.key())),
            _ => None,
        }
    }
}

/// What a block that came with this prefix is known by; without one, as in the
/// first version of bitswap, its hash is SHA-256. `None`: a hash that is never
/// asked for.
pub(super) fn key_of(prefix: &[u8], bytes: &[u8]) -> Option<Key> {
    if !prefix.is_empty() {
        let mut rest = prefix;
        let (_version, _codec) = (varint(&mut rest)?, varint(&mut rest)?);
        let (SHA2_256, 32) = (varint(&mut rest)?, varint(&mut rest)?) else {
            return None;
        };
    }
    let digest = Sha256::digest(bytes);
    Some([&[0x12, 0x20], digest.as_slice()].concat().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_same_bytes() {
        let digest = Sha256::digest(b"bytes");
        let v0 = [&[0x12, 0x20], digest.as_slice()].concat();
        let raw = [&[0x01, 0x55, 0x12, 0x20], digest.as_slice()].concat();
        let cbor = [&[0x01, 0x71, 0x12, 0x20], digest.as_slice()].concat();
        let key = key_of(&[], b"bytes").unwrap();
        for (cid, prefix) in [
            (&v0, [0x00, 0x70, 0x12, 0x20]),
            (&raw, [0x01, 0x55, 0x12, 0x20]),
            (&cbor, [0x01, 0x71, 0x12, 0x20]),
        ] {
            let cid = Cid::parse(cid).unwrap();
            assert_eq!(cid.prefix(), prefix);
            assert_eq!(cid.check(), Some(Check::Hash(key.clone())));
            assert_eq!(key_of(&prefix, b"bytes"), Some(key.clone()));
        }
    }

    #[test]
    fn bytes_in_the_name() {
        let cid = Cid::parse(&[1, 0x55, 0, 2, b'h', b'i']).unwrap();
        assert_eq!(cid.check(), Some(Check::Inline(b"hi".to_vec())));
    }

    #[test]
    fn what_is_no_name() {
        for bad in [
            &[][..],
            &[0x12, 0x20],
            &[1, 0x55, 0x12, 0x20, 7],
            &[2, 0x55, 0, 0],
            &[1, 0x55, 0, 1, 2, 3],
            &[0xff; 12],
            &[
                1, 0x55, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
        ] {
            assert_eq!(Cid::parse(bad), None, "{bad:?}");
        }
        let blake = [&[1, 0x55, 0xa0, 0xe4, 0x02, 0x20][..], &[7; 32]].concat();
        assert_eq!(Cid::parse(&blake).unwrap().check(), None);
        assert_eq!(key_of(&[1, 0x55, 0xa0, 0xe4, 0x02, 0x20], b"x"), None);
        assert_eq!(key_of(&[1, 0x55], b"x"), None);
    }
}
