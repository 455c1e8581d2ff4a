//! Background work: what is done from time to time, whatever messages come.
//!
//! ```text
//!  keep_doing ─ every period ─▶ is it due? ─▶ Job::run(desk, now) ─▶ changes, on the writer
//!                                                  │
//!                                             last_run, persisted
//! ```
//!
//! A job reads the world anew at every run and changes it in small
//! transactions beside the messages, so a run that was cut off is simply made
//! again. The time is a parameter: tests run jobs at any moment. After the
//! first start of a node every job waits one interval of its own.

mod garbage;
mod orphans;
mod solvency;

use std::sync::Arc;
use std::time::Duration;

use beth_protocol::content::PaymentType;
use beth_protocol::time::Timestamp;
use beth_store::Blobs;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::CcnConfig;
use crate::pipeline::{Pipeline, SubmitError, now};
use garbage::GarbageCollector;
use solvency::Solvency;

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// There is no job of this name.
    #[error("there is no job named {0}")]
    Unknown(String),
    /// The node is stopping, or the state could not be changed; what was done
    /// stays done.
    #[error("the state could not be changed; the job is done again when it is due, see the log")]
    Unavailable,
}

impl From<SubmitError> for JobError {
    fn from(_: SubmitError) -> JobError {
        JobError::Unavailable
    }
}

/// One kind of background work.
pub trait Job: Send + Sync {
    /// Its name in the state, in the log and for operators.
    fn name(&self) -> &'static str;
    /// How often it is done.
    fn every(&self) -> Duration;
    /// Does it as of `now`; what changed since `last_run` is enough to look
    /// at. Answers with a sentence for the log.
    fn run<'a>(
        &'a self,
        desk: &'a Desk,
        last_run: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<String, JobError>>;
}

/// What jobs work with.
pub struct Desk {
    /// Where changes of the state are handed in.
    pub pipeline: Pipeline,
    /// Contents.
    pub blobs: Arc<Blobs>,
}

/// The jobs of a node.
pub struct Jobs {
    list: Vec<Box<dyn Job>>,
    desk: Desk,
    /// One at a time.
    turn: Mutex<()>,
}

impl Jobs {
    /// The jobs of a core node.
    pub(crate) fn new(config: &CcnConfig, pipeline: Pipeline, blobs: Arc<Blobs>) -> Jobs {
        let every = Duration::from_secs;
        let jobs = &config.jobs;
        let list: Vec<Box<dyn Job>> = vec![
            Box::new(Solvency {
                payment: PaymentType::Hold,
                every: every(jobs.balance_seconds),
            }),
            Box::new(Solvency {
                payment: PaymentType::Credit,
                every: every(jobs.credit_balance_seconds),
            }),
            Box::new(GarbageCollector {
                every: every(jobs.garbage_collector_seconds),
                measurements: Duration::from_secs(jobs.measurement_days.saturating_mul(86_400)),
            }),
        ];
        Jobs {
            list,
            desk: Desk { pipeline, blobs },
            turn: Mutex::new(()),
        }
    }

    /// Every job: its name and how often it is done.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.list.iter().map(|job| (job.name(), job.every()))
    }

    /// Does one job now, due or not.
    pub async fn run(&self, name: &str, now: Timestamp) -> Result<String, JobError> {
        let job = self.list.iter().find(|job| job.name() == name);
        let job = job.ok_or_else(|| JobError::Unknown(name.to_owned()))?;
        let last_run = self.last_run(job.name()).await?;
        self.do_one(&**job, last_run.unwrap_or_default(), now).await
    }

    /// Does what is due; one that fails is due again at the next look.
    pub async fn run_due(&self, now: Timestamp) {
        for job in &self.list {
            let name = job.name();
            let last_run = match self.last_run(name).await {
                Ok(Some(last_run)) => last_run,
                Ok(None) => {
                    let _ = self.note(name, now).await;
                    continue;
                }
                Err(_) => continue,
            };
            let every = i64::try_from(job.every().as_micros()).unwrap_or(i64::MAX);
            if last_run.micros().saturating_add(every) > now.micros() {
                continue;
            }
            match self.do_one(&**job, last_run, now).await {
                Ok(report) => info!(job = name, "{report}"),
                Err(failure) => warn!(job = name, %failure, "background work was not done"),
            }
        }
    }

    /// Looks every `period` at what is due, until cancelled.
    pub(crate) async fn keep_doing(self: Arc<Self>, period: Duration, cancel: CancellationToken) {
        let work = async {
            self.run_due(now()).await;
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.run_due(now()).await;
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }

    async fn do_one(
        &self,
        job: &dyn Job,
        last_run: Timestamp,
        now: Timestamp,
    ) -> Result<String, JobError> {
        let _turn = self.turn.lock().await;
        let begun = Instant::now();
        let done = job.run(&self.desk, last_run, now).await;
        let work = &self.desk.pipeline.metrics.work;
        let outcome = if done.is_ok() { "done" } else { "failed" };
        work.jobs.with_label_values(&[job.name(), outcome]).inc();
        let seconds = work.job_seconds.with_label_values(&[job.name()]);
        seconds.set(begun.elapsed().as_secs_f64());
        let report = done?;
        self.note(job.name(), now).await?;
        Ok(report)
    }

    async fn last_run(&self, name: &'static str) -> Result<Option<Timestamp>, JobError> {
        let read = self.desk.pipeline.work(move |state| state.last_run(name));
        Ok(read.await?)
    }

    async fn note(&self, name: &'static str, at: Timestamp) -> Result<(), JobError> {
        let write = self
            .desk
            .pipeline
            .work(move |state| state.set_last_run(name, at));
        Ok(write.await?)
    }
}
