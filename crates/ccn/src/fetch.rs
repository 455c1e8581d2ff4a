//! Contents that are missing here, from whoever has them: the one door to them.
//!
//! ```text
//!   obtain(hash) ─▶ Flights: one download a hash, however many wait
//!                      │
//!                      ▼  sources, one kind after the other
//!            neighbours (libp2p, many at once) ─▶ HTTP (several nodes, the next when one is slow)
//!                      │
//!                      ▼  every byte checked: by SHA-256, or by the CID
//!                   Blobs ─▶ writer: its row
//! ```
//!
//! A kind of source is a [`Source`]. One that fails, lacks the content or lies
//! costs time alone: the next one is asked, and a message never is refused for
//! what a source said.

mod encoded;
mod flights;
mod http;
mod peers;
mod source;

use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_network::Network;
use beth_store::Blobs;
use beth_store::blobs::Extent;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::limits;
use crate::metrics::Metrics;
use crate::neighbours::Neighbours;
use crate::pipeline::FileKind;
use crate::writer::Task;
use flights::Flights;
use http::Http;
use peers::Peers;
use source::{Source, Wanted};

/// Fetches contents that are missing here.
#[derive(Clone)]
pub struct Fetcher(Arc<Desk>);

struct Desk {
    blobs: Arc<Blobs>,
    writer: mpsc::Sender<Task>,
    /// In the order in which they are asked.
    sources: Vec<Box<dyn Source>>,
    flights: Flights,
    turns: Semaphore,
    metrics: Arc<Metrics>,
}

/// Where contents come from.
pub(crate) struct Origins {
    pub client: reqwest::Client,
    /// Nodes that are asked over HTTP.
    pub neighbours: Neighbours,
    /// Neighbours of the gossip, when there is one.
    pub network: Option<Arc<Network>>,
    /// Largest content that is taken.
    pub bytes_max: u64,
}

impl Fetcher {
    pub(crate) fn new(
        origins: Origins,
        (blobs, writer): (Arc<Blobs>, mpsc::Sender<Task>),
        metrics: Arc<Metrics>,
        cancel: CancellationToken,
    ) -> Fetcher {
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        let bytes_max = origins.bytes_max;
        if let Some(network) = origins.network {
            sources.push(Box::new(Peers {
                network,
                blobs: blobs.clone(),
                bytes_max,
                metrics: metrics.clone(),
            }));
        }
        sources.push(Box::new(Http::new(
            (origins.client, origins.neighbours),
            blobs.clone(),
            bytes_max,
            metrics.clone(),
        )));
        Fetcher(Arc::new(Desk {
            blobs,
            writer,
            sources,
            flights: Flights::new(cancel),
            turns: Semaphore::new(limits::FETCHES_MAX),
            metrics,
        }))
    }

    /// Waits until cancelled, and then for the downloads to end.
    pub(crate) fn end(&self) -> BoxFuture<'static, ()> {
        self.0.flights.end()
    }

    /// True when a content is here.
    pub fn has(&self, hash: &str) -> bool {
        self.0.blobs.contains(hash)
    }

    /// Makes a content available here; false when nobody has it now. Whoever
    /// asks for the same content meanwhile waits for the same download, which
    /// goes on when nobody waits any more.
    pub async fn obtain(&self, hash: &str) -> bool {
        if self.has(hash) {
            return true;
        }
        let Some(wanted) = Wanted::parse(hash) else {
            // No byte of it could be checked here.
            return false;
        };
        let desk = self.0.clone();
        let bring = move || async move { desk.bring(wanted).await };
        self.0.flights.join(hash, bring).await
    }

    /// The bytes of a content that is here and short enough for a message.
    pub fn read(&self, hash: &str) -> Option<Vec<u8>> {
        let (_, size_bytes) = self.0.blobs.file(hash).ok().flatten()?;
        if size_bytes > limits::CONTENT_BYTES_MAX {
            return None;
        }
        match self.0.blobs.read(hash) {
            Ok(bytes) => bytes,
            Err(failure) => {
                warn!(%failure, hash, "a content could not be read");
                None
            }
        }
    }
}

impl Desk {
    async fn bring(&self, wanted: Wanted) -> bool {
        let Ok(_turn) = self.turns.acquire().await else {
            return false;
        };
        if self.blobs.contains(&wanted.hash) {
            return true;
        }
        let begun = Instant::now();
        let is_here = match self.ask_all(&wanted).await {
            Some(extent) => self.register(&wanted.hash, extent).await,
            None => false,
        };
        self.count(&wanted, begun.elapsed(), is_here);
        is_here
    }

    async fn ask_all(&self, wanted: &Wanted) -> Option<Extent> {
        let contents = &self.metrics.contents;
        for source in &self.sources {
            let (outcome, extent) = match source.fetch(wanted).await {
                Ok(Some(extent)) => ("done", Some(extent)),
                Ok(None) => ("absent", None),
                Err(failure) => {
                    let (source, hash) = (source.name(), &wanted.hash);
                    if failure.is_ours() {
                        warn!(%failure, source, hash, "a content could not be taken");
                    } else {
                        debug!(%failure, source, hash, "a content could not be fetched");
                    }
                    ("failed", None)
                }
            };
            let counted = contents
                .fetched
                .with_label_values(&[source.name(), outcome]);
            counted.inc();
            if extent.is_some() {
                return extent;
            }
        }
        None
    }

    async fn register(&self, hash: &str, extent: Extent) -> bool {
        let (reply, answer) = oneshot::channel();
        let task = Task::File {
            hash: hash.to_owned(),
            extent,
            kind: FileKind::Upload,
            reply,
        };
        self.writer.send(task).await.is_ok() && answer.await.is_ok()
    }

    fn count(&self, wanted: &Wanted, took: Duration, is_here: bool) {
        let work = &self.metrics.work;
        let naming = if wanted.digest.is_some() {
            "storage"
        } else {
            "ipfs"
        };
        let outcome = if is_here { "done" } else { "failed" };
        work.fetches.with_label_values(&[naming, outcome]).inc();
        let spent = work.fetch_seconds.with_label_values(&[naming]);
        spent.inc_by(took.as_secs_f64());
    }
}
