//! The contents of this node, as neighbours fetch them.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use beth_network::content::{Chunk, Contents, ContentsError, Digest, OpenContent, Opening};
use beth_protocol::hash::ItemHash;
use beth_store::Blobs;
use beth_store::blobs::Chunks;

use crate::metrics::Metrics;

/// Gives away what is in the folder.
pub(crate) struct Shared {
    blobs: Arc<Blobs>,
    /// Held while the whole of a content is read, which is needed once for those
    /// that came before their states were kept.
    preparing: Mutex<()>,
    metrics: Arc<Metrics>,
}

impl Shared {
    pub fn new(blobs: Arc<Blobs>, metrics: Arc<Metrics>) -> Shared {
        Shared {
            blobs,
            preparing: Mutex::new(()),
            metrics,
        }
    }
}

fn failed(error: beth_store::Error) -> ContentsError {
    ContentsError(error.to_string())
}

impl Contents for Shared {
    fn size_bytes(&self, digest: &Digest) -> Result<Option<u64>, ContentsError> {
        let hash = ItemHash::of_digest(*digest);
        let file = self.blobs.file(hash.as_str()).map_err(failed)?;
        Ok(file.map(|(_, size_bytes)| size_bytes))
    }

    fn open(&self, digest: &Digest) -> Result<Opening, ContentsError> {
        let opened = self.blobs.chunks(*digest).map_err(failed)?;
        let Some(mut chunks) = opened else {
            return Ok(Opening::Absent);
        };
        if !chunks.is_ready() {
            let _turn = match self.preparing.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(turn)) => PoisonError::into_inner(turn),
                Err(TryLockError::WouldBlock) => return Ok(Opening::Later),
            };
            if let Err(failure) = chunks.prepare(&self.blobs) {
                tracing::warn!(%failure, "a content cannot be given away: run `beth ccn repair`");
                return Err(failed(failure));
            }
        }
        Ok(Opening::Open(Arc::new(Open(chunks))))
    }

    fn given(&self, bytes: u64) {
        self.metrics.contents.given_bytes.inc_by(bytes);
    }
}

/// A content that is read.
struct Open(Chunks);

impl OpenContent for Open {
    fn chunk(&self, index: u64) -> Result<Option<Chunk>, ContentsError> {
        self.0.chunk(index).map_err(failed)
    }
}
