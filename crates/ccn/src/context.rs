//! What every request handler shares.

use std::sync::Arc;
use std::time::Duration;

use beth_network::Exchange;
use beth_store::limits::READER_WAIT_SECONDS;
use beth_store::{Blobs, Error, Readers, State};
use tokio::sync::Semaphore;
use tokio::task;
use tokio::time::timeout;

use crate::api::{Checks, Limits, Space};
use crate::config::CcnConfig;
use crate::events::Events;
use crate::fetch::Fetcher;
use crate::gossip::NetworkInfo;
use crate::jobs::Jobs;
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::metrics::sample::Sampler;
use crate::neighbours::Neighbours;
use crate::pipeline::Pipeline;
use crate::streams::Streams;

/// The node, as its HTTP API sees it.
pub struct Context {
    /// Reading the state.
    pub readers: Arc<Readers>,
    /// Turns to read it: threads that had to wait for a reader would only be
    /// in each other's way.
    pub reads: Arc<Semaphore>,
    /// Contents.
    pub blobs: Arc<Blobs>,
    /// Where submitted messages go.
    pub pipeline: Pipeline,
    /// Configuration.
    pub config: Arc<CcnConfig>,
    /// Who we are on the gossip network.
    pub network: NetworkInfo,
    /// Blocks, with peers of IPFS; `None` without a network.
    pub exchange: Option<Exchange>,
    /// Where contents come from that are missing here.
    pub fetcher: Fetcher,
    /// Who can be asked over HTTP.
    pub neighbours: Neighbours,
    /// What happens.
    pub events: Events,
    /// Who listens to it over WebSockets.
    pub streams: Arc<Streams>,
    /// Background work.
    pub jobs: Arc<Jobs>,
    /// Room for files that arrive.
    pub uploads: Arc<Space>,
    /// Permits to rewrite a large document.
    pub rewrites: Arc<Semaphore>,
    /// Permits to check an archive.
    pub archives: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is looked at for metrics.
    pub sampler: Sampler,
    /// What was found when somebody asked whether this node is ready.
    pub checks: Checks,
    /// How often clients may ask.
    pub limits: Limits,
    /// No other process works with the folder.
    pub lock: Arc<Lock>,
}

impl Context {
    /// Runs a read on a blocking thread.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&State<'_>) -> Result<T, Error> + Send + 'static,
    {
        let turn = self.reads.clone().acquire_owned();
        let Ok(Ok(turn)) = timeout(Duration::from_secs(READER_WAIT_SECONDS), turn).await else {
            return Err(Error::Busy);
        };
        let readers = self.readers.clone();
        let read = move || {
            let _turn = turn;
            readers.read(work)
        };
        match task::spawn_blocking(read).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Damaged("a read did not finish".into())),
        }
    }
}
