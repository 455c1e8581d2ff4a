//! Contents by the CID of any of their blocks: what a gateway of IPFS reads.
//!
//! ```text
//!   CID ─▶ a content of this name?     as it is kept
//!       └▶ a block of any content?     the graph below it, block by block
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use beth_protocol::cid::{Cid, Version};
use beth_protocol::dag::{Block, BlockName, car, links};

use super::archive::{Archive, Extent, read};
use super::content::{Content, Pieces, Source};
use super::{Blobs, Shape};
use crate::error::Error;
use crate::limits::{ARCHIVE_BLOCKS_MAX, ARCHIVE_LINKS_HELD};

/// What a path leads to.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The file or directory.
    pub content: Content,
    /// The blocks that the steps of the path lead to: the root first, what the
    /// path leads to last.
    pub steps: Vec<BlockName>,
}

/// The names in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their names.
    pub entries: Vec<Listed>,
    /// False when there are more.
    pub is_whole: bool,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// How much it is; `None` when that is not here.
    pub extent: Option<Extent>,
}

impl Blobs {
    /// What a path below a block leads to; `None` when the block is not here, or
    /// the path leads nowhere.
    pub fn resolve(
        self: &Arc<Blobs>,
        root: &BlockName,
        path: &[&str],
    ) -> Result<Option<Resolved>, Error> {
        let Some(content) = self.rooted(root)? else {
            return Ok(None);
        };
        let mut steps = vec![root.clone()];
        let (archive, mut found) = match &content.source {
            Source::Archive(archive, found) => (archive.clone(), found.clone()),
            Source::File(_) => {
                let is_here = path.is_empty();
                return Ok(is_here.then_some(Resolved { content, steps }));
            }
        };
        for step in path {
            let Some(target) = archive.entry(&found.name, step)? else {
                return Ok(None);
            };
            steps.push(target.clone());
            found = archive.found(target)?;
        }
        let content = Content {
            extent: found.extent,
            source: Source::Archive(archive, found),
        };
        Ok(Some(Resolved { content, steps }))
    }

    /// The content that begins with a block.
    fn rooted(self: &Arc<Blobs>, root: &BlockName) -> Result<Option<Content>, Error> {
        if let BlockName::Hashed { codec, digest } = root {
            let names = Cid::with_digest(*digest).into_iter();
            for name in names.filter(|name| name.codec() == *codec) {
                if let Some(content) = self.content(&name.to_string())? {
                    return Ok(Some(content));
                }
            }
        }
        let archive = Archive::everywhere(self, root)?;
        Ok(archive.map(|archive| {
            let root = archive.root();
            Content {
                extent: root.extent,
                source: Source::Archive(Arc::new(archive), root),
            }
        }))
    }

    /// A block by its name; `None` when it is not here.
    pub fn block_named(&self, name: &BlockName) -> Result<Option<Vec<u8>>, Error> {
        match name {
            BlockName::Inline { bytes, .. } => Ok(Some(bytes.to_vec())),
            BlockName::Hashed { digest, .. } => self.block(digest),
        }
    }

    /// An archive (CARv1) of everything below the last of some blocks, those
    /// before it in front; a block that occurs often is in it once. Names are
    /// spelt in this version as far as they can be.
    pub fn car(self: &Arc<Blobs>, steps: &[BlockName], version: Version) -> Pieces {
        let Some((root, above)) = steps.split_last() else {
            return Box::new(std::iter::empty());
        };
        let walk = Walk {
            blobs: self.clone(),
            version,
            seen: HashSet::new(),
            left: vec![root.clone()],
        };
        let header = root.cid(version).map(|root| car::header(&root.to_bytes()));
        let above = above.iter().map(|name| walk.section(name));
        let above: Vec<_> = above.collect();
        let above = above.into_iter().filter_map(Result::transpose);
        Box::new(header.map(Ok).into_iter().chain(above).chain(walk))
    }
}

impl Content {
    /// The names in a directory, `limit` of them; `None` for a file.
    pub fn list(&self, limit: usize) -> Result<Option<Listing>, Error> {
        let Source::Archive(archive, found) = &self.source else {
            return Ok(None);
        };
        if self.extent.shape != Shape::Directory {
            return Ok(None);
        }
        let (mut entries, mut pieces) = (Vec::new(), vec![found.name.clone()]);
        let mut is_whole = true;
        while let Some(piece) = pieces.pop() {
            let bytes = archive.present(&piece)?;
            let (here, shards) = match read(&piece, &bytes)? {
                Block::Directory(entries) => (entries, Vec::new()),
                Block::Shard {
                    entries, shards, ..
                } => (entries, shards),
                Block::File { .. } | Block::Symlink(_) => continue,
            };
            let here = here.into_iter();
            entries.extend(here.map(|entry| (entry.name.to_owned(), entry.target)));
            pieces.extend(shards.into_iter().rev().map(|shard| shard.target));
            if entries.len() > limit {
                is_whole = false;
                break;
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        entries.truncate(limit);
        let entries = entries.into_iter().map(|(name, target)| Listed {
            name,
            extent: archive.found(target).ok().map(|found| found.extent),
        });
        Ok(Some(Listing {
            entries: entries.collect(),
            is_whole,
        }))
    }
}

/// The sections of an archive, depth first.
struct Walk {
    blobs: Arc<Blobs>,
    version: Version,
    seen: HashSet<[u8; 32]>,
    /// The next one last.
    left: Vec<BlockName>,
}

impl Walk {
    /// The section of a block; `None` of one that stands in its name.
    fn section(&self, name: &BlockName) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self.present(name)?;
        let cid = name.cid(self.version);
        Ok(cid.map(|cid| car::section(&cid.to_bytes(), &bytes)))
    }

    fn present(&self, name: &BlockName) -> Result<Vec<u8>, Error> {
        let block = self.blobs.block_named(name)?;
        block.ok_or_else(|| Error::Missing(name.to_string()))
    }

    fn advance(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while let Some(name) = self.left.pop() {
            if let BlockName::Hashed { digest, .. } = &name
                && !self.seen.insert(*digest)
            {
                continue;
            }
            let bytes = self.present(&name)?;
            let links = links(name.codec(), &bytes)
                .map_err(|fault| Error::Damaged(format!("a block is wrong: {fault}")))?;
            self.left.extend(links.into_iter().rev());
            if self.seen.len() > ARCHIVE_BLOCKS_MAX || self.left.len() > ARCHIVE_LINKS_HELD {
                return Err(Error::Damaged(
                    "there are too many blocks for an archive".into(),
                ));
            }
            if let Some(cid) = name.cid(self.version) {
                return Ok(Some(car::section(&cid.to_bytes(), &bytes)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Walk {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let section = self.advance();
        if section.is_err() {
            self.left.clear();
        }
        section.transpose()
    }
}
