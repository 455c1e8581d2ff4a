//! Contents from others: by CID from peers of IPFS, block by block (`fetch/dag.rs`);
//! and from other core nodes, over HTTP, verified while they arrive: by
//! SHA-256, or by the CID when they are named by one.

mod dag;

use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_protocol::cid::Cid;
use beth_protocol::hash::{ItemHash, Naming};
use beth_store::Blobs;
use beth_store::blobs::Extent;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use crate::limits;
use crate::metrics::Metrics;
use crate::pipeline::FileKind;
use crate::writer::Task;

pub(crate) use dag::Sources;
pub use dag::{GraphError, Graphs, Reach};

/// How other nodes send a directory.
const TAR: &str = "application/x-tar";

/// Fetches contents that are missing here.
#[derive(Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    blobs: Arc<Blobs>,
    writer: mpsc::Sender<Task>,
    peers: Arc<Vec<String>>,
    size_bytes_max: u64,
    metrics: Arc<Metrics>,
    graphs: Graphs,
    /// Largest directory, or file of several blocks.
    graph_bytes_max: u64,
}

impl Fetcher {
    pub(crate) fn new(
        client: reqwest::Client,
        blobs: Arc<Blobs>,
        writer: mpsc::Sender<Task>,
        peers: Vec<String>,
        (size_bytes_max, metrics): (u64, Arc<Metrics>),
        (graphs, graph_bytes_max): (Graphs, u64),
    ) -> Fetcher {
        Fetcher {
            client,
            blobs,
            writer,
            peers: Arc::new(peers),
            size_bytes_max,
            metrics,
            graphs,
            graph_bytes_max,
        }
    }

    /// True when a content is here.
    pub fn has(&self, hash: &str) -> bool {
        self.blobs.contains(hash)
    }

    /// Makes a content available here; false when nobody has it. A source that
    /// lies costs its download and the next one is asked.
    pub async fn obtain(&self, hash: &str) -> bool {
        if self.blobs.contains(hash) {
            return true;
        }
        let known = ItemHash::parse(hash).ok();
        let Some(naming) = known.as_ref().and_then(Naming::of) else {
            // No byte of it could be checked here.
            return false;
        };
        let begun = Instant::now();
        let is_here = match Cid::parse(hash) {
            Ok(cid) => {
                self.obtain_graph(cid, Reach::Peers).await
                    || self.ask_all(hash, naming).await
                    || self.obtain_graph(cid, Reach::Archives).await
            }
            Err(_) => self.ask_all(hash, naming).await,
        };
        self.count(hash, begun.elapsed(), is_here);
        is_here
    }

    async fn obtain_graph(&self, cid: Cid, reach: Reach) -> bool {
        let asked = (cid, self.graph_bytes_max);
        match self.graphs.obtain(asked, reach).await {
            Ok(Some(extent)) => self.register(&cid.to_string(), extent).await,
            Ok(None) => false,
            Err(failure) => {
                debug!(%failure, %cid, "a content could not be fetched block by block");
                false
            }
        }
    }

    async fn ask_all(&self, hash: &str, naming: Naming) -> bool {
        for peer in self.peers.iter() {
            match self.download(peer, hash, naming.clone()).await {
                Ok(Some(extent)) => return self.register(hash, extent).await,
                Ok(None) => {}
                Err(failure) => {
                    debug!(%failure, peer, hash, "a content could not be fetched from this node")
                }
            }
        }
        false
    }

    fn count(&self, hash: &str, took: Duration, is_here: bool) {
        let work = &self.metrics.work;
        // Of the two ways to name a content only one has 64 characters.
        let naming = if hash.len() == 64 { "storage" } else { "ipfs" };
        let outcome = if is_here { "done" } else { "failed" };
        work.fetches.with_label_values(&[naming, outcome]).inc();
        let spent = work.fetch_seconds.with_label_values(&[naming]);
        spent.inc_by(took.as_secs_f64());
    }

    /// The bytes of a content that is here and short enough for a message.
    pub fn read(&self, hash: &str) -> Option<Vec<u8>> {
        let extent = self.blobs.content(hash).ok().flatten()?.extent();
        if extent.is_directory() || extent.size_bytes > limits::CONTENT_BYTES_MAX {
            return None;
        }
        match self.blobs.read(hash) {
            Ok(bytes) => bytes,
            Err(failure) => {
                warn!(%failure, hash, "a content could not be read");
                None
            }
        }
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

    async fn download(
        &self,
        peer: &str,
        hash: &str,
        naming: Naming,
    ) -> Result<Option<Extent>, FetchError> {
        let url = format!("{}/api/v0/storage/raw/{hash}", peer.trim_end_matches('/'));
        let mut response = self.client.get(url).send().await?;
        let kind = response.headers().get(http::header::CONTENT_TYPE);
        // Of a directory made into a tape archive no byte can be checked.
        if !response.status().is_success() || kind.is_some_and(|kind| kind == TAR) {
            return Ok(None);
        }
        let mut incoming = self.blobs.begin_named(naming)?;
        while let Some(chunk) = response.chunk().await? {
            if incoming.size_bytes() + chunk.len() as u64 > self.size_bytes_max {
                return Err(FetchError::TooLarge);
            }
            incoming = blocking(move || {
                incoming.write(&chunk)?;
                Ok(incoming)
            })
            .await?;
        }
        let (blobs, expected) = (self.blobs.clone(), hash.to_owned());
        blocking(move || {
            blobs
                .keep(incoming.finish_as(&expected)?)
                .map(|kept| Some(Extent::of_file(kept.size_bytes)))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, beth_store::Error> + Send + 'static,
) -> Result<T, FetchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(FetchError::Interrupted),
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Store(#[from] beth_store::Error),
    #[error("the content is larger than this node accepts")]
    TooLarge,
    #[error("the node is stopping")]
    Interrupted,
}
