//! What the exchange of contents asks of the node above.

use std::sync::Arc;

use beth_protocol::hash::chain::{Chunk, Lie};

use super::Digest;

/// The contents that a node gives away. Every method may read from disk and is
/// called where that is allowed.
pub trait Contents: Send + Sync + 'static {
    /// Bytes of a content; `None` without it.
    fn size_bytes(&self, digest: &Digest) -> Result<Option<u64>, ContentsError>;

    /// Opens a content.
    fn open(&self, digest: &Digest) -> Result<Opening, ContentsError>;

    /// So many bytes went to a neighbour.
    fn given(&self, bytes: u64);
}

/// A content to be read.
pub enum Opening {
    /// Here it is.
    Open(Arc<dyn OpenContent>),
    /// It has to be prepared first, for which there is no room now.
    Later,
    /// It is not here.
    Absent,
}

/// A content that is open; its methods may read from disk.
pub trait OpenContent: Send + Sync + 'static {
    /// A chunk; `None` for one that the content does not have.
    fn chunk(&self, index: u64) -> Result<Option<Chunk>, ContentsError>;
}

/// A content that comes, from its last chunk on. Its methods are called on a
/// thread of their own.
pub trait Growing: Send + 'static {
    /// Its size in bytes, when a chunk of it is here and proves it.
    fn size_bytes(&self) -> Option<u64>;

    /// Somebody says that it has so many bytes. Called again with another size
    /// when that was a lie.
    fn begin(&mut self, size_bytes: u64);

    /// The chunk that can be added now; `None` when all are here, or nobody has
    /// said a size.
    fn next(&self) -> Option<u64>;

    /// Checks a chunk and keeps it. A lie changes nothing.
    fn add(&mut self, chunk: &Chunk) -> Result<(), AddError>;

    /// No chunk will come for now; remembers those that are here.
    fn pause(&mut self) -> Result<(), ContentsError>;
}

/// Why a chunk was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is not the true one.
    #[error(transparent)]
    Lie(#[from] Lie),
    /// It could not be kept.
    #[error(transparent)]
    Failed(#[from] ContentsError),
}

/// The node could not read or write a content.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ContentsError(pub String);
