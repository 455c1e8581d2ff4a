//! CARv1: one root and the blocks below it, one after the other.
//!
//! ```text
//!   length │ DAG-CBOR {"roots": [cid], "version": 1}
//!   length │ cid │ block
//!   length │ cid │ block …
//! ```
//! Lengths are numbers in base 128. Of a stream at most one block is held.

mod header;

use super::cursor::{Cursor, NoVarint};
use super::name::{BlockName, CidBytes, UnknownBlock};
use crate::limits::{BLOCK_BYTES_MAX, CAR_HEADER_BYTES_MAX, CID_BYTES_MAX};

/// Reads an archive piece by piece.
#[derive(Clone, Debug, Default)]
pub struct CarReader {
    pending: Vec<u8>,
    /// Where `pending` begins in the archive.
    offset: u64,
    is_past_header: bool,
}

/// A part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section<'a> {
    /// The root, as text; and as a block when it can be checked.
    Header {
        /// Base58 for version 0, base32 for version 1.
        root: String,
        /// Which block it names.
        block: Result<BlockName, UnknownBlock>,
        /// Bytes of the header, its length included.
        size_bytes: u64,
    },
    /// A block whose bytes have not been compared with its name.
    Block {
        /// Its name.
        name: BlockName,
        /// Where the section begins.
        offset: u64,
        /// Bytes before those of the block.
        head_bytes: u64,
        /// The block.
        data: &'a [u8],
    },
}

/// Why bytes are no archive (core-api.md §9.5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CarFault {
    #[error("malformed varint: truncated")]
    VarintTruncated,
    #[error("malformed varint: exceeds 10 bytes")]
    VarintTooLong,
    #[error("header exceeds maximum size ({0} > {CAR_HEADER_BYTES_MAX})")]
    HeaderTooLarge(u64),
    #[error("truncated header")]
    HeaderTruncated,
    #[error("malformed DAG-CBOR header: {0}")]
    Header(&'static str),
    #[error("unsupported CAR version (got {0}, expected 1)")]
    Version(u64),
    #[error("expected exactly 1 root, got {0}")]
    Roots(u64),
    #[error("malformed root CID: {0}")]
    Root(&'static str),
    #[error("the section at byte {0} has no CID of a block")]
    Name(u64),
    #[error("the section at byte {0} has {1} bytes, blocks have at most {BLOCK_BYTES_MAX}")]
    BlockTooLarge(u64, u64),
    #[error("the archive ends inside the section at byte {0}")]
    BlockTruncated(u64),
    #[error(transparent)]
    Unknown(#[from] UnknownBlock),
}

impl From<NoVarint> for CarFault {
    fn from(fault: NoVarint) -> CarFault {
        match fault {
            NoVarint::Truncated => CarFault::VarintTruncated,
            NoVarint::TooLong => CarFault::VarintTooLong,
        }
    }
}

/// What an archive with this root (bytes of a CID) begins with.
pub fn header(root: &[u8]) -> Vec<u8> {
    // A CID in DAG-CBOR: tag 42, a byte string that begins with a zero.
    let link = [&[0xd8, 0x2a, 0x58, root.len() as u8 + 1, 0x00], root].concat();
    let map = [b"\xa2eroots\x81", &link[..], b"gversion\x01"].concat();
    [varint(map.len()), map].concat()
}

/// A block with its CID, as it stands in an archive.
pub fn section(cid: &[u8], block: &[u8]) -> Vec<u8> {
    [&varint(cid.len() + block.len()), cid, block].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut digits = Vec::new();
    while number >= 0x80 {
        digits.push(number as u8 | 0x80);
        number >>= 7;
    }
    digits.push(number as u8);
    digits
}

impl CarReader {
    /// Begins an archive.
    pub fn new() -> CarReader {
        CarReader::default()
    }

    /// Adds bytes; `found` hears of every section that they end.
    pub fn read<E: From<CarFault>>(
        &mut self,
        bytes: &[u8],
        mut found: impl FnMut(Section<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(rest) = self.pending.get(at..).filter(|rest| !rest.is_empty()) {
            let offset = self.offset + at as u64;
            let Some((length_bytes, body)) = self.section(rest, offset)? else {
                break;
            };
            let size = length_bytes + body.len();
            if self.is_past_header {
                found(block(offset, length_bytes, body)?)?;
            } else {
                let cid = header::root(body)?;
                found(Section::Header {
                    root: cid.to_string(),
                    block: cid.block(),
                    size_bytes: size as u64,
                })?;
                self.is_past_header = true;
            }
            at += size;
        }
        self.pending.drain(..at);
        self.offset += at as u64;
        Ok(())
    }

    /// Ends the archive.
    pub fn finish(self) -> Result<(), CarFault> {
        if self.is_past_header {
            return match self.pending.is_empty() {
                true => Ok(()),
                false => Err(CarFault::BlockTruncated(self.offset)),
            };
        }
        Cursor(&self.pending).varint()?;
        Err(CarFault::HeaderTruncated)
    }

    /// The next section: bytes of its length, and its body. `None` when it has
    /// not arrived.
    fn section<'a>(
        &self,
        rest: &'a [u8],
        offset: u64,
    ) -> Result<Option<(usize, &'a [u8])>, CarFault> {
        let mut cursor = Cursor(rest);
        let length = match cursor.varint() {
            Ok(length) => length,
            Err(NoVarint::Truncated) => return Ok(None),
            Err(fault) => return Err(fault.into()),
        };
        if !self.is_past_header && length > CAR_HEADER_BYTES_MAX {
            return Err(CarFault::HeaderTooLarge(length));
        }
        if length > BLOCK_BYTES_MAX + CID_BYTES_MAX {
            return Err(CarFault::BlockTooLarge(offset, length));
        }
        let length_bytes = rest.len() - cursor.0.len();
        Ok(cursor.take(length).map(|body| (length_bytes, body)))
    }
}

fn block(offset: u64, length_bytes: usize, body: &[u8]) -> Result<Section<'_>, CarFault> {
    let (cid, data) = CidBytes::read_first(body).ok_or(CarFault::Name(offset))?;
    if data.len() as u64 > BLOCK_BYTES_MAX {
        return Err(CarFault::BlockTooLarge(offset, data.len() as u64));
    }
    Ok(Section::Block {
        name: cid.block()?,
        offset,
        head_bytes: (length_bytes + body.len() - data.len()) as u64,
        data,
    })
}
