//! The blocks of this node, as others ask for them.

use std::sync::Arc;

use beth_network::Blocks;
use beth_protocol::dag::{BlockName, CidBytes};
use beth_store::{Blobs, Error};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::limits::BLOCK_READS_MAX;

/// Reads blocks for neighbours, a few at a time, away from the threads that
/// serve.
pub(crate) struct Kept {
    blobs: Arc<Blobs>,
    turns: Semaphore,
}

impl Kept {
    pub(crate) fn new(blobs: Arc<Blobs>) -> Kept {
        Kept {
            blobs,
            turns: Semaphore::new(BLOCK_READS_MAX),
        }
    }

    /// What a block looks like that this node may have; what cannot be read is
    /// not here.
    async fn look<T: Send + 'static>(
        &self,
        cid: &[u8],
        look: impl FnOnce(&Blobs, &BlockName) -> Result<Option<T>, Error> + Send + 'static,
    ) -> Option<T> {
        let name = CidBytes::read(cid)?.block().ok()?;
        let _turn = self.turns.acquire().await.ok()?;
        match blocking(&self.blobs, move |blobs| look(blobs, &name)).await {
            Ok(found) => found,
            Err(failure) => {
                warn!(%failure, "a block could not be read");
                None
            }
        }
    }
}

impl Blocks for Kept {
    fn size(&self, cid: &[u8]) -> BoxFuture<'_, Option<usize>> {
        let cid = cid.to_owned();
        Box::pin(async move {
            let size = self.look(&cid, |blobs, name| match name {
                BlockName::Hashed { digest, .. } => blobs.block_size(digest),
                BlockName::Inline { bytes, .. } => Ok(Some(bytes.len() as u64)),
            });
            Some(size.await? as usize)
        })
    }

    fn block(&self, cid: &[u8]) -> BoxFuture<'_, Option<Vec<u8>>> {
        let cid = cid.to_owned();
        Box::pin(async move { self.look(&cid, |blobs, name| blobs.block_named(name)).await })
    }
}

/// Makes the index of blocks true again, once, folder by folder: a node that
/// died, or came from a time before there was an index, has contents that are
/// not noted.
pub(crate) async fn mend(blobs: Arc<Blobs>, cancel: CancellationToken) {
    match mend_until(blobs, &cancel).await {
        Ok(0) => {}
        Ok(count) => info!(count, "the blocks of contents were noted again"),
        Err(failure) => warn!(%failure, "the index of blocks could not be made true again"),
    }
}

async fn mend_until(blobs: Arc<Blobs>, cancel: &CancellationToken) -> Result<usize, Error> {
    let (shelves, mut count) = blocking(&blobs, |blobs| {
        let gone = blobs.forget_blocks()?;
        Ok((blobs.shelves()?, gone))
    })
    .await?;
    for shelf in shelves {
        if cancel.is_cancelled() {
            break;
        }
        count += blocking(&blobs, move |blobs| blobs.mend_blocks(&shelf)).await?;
    }
    Ok(count)
}

async fn blocking<T: Send + 'static>(
    blobs: &Arc<Blobs>,
    work: impl FnOnce(&Blobs) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let blobs = blobs.clone();
    let done = tokio::task::spawn_blocking(move || work(&blobs)).await;
    done.unwrap_or_else(|_| {
        Err(Error::Damaged(
            "a look at the contents did not finish".into(),
        ))
    })
}
