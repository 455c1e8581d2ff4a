//! Whether a graph is whole, and how much it is.
//!
//! ```text
//!   root ─▶ its links ─▶ their links …   depth first, on a stack of our own;
//!                                         a block that was seen is not read again
//! ```
//! The same block may be linked again and again, so a few kilobytes can stand
//! for more than there is in the world: sizes are sums over blocks that were
//! seen, and have limits.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use beth_protocol::cid::Codec;
use beth_protocol::dag::{Block, BlockName};

use super::{Archive, ArchiveError, ArchiveFault, Extent, Shape};
use crate::limits::{
    ARCHIVE_DEPTH_MAX, ARCHIVE_LINKS_HELD, SHARD_BYTES_READ, UNFOLDED_BLOCKS_MAX,
    UNFOLDED_BYTES_MAX,
};

/// What is below a block, itself included.
#[derive(Clone, Copy, Debug)]
struct Summary {
    class: Class,
    height: u16,
    blocks: u32,
    file_bytes: u64,
    tree_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    File,
    Directory,
    Shard,
    Symlink,
}

/// Why a block is linked.
#[derive(Clone, Copy, Debug)]
enum Use {
    /// Goes on a file with so many bytes.
    Part(u64),
    /// Stands in a directory.
    Entry,
    /// Goes on a directory.
    Shard,
}

struct Frame {
    position: Option<usize>,
    links: Vec<(Use, BlockName)>,
    next: usize,
    sum: Summary,
}

/// A finished look at a graph.
pub(super) struct Whole {
    /// How much it is.
    pub extent: Extent,
    /// Bytes of every block, each as often as it occurs.
    pub tree_bytes: u64,
    /// Which positions of the index belong to it.
    pub reached: Vec<bool>,
}

struct Walk<'a> {
    archive: &'a Archive,
    seen: Vec<Option<Summary>>,
    reached: Vec<bool>,
    links_held: usize,
    unambiguous: HashSet<BlockName>,
    shard_bytes_left: usize,
}

/// Looks at every block below the root of an archive with `count` blocks.
pub(super) fn walk(archive: &Archive, count: usize) -> Result<Whole, ArchiveError> {
    let mut walk = Walk {
        archive,
        seen: vec![None; count],
        reached: vec![false; count],
        links_held: 0,
        unambiguous: HashSet::new(),
        shard_bytes_left: SHARD_BYTES_READ,
    };
    let sum = walk.below(&archive.root)?;
    let extent = match sum.class {
        Class::File => Extent::of_file(sum.file_bytes),
        Class::Symlink => return Err(ArchiveFault::RootKind.into()),
        Class::Directory | Class::Shard => Extent {
            size_bytes: sum.tree_bytes,
            shape: Shape::Directory,
        },
    };
    if sum.class == Class::Shard {
        walk.expect_names_once(&archive.root)?;
    }
    Ok(Whole {
        extent,
        tree_bytes: sum.tree_bytes,
        reached: walk.reached,
    })
}

impl Walk<'_> {
    fn below(&mut self, root: &BlockName) -> Result<Summary, ArchiveError> {
        let mut stack = Vec::new();
        let mut known = self.enter(root, &mut stack)?;
        loop {
            let Some(frame) = stack.last_mut() else {
                return known.ok_or_else(|| ArchiveFault::RootKind.into());
            };
            if let Some(sum) = known.take() {
                self.absorb(frame, sum)?;
            }
            if let Some((_, target)) = frame.links.get(frame.next) {
                frame.next += 1;
                let target = target.clone();
                known = self.enter(&target, &mut stack)?;
                continue;
            }
            let sum = frame.sum;
            self.links_held -= frame.links.len();
            if let Some(seen) = frame.position.and_then(|at| self.seen.get_mut(at)) {
                *seen = Some(sum);
            }
            stack.pop();
            known = Some(sum);
        }
    }

    /// What is below a block when that is known; otherwise it is put on the
    /// stack.
    fn enter(
        &mut self,
        target: &BlockName,
        stack: &mut Vec<Frame>,
    ) -> Result<Option<Summary>, ArchiveError> {
        let mut position = None;
        if let BlockName::Hashed { codec, digest } = target {
            let found = self.archive.slot(digest)?;
            let (at, slot) = found.ok_or_else(|| ArchiveFault::Missing(target.to_string()))?;
            if let Some(reached) = self.reached.get_mut(at) {
                *reached = true;
            }
            if *codec == Codec::Raw {
                return Ok(Some(Summary::of(
                    Class::File,
                    slot.length.into(),
                    slot.length.into(),
                )));
            }
            if let Some(Some(sum)) = self.seen.get(at) {
                return Ok(Some(*sum));
            }
            position = Some(at);
        }
        if stack.len() >= ARCHIVE_DEPTH_MAX {
            return Err(ArchiveFault::Depth.into());
        }
        let bytes = self.archive.present(target)?;
        let (class, file_bytes, links) = links_of(Block::read(target.codec(), &bytes)?);
        self.links_held += links.len();
        if self.links_held > ARCHIVE_LINKS_HELD {
            return Err(ArchiveFault::Links.into());
        }
        stack.push(Frame {
            position,
            links,
            next: 0,
            sum: Summary::of(class, file_bytes, bytes.len() as u64),
        });
        Ok(None)
    }

    /// Adds what is below the link that was followed last.
    fn absorb(&mut self, frame: &mut Frame, below: Summary) -> Result<(), ArchiveError> {
        let followed = frame.next.checked_sub(1).and_then(|at| frame.links.get(at));
        if let Some((way, target)) = followed {
            match way {
                Use::Part(bytes) if below.class != Class::File || below.file_bytes != *bytes => {
                    return Err(ArchiveFault::Part(target.to_string()).into());
                }
                Use::Shard if below.class != Class::Shard => {
                    return Err(ArchiveFault::Shard(target.to_string()).into());
                }
                Use::Entry if below.class == Class::Shard => self.expect_names_once(target)?,
                _ => {}
            }
        }
        let sum = &mut frame.sum;
        sum.tree_bytes = sum.tree_bytes.saturating_add(below.tree_bytes);
        sum.blocks = sum.blocks.saturating_add(below.blocks);
        sum.height = sum.height.max(below.height.saturating_add(1));
        if usize::from(sum.height) > ARCHIVE_DEPTH_MAX {
            return Err(ArchiveFault::Depth.into());
        }
        if sum.tree_bytes > UNFOLDED_BYTES_MAX || sum.blocks > UNFOLDED_BLOCKS_MAX {
            return Err(ArchiveFault::Unfolded.into());
        }
        Ok(())
    }

    /// Refuses a directory over several blocks in which a name occurs twice.
    fn expect_names_once(&mut self, directory: &BlockName) -> Result<(), ArchiveError> {
        if !self.unambiguous.insert(directory.clone()) {
            return Ok(());
        }
        // Hashes instead of names: a million of them are few megabytes.
        let (state, mut names) = (RandomState::new(), HashSet::new());
        let mut pieces = vec![directory.clone()];
        while let Some(piece) = pieces.pop() {
            let bytes = self.archive.present(&piece)?;
            self.shard_bytes_left = self
                .shard_bytes_left
                .checked_sub(bytes.len())
                .ok_or(ArchiveFault::Links)?;
            let Block::Shard {
                entries, shards, ..
            } = Block::read(piece.codec(), &bytes)?
            else {
                continue;
            };
            for entry in entries {
                if !names.insert(state.hash_one(entry.name)) {
                    return Err(ArchiveFault::Twice(entry.name.to_owned()).into());
                }
            }
            pieces.extend(shards.into_iter().map(|shard| shard.target));
        }
        Ok(())
    }
}

impl Summary {
    fn of(class: Class, file_bytes: u64, block_bytes: u64) -> Summary {
        Summary {
            class,
            height: 1,
            blocks: 1,
            file_bytes,
            tree_bytes: block_bytes,
        }
    }
}

fn links_of(block: Block<'_>) -> (Class, u64, Vec<(Use, BlockName)>) {
    match block {
        Block::File {
            parts, size_bytes, ..
        } => {
            let parts = parts.into_iter();
            let links = parts.map(|part| (Use::Part(part.size_bytes), part.target));
            (Class::File, size_bytes, links.collect())
        }
        Block::Directory(entries) => {
            let links = entries.into_iter().map(|entry| (Use::Entry, entry.target));
            (Class::Directory, 0, links.collect())
        }
        Block::Shard {
            entries, shards, ..
        } => {
            let entries = entries.into_iter().map(|entry| (Use::Entry, entry.target));
            let shards = shards.into_iter().map(|shard| (Use::Shard, shard.target));
            (Class::Shard, 0, entries.chain(shards).collect())
        }
        Block::Symlink(_) => (Class::Symlink, 0, Vec::new()),
    }
}
