//! What a block means: a piece of a file or of a directory.

use std::collections::BTreeSet;

use super::name::{BlockName, UnknownBlock};
use super::node::{Link, Node};
use super::unixfs::{Kind, UnixFs};
use crate::cid::Codec;
use crate::limits::{ENTRY_NAME_BYTES_MAX, SHARD_FANOUT_MAX};

/// A block that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Bytes of a file, and behind them those of other blocks.
    File {
        /// The bytes in this block.
        data: &'a [u8],
        /// The blocks that go on.
        parts: Vec<Part>,
        /// Bytes of all.
        size_bytes: u64,
    },
    /// A directory, or the beginning of one that takes several blocks.
    Directory(Vec<Entry<'a>>),
    /// A piece of a directory that takes several blocks: a level of a tree whose
    /// branches are chosen by the hash of a name.
    Shard {
        /// What is named here.
        entries: Vec<Entry<'a>>,
        /// Further pieces.
        shards: Vec<Piece>,
        /// Branches that a piece has.
        fanout: u64,
    },
    /// A symbolic link.
    Symlink(&'a str),
}

/// A block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which block.
    pub target: BlockName,
    /// Bytes of the file in it and below it.
    pub size_bytes: u64,
}

/// A piece of a directory below another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The number of its branch.
    pub branch: u64,
    /// Which block.
    pub target: BlockName,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name: no path, nothing that leads upwards.
    pub name: &'a str,
    /// What it is.
    pub target: BlockName,
}

/// Why a block is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// The bytes are no DAG-PB node.
    #[error("a block is no DAG-PB node")]
    NoNode,
    /// The node is no part of a file or directory.
    #[error("a block is neither a file nor a directory of UnixFS")]
    NoUnixFs,
    /// The sizes of a file do not add up.
    #[error("the sizes of a file contradict each other")]
    Sizes,
    /// A directory has a name that is none.
    #[error("a directory has an entry whose name is no name: {0:?}")]
    Name(String),
    /// A directory has two entries of a name.
    #[error("a directory has two entries named {0:?}")]
    Twice(String),
    /// A directory over several blocks has no usable shape.
    #[error("a sharded directory is malformed")]
    Shard,
    /// A link leads to something that cannot be checked.
    #[error(transparent)]
    Target(#[from] UnknownBlock),
}

impl<'a> Block<'a> {
    /// Reads a block.
    pub fn read(codec: Codec, bytes: &'a [u8]) -> Result<Block<'a>, BlockFault> {
        if codec == Codec::Raw {
            return Ok(Block::File {
                data: bytes,
                parts: Vec::new(),
                size_bytes: bytes.len() as u64,
            });
        }
        let node = Node::read(bytes).ok_or(BlockFault::NoNode)?;
        let about = node
            .data
            .and_then(UnixFs::read)
            .ok_or(BlockFault::NoUnixFs)?;
        match about.kind {
            Kind::Raw | Kind::File => file(&node, &about),
            Kind::Directory => directory(&node),
            Kind::Shard => shard(&node, &about),
            Kind::Symlink => {
                let target = std::str::from_utf8(about.data).map_err(|_| BlockFault::NoUnixFs)?;
                let is_target = node.links.is_empty() && !target.contains('\0');
                let is_short = target.len() <= ENTRY_NAME_BYTES_MAX;
                (is_target && is_short)
                    .then_some(Block::Symlink(target))
                    .ok_or(BlockFault::NoUnixFs)
            }
        }
    }
}

/// The blocks that a block leads to, in the order in which it names them.
pub fn links(codec: Codec, bytes: &[u8]) -> Result<Vec<BlockName>, BlockFault> {
    if codec == Codec::Raw {
        return Ok(Vec::new());
    }
    let node = Node::read(bytes).ok_or(BlockFault::NoNode)?;
    let links = node.links.iter().map(|link| Ok(link.target.block()?));
    links.collect()
}

fn file<'a>(node: &Node<'a>, about: &UnixFs<'a>) -> Result<Block<'a>, BlockFault> {
    if node.links.len() != about.part_bytes.len() {
        return Err(BlockFault::Sizes);
    }
    let mut size_bytes = about.data.len() as u64;
    let mut parts = Vec::with_capacity(node.links.len());
    for (link, &part_bytes) in node.links.iter().zip(&about.part_bytes) {
        size_bytes = size_bytes
            .checked_add(part_bytes)
            .ok_or(BlockFault::Sizes)?;
        parts.push(Part {
            target: link.target.block()?,
            size_bytes: part_bytes,
        });
    }
    if about.file_bytes.is_some_and(|stated| stated != size_bytes) {
        return Err(BlockFault::Sizes);
    }
    Ok(Block::File {
        data: about.data,
        parts,
        size_bytes,
    })
}

fn directory<'a>(node: &Node<'a>) -> Result<Block<'a>, BlockFault> {
    let mut names = BTreeSet::new();
    let mut entries = Vec::with_capacity(node.links.len());
    for link in &node.links {
        let entry = entry(link, link.name)?;
        if !names.insert(entry.name) {
            return Err(BlockFault::Twice(entry.name.to_owned()));
        }
        entries.push(entry);
    }
    Ok(Block::Directory(entries))
}

/// Names in a shard begin with the number of their branch; nothing else is the
/// name of a link to a further shard.
fn shard<'a>(node: &Node<'a>, about: &UnixFs<'a>) -> Result<Block<'a>, BlockFault> {
    let fanout = about.fanout.ok_or(BlockFault::Shard)?;
    if !fanout.is_power_of_two() || !(8..=SHARD_FANOUT_MAX).contains(&fanout) {
        return Err(BlockFault::Shard);
    }
    let digits = format!("{:X}", fanout - 1).len();
    let (mut entries, mut shards) = (Vec::new(), Vec::new());
    for link in &node.links {
        let (branch, name) = link
            .name
            .split_at_checked(digits)
            .ok_or(BlockFault::Shard)?;
        let branch = number(branch).ok_or(BlockFault::Shard)?;
        if name.is_empty() {
            let target = link.target.block()?;
            shards.push(Piece { branch, target });
        } else {
            entries.push(entry(link, name)?);
        }
    }
    Ok(Block::Shard {
        entries,
        shards,
        fanout,
    })
}

/// Hexadecimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | u64::from(digit))
    })
}

fn entry<'a>(link: &Link<'a>, name: &'a [u8]) -> Result<Entry<'a>, BlockFault> {
    let refused = || {
        let shown = &name[..name.len().min(ENTRY_NAME_BYTES_MAX)];
        BlockFault::Name(String::from_utf8_lossy(shown).into_owned())
    };
    let text = std::str::from_utf8(name).map_err(|_| refused())?;
    let is_name = !matches!(text, "" | "." | "..")
        && !text.contains(['/', '\0'])
        && text.len() <= ENTRY_NAME_BYTES_MAX;
    if !is_name {
        return Err(refused());
    }
    Ok(Entry {
        name: text,
        target: link.target.block()?,
    })
}
