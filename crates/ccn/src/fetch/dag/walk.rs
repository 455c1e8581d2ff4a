//! The way through a graph of which some blocks are here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use beth_protocol::cid::{Cid, Codec};
use beth_protocol::dag::{Block, BlockName, CidBytes, links};
use beth_store::Blobs;
use beth_store::blobs::Extent;
use beth_store::blobs::archive::{ArchiveFault, Gathering};
use beth_store::limits::ARCHIVE_LINKS_HELD;
use tokio::sync::OwnedMutexGuard;

use super::GraphError;

/// A walk over every block below a root. Its methods read and write files.
pub(super) struct Walk {
    blobs: Arc<Blobs>,
    gathering: Gathering,
    root: Cid,
    bytes_max: u64,
    /// Blocks that were not looked at; the next one last.
    left: Vec<BlockName>,
    seen: HashSet<[u8; 32]>,
    /// Blocks that are not here.
    waiting: HashMap<[u8; 32], BlockName>,
    /// Nobody else writes to the gathering, whoever still works for this walk.
    _turn: OwnedMutexGuard<()>,
}

impl Walk {
    pub fn begin(
        blobs: Arc<Blobs>,
        (root, bytes_max): (Cid, u64),
        turn: OwnedMutexGuard<()>,
    ) -> Result<Walk, GraphError> {
        let name = BlockName::Hashed {
            codec: root.codec(),
            digest: *root.digest(),
        };
        Ok(Walk {
            gathering: blobs.gather(root)?,
            blobs,
            root,
            bytes_max,
            left: vec![name],
            seen: HashSet::new(),
            waiting: HashMap::new(),
            _turn: turn,
        })
    }

    /// True when every block is here.
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && self.waiting.is_empty()
    }

    /// Goes on until `count` blocks are missing; answers with CIDs of those that
    /// were found missing now.
    pub fn wanted(&mut self, count: usize) -> Result<Vec<Vec<u8>>, GraphError> {
        let mut wanted = Vec::new();
        while self.waiting.len() < count
            && let Some(name) = self.left.pop()
        {
            let digest = match &name {
                BlockName::Inline { bytes, .. } => {
                    self.open(&name, bytes)?;
                    continue;
                }
                BlockName::Hashed { digest, .. } => *digest,
            };
            if !self.seen.insert(digest) {
                continue;
            }
            if self.is_here(&name, &digest)? {
                continue;
            }
            wanted.extend(self.spelt(&name));
            self.waiting.insert(digest, name);
        }
        Ok(wanted)
    }

    /// CIDs of all blocks that are known to be missing.
    pub fn waiting(&self) -> Vec<Vec<u8>> {
        let names = self.waiting.values();
        names.filter_map(|name| self.spelt(name)).collect()
    }

    fn spelt(&self, name: &BlockName) -> Option<Vec<u8>> {
        Some(name.cid(self.root.version())?.to_bytes())
    }

    /// Looks for a block among what came before, and among other contents.
    fn is_here(&mut self, name: &BlockName, digest: &[u8; 32]) -> Result<bool, GraphError> {
        if self.gathering.has(digest) {
            if name.codec() == Codec::DagPb
                && let Some(block) = self.gathering.block(digest)?
            {
                self.open(name, &block)?;
            }
            return Ok(true);
        }
        // A content that cannot be read has no blocks.
        let Ok(Some(block)) = self.blobs.block(digest) else {
            return Ok(false);
        };
        self.keep(name, &block)?;
        Ok(true)
    }

    /// True when a block with this digest is waited for.
    pub fn awaits(&self, digest: &[u8; 32]) -> bool {
        self.waiting.contains_key(digest)
    }

    /// Takes a block that came; one that nobody waits for is dropped.
    pub fn take(&mut self, cid: &[u8], block: &[u8]) -> Result<(), GraphError> {
        let name = CidBytes::read(cid).and_then(|cid| cid.block().ok());
        let Some(BlockName::Hashed { digest, .. }) = name else {
            return Ok(());
        };
        self.take_as(&digest, block)
    }

    /// The same by its digest.
    pub fn take_as(&mut self, digest: &[u8; 32], block: &[u8]) -> Result<(), GraphError> {
        let Some(name) = self.waiting.get(digest).cloned() else {
            return Ok(());
        };
        self.keep(&name, block)?;
        self.waiting.remove(digest);
        Ok(())
    }

    fn keep(&mut self, name: &BlockName, block: &[u8]) -> Result<(), GraphError> {
        if self.gathering.size_bytes() + block.len() as u64 > self.bytes_max {
            return Err(GraphError::TooLarge(self.bytes_max));
        }
        self.gathering.add(name, block)?;
        self.open(name, block)
    }

    /// Notes what a block leads to.
    fn open(&mut self, name: &BlockName, block: &[u8]) -> Result<(), GraphError> {
        if let Ok(Block::File { size_bytes, .. }) = Block::read(name.codec(), block)
            && size_bytes > self.bytes_max
        {
            return Err(GraphError::TooLarge(self.bytes_max));
        }
        let links = links(name.codec(), block).map_err(ArchiveFault::Block)?;
        self.left.extend(links.into_iter().rev());
        if self.left.len() > ARCHIVE_LINKS_HELD {
            return Err(ArchiveFault::Links.into());
        }
        Ok(())
    }

    /// The content, when it is whole.
    pub fn settle(self) -> Result<Extent, GraphError> {
        Ok(self.blobs.settle(self.gathering)?)
    }
}
