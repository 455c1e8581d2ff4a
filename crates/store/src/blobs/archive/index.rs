//! Where the blocks of an archive are.

use std::fs::File;
use std::io::{self, BufWriter, Error, ErrorKind, Write};
use std::os::unix::fs::FileExt;

use super::{Extent, Shape};

/// Where one block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub digest: [u8; 32],
    /// Where its bytes begin.
    pub offset: u64,
    /// How many.
    pub length: u32,
    /// Bytes of the section before them.
    pub head: u8,
}

/// Slots in the order of their digests.
#[derive(Debug)]
pub(super) enum Index {
    /// In memory, while an archive is checked.
    Held(Vec<Slot>),
    /// Behind the blocks.
    Kept { start: u64, count: u64 },
}

const SLOT_BYTES: usize = 32 + 8 + 4 + 1;
const END_BYTES: usize = 40;
const MAGIC: &[u8; 8] = b"beth.dag";

impl Index {
    /// Position and slot of a block.
    pub fn find(&self, file: &File, digest: &[u8; 32]) -> io::Result<Option<(usize, Slot)>> {
        let (start, count) = match self {
            Index::Held(slots) => {
                let position = slots.binary_search_by(|slot| slot.digest.cmp(digest)).ok();
                return Ok(position.and_then(|at| Some((at, *slots.get(at)?))));
            }
            Index::Kept { start, count } => (*start, *count),
        };
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut bytes = [0; SLOT_BYTES];
            file.read_exact_at(&mut bytes, start + middle * SLOT_BYTES as u64)?;
            let slot = Slot::read(&bytes);
            match slot.digest.cmp(digest) {
                std::cmp::Ordering::Equal => return Ok(Some((middle as usize, slot))),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

impl Index {
    /// Digests of every block, in order.
    pub fn digests(&self, file: &File) -> io::Result<Vec<[u8; 32]>> {
        let (start, count) = match self {
            Index::Held(slots) => return Ok(slots.iter().map(|slot| slot.digest).collect()),
            Index::Kept { start, count } => (*start, *count),
        };
        let mut bytes = vec![0; count as usize * SLOT_BYTES];
        file.read_exact_at(&mut bytes, start)?;
        let slots = bytes.chunks_exact(SLOT_BYTES);
        Ok(slots
            .filter_map(|slot| slot.first_chunk().copied())
            .collect())
    }
}

impl Index {
    /// Every slot, in order.
    pub fn slots(&self, file: &File) -> io::Result<Vec<Slot>> {
        let (start, count) = match self {
            Index::Held(slots) => return Ok(slots.clone()),
            Index::Kept { start, count } => (*start, *count),
        };
        let mut bytes = vec![0; count as usize * SLOT_BYTES];
        file.read_exact_at(&mut bytes, start)?;
        let slots = bytes.chunks_exact(SLOT_BYTES);
        Ok(slots
            .filter_map(|slot| slot.first_chunk().map(Slot::read))
            .collect())
    }
}

impl Slot {
    fn read(bytes: &[u8; SLOT_BYTES]) -> Slot {
        let (digest, rest) = bytes.split_at(32);
        let (offset, rest) = rest.split_at(8);
        let (length, head) = rest.split_at(4);
        Slot {
            digest: digest.try_into().unwrap_or_default(),
            offset: u64::from_le_bytes(offset.try_into().unwrap_or_default()),
            length: u32::from_le_bytes(length.try_into().unwrap_or_default()),
            head: head.first().copied().unwrap_or_default(),
        }
    }
}

/// Writes index and end behind the blocks.
pub(super) fn write_end(
    file: &mut File,
    (slots, car_bytes): (&[Slot], u64),
    extent: Extent,
) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    for slot in slots {
        out.write_all(&slot.digest)?;
        out.write_all(&slot.offset.to_le_bytes())?;
        out.write_all(&slot.length.to_le_bytes())?;
        out.write_all(&[slot.head])?;
    }
    let shape: u64 = match extent.shape {
        Shape::File => 0,
        Shape::Directory => 1,
    };
    for number in [slots.len() as u64, car_bytes, extent.size_bytes, shape] {
        out.write_all(&number.to_le_bytes())?;
    }
    out.write_all(MAGIC)?;
    out.flush()
}

/// Reads the end of an archive.
pub(super) fn read_end(file: &File) -> io::Result<(Index, Extent)> {
    let damaged = || Error::new(ErrorKind::InvalidData, "the end of an archive is damaged");
    let length = file.metadata()?.len();
    let end = length.checked_sub(END_BYTES as u64).ok_or_else(damaged)?;
    let mut bytes = [0; END_BYTES];
    file.read_exact_at(&mut bytes, end)?;
    let number = |at: usize| {
        let found = bytes.get(at * 8..at * 8 + 8);
        u64::from_le_bytes(found.and_then(|b| b.try_into().ok()).unwrap_or_default())
    };
    let (count, start, size_bytes) = (number(0), number(1), number(2));
    let index_bytes = count.checked_mul(SLOT_BYTES as u64);
    let is_whole = index_bytes.and_then(|bytes| start.checked_add(bytes)) == Some(end);
    if !bytes.ends_with(MAGIC) || !is_whole {
        return Err(damaged());
    }
    let shape = match number(3) {
        0 => Shape::File,
        _ => Shape::Directory,
    };
    Ok((Index::Kept { start, count }, Extent { size_bytes, shape }))
}
