//! Any block of any content that is kept, by its SHA-256.
//!
//! ```text
//!   digest ─▶ index: a content, a place in it      blocks/index.rs  (blocks.sqlite)
//!          └▶ name of a content: its root          nothing is written for those
//!   place  ─▶ archive       slot of the archive
//!             plain file    a range with its frame, or a node made again
//! ```
//! Most contents are one block, found by its name alone, and cost nothing. A
//! plain file of several blocks takes a row for each 256 KiB, an archive one for
//! each block. The rows are in a database of their own: 4,000 of them for a
//! gigabyte would keep the writer of the state from its messages, and they say
//! nothing that could not be found out again, so they need not be as durable.
//! (A list of digests beside each content would have to be searched in all of
//! them; that is what the database is for.)
//!
//! Whatever is found is hashed before it is handed out: a disk may rot, and a
//! neighbour that gets wrong bytes would rightly leave us.

mod index;
mod mend;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use beth_protocol::cid::{Cid, Codec, Layout, Leaf, Place};
use beth_protocol::limits::BLOCK_BYTES_MAX;
use sha2::{Digest, Sha256};

use super::archive::Archive;
use super::{Blobs, Hashed};
use crate::error::Error;
pub(super) use index::BlockIndex;
use index::{Indexed, Row};

/// Bytes of a file that is one block in the network's layout.
const CHUNK_BYTES: u64 = 262_144;

/// Where a block is.
#[derive(Debug)]
enum Spot {
    /// A leaf of a plain file.
    Leaf(File, Leaf),
    /// In an archive.
    Slot(Archive),
    /// Made again.
    Made(Vec<u8>),
}

impl Blobs {
    /// A block; `None` when no content that is here has it.
    pub fn block(&self, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        let mut rotten = None;
        for row in self.blocks.find(digest)? {
            if let Some(spot) = self.spot(&row)?
                && let Some(bytes) = spot.read(digest, &mut rotten)?
            {
                return Ok(Some(bytes));
            }
        }
        for name in names(digest) {
            if let Some(spot) = self.root(&name)?
                && let Some(bytes) = spot.read(digest, &mut rotten)?
            {
                return Ok(Some(bytes));
            }
        }
        match rotten {
            Some(size) => Err(Error::Damaged(format!(
                "a block of {size} bytes is rotten: run `beth ccn repair`"
            ))),
            None => Ok(None),
        }
    }

    /// Bytes of a block; `None` when no content that is here has it. They are
    /// not looked at.
    pub fn block_size(&self, digest: &[u8; 32]) -> Result<Option<u64>, Error> {
        for row in self.blocks.find(digest)? {
            if let Some(spot) = self.spot(&row)?
                && let Some(size) = spot.size_bytes(digest)?
            {
                return Ok(Some(size));
            }
        }
        for name in names(digest) {
            if let Some(spot) = self.root(&name)?
                && let Some(size) = spot.size_bytes(digest)?
            {
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    /// Where the index says that a block is. `None` when the content is gone.
    fn spot(&self, row: &Row) -> Result<Option<Spot>, Error> {
        let Some(layout) = row.layout else {
            return self.archived(&row.name);
        };
        let place = Place::of_number(row.place);
        if place.level > 0 {
            let leaves = self.blocks.leaves(&row.name)?;
            let made = leaves.and_then(|leaves| leaves.tree().node(place));
            return Ok(made.map(Spot::Made));
        }
        self.leaf(&row.name, layout, place.index)
    }

    /// The root of a content that is one block, or an archive.
    fn root(&self, name: &RootName) -> Result<Option<Spot>, Error> {
        match name {
            RootName::Sha256(text) => {
                let found = self
                    .file(text)?
                    .filter(|(_, size)| *size <= BLOCK_BYTES_MAX);
                Ok(found.map(|(file, size)| Spot::Leaf(file, Leaf::whole(size))))
            }
            RootName::Cid(cid) => {
                let text = cid.to_string();
                let layout = match cid.codec() {
                    Codec::Raw => Layout::V1RawLeaves,
                    Codec::DagPb => Layout::V0,
                };
                let is_one = |size: u64| size <= CHUNK_BYTES;
                match self.file(&text)? {
                    Some((_, size)) if is_one(size) => self.leaf(&text, layout, 0),
                    _ => self.archived(&text),
                }
            }
        }
    }

    fn leaf(&self, name: &str, layout: Layout, index: u32) -> Result<Option<Spot>, Error> {
        let found = self.file(name)?;
        Ok(found.and_then(|(file, size)| {
            let leaf = Leaf::at(layout, index, size)?;
            Some(Spot::Leaf(file, leaf))
        }))
    }

    fn archived(&self, name: &str) -> Result<Option<Spot>, Error> {
        let path = self.archive_path(name).filter(|path| path.is_file());
        path.map(|path| Archive::open(&path, name).map(Spot::Slot))
            .transpose()
    }

    /// Notes the blocks of a plain content that was just put in its place. What
    /// goes wrong is made up for by [`mend_blocks`](Self::mend_blocks).
    pub(super) fn note_file(&self, hashed: &Hashed) {
        if let Some(leaves) = hashed
            .parts
            .leaves()
            .filter(|leaves| !leaves.is_one_block())
        {
            let _ = self.blocks.add(&hashed.hash, &Indexed::File(leaves));
        }
        self.tell();
    }

    fn tell(&self) {
        if let Some(told) = self.watch.0.get() {
            told();
        }
    }

    /// Every block of an archive; none when there is no archive of this name.
    pub(super) fn digests_of_archive(&self, name: &str) -> Vec<[u8; 32]> {
        let path = self.archive_path(name).filter(|path| path.is_file());
        let digests = path.and_then(|path| Archive::open(&path, name).ok()?.digests().ok());
        digests.unwrap_or_default()
    }

    /// The same as [`note_file`](Self::note_file) for an archive.
    pub(super) fn note_archive(&self, name: &str, path: &Path) {
        let digests = Archive::open(path, name).and_then(|archive| archive.digests());
        if let Ok(digests) = digests {
            let _ = self.blocks.add(name, &Indexed::Archive(&digests));
        }
        self.tell();
    }
}

impl Spot {
    fn size_bytes(&self, digest: &[u8; 32]) -> Result<Option<u64>, Error> {
        match self {
            Spot::Leaf(_, leaf) => Ok(Some(leaf.block_bytes())),
            Spot::Made(bytes) => Ok(Some(bytes.len() as u64)),
            Spot::Slot(archive) => archive.block_size(digest),
        }
    }

    /// The bytes when they are right; the size of wrong ones is left in `rotten`.
    fn read(
        &self,
        digest: &[u8; 32],
        rotten: &mut Option<usize>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let bytes = match self {
            Spot::Leaf(file, leaf) => {
                let mut chunk = vec![0; leaf.size_bytes as usize];
                let read = file.read_exact_at(&mut chunk, leaf.offset);
                read.map_err(|source| Error::file("a content", source))?;
                Some(leaf.block(&chunk))
            }
            Spot::Made(bytes) => Some(bytes.clone()),
            Spot::Slot(archive) => archive.block_of(digest)?,
        };
        let is_right = |bytes: &Vec<u8>| Sha256::digest(bytes)[..] == digest[..];
        match bytes {
            Some(bytes) if is_right(&bytes) => Ok(Some(bytes)),
            Some(bytes) => {
                *rotten = Some(bytes.len());
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

/// What a content may be called whose root has a digest.
enum RootName {
    Sha256(String),
    Cid(Cid),
}

fn names(digest: &[u8; 32]) -> impl Iterator<Item = RootName> {
    let plain = RootName::Sha256(const_hex::encode(digest));
    let named = Cid::with_digest(*digest).into_iter().map(RootName::Cid);
    named.chain([plain])
}
