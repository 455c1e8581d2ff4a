//! The bytes of a file in a graph, block by block.

use std::sync::Arc;

use beth_protocol::dag::{Block, Part};

use super::{Archive, Found, read};
use crate::error::Error;

/// Bytes of a file in order; holds one block and the links that lead on.
#[derive(Debug)]
pub struct FilePieces {
    archive: Arc<Archive>,
    /// What follows, the next one last.
    parts: Vec<Part>,
    skip: u64,
    left: u64,
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
                Block::File { data, parts, .. } => {
                    self.parts.extend(parts.into_iter().rev());
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
            return Ok(rest.get(..count as usize).map(<[u8]>::to_vec));
        }
        Ok(None)
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
