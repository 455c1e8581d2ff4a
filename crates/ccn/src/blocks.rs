//! The blocks of this node, as others ask for them.

use std::sync::Arc;

use beth_store::{Blobs, Error};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

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
