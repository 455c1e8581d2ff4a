//! UnixFS: what the data of a node says it is.

use super::cursor::{Cursor, Field};

/// The data of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnixFs<'a> {
    pub kind: Kind,
    pub data: &'a [u8],
    pub file_bytes: Option<u64>,
    pub part_bytes: Vec<u64>,
    pub hash: Option<u64>,
    pub fanout: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Raw,
    Directory,
    File,
    Symlink,
    Shard,
}

impl<'a> UnixFs<'a> {
    /// Reads the data; `None` when it is something else. Modes and times of
    /// files are skipped.
    pub fn read(bytes: &'a [u8]) -> Option<UnixFs<'a>> {
        let (mut kind, mut rest) = (None, Cursor(bytes));
        let mut found = UnixFs {
            kind: Kind::Raw,
            data: &[],
            file_bytes: None,
            part_bytes: Vec::new(),
            hash: None,
            fanout: None,
        };
        while !rest.is_empty() {
            match rest.field()? {
                (1, Field::Number(number)) => kind = Some(Kind::of(number)?),
                (2, Field::Bytes(data)) => found.data = data,
                (3, Field::Number(size)) => found.file_bytes = Some(size),
                (4, Field::Number(size)) => found.part_bytes.push(size),
                (4, Field::Bytes(packed)) => {
                    let mut packed = Cursor(packed);
                    while !packed.is_empty() {
                        found.part_bytes.push(packed.varint().ok()?);
                    }
                }
                (5, Field::Number(hash)) => found.hash = Some(hash),
                (6, Field::Number(fanout)) => found.fanout = Some(fanout),
                (1..=6, _) => return None,
                _ => {}
            }
        }
        found.kind = kind?;
        Some(found)
    }
}

impl Kind {
    fn of(number: u64) -> Option<Kind> {
        match number {
            0 => Some(Kind::Raw),
            1 => Some(Kind::Directory),
            2 => Some(Kind::File),
            4 => Some(Kind::Symlink),
            5 => Some(Kind::Shard),
            _ => None,
        }
    }
}
