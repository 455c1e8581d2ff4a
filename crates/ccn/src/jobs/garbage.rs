//! Deleting what nobody keeps (processing.md §18.5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use beth_protocol::time::Timestamp;
use beth_store::State;
use futures::future::BoxFuture;
use tracing::warn;

use super::{Desk, Job, JobError, orphans};
use crate::limits::{FILE_IDLE_MIN, JOB_ROWS};

/// The job `garbage_collector`: ended grace pins, messages whose removal is due,
/// old measurements, then files without pins or rows.
pub(super) struct GarbageCollector {
    pub every: Duration,
    /// How long measurements of nodes are kept.
    pub measurements: Duration,
}

impl Job for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage_collector"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(
        &'a self,
        desk: &'a Desk,
        _: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<String, JobError>> {
        Box::pin(async move {
            let pins = desk
                .pipeline
                .work(move |state| state.drop_ended_pins(now))
                .await?;
            let mut messages = 0;
            loop {
                let finish = desk
                    .pipeline
                    .work(move |state| state.finish_removals(now, JOB_ROWS));
                let count = finish.await?;
                messages += count;
                if count < JOB_ROWS {
                    break;
                }
            }
            let kept = i64::try_from(self.measurements.as_micros()).unwrap_or(i64::MAX);
            let old = Timestamp::from_micros(now.micros().saturating_sub(kept));
            let drop_old = move |state: &State<'_>| state.drop_old_measurements(old, JOB_ROWS);
            while desk.pipeline.work(drop_old).await? == JOB_ROWS {}
            let unused_since = before(now);
            let mut files = sweep(desk, unused_since).await?;
            files += orphans::sweep(desk, unused_since).await?;
            Ok(format!(
                "{pins} pins ended, {files} files deleted, {messages} messages removed"
            ))
        })
    }
}

/// Deletes files without pins. Their bytes go after the commit, so that a
/// crash leaves bytes without a row, never a row without bytes.
async fn sweep(desk: &Desk, unused_since: SystemTime) -> Result<usize, JobError> {
    let (mut count, mut after) = (0, None);
    loop {
        let blobs = desk.blobs.clone();
        let look = desk.pipeline.work(move |state| {
            state.sweep_files(after.as_deref(), JOB_ROWS, |hash| {
                blobs.is_claimed_since(hash, unused_since)
            })
        });
        let swept = look.await?;
        count += swept.unpinned.len();
        let blobs = desk.blobs.clone();
        let deleted = tokio::task::spawn_blocking(move || {
            for hash in swept.unpinned {
                if let Err(failure) = blobs.remove(&hash, unused_since) {
                    warn!(%failure, hash, "a file that nobody keeps could not be deleted");
                }
            }
        });
        deleted.await.map_err(|_| JobError::Unavailable)?;
        after = swept.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// Contents that were not touched since then are idle.
fn before(now: Timestamp) -> SystemTime {
    let micros = u64::try_from(now.micros()).unwrap_or(0);
    UNIX_EPOCH
        .checked_add(Duration::from_micros(micros).saturating_sub(FILE_IDLE_MIN))
        .unwrap_or(UNIX_EPOCH)
}
