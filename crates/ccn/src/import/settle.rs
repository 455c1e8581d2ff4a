//! The end of an import: what still waits is tried as long as that helps.

use std::sync::Arc;
use std::time::Instant;

use beth_protocol::Status;
use beth_protocol::time::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tally::{Refused, Tally};
use super::{Progress, limits};
use crate::context::Context;
use crate::error::Error;
use crate::limits as node_limits;
use crate::pipeline::now;

/// Follows the messages that waited: each that is due gets a try, and as long
/// as that helps any, whoever waited for those gets one too.
pub(super) async fn settle(
    context: &Arc<Context>,
    tally: &mut Tally,
    progress: &watch::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let mut before = usize::MAX;
    let (mut left, mut since) = (tally.late.len(), Instant::now());
    while tally.late.len() < before {
        before = tally.late.len();
        let round = now();
        // A try puts the next one off; what is being tried is still due.
        while !tally.late.is_empty() && is_due(context, round).await? {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(limits::IMPORT_SETTLE_PERIOD) => {}
            }
            resolve(context, tally).await?;
            progress.send_modify(|now| now.waiting = tally.waiting());
            if tally.late.len() != left {
                (left, since) = (tally.late.len(), Instant::now());
            } else if since.elapsed() > 2 * node_limits::FETCH_DEADLINE {
                // Nothing can be written or fetched; they stay waiting.
                return Ok(());
            }
        }
        resolve(context, tally).await?;
    }
    Ok(())
}

/// Counts what no longer waits.
async fn resolve(context: &Arc<Context>, tally: &mut Tally) -> Result<(), Error> {
    let late = std::mem::take(&mut tally.late);
    let found = context
        .read(move |state| {
            let look = |hash: String| {
                let status = state.status(&hash)?.map(|(status, _)| status);
                let refusal = match status {
                    Some(Status::Rejected) => state.rejection(&hash)?,
                    _ => None,
                };
                Ok((hash, status, refusal))
            };
            late.into_iter().map(look).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    for (item_hash, status, refusal) in found {
        match (status, refusal) {
            (Some(Status::Processed | Status::Removing), _) => tally.processed += 1,
            (Some(Status::Forgotten | Status::Removed), _) => tally.known += 1,
            (Some(Status::Rejected), Some(refusal)) => tally.refuse_as(
                refusal.error_code,
                Refused {
                    count: 1,
                    item_hash,
                    reason: refusal.details.to_string(),
                },
            ),
            _ => tally.late.push(item_hash),
        }
    }
    Ok(())
}

/// True while a message that was due at a time has not been tried.
async fn is_due(context: &Arc<Context>, at: Timestamp) -> Result<bool, Error> {
    let due = context.read(|state| state.next_due()).await?;
    Ok(due.is_some_and(|due| due <= at))
}
