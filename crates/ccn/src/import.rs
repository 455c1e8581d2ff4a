//! Messages from a dump or from another core node, into the folder of a node
//! that does not run.
//!
//! ```text
//!  file, standard input ─ lines ─┐                ┌─ parse, offer ─┐
//!  another core node ─── pages ──┴─▶ batches ─▶───┼─ parse, offer ─┼─▶ in order: tally, checkpoint
//!                          bounded queue          └─ parse, offer ─┘
//! ```
//!
//! Several batches are on their way at once, and their outcomes are counted in
//! the order of the source. So the checkpoint, which says how far everything is
//! durable, is never ahead of the state: killed at any moment, an import goes on
//! where it was, and what it meets again is known. What waits for something
//! later in the source is tried again when that comes, as in a running node;
//! contents are fetched from the node that is walked and from the configured
//! peers.
//!
//! Deliberately absent: trust. A dump is judged like gossip.

mod checkpoint;
mod lines;
mod pages;
mod settle;
mod source;
mod tally;

use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::CcnConfig;
use crate::error::Error;
use crate::limits;
use crate::node::quiet::Quiet;
use crate::pipeline::{Handed, Pipeline, arrival};

use checkpoint::Checkpoint;
use source::{Batch, Place};

pub use source::Source;
pub use tally::{Refused, Skipped, Tally};

/// How far an import is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Messages and other lines that are dealt with.
    pub entries: u64,
    /// Share of the source, where its length is known: 0 to 1.
    pub share: Option<f64>,
    /// Messages that wait for something now.
    pub waiting: u64,
    /// Messages that were refused.
    pub rejected: u64,
    /// The source is at its end; what waits gets its last chance.
    pub is_settling: bool,
}

/// What an import did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Counts.
    pub tally: Tally,
    /// True when it began where an earlier one was interrupted.
    pub is_resumed: bool,
    /// Time it took.
    pub elapsed: Duration,
    /// Why the source was not read to its end; `None` when it was.
    pub failure: Option<Failure>,
}

/// Why a source was not read to its end. What came before is in the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The source failed.
    #[error("{0}; run the same command again to go on from here")]
    Source(String),
    /// Somebody asked for the end.
    #[error("interrupted; run the same command again to go on from here")]
    Interrupted,
    /// The state did not take a message.
    #[error(
        "the state could not be written, the log above says why (is the disk full?); run the same command again to go on from here"
    )]
    Unavailable,
}

/// Imports a source into the folder of `config`. `progress` hears how far it
/// is; `cancel` ends it early.
pub async fn run(
    mut config: CcnConfig,
    source: Source,
    progress: watch::Sender<Progress>,
    cancel: CancellationToken,
) -> Result<Report, Error> {
    let begun = Instant::now();
    if let Source::Node(url) = &source
        && !config.content_peers.contains(url)
    {
        config.content_peers.insert(0, url.clone());
    }
    let checkpoints = config.folder.clone();
    let node = Quiet::start(config, cancel.child_token())?;
    let mut walk = Walk {
        checkpoint: Checkpoint::load(&checkpoints, &source),
        tally: Tally::default(),
        progress,
        saved: Instant::now(),
    };
    let is_resumed = walk.checkpoint.place != Place::default();
    let failure = walk.follow(&source, &node, &cancel).await.err();
    let ended = walk.end(&failure, &node, &cancel).await;
    // Whatever happened, the folder is ours until the node has stopped.
    node.stop().await?;
    ended?;
    Ok(Report {
        tally: walk.tally,
        is_resumed,
        elapsed: begun.elapsed(),
        failure,
    })
}

struct Walk {
    checkpoint: Checkpoint,
    tally: Tally,
    progress: watch::Sender<Progress>,
    saved: Instant,
}

impl Walk {
    /// Reads the source to its end.
    async fn follow(
        &mut self,
        source: &Source,
        node: &Quiet,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let (sender, mut batches) = mpsc::channel(limits::IMPORT_BATCHES_READ);
        let from = self.checkpoint.place.clone();
        let reader = source.read(from, node.client.clone(), sender);
        let mut reader = AbortOnDropHandle::new(reader);
        let pipeline = &node.context.pipeline;
        let done = futures::stream::poll_fn(|context| batches.poll_recv(context))
            .then(|batch| submit(pipeline, batch))
            .map(collect)
            .buffered(limits::IMPORT_BATCHES_SUBMITTED);
        let mut done = std::pin::pin!(done);
        loop {
            let next = tokio::select! {
                () = cancel.cancelled() => return Err(Failure::Interrupted),
                next = done.next() => next,
            };
            match next {
                Some(batch) => self.count(batch?)?,
                None => break,
            }
        }
        match (&mut reader).await {
            Ok(ended) => ended.map_err(Failure::Source),
            Err(_) => Err(Failure::Source("reading ended badly".into())),
        }
    }

    /// Keeps the place, and at the end of the source lets what waits settle.
    async fn end(
        &mut self,
        failure: &Option<Failure>,
        node: &Quiet,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        self.checkpoint.save()?;
        if failure.is_none() {
            self.progress.send_modify(|now| now.is_settling = true);
            settle::settle(&node.context, &mut self.tally, &self.progress, cancel).await?;
            self.checkpoint.remove()?;
        }
        Ok(())
    }

    fn count(&mut self, done: Done) -> Result<(), Failure> {
        self.tally.join(done.tally);
        self.checkpoint.place = done.end;
        self.progress.send_modify(|now| {
            now.entries = self.tally.entries();
            now.share = done.share;
            now.waiting = self.tally.late.len() as u64;
            now.rejected = self.tally.refused.values().map(|one| one.count).sum();
        });
        if self.saved.elapsed() >= limits::IMPORT_CHECKPOINT_PERIOD {
            self.saved = Instant::now();
            self.checkpoint
                .save()
                .map_err(|error| Failure::Source(error.to_string()))?;
        }
        Ok(())
    }
}

/// A batch whose every message has an outcome.
struct Done {
    tally: Tally,
    end: Place,
    share: Option<f64>,
}

/// A batch that was handed in.
struct Submitted {
    tally: Tally,
    handed: Vec<(String, Handed)>,
    end: Place,
    share: Option<f64>,
}

/// Hands a batch in, in the order of the source: what a message is allowed or
/// can pay depends on those before it.
async fn submit(pipeline: &Pipeline, batch: Batch) -> Result<Submitted, Failure> {
    let mut tally = Tally::default();
    let mut handed = Vec::with_capacity(batch.entries.len());
    for entry in batch.entries {
        match entry.message() {
            Ok(Some(message)) => {
                let item_hash = message["item_hash"].as_str().unwrap_or_default().to_owned();
                let message = pipeline.hand(arrival(message)).await;
                handed.push((item_hash, message.map_err(|_| Failure::Unavailable)?));
            }
            Ok(None) => {}
            Err(skipped) => tally.skip(skipped),
        }
    }
    Ok(Submitted {
        tally,
        handed,
        end: batch.end,
        share: batch.share,
    })
}

/// Waits for the outcome of every message of a batch.
async fn collect(submitted: Result<Submitted, Failure>) -> Result<Done, Failure> {
    let Submitted {
        mut tally,
        handed,
        end,
        share,
    } = submitted?;
    for (item_hash, message) in handed {
        match message.outcome().await {
            Ok(outcome) => tally.add(item_hash, outcome),
            Err(_) => return Err(Failure::Unavailable),
        }
    }
    Ok(Done { tally, end, share })
}
