//! Contents that this node must have: whether each is here and whole, and what
//! is done when one is not.
//!
//! ```text
//!  pins ─▶ a page of names ─▶ prove each (one thread, at a bounded rate)
//!                               │ missing, rotten        │ noted wrong
//!                               ▼                        ▼
//!              put aside ─▶ fetch from others ─▶ count   note it right
//!                               │ a right one is here
//!                               ▼
//!                      delete what was put aside
//! ```
//! The same work is done at once, when an operator asks (`beth ccn repair`), and
//! all the time, slowly ([`scrub`]). A rotten copy is deleted only when a right
//! one is here, or when nobody keeps it any more.

mod report;
pub mod scrub;
mod state;
mod throttle;

use std::sync::Arc;
use std::time::Instant;

use beth_store::blobs::{Extent, Proof};
use beth_store::query::kept::Kept;
use beth_store::{Blobs, Readers, State, Store};
use futures::StreamExt;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::CcnConfig;
use crate::error::Error;
use crate::fetch::Fetcher;
use crate::limits::{REPAIR_BYTES_PER_SECOND, REPAIR_FETCHES_MAX, REPAIR_PAGE};
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
pub use report::{Fault, FaultKind, Progress, Report, Wish};
use throttle::Throttle;

/// Why a repair ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// There is one already.
    #[error("a repair is under way already: wait until it ends, or stop that one")]
    Busy,
    /// The state or the folder of contents cannot be read.
    #[error(transparent)]
    Store(#[from] beth_store::Error),
    /// Work was cut off.
    #[error("the node is stopping: repair again when it runs")]
    Stopping,
}

/// Proves contents, and mends them where it can.
pub struct Repair {
    readers: Readers,
    blobs: Arc<Blobs>,
    hands: Option<Hands>,
    /// One at a time, of those that operators ask for.
    turn: Mutex<()>,
    /// Held while a content is looked at again and put aside.
    aside: Mutex<()>,
}

/// What mending takes: a running node.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) fetcher: Fetcher,
    pub(crate) pipeline: Pipeline,
}

/// How many bytes may be read in a second, and until when.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) bytes_per_second: u64,
    pub(crate) cancel: CancellationToken,
}

impl Repair {
    /// For a running node; it may change what is wrong.
    pub(crate) fn of_node(readers: Readers, blobs: Arc<Blobs>, hands: Hands) -> Repair {
        Repair {
            readers,
            blobs,
            hands: Some(hands),
            turn: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    /// For a folder that rests; it only looks.
    pub(crate) fn of_folder(readers: Readers, blobs: Arc<Blobs>) -> Repair {
        Repair {
            readers,
            blobs,
            hands: None,
            turn: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    /// Proves every content that is pinned and looks at the state; mends what it
    /// can unless it shall only check. A cancelled run answers with what it found
    /// so far.
    pub(crate) async fn run(
        self: &Arc<Self>,
        wish: Wish,
        progress: &watch::Sender<Progress>,
        bounds: Bounds,
    ) -> Result<Report, RepairError> {
        let Ok(_turn) = self.turn.try_lock() else {
            return Err(RepairError::Busy);
        };
        let begun = Instant::now();
        let cancel = bounds.cancel.clone();
        let mut throttle = Throttle::new(bounds);
        let mut report = Report::of(wish);
        let (contents, bytes) = self.read(|state| state.kept_total()).await?;
        progress.send_modify(|now| (now.contents_total, now.bytes_total) = (contents, bytes));
        let mut after = String::new();
        while !cancel.is_cancelled() {
            let page = self.page(after, REPAIR_PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.hash.clone();
            throttle = self
                .page_through(page, &mut report, (throttle, progress))
                .await?;
        }
        if !cancel.is_cancelled() {
            progress.send_modify(|now| now.is_at_state = true);
            self.look_at_state(&mut report, &cancel).await?;
            self.clear_aside(&report).await?;
        }
        report.is_complete = !cancel.is_cancelled();
        report.seconds = begun.elapsed().as_secs_f64();
        Ok(report)
    }

    async fn page_through(
        self: &Arc<Self>,
        page: Vec<Kept>,
        report: &mut Report,
        (mut throttle, progress): (Throttle, &watch::Sender<Progress>),
    ) -> Result<Throttle, RepairError> {
        let mut faults = Vec::new();
        for kept in page {
            let (back, proof) = self.prove(&kept.hash, throttle).await?;
            throttle = back;
            let read = throttle.taken();
            progress.send_modify(|now| {
                now.contents += 1;
                now.bytes += read;
            });
            report.bytes += read;
            self.count(&proof, read);
            if let Some(fault) = report.hear(&kept, proof) {
                progress.send_modify(|now| now.faults += 1);
                faults.push(fault);
            }
        }
        let is_check = report.wish.is_check;
        let mending = faults.into_iter().map(|(fault, extent)| async move {
            let is_mended = !is_check && self.mend(&fault, extent).await;
            Fault { is_mended, ..fault }
        });
        let mut mended = futures::stream::iter(mending).buffer_unordered(REPAIR_FETCHES_MAX);
        while let Some(fault) = tokio::select! {
            fault = mended.next() => fault,
            () = throttle.cancelled() => None,
        } {
            progress.send_modify(|now| now.mended += u64::from(fault.is_mended));
            report.keep(fault);
        }
        Ok(throttle)
    }

    /// Reads and hashes a content, off the asynchronous threads.
    async fn prove(
        &self,
        hash: &str,
        mut throttle: Throttle,
    ) -> Result<(Throttle, Proof), RepairError> {
        let (blobs, hash) = (self.blobs.clone(), hash.to_owned());
        let read = spawn_blocking(move || {
            let proof = blobs.prove(&hash, &mut |bytes| throttle.went(bytes));
            (throttle, proof)
        });
        let (throttle, proof) = read.await.map_err(|_| RepairError::Stopping)?;
        Ok((throttle, proof?))
    }

    /// Makes right what is wrong; false when it cannot.
    async fn mend(&self, fault: &Fault, extent: Option<Extent>) -> bool {
        let Some(hands) = &self.hands else {
            return false;
        };
        let hash = fault.hash.clone();
        let is_mended = match (fault.kind, extent) {
            (FaultKind::Missized, Some(extent)) => {
                let note = move |state: &State<'_>| state.add_file(&hash, extent);
                hands.pipeline.work(note).await.is_ok()
            }
            _ => self.replace(hands, fault).await,
        };
        let outcome = if is_mended { "mended" } else { "left" };
        hands
            .metrics()
            .repair
            .mended
            .with_label_values(&[outcome])
            .inc();
        match is_mended {
            true => info!(
                hash = fault.hash,
                why = fault.detail,
                "a content was mended"
            ),
            false => {
                warn!(
                    hash = fault.hash,
                    why = fault.detail,
                    "a content could not be mended"
                )
            }
        }
        is_mended
    }

    async fn replace(&self, hands: &Hands, fault: &Fault) -> bool {
        if fault.kind == FaultKind::Rotten && !self.put_aside(&fault.hash).await {
            return self.blobs.contains(&fault.hash);
        }
        let is_here = hands.fetcher.obtain(&fault.hash).await;
        if is_here && let Err(failure) = self.blobs.clear_aside(&fault.hash) {
            warn!(%failure, hash = fault.hash, "a rotten copy could not be deleted");
        }
        is_here
    }

    /// Takes a rotten content from its place; false when it stays there. It is
    /// read once more: the disk may have stumbled, or it was replaced meanwhile.
    async fn put_aside(&self, hash: &str) -> bool {
        let _held = self.aside.lock().await;
        let (blobs, name) = (self.blobs.clone(), hash.to_owned());
        let done = spawn_blocking(move || match blobs.prove(&name, &mut |_| true)? {
            Proof::Rotten(_) => blobs.set_aside(&name).map(|_| true),
            proof => Ok(proof == Proof::Missing),
        });
        match done.await {
            Ok(Ok(is_gone)) => is_gone,
            Ok(Err(failure)) => {
                warn!(%failure, hash, "a rotten content could not be put aside");
                false
            }
            Err(_) => false,
        }
    }

    /// What was put aside and is kept by nobody, or was found whole meanwhile.
    async fn clear_aside(self: &Arc<Self>, report: &Report) -> Result<(), RepairError> {
        if self.hands.is_none() || report.wish.is_check {
            return Ok(());
        }
        self.blocking(|repair| {
            for hash in repair.blobs.aside()? {
                let pins = repair.readers.read(|state| state.count_pins(&hash))?;
                if pins == 0 || repair.blobs.contains(&hash) {
                    repair.blobs.clear_aside(&hash)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn page(self: &Arc<Self>, after: String, limit: usize) -> Result<Vec<Kept>, RepairError> {
        self.read(move |state| state.kept_contents(&after, limit))
            .await
    }

    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&State<'_>) -> Result<T, beth_store::Error> + Send + 'static,
    ) -> Result<T, RepairError> {
        self.blocking(|repair| repair.readers.read(read)).await
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Repair) -> Result<T, beth_store::Error> + Send + 'static,
    ) -> Result<T, RepairError> {
        let repair = self.clone();
        let done = spawn_blocking(move || work(&repair)).await;
        Ok(done.map_err(|_| RepairError::Stopping)??)
    }

    fn count(&self, proof: &Proof, bytes: u64) {
        let Some(hands) = &self.hands else {
            return;
        };
        let found = match proof {
            Proof::Whole(_) => "whole",
            Proof::Unprovable(_) => "unprovable",
            Proof::Missing => "missing",
            Proof::Rotten(_) => "rotten",
            Proof::Stopped => return,
        };
        let repair = &hands.metrics().repair;
        repair.proven.with_label_values(&[found]).inc();
        repair.bytes.inc_by(bytes);
    }
}

impl Hands {
    fn metrics(&self) -> &Metrics {
        &self.pipeline.metrics
    }
}

/// Looks at the folder of a node that does not run: contents and state. Nothing
/// is changed.
pub async fn check_folder(
    config: &CcnConfig,
    wish: Wish,
    progress: &watch::Sender<Progress>,
    cancel: CancellationToken,
) -> Result<Report, Error> {
    let database = config.database_path();
    if !database.is_file() {
        return Err(Error::Config(format!(
            "there is no core node in {}: {} is missing; check `folder` in the config file",
            config.folder.display(),
            database.display()
        )));
    }
    let _lock = Lock::take(&config.folder)?;
    let store = Store::open(&database)?;
    let blobs = Arc::new(Blobs::open(&config.blobs_path())?);
    let repair = Arc::new(Repair::of_folder(store.readers, blobs));
    let wish = Wish {
        is_check: true,
        ..wish
    };
    let bounds = Bounds {
        bytes_per_second: REPAIR_BYTES_PER_SECOND,
        cancel,
    };
    let checked = repair.run(wish, progress, bounds).await;
    checked.map_err(|failure| match failure {
        RepairError::Store(failure) => failure.into(),
        other => Error::Config(other.to_string()),
    })
}
