//! Why an archive is not taken.

use beth_protocol::dag::car::CarFault;
use beth_protocol::dag::{BlockFault, UnknownBlock};

use crate::error::Error;
use crate::limits::{
    ARCHIVE_BLOCKS_MAX, ARCHIVE_DEPTH_MAX, UNFOLDED_BLOCKS_MAX, UNFOLDED_BYTES_MAX,
};

/// What is wrong with the bytes of an archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFault {
    /// It is not framed as an archive.
    #[error(transparent)]
    Car(#[from] CarFault),
    /// A block is not a part of a file or directory.
    #[error(transparent)]
    Block(#[from] BlockFault),
    /// Nobody can check what the root names.
    #[error(transparent)]
    Root(#[from] UnknownBlock),
    /// The root is a symbolic link.
    #[error("the root is neither a directory nor a file")]
    RootKind,
    /// A block is not what its name says.
    #[error("the bytes of a block do not have the hash in its CID {0}")]
    Hash(String),
    /// A link leads to a block that did not come.
    #[error("the block {0} is missing")]
    Missing(String),
    /// A file goes on with something that is no file, or not as long as stated.
    #[error("a file is linked to a block that is no such part of it: {0}")]
    Part(String),
    /// A directory goes on with something that is no piece of it.
    #[error("a sharded directory is linked to a block that is no piece of it: {0}")]
    Shard(String),
    /// A directory over several blocks has two entries of a name.
    #[error("a directory has two entries named {0:?}")]
    Twice(String),
    /// Too many blocks.
    #[error("it has more than {ARCHIVE_BLOCKS_MAX} blocks")]
    Blocks,
    /// Directories in directories, too many.
    #[error("it is more than {ARCHIVE_DEPTH_MAX} blocks deep")]
    Depth,
    /// More links at once than are held.
    #[error("its directories have too many links: use several, or smaller ones")]
    Links,
    /// What it stands for is too much.
    #[error("unpacked it has more than {UNFOLDED_BYTES_MAX} bytes or {UNFOLDED_BLOCKS_MAX} blocks")]
    Unfolded,
}

/// Why an archive could not be kept: its fault, or ours.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its own fault.
    #[error(transparent)]
    Fault(#[from] ArchiveFault),
    /// The disk's.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<CarFault> for ArchiveError {
    fn from(fault: CarFault) -> ArchiveError {
        ArchiveFault::Car(fault).into()
    }
}

impl From<BlockFault> for ArchiveError {
    fn from(fault: BlockFault) -> ArchiveError {
        ArchiveFault::Block(fault).into()
    }
}
