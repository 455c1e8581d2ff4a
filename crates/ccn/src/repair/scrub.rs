//! Reading every content once in a while, slowly: a disk that rots is noticed
//! before somebody asks for what rotted.
//!
//! ```text
//!  page of names ─▶ prove, mend ─▶ scrub.json: where to go on ─▶ next page
//!                     │ at (what is left to read) / (time left)
//!  the end ─▶ wait for the end of the period ─▶ from the start
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::throttle::Throttle;
use super::{Bounds, Progress, Repair, RepairError, Report, Wish};
use crate::config::CcnConfig;
use crate::limits::{
    SCRUB_BYTES_PER_SECOND_MAX, SCRUB_BYTES_PER_SECOND_MIN, SCRUB_PAGE, SCRUB_PAUSE,
};
use crate::pipeline::now;

/// Name of the file that tells where to go on.
const NAME: &str = "scrub.json";

/// Where a pass is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// When the pass began, in seconds since the Unix epoch.
    begun: i64,
    /// The last content that was looked at.
    after: String,
    /// Bytes read since the pass began.
    bytes: u64,
    /// Everything was looked at.
    is_done: bool,
}

/// Where the place is noted, and the period.
pub(crate) fn plan(config: &CcnConfig) -> (PathBuf, Option<Duration>) {
    let days = config.jobs.scrub_days;
    let period = Duration::from_secs(days.saturating_mul(86_400));
    (config.folder.clone(), (days > 0).then_some(period))
}

/// Proves every content once in a period, until cancelled; without a period
/// nothing is done.
pub(crate) async fn run(
    repair: Arc<Repair>,
    (folder, period): (PathBuf, Option<Duration>),
    cancel: CancellationToken,
) {
    let Some(period) = period else {
        return;
    };
    let mut scrub = Scrub {
        repair,
        place: Place::read(&folder),
        folder,
        period: i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1),
        report: Report::of(Wish::default()),
    };
    while !cancel.is_cancelled() {
        let pause = match scrub.step(&cancel).await {
            Ok(true) => continue,
            Ok(false) => SCRUB_PAUSE,
            Err(failure) => {
                warn!(%failure, "contents could not be looked through; tried again later");
                SCRUB_PAUSE
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Scrub {
    repair: Arc<Repair>,
    folder: PathBuf,
    place: Place,
    period: i64,
    /// Of this pass, as far as this process made it.
    report: Report,
}

impl Scrub {
    /// Looks at some contents; false when there is nothing to do now.
    async fn step(&mut self, cancel: &CancellationToken) -> Result<bool, RepairError> {
        let at = now().micros() / 1_000_000;
        let age = at.saturating_sub(self.place.begun);
        if self.place.is_done && (0..self.period).contains(&age) {
            return Ok(false);
        }
        if self.place.is_done || self.place.begun == 0 || age < 0 {
            self.place = Place {
                begun: at,
                ..Place::default()
            };
            self.report = Report::of(Wish::default());
        }
        let repair = self.repair.clone();
        let page = repair.page(self.place.after.clone(), SCRUB_PAGE).await?;
        let Some(last) = page.last() else {
            self.end().await;
            return Ok(false);
        };
        let (after, bounds) = (last.hash.clone(), self.bounds(at, cancel).await?);
        let (progress, _) = watch::channel(Progress::default());
        let before = self.report.bytes;
        repair
            .page_through(page, &mut self.report, (Throttle::new(bounds), &progress))
            .await?;
        if !cancel.is_cancelled() {
            self.place.bytes += self.report.bytes - before;
            self.place.after = after;
            self.write().await;
        }
        Ok(true)
    }

    /// So fast that the pass ends with the period.
    async fn bounds(&self, at: i64, cancel: &CancellationToken) -> Result<Bounds, RepairError> {
        let (_, total) = self.repair.read(|state| state.kept_total()).await?;
        let left = total.saturating_sub(self.place.bytes);
        // A tenth is kept for the time that this node does not run.
        let seconds = (self.place.begun + self.period - self.period / 10 - at).max(1);
        let rate = left / seconds.unsigned_abs();
        Ok(Bounds {
            bytes_per_second: rate.clamp(SCRUB_BYTES_PER_SECOND_MIN, SCRUB_BYTES_PER_SECOND_MAX),
            cancel: cancel.clone(),
        })
    }

    async fn end(&mut self) {
        self.place.is_done = true;
        self.write().await;
        if let Err(failure) = self.repair.clear_aside(&self.report).await {
            warn!(%failure, "rotten copies could not be deleted");
        }
        info!(
            contents = self.report.contents(),
            bytes = self.report.bytes,
            faulty = self.report.faulty(),
            mended = self.report.mended,
            "every content was read again"
        );
    }

    /// Notes where to go on. What is lost with it is read again.
    async fn write(&self) {
        let Ok(text) = serde_json::to_vec(&self.place) else {
            return;
        };
        let path = self.folder.join(NAME);
        let written = spawn_blocking(move || {
            let beside = path.with_extension("json.new");
            std::fs::write(&beside, text)?;
            std::fs::rename(&beside, &path)
        });
        if let Ok(Err(failure)) = written.await {
            warn!(%failure, "where to go on reading contents could not be noted");
        }
    }
}

impl Place {
    /// As noted; the start when it is not, or makes no sense.
    fn read(folder: &Path) -> Place {
        let text = std::fs::read(folder.join(NAME)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}
