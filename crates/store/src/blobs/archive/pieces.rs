//! The bytes of a file in a graph, block by block.

use std::sync::Arc;

use beth_protocol::dag::{Block, Part};

use super::{Archive, Found, read};
use crate::error::Error;
use crate::limits::{ARCHIVE_DEPTH_MAX, ARCHIVE_LINKS_HELD};

/// Bytes of a file in order; holds one block and the links that lead on.
#[derive(Debug)]
pub struct FilePieces {
    archive: Arc<Archive>,
    /// What follows, the next one last.
    parts: Vec<Part>,
    skip: u64,
    left: u64,
    /// Blocks since the last byte.
    barren: usize,
}

impl FilePieces {
    pub(super) fn new(
        archive: Arc<Archive>,
        found: &Found,
        (first, count): (u64, u64),
    ) -> FilePieces {
        let whole = Part {
            target: found.name.clone(),
            size_bytes: found.extent.size_bytes,
        };
        FilePieces {
            archive,
            parts: vec![whole],
            skip: first,
            left: count,
            barren: 0,
        }
    }

    /// The bytes of the next block that has some of those asked for.
    fn advance(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while self.left > 0 {
            let Some(part) = self.parts.pop() else {
                break;
            };
            if self.skip >= part.size_bytes {
                self.skip -= part.size_bytes;
                continue;
            }
            let bytes = self.archive.present(&part.target)?;
            let data = match read(&part.target, &bytes)? {
                Block::File {
                    data,
                    parts,
                    size_bytes,
                } => {
                    self.go_on(parts, size_bytes == part.size_bytes)?;
                    data
                }
                Block::Symlink(target) => target.as_bytes(),
                _ => return Err(Error::Damaged("a part of a file is none".into())),
            };
            let skipped = self.skip.min(data.len() as u64);
            self.skip -= skipped;
            let rest = data.get(skipped as usize..).unwrap_or_default();
            if rest.is_empty() {
                continue;
            }
            let count = self.left.min(rest.len() as u64);
            self.left -= count;
            self.barren = 0;
            return Ok(rest.get(..count as usize).map(<[u8]>::to_vec));
        }
        Ok(None)
    }

    /// Puts the links of a block in front. Blocks that nobody has checked as a
    /// whole could lead on for ever, or without end on the way to one byte.
    fn go_on(&mut self, parts: Vec<Part>, is_as_stated: bool) -> Result<(), Error> {
        let parts = parts.into_iter().rev();
        self.parts.extend(parts.filter(|part| part.size_bytes > 0));
        self.barren += 1;
        let is_bounded = self.barren <= ARCHIVE_DEPTH_MAX && self.parts.len() <= ARCHIVE_LINKS_HELD;
        if is_as_stated && is_bounded {
            return Ok(());
        }
        Err(Error::Damaged("the blocks of a file make no file".into()))
    }
}

impl Iterator for FilePieces {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.advance();
        if piece.is_err() {
            self.left = 0;
        }
        piece.transpose()
    }
}
