//! Contents by CID, block by block: files of any layout, directories.
//!
//! ```text
//!   CID ─▶ walk ─ what is here? ─▶ gathering on the disk ─▶ whole ─▶ plain file or archive
//!            │ what is not                ▲ each block compared with its name
//!            └▶ exchange with peers, then ┤
//!               those the DHT names ──────┤
//!               an IPFS daemon ───────────┤  as an archive, read while it comes
//!               core nodes, over HTTP ────┘
//! ```
//! A source costs what it sent of blocks that nobody else asked for: nothing is
//! taken but what a block before it names. What came stays when the sources end,
//! or the node does, and is not asked for again. Blocks of contents that are
//! here already are not asked for either.
//!
//! Bounded: bytes of the whole, blocks, links that wait, blocks asked for at
//! once. Whether a graph makes sense is seen when it is whole (`store`).

mod car;
mod walk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use beth_network::{Exchange, Fetch, Network};
use beth_protocol::cid::Cid;
use beth_store::blobs::Extent;
use beth_store::blobs::archive::{ArchiveError, ArchiveFault};
use beth_store::{Blobs, Error};
use futures::FutureExt;
use tracing::debug;

use crate::kubo::Kubo;
use crate::limits::{
    BLOCK_PATIENCE, BLOCKS_ARRIVED_MAX, BLOCKS_ASKED_MAX, CAR_SOURCES_MAX, PROVIDERS_ASKED_MAX,
};
use crate::neighbours::Neighbours;
use walk::Walk;

/// Fetches graphs of blocks; clones share it.
#[derive(Clone)]
pub struct Graphs {
    blobs: Arc<Blobs>,
    client: reqwest::Client,
    sources: Arc<Sources>,
    under_way: Arc<Mutex<UnderWay>>,
}

/// Who may have blocks.
pub(crate) struct Sources {
    /// Peers of IPFS, and other nodes of ours.
    pub exchange: Option<Exchange>,
    /// Finds more of these.
    pub network: Option<Arc<Network>>,
    /// Peers that are asked first: multiaddresses.
    pub providers: Vec<String>,
    /// An IPFS daemon.
    pub kubo: Option<Kubo>,
    /// Core nodes.
    pub neighbours: Neighbours,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Peers, block by block.
    Peers,
    /// The daemon and core nodes, which send archives.
    Archives,
}

/// Contents that somebody fetches: whoever comes second waits.
type UnderWay = HashMap<Cid, Weak<tokio::sync::Mutex<()>>>;

/// Why a graph is not fetched. That nobody has it is no error.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// It can be fetched, and will always be wrong.
    #[error("the graph is no file or directory: {0}")]
    Fault(#[from] ArchiveFault),
    /// More bytes than the caller takes.
    #[error("the content has more than the {0} bytes that this node takes of it")]
    TooLarge(u64),
    /// The disk.
    #[error(transparent)]
    Store(#[from] Error),
    /// An answer could not be read to its end.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The node is stopping.
    #[error("the node is stopping")]
    Interrupted,
}

impl From<ArchiveError> for GraphError {
    fn from(error: ArchiveError) -> GraphError {
        match error {
            ArchiveError::Fault(fault) => GraphError::Fault(fault),
            ArchiveError::Store(failure) => GraphError::Store(failure),
        }
    }
}

/// A walk that several sources lead on, one after the other.
type Shared = Arc<Mutex<Walk>>;

impl Graphs {
    pub(crate) fn new(blobs: Arc<Blobs>, client: reqwest::Client, sources: Sources) -> Graphs {
        if let Some(exchange) = sources.exchange.clone() {
            // Peers may have asked for what comes now, by whatever way.
            blobs.watch(move || exchange.arrived());
        }
        Graphs {
            blobs,
            client,
            sources: Arc::new(sources),
            under_way: Arc::default(),
        }
    }

    /// Makes what a CID names a content of this node, of at most so many bytes:
    /// how much it is; `None` when nobody within reach has all of it.
    ///
    /// Dropping the future leaves what came for the next one.
    pub async fn obtain(
        &self,
        (root, bytes_max): (Cid, u64),
        reach: Reach,
    ) -> Result<Option<Extent>, GraphError> {
        if reach == Reach::Peers && self.sources.exchange.is_none() {
            return Ok(None);
        }
        let turn = self.turn(root).lock_owned().await;
        let name = root.to_string();
        let blobs = self.blobs.clone();
        let (kept, walk) = blocking(move || match blobs.claim(&name)? {
            Some(extent) => Ok((Some(extent), None)),
            None => Ok((None, Some(Walk::begin(blobs, (root, bytes_max), turn)?))),
        })
        .await?;
        let Some(walk) = walk else {
            return Ok(kept);
        };
        let walk = Arc::new(Mutex::new(walk));
        if !self.ask(reach, root, &walk).await? {
            return Ok(None);
        }
        let walk = Arc::into_inner(walk).ok_or(GraphError::Interrupted)?;
        let walk = walk.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(blocking(move || walk.settle()).await?))
    }

    fn turn(&self, root: Cid) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, turn| turn.strong_count() > 0);
        let known = under_way.get(&root).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            under_way.insert(root, Arc::downgrade(&turn));
            turn
        })
    }

    async fn ask(&self, reach: Reach, root: Cid, walk: &Shared) -> Result<bool, GraphError> {
        match (reach, &self.sources.exchange) {
            (Reach::Peers, Some(exchange)) => self.ask_all_peers(exchange, root, walk).await,
            (Reach::Peers, None) => Ok(false),
            (Reach::Archives, _) => self.ask_for_archives(root, walk).await,
        }
    }

    /// Asks one source after the other for what is missing; true when nothing is.
    async fn ask_for_archives(&self, root: Cid, walk: &Shared) -> Result<bool, GraphError> {
        let mut urls = Vec::new();
        if let Some(kubo) = &self.sources.kubo {
            urls.push(kubo.export(root));
        }
        let peers = self.sources.neighbours.http().into_iter();
        let peers = peers.take(CAR_SOURCES_MAX).map(|peer| {
            let url = format!("{peer}/ipfs/{root}?format=car");
            (reqwest::Method::GET, url)
        });
        for (method, url) in urls.into_iter().chain(peers) {
            match car::read(self.client.request(method, &url), walk).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // It is the same whoever sends it.
                Err(failure @ (GraphError::TooLarge(_) | GraphError::Store(_))) => {
                    return Err(failure);
                }
                Err(failure) => debug!(%failure, url, %root, "an archive could not be fetched"),
            }
        }
        Ok(false)
    }

    /// Those that are connected, those that core nodes announced, those that are
    /// found.
    async fn ask_all_peers(
        &self,
        exchange: &Exchange,
        root: Cid,
        walk: &Shared,
    ) -> Result<bool, GraphError> {
        let first = self.ask_peers(exchange, &self.sources.providers, (root, walk));
        if first.await? {
            return Ok(true);
        }
        let announced = self.sources.neighbours.ipfs();
        let announced: Vec<String> = announced.into_iter().take(PROVIDERS_ASKED_MAX).collect();
        if !announced.is_empty() && self.ask_peers(exchange, &announced, (root, walk)).await? {
            return Ok(true);
        }
        let Some(network) = &self.sources.network else {
            return Ok(false);
        };
        let found = network.seek(*root.digest()).await;
        match found.is_empty() {
            true => Ok(false),
            false => self.ask_peers(exchange, &found, (root, walk)).await,
        }
    }

    /// Leads a walk on with blocks of peers; true at its end.
    async fn ask_peers(
        &self,
        exchange: &Exchange,
        providers: &[String],
        (root, walk): (Cid, &Shared),
    ) -> Result<bool, GraphError> {
        let mut fetch: Option<Fetch> = None;
        let mut arrived: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            let shared = walk.clone();
            let (wanted, is_whole) = blocking(move || {
                let mut walk = held(&shared);
                for (cid, block) in arrived.drain(..) {
                    walk.take(&cid, &block)?;
                }
                let wanted = walk.wanted(BLOCKS_ASKED_MAX)?;
                Ok((wanted, walk.is_whole()))
            })
            .await?;
            if is_whole {
                return Ok(true);
            }
            let fetch = match &mut fetch {
                Some(fetch) => {
                    fetch.want(wanted);
                    fetch
                }
                None => {
                    let wanted = held(walk).waiting();
                    fetch.insert(exchange.fetch(wanted, providers, BLOCK_PATIENCE))
                }
            };
            arrived = Vec::new();
            let mut next = fetch.next().await;
            while let Some(found) = next {
                match found.block {
                    Ok(block) => arrived.push((found.cid, block)),
                    Err(missing) => {
                        debug!(%missing, %root, "a block did not come");
                        return Ok(false);
                    }
                }
                if arrived.len() >= BLOCKS_ARRIVED_MAX {
                    break;
                }
                // What is there without waiting.
                next = fetch.next().now_or_never().flatten();
            }
            if arrived.is_empty() {
                return Ok(false);
            }
        }
    }
}

fn held(walk: &Shared) -> MutexGuard<'_, Walk> {
    walk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GraphError> + Send + 'static,
) -> Result<T, GraphError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(GraphError::Interrupted))
}
