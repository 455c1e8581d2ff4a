//! The name of a file, computed while its bytes pass.

use sha2::{Digest, Sha256};

use super::blocks::Leaves;
use super::tree::{Tree, leaf, leaf_frame};
use super::{Cid, Codec, Layout, Version};

/// Bytes of every chunk but the last.
pub(super) const CHUNK_BYTES: usize = 262_144;

/// Hashes one file in one layout. Holds one chunk, a few hundred links, and the
/// digests of the leaves: 32 bytes for each 256 KiB.
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
        self.finish_with_leaves().0
    }

    /// Ends the file; what its leaves are is told too.
    pub fn finish_with_leaves(self) -> (Cid, Leaves) {
        let layout = self.chunks.trees.first().map(|(layout, _)| *layout);
        let layout = layout.unwrap_or(Layout::V0);
        let mut named = self.chunks.finish();
        let root = named.roots.pop().map(|(_, root)| root);
        // A file has at least one chunk, the empty one included.
        let root = root.unwrap_or_else(|| {
            let digest = Sha256::digest([]).into();
            leaf(layout, digest, 0, 0).cid
        });
        (root, named.leaves(layout))
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
        self.finish_with_leaves().map(|(cid, _)| cid)
    }

    /// Ends the file; what its leaves are is told too.
    pub fn finish_with_leaves(self) -> Result<(Cid, Leaves), Cid> {
        let expected = self.expected;
        let named = self.chunks.finish();
        let is_same = |root: &Cid| root.codec == expected.codec && root.digest == expected.digest;
        if let Some(&(layout, _)) = named.roots.iter().find(|(_, root)| is_same(root)) {
            return Ok((expected, named.leaves(layout)));
        }
        // The last layout of each list frames its leaves when any does.
        Err(named.roots.last().map_or(expected, |(_, root)| *root))
    }
}

/// Cuts bytes into chunks and feeds each to the trees of some layouts.
#[derive(Clone, Debug)]
struct Chunks {
    trees: Vec<(Layout, Tree)>,
    chunk: Vec<u8>,
    /// Digests of the leaves without frames, and of those with frames, as far
    /// as a layout has them.
    raw: Vec<[u8; 32]>,
    framed: Vec<[u8; 32]>,
    size_bytes: u64,
}

/// What bytes are called in some layouts.
struct Named {
    roots: Vec<(Layout, Cid)>,
    raw: Vec<[u8; 32]>,
    framed: Vec<[u8; 32]>,
    size_bytes: u64,
}

impl Named {
    fn leaves(self, layout: Layout) -> Leaves {
        Leaves {
            layout,
            size_bytes: self.size_bytes,
            digests: match layout {
                Layout::V1RawLeaves => self.raw,
                Layout::V0 | Layout::V1 => self.framed,
            },
        }
    }
}

impl Chunks {
    fn new(layouts: &[Layout]) -> Chunks {
        Chunks {
            trees: layouts
                .iter()
                .map(|&layout| (layout, Tree::new(layout)))
                .collect(),
            chunk: Vec::new(),
            raw: Vec::new(),
            framed: Vec::new(),
            size_bytes: 0,
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
        let length = chunk.len() as u64;
        self.size_bytes += length;
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
        self.raw.extend(raw.map(|(digest, _)| digest));
        self.framed.extend(framed.map(|(digest, _)| digest));
    }

    fn finish(mut self) -> Named {
        if !self.chunk.is_empty() || self.size_bytes == 0 {
            let chunk = std::mem::take(&mut self.chunk);
            self.push(&chunk);
        }
        let trees = self.trees.into_iter();
        Named {
            roots: trees
                .filter_map(|(layout, tree)| Some((layout, tree.finish()?.cid)))
                .collect(),
            raw: self.raw,
            framed: self.framed,
            size_bytes: self.size_bytes,
        }
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
