//! The name of a file, computed while its bytes pass.

use sha2::{Digest, Sha256};

use super::tree::{Tree, leaf, leaf_frame};
use super::{Cid, Codec, Layout, Version};

/// Bytes of every chunk but the last.
const CHUNK_BYTES: usize = 262_144;

/// Hashes one file in one layout. Holds one chunk and a few hundred links,
/// however long the file is.
#[derive(Clone, Debug)]
pub struct FileHasher {
    chunks: Chunks,
}

impl FileHasher {
    /// Begins a file.
    pub fn new(layout: Layout) -> FileHasher {
        FileHasher {
            chunks: Chunks::new(&[layout]),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.chunks.update(bytes);
    }

    /// Ends the file.
    pub fn finish(self) -> Cid {
        let layout = self.chunks.trees.first().map(|(layout, _)| *layout);
        let root = self.chunks.finish().into_iter().next();
        // A file has at least one chunk, the empty one included.
        root.unwrap_or_else(|| {
            let digest = Sha256::digest([]).into();
            leaf(layout.unwrap_or(Layout::V0), digest, 0, 0).cid
        })
    }
}

/// Compares a file with the name it was asked for under.
///
/// A version 1 name does not tell whether the leaves are raw, nor whether it is
/// a version 0 name in other letters, so these three are computed side by side.
#[derive(Clone, Debug)]
pub struct FileCheck {
    expected: Cid,
    chunks: Chunks,
}

impl FileCheck {
    /// Begins a file.
    pub fn new(expected: Cid) -> FileCheck {
        let layouts: &[Layout] = match (expected.version, expected.codec) {
            (Version::V0, _) => &[Layout::V0],
            (Version::V1, Codec::Raw) => &[Layout::V1RawLeaves],
            (Version::V1, Codec::DagPb) => &[Layout::V1RawLeaves, Layout::V1, Layout::V0],
        };
        FileCheck {
            expected,
            chunks: Chunks::new(layouts),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.chunks.update(bytes);
    }

    /// Ends the file: the name asked for when the bytes have it, otherwise one
    /// that they have.
    pub fn finish(self) -> Result<Cid, Cid> {
        let expected = self.expected;
        let roots = self.chunks.finish();
        let is_same = |root: &Cid| root.codec == expected.codec && root.digest == expected.digest;
        if roots.iter().any(is_same) {
            return Ok(expected);
        }
        // The last layout of each list frames its leaves when any does.
        Err(roots.into_iter().next_back().unwrap_or(expected))
    }
}

/// Cuts bytes into chunks and feeds each to the trees of some layouts.
#[derive(Clone, Debug)]
struct Chunks {
    trees: Vec<(Layout, Tree)>,
    chunk: Vec<u8>,
    is_empty: bool,
}

impl Chunks {
    fn new(layouts: &[Layout]) -> Chunks {
        Chunks {
            trees: layouts
                .iter()
                .map(|&layout| (layout, Tree::new(layout)))
                .collect(),
            chunk: Vec::new(),
            is_empty: true,
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if self.chunk.is_empty() && now.len() == CHUNK_BYTES {
                self.push(now);
            } else {
                self.chunk.extend_from_slice(now);
                if self.chunk.len() == CHUNK_BYTES {
                    let mut chunk = std::mem::take(&mut self.chunk);
                    self.push(&chunk);
                    chunk.clear();
                    self.chunk = chunk;
                }
            }
            bytes = later;
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.is_empty = false;
        let length = chunk.len() as u64;
        let (mut raw, mut framed) = (None, None);
        for (layout, tree) in &mut self.trees {
            let (digest, block_bytes) = match layout {
                Layout::V1RawLeaves => {
                    *raw.get_or_insert_with(|| (<[u8; 32]>::from(Sha256::digest(chunk)), length))
                }
                Layout::V0 | Layout::V1 => *framed.get_or_insert_with(|| frame(chunk)),
            };
            tree.push(leaf(*layout, digest, length, block_bytes));
        }
    }

    fn finish(mut self) -> Vec<Cid> {
        if !self.chunk.is_empty() || self.is_empty {
            let chunk = std::mem::take(&mut self.chunk);
            self.push(&chunk);
        }
        self.trees
            .into_iter()
            .filter_map(|(_, tree)| tree.finish())
            .map(|root| root.cid)
            .collect()
    }
}

/// Digest and length of the framed leaf of a chunk.
fn frame(chunk: &[u8]) -> ([u8; 32], u64) {
    let (before, after) = leaf_frame(chunk.len() as u64);
    let digest = Sha256::new()
        .chain_update(&before)
        .chain_update(chunk)
        .chain_update(&after)
        .finalize();
    let length = before.len() + chunk.len() + after.len();
    (digest.into(), length as u64)
}
