//! Graphs of blocks: what came as an archive (core-api.md §9.5), checked, and
//! kept as it came with an index behind it.
//!
//! ```text
//!   CAR as uploaded: header │ cid block │ cid block │ …
//!   index, sorted:   digest → where its block is
//!   end:             how many blocks, length of the CAR, size, what the root is
//! ```
//! One file, `<root>.dag`, beside where a plain content of that name would be:
//! it appears and disappears as a whole. Any block of it is found by its digest.
//!
//! The same reading works on blocks wherever they are among the contents
//! (`graph.rs`). Nobody has checked how these belong together, so what leads
//! from one to the next is bounded here too.

mod arriving;
mod fault;
mod gathering;
mod index;
mod pieces;
mod proof;
mod tar;
mod walk;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use beth_protocol::cid::Cid;
use beth_protocol::dag::{Block, BlockName, Branches};

use super::Blobs;
use crate::error::Error;
use index::{Index, Slot};

pub use arriving::{Checked, IncomingArchive};
pub use fault::{ArchiveError, ArchiveFault};
pub use gathering::Gathering;
pub use pieces::FilePieces;
pub use tar::Tar;

/// What a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Bytes.
    File,
    /// Names of other contents.
    Directory,
}

impl Shape {
    /// As the API and the database say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Shape::File => "file",
            Shape::Directory => "dir",
        }
    }
}

/// How much a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of a file; of a directory, those of every block below it, each as
    /// often as it occurs.
    pub size_bytes: u64,
    /// What it is.
    pub shape: Shape,
}

impl Extent {
    /// True for names of other contents.
    pub fn is_directory(&self) -> bool {
        self.shape == Shape::Directory
    }

    /// Of a file.
    pub fn of_file(size_bytes: u64) -> Extent {
        Extent {
            size_bytes,
            shape: Shape::File,
        }
    }
}

/// A number of bytes is a file.
impl From<u64> for Extent {
    fn from(size_bytes: u64) -> Extent {
        Extent::of_file(size_bytes)
    }
}

/// A graph of blocks on the disk.
#[derive(Debug)]
pub struct Archive {
    blocks: Source,
    root: BlockName,
    extent: Extent,
}

/// Where its blocks are.
#[derive(Debug)]
enum Source {
    /// In a file of its own.
    Own { file: File, index: Index },
    /// Anywhere.
    Everywhere(Arc<Blobs>),
}

/// A block of a graph, and what it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which block.
    pub name: BlockName,
    /// What begins with it. The size of a directory is not known.
    pub extent: Extent,
}

impl Archive {
    /// Opens the graph that a CID names.
    pub(super) fn open(path: &Path, name: &str) -> Result<Archive, Error> {
        let file = File::open(path).map_err(|source| Error::file(path, source))?;
        let (index, extent) = index::read_end(&file).map_err(|source| Error::file(path, source))?;
        let cid =
            Cid::parse(name).map_err(|_| Error::Damaged(format!("an archive is named {name}")))?;
        let root = BlockName::Hashed {
            codec: cid.codec(),
            digest: *cid.digest(),
        };
        Ok(Archive {
            blocks: Source::Own { file, index },
            root,
            extent,
        })
    }

    /// The graph below a block, wherever its blocks are; `None` when the block
    /// is not here.
    pub(super) fn everywhere(
        blobs: &Arc<Blobs>,
        root: &BlockName,
    ) -> Result<Option<Archive>, Error> {
        let mut archive = Archive {
            blocks: Source::Everywhere(blobs.clone()),
            root: root.clone(),
            extent: Extent::of_file(0),
        };
        if archive.block(root)?.is_none() {
            return Ok(None);
        }
        archive.extent = archive.found(root.clone())?.extent;
        Ok(Some(archive))
    }

    /// How much it is.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The root.
    pub fn root(&self) -> Found {
        Found {
            name: self.root.clone(),
            extent: self.extent,
        }
    }

    /// The bytes of a block; `None` when it is not here.
    pub fn block(&self, name: &BlockName) -> Result<Option<Vec<u8>>, Error> {
        match name {
            BlockName::Inline { bytes, .. } => Ok(Some(bytes.to_vec())),
            BlockName::Hashed { digest, .. } => self.block_of(digest),
        }
    }

    /// The bytes of a block with this SHA-256; `None` when it is not here.
    pub(super) fn block_of(&self, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        let file = match &self.blocks {
            Source::Own { file, .. } => file,
            Source::Everywhere(blobs) => return blobs.block(digest),
        };
        let Some((_, slot)) = self.slot(digest)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; slot.length as usize];
        let read = file.read_exact_at(&mut bytes, slot.offset);
        read.map_err(|source| Error::file("a block of an archive", source))?;
        Ok(Some(bytes))
    }

    /// Bytes of a block with this SHA-256; `None` when it is not here.
    pub(super) fn block_size(&self, digest: &[u8; 32]) -> Result<Option<u64>, Error> {
        match &self.blocks {
            Source::Own { .. } => {
                let found = self.slot(digest)?;
                Ok(found.map(|(_, slot)| u64::from(slot.length)))
            }
            Source::Everywhere(blobs) => blobs.block_size(digest),
        }
    }

    /// Where a block is in a file of its own.
    fn slot(&self, digest: &[u8; 32]) -> Result<Option<(usize, Slot)>, Error> {
        match &self.blocks {
            Source::Own { file, index } => {
                let found = index.find(file, digest);
                found.map_err(|source| Error::file("an archive", source))
            }
            Source::Everywhere(_) => Ok(None),
        }
    }

    /// SHA-256 of every block of a file of its own.
    pub(super) fn digests(&self) -> Result<Vec<[u8; 32]>, Error> {
        match &self.blocks {
            Source::Own { file, index } => {
                let digests = index.digests(file);
                digests.map_err(|source| Error::file("an archive", source))
            }
            Source::Everywhere(_) => Ok(Vec::new()),
        }
    }

    /// A block that must be here: a graph with a file of its own was whole when
    /// it was kept.
    pub(super) fn present(&self, name: &BlockName) -> Result<Vec<u8>, Error> {
        let block = self.block(name)?;
        block.ok_or_else(|| match &self.blocks {
            Source::Own { .. } => Error::Damaged(format!("the block {name} of an archive is gone")),
            Source::Everywhere(_) => Error::Missing(name.to_string()),
        })
    }

    /// What a path below the root leads to; `None` when it leads nowhere. An
    /// empty path is the root.
    pub fn at(&self, path: &[&str]) -> Result<Option<Found>, Error> {
        let mut found = self.root();
        for &step in path {
            match self.entry(&found.name, step)? {
                Some(target) => found = self.found(target)?,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    pub(super) fn found(&self, name: BlockName) -> Result<Found, Error> {
        let bytes = self.present(&name)?;
        let extent = match read(&name, &bytes)? {
            Block::File { size_bytes, .. } => Extent::of_file(size_bytes),
            Block::Symlink(target) => Extent::of_file(target.len() as u64),
            Block::Directory(_) | Block::Shard { .. } => Extent {
                size_bytes: 0,
                shape: Shape::Directory,
            },
        };
        Ok(Found { name, extent })
    }

    /// Looks for a name: in one piece of the directory at each level, the one
    /// that the hash of the name leads to.
    pub(super) fn entry(
        &self,
        directory: &BlockName,
        name: &str,
    ) -> Result<Option<BlockName>, Error> {
        let (mut piece, mut branches) = (directory.clone(), Branches::of(name));
        loop {
            let bytes = self.present(&piece)?;
            let (entries, shards, fanout) = match read(&piece, &bytes)? {
                Block::Directory(entries) => (entries, Vec::new(), 1),
                Block::Shard {
                    entries,
                    shards,
                    fanout,
                } => (entries, shards, fanout),
                Block::File { .. } | Block::Symlink(_) => return Ok(None),
            };
            if let Some(entry) = entries.into_iter().find(|entry| entry.name == name) {
                return Ok(Some(entry.target));
            }
            let branch = branches.next(fanout);
            let mut shards = shards.into_iter();
            match shards.find(|shard| Some(shard.branch) == branch) {
                Some(shard) => piece = shard.target,
                None => return Ok(None),
            }
        }
    }

    /// Bytes of a file, from `first` on, `count` of them.
    pub fn pieces(self: &Arc<Archive>, found: &Found, first: u64, count: u64) -> FilePieces {
        FilePieces::new(self.clone(), found, (first, count))
    }

    /// A directory as a tape archive, with this name on top.
    pub fn tar(self: &Arc<Archive>, found: &Found, name: &str) -> Tar {
        Tar::new(self.clone(), found.name.clone(), name)
    }
}

pub(super) fn read<'a>(name: &BlockName, bytes: &'a [u8]) -> Result<Block<'a>, Error> {
    Block::read(name.codec(), bytes)
        .map_err(|fault| Error::Damaged(format!("a block of an archive is wrong: {fault}")))
}
