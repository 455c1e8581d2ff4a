//! The blocks of a file that is kept as plain bytes.
//!
//! ```text
//!   digests of its leaves ─▶ every level above, up to the root
//!   a leaf                   a range of the file, framed or not
//!   a node above             made again from the links to what is below
//! ```
//! 32 bytes for each 256 KiB of a file are enough to tell every block of it, so
//! no block is kept twice: once as such and once as bytes of the file.

use super::file::CHUNK_BYTES;
use super::tree::{LINKS_MAX, Link, leaf, leaf_frame, link_to, node_block, version};
use super::{Cid, Layout};

/// Digests of the leaves of a file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// How the file is cut.
    pub layout: Layout,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// One for each chunk; an empty file has one chunk.
    pub digests: Vec<[u8; 32]>,
}

/// Where a block is in the tree of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0 for leaves.
    pub level: u8,
    /// Blocks before it on its level.
    pub index: u32,
}

/// Every block of a file, by place.
#[derive(Clone, Debug)]
pub struct FileBlocks {
    levels: Vec<Vec<Link>>,
}

/// A leaf: bytes of the file with a frame around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many.
    pub size_bytes: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Place {
    /// As one number.
    pub fn to_number(self) -> u64 {
        u64::from(self.level) << 32 | u64::from(self.index)
    }

    /// From one number.
    pub fn of_number(number: u64) -> Place {
        Place {
            level: (number >> 32) as u8,
            index: number as u32,
        }
    }
}

impl Leaf {
    /// The leaf at an index of a file of this size; `None` behind its end.
    pub fn at(layout: Layout, index: u32, file_bytes: u64) -> Option<Leaf> {
        let offset = u64::from(index) * CHUNK_BYTES as u64;
        if offset >= file_bytes && (index, file_bytes) != (0, 0) {
            return None;
        }
        let size_bytes = (file_bytes - offset).min(CHUNK_BYTES as u64);
        let (before, after) = match layout {
            Layout::V0 | Layout::V1 => leaf_frame(size_bytes),
            Layout::V1RawLeaves => (Vec::new(), Vec::new()),
        };
        Some(Leaf {
            offset,
            size_bytes,
            before,
            after,
        })
    }

    /// A whole file that is a block as it is.
    pub fn whole(size_bytes: u64) -> Leaf {
        Leaf {
            offset: 0,
            size_bytes,
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Bytes of the block.
    pub fn block_bytes(&self) -> u64 {
        (self.before.len() + self.after.len()) as u64 + self.size_bytes
    }

    /// The block around these bytes of the file.
    pub fn block(&self, chunk: &[u8]) -> Vec<u8> {
        [&self.before, chunk, &self.after].concat()
    }
}

impl Leaves {
    /// True when the file is one block: its name is all there is to know.
    pub fn is_one_block(&self) -> bool {
        self.digests.len() <= 1
    }

    /// The tree above.
    pub fn tree(&self) -> FileBlocks {
        let layout = self.layout;
        let leaves = self.digests.iter().zip(0..).filter_map(|(digest, index)| {
            let at = Leaf::at(layout, index, self.size_bytes)?;
            Some(leaf(layout, *digest, at.size_bytes, at.block_bytes()))
        });
        let mut levels = vec![leaves.collect::<Vec<Link>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let nodes = below.chunks(LINKS_MAX);
            let nodes = nodes.map(|links| link_to(version(layout), links));
            levels.push(nodes.collect());
        }
        FileBlocks { levels }
    }
}

impl FileBlocks {
    /// The name of the file. `None` without leaves.
    pub fn root(&self) -> Option<Cid> {
        Some(self.levels.last()?.first()?.cid)
    }

    /// Digest and place of every block, leaves first.
    pub fn all(&self) -> impl Iterator<Item = ([u8; 32], Place)> {
        self.levels.iter().zip(0..).flat_map(|(links, level)| {
            let places = (0..).map(move |index| Place { level, index });
            links.iter().map(|link| link.cid.digest).zip(places)
        })
    }

    /// A block above the leaves; `None` where there is none.
    pub fn node(&self, place: Place) -> Option<Vec<u8>> {
        let below = self.levels.get(usize::from(place.level).checked_sub(1)?)?;
        if below.len() < 2 {
            return None;
        }
        let links = below.chunks(LINKS_MAX).nth(place.index as usize)?;
        Some(node_block(links))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cid::FileHasher;
    use sha2::{Digest, Sha256};

    fn bytes_of(file: &[u8], (tree, layout): (&FileBlocks, Layout), place: Place) -> Vec<u8> {
        if place.level > 0 {
            return tree.node(place).unwrap();
        }
        let leaf = Leaf::at(layout, place.index, file.len() as u64).unwrap();
        let end = leaf.offset + leaf.size_bytes;
        let block = leaf.block(&file[leaf.offset as usize..end as usize]);
        assert_eq!(block.len() as u64, leaf.block_bytes());
        block
    }

    #[test]
    fn every_block_has_its_digest() {
        for layout in [Layout::V0, Layout::V1, Layout::V1RawLeaves] {
            let most = match layout {
                Layout::V0 => 175 * CHUNK_BYTES,
                _ => 2 * CHUNK_BYTES,
            };
            for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, most] {
                let file = vec![7; size];
                let mut hasher = FileHasher::new(layout);
                hasher.update(&file);
                let (cid, leaves) = hasher.finish_with_leaves();
                let tree = leaves.tree();
                assert_eq!(tree.root(), Some(cid), "{layout:?} {size}");
                let blocks: Vec<_> = tree.all().collect();
                let count = match leaves.digests.len() {
                    0 | 1 => 1,
                    many => many + many.div_ceil(LINKS_MAX) + usize::from(many > LINKS_MAX),
                };
                assert_eq!(blocks.len(), count);
                for (digest, place) in blocks {
                    let block = bytes_of(&file, (&tree, layout), place);
                    assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(block)));
                    assert_eq!(Place::of_number(place.to_number()), place);
                }
            }
        }
    }

    #[test]
    fn beyond_the_end_is_nothing() {
        let leaves = Leaves {
            layout: Layout::V0,
            size_bytes: 5,
            digests: vec![[1; 32]],
        };
        assert!(leaves.is_one_block());
        let tree = leaves.tree();
        for place in [(0, 0), (1, 0), (1, 1), (9, 0)] {
            let (level, index) = place;
            assert_eq!(tree.node(Place { level, index }), None);
        }
        assert_eq!(Leaf::at(Layout::V0, 1, 5), None);
        assert_eq!(Leaf::at(Layout::V0, 1, 0), None);
        assert!(Leaf::at(Layout::V0, 0, 0).is_some());
    }
}
