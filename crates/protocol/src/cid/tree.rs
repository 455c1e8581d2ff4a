//! The tree of blocks above the chunks of a file.
//!
//! ```text
//!   leaves   ■■■■■■…174 ■■■■■■…174 ■        a level is cut into nodes of 174
//!   level 1  ▲          ▲          ▲        links from left to right, until
//!   level 2  ▲ root                         one block is left
//! ```
//! Only the links that have no node yet are kept: at most 174 a level.

use sha2::{Digest, Sha256};

use super::{Cid, Codec, Layout, Version};

/// Links of a full node.
pub(super) const LINKS_MAX: usize = 174;
/// `File` among the kinds of UnixFS nodes.
const KIND_FILE: u64 = 2;

/// A block as its parent sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Its name.
    pub cid: Cid,
    /// Bytes of the file below it.
    pub file_bytes: u64,
    /// Bytes of it and of every block below it.
    pub tree_bytes: u64,
}

/// The tree so far.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    version: Version,
    levels: Vec<Vec<Link>>,
}

impl Tree {
    /// An empty tree of a layout.
    pub fn new(layout: Layout) -> Tree {
        Tree {
            version: version(layout),
            levels: Vec::new(),
        }
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Link) {
        let (mut link, mut level) = (leaf, 0);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(links) = self.levels.get_mut(level) else {
                return;
            };
            links.push(link);
            if links.len() < LINKS_MAX {
                return;
            }
            link = link_to(self.version, links);
            links.clear();
            level += 1;
        }
    }

    /// The root. `None` when no leaf was added.
    pub fn finish(mut self) -> Option<Link> {
        let mut rest: Option<Link> = None;
        let height = self.levels.len();
        for (level, links) in self.levels.iter_mut().enumerate() {
            links.extend(rest.take());
            rest = match links.as_slice() {
                [] => None,
                // One block at the top needs no node above it.
                [only] if level + 1 == height => Some(*only),
                _ => Some(link_to(self.version, links)),
            };
        }
        rest
    }
}

/// How its blocks are spelt in links.
pub(super) fn version(layout: Layout) -> Version {
    match layout {
        Layout::V0 => Version::V0,
        Layout::V1 | Layout::V1RawLeaves => Version::V1,
    }
}

/// A leaf of a layout, from the digest of its block.
pub(super) fn leaf(layout: Layout, digest: [u8; 32], file_bytes: u64, block_bytes: u64) -> Link {
    let codec = match layout {
        Layout::V0 | Layout::V1 => Codec::DagPb,
        Layout::V1RawLeaves => Codec::Raw,
    };
    let version = version(layout);
    Link {
        cid: Cid {
            version,
            codec,
            digest,
        },
        file_bytes,
        tree_bytes: block_bytes,
    }
}

/// What stands before and behind the bytes of a chunk in a framed leaf.
pub(super) fn leaf_frame(chunk_bytes: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut inner, mut after) = (Vec::new(), Vec::new());
    integer(&mut inner, 1, KIND_FILE);
    if chunk_bytes > 0 {
        varint(&mut inner, 2 << 3 | 2);
        varint(&mut inner, chunk_bytes);
    }
    integer(&mut after, 3, chunk_bytes);
    let mut before = Vec::new();
    varint(&mut before, 1 << 3 | 2);
    varint(
        &mut before,
        inner.len() as u64 + chunk_bytes + after.len() as u64,
    );
    before.extend(inner);
    (before, after)
}

/// A node above some blocks.
pub(super) fn node_block(links: &[Link]) -> Vec<u8> {
    let mut block = Vec::with_capacity(links.len() * 56);
    let mut data = Vec::new();
    let file_bytes = links.iter().map(|link| link.file_bytes).sum();
    integer(&mut data, 1, KIND_FILE);
    integer(&mut data, 3, file_bytes);
    for link in links {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, &link.cid.to_bytes());
        bytes(&mut entry, 2, b"");
        integer(&mut entry, 3, link.tree_bytes);
        bytes(&mut block, 2, &entry);
        integer(&mut data, 4, link.file_bytes);
    }
    // Links stand before the data though their field has the higher number.
    bytes(&mut block, 1, &data);
    block
}

/// The link to a node above some blocks.
pub(super) fn link_to(version: Version, links: &[Link]) -> Link {
    let block = node_block(links);
    let below: u64 = links.iter().map(|link| link.tree_bytes).sum();
    Link {
        cid: Cid {
            version,
            codec: Codec::DagPb,
            digest: Sha256::digest(&block).into(),
        },
        file_bytes: links.iter().map(|link| link.file_bytes).sum(),
        tree_bytes: below + block.len() as u64,
    }
}

fn integer(message: &mut Vec<u8>, field: u64, value: u64) {
    varint(message, field << 3);
    varint(message, value);
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(message, field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
