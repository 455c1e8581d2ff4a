//! Contents that are on the disk and in no row: the node died between writing
//! one and registering it, or between committing that a file is kept no longer
//! and deleting it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use beth_store::{Blobs, Error};
use tracing::warn;

use super::{Desk, JobError};
use crate::limits::{JOB_ROWS, PARTIAL_IDLE};

/// Deletes what no row knows and nobody has claimed since, and what was begun and
/// never came; answers how many.
pub(super) async fn sweep(desk: &Desk, unused_since: SystemTime) -> Result<usize, JobError> {
    let idle_since = unused_since.checked_sub(PARTIAL_IDLE).unwrap_or(UNIX_EPOCH);
    let forget = blocking(&desk.blobs, move |blobs| blobs.forget_partials(idle_since));
    let mut count = forget.await?;
    for shelf in blocking(&desk.blobs, |blobs| blobs.shelves()).await? {
        let names = blocking(&desk.blobs, move |blobs| blobs.names_on(&shelf)).await?;
        for names in names.chunks(JOB_ROWS) {
            let names = names.to_vec();
            let look = desk.pipeline.work(move |state| {
                let mut unknown = Vec::new();
                for name in names {
                    if !state.knows_file(&name)? {
                        unknown.push(name);
                    }
                }
                Ok(unknown)
            });
            let unknown = look.await?;
            count += blocking(&desk.blobs, move |blobs| {
                remove(blobs, &unknown, unused_since)
            })
            .await?;
        }
    }
    Ok(count)
}

fn remove(blobs: &Blobs, names: &[String], unused_since: SystemTime) -> Result<usize, Error> {
    let mut count = 0;
    for name in names {
        if !blobs.is_claimed_since(name, unused_since) {
            blobs.remove(name, unused_since)?;
            count += 1;
        }
    }
    Ok(count)
}

async fn blocking<T: Send + 'static>(
    blobs: &Arc<Blobs>,
    work: impl FnOnce(&Blobs) -> Result<T, Error> + Send + 'static,
) -> Result<T, JobError> {
    let blobs = blobs.clone();
    let done = tokio::task::spawn_blocking(move || work(&blobs)).await;
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => {
            warn!(%failure, "contents on the disk could not be looked through");
            Err(JobError::Unavailable)
        }
        Err(_) => Err(JobError::Unavailable),
    }
}
