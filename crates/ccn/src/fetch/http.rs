//! Contents from core nodes over HTTP, also those of upstream (network.md §5).
//!
//! ```text
//!   first node ──▶ bytes? ──▶ whole and right: done, the others are left
//!        │ slow, or failed
//!        └─▶ second node …        three at once at most
//! ```
//!
//! The whole file is checked when it is here; a node that gave other bytes than
//! those of a SHA-256 is not asked for a while. (With a CID it may have meant
//! well: there are layouts of files that are not known here.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use beth_store::Blobs;
use beth_store::blobs::{Extent, Incoming};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::StatusCode;
use tracing::{debug, warn};

use super::encoded::Decoder;
use super::source::{FetchError, Source, Wanted, blocking};
use crate::limits::{
    HTTP_LIAR_BAN, HTTP_SLOW, HTTP_SLOW_BYTES, HTTP_SOURCES_AT_ONCE, UPLOAD_PIECE_BYTES,
};
use crate::metrics::Metrics;
use crate::neighbours::Neighbours;

/// How other nodes send a directory.
const TAR: &str = "application/x-tar";
const NAME: &str = "http";

/// Core nodes that answer over HTTP.
pub(super) struct Http {
    client: reqwest::Client,
    neighbours: Neighbours,
    blobs: Arc<Blobs>,
    bytes_max: u64,
    metrics: Arc<Metrics>,
    /// Until when a node is not asked.
    liars: Mutex<HashMap<String, Instant>>,
}

/// How a node sends a content.
enum Body {
    Raw(reqwest::Response),
    Encoded(reqwest::Response, Decoder),
}

impl Source for Http {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fetch<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Option<Extent>, FetchError>> {
        Box::pin(self.ask_all(wanted))
    }
}

impl Http {
    pub(super) fn new(
        (client, neighbours): (reqwest::Client, Neighbours),
        blobs: Arc<Blobs>,
        bytes_max: u64,
        metrics: Arc<Metrics>,
    ) -> Http {
        Http {
            client,
            neighbours,
            blobs,
            bytes_max,
            metrics,
            liars: Mutex::default(),
        }
    }

    /// One node after the other, the next one when the others are slow.
    async fn ask_all(&self, wanted: &Wanted) -> Result<Option<Extent>, FetchError> {
        let nodes = self.neighbours.http().into_iter();
        let mut nodes = nodes.filter(|node| self.may_ask(node)).peekable();
        let moved = AtomicU64::new(0);
        let ask = |node: String| {
            let moved = &moved;
            async move {
                let done = self.download(&node, wanted, moved).await;
                (node, done)
            }
        };
        let mut asked: FuturesUnordered<_> = nodes.next().map(ask).into_iter().collect();
        let (mut last, mut seen) = (None, 0);
        while !asked.is_empty() {
            let may_hasten = asked.len() < HTTP_SOURCES_AT_ONCE && nodes.peek().is_some();
            tokio::select! {
                Some((node, done)) = asked.next() => {
                    match done {
                        Ok(Some(extent)) => return Ok(Some(extent)),
                        Ok(None) => {}
                        Err(failure) if failure.is_ours() => return Err(failure),
                        Err(failure) => {
                            self.blame(&node, wanted, &failure);
                            last = Some(failure);
                        }
                    }
                    asked.extend(nodes.next().map(ask));
                }
                () = tokio::time::sleep(HTTP_SLOW), if may_hasten => {
                    let now = moved.load(Ordering::Relaxed);
                    if now - seen < HTTP_SLOW_BYTES {
                        asked.extend(nodes.next().map(ask));
                    }
                    seen = now;
                }
            }
        }
        last.map_or(Ok(None), Err)
    }

    fn blame(&self, node: &str, wanted: &Wanted, failure: &FetchError) {
        debug!(%failure, node, hash = wanted.hash, "a content could not be fetched from this node");
        if !failure.is_lie() {
            return;
        }
        self.metrics.contents.lies.with_label_values(&[NAME]).inc();
        if wanted.digest.is_some() {
            warn!(
                node,
                hash = wanted.hash,
                "a node gave wrong bytes and is not asked for a while"
            );
            let now = Instant::now();
            let mut liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
            liars.retain(|_, until| *until > now);
            liars.insert(node.to_owned(), now + HTTP_LIAR_BAN);
        }
    }

    fn may_ask(&self, node: &str) -> bool {
        let liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
        liars.get(node).is_none_or(|until| *until <= Instant::now())
    }

    async fn download(
        &self,
        node: &str,
        wanted: &Wanted,
        moved: &AtomicU64,
    ) -> Result<Option<Extent>, FetchError> {
        let Some(mut body) = self.ask(node, &wanted.hash).await? else {
            return Ok(None);
        };
        let mut incoming = self.blobs.begin_named(wanted.naming.clone())?;
        let contents = &self.metrics.contents;
        let received = contents.received_bytes.with_label_values(&[NAME]);
        while let Some(piece) = body.piece().await? {
            if incoming.size_bytes() + piece.len() as u64 > self.bytes_max {
                return Err(FetchError::TooLarge);
            }
            moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
            received.inc_by(piece.len() as u64);
            incoming = write(incoming, piece).await?;
        }
        let size_bytes = incoming.size_bytes();
        let (blobs, expected) = (self.blobs.clone(), wanted.hash.clone());
        let kept = blocking(move || blobs.keep(incoming.finish_as(&expected)?)).await;
        if let Err(failure) = &kept
            && failure.is_lie()
        {
            let wasted = contents.wasted_bytes.with_label_values(&[NAME]);
            wasted.inc_by(size_bytes);
        }
        Ok(Some(Extent::of_file(kept?.size_bytes)))
    }

    /// The route that streams; where there is none, the older one.
    async fn ask(&self, node: &str, hash: &str) -> Result<Option<Body>, FetchError> {
        let url = format!("{node}/api/v0/storage/raw/{hash}");
        let response = self.client.get(url).send().await?;
        let kind = response.headers().get(http::header::CONTENT_TYPE);
        // Of a directory made into a tape archive no byte can be checked.
        if kind.is_some_and(|kind| kind == TAR) {
            return Ok(None);
        }
        let length = response.content_length();
        if response.status().is_success() {
            if length.is_some_and(|bytes| bytes > self.bytes_max) {
                return Err(FetchError::TooLarge);
            }
            return Ok(Some(Body::Raw(response)));
        }
        if !matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ) {
            return Ok(None);
        }
        let url = format!("{node}/api/v0/storage/{hash}");
        let response = self.client.get(url).send().await?;
        let is_there = response.status().is_success();
        Ok(is_there.then(|| Body::Encoded(response, Decoder::default())))
    }
}

impl Body {
    /// The next bytes of the content, about as many as are worth a write.
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        let mut piece = Vec::new();
        while piece.len() < UPLOAD_PIECE_BYTES {
            match self {
                Body::Raw(response) => match response.chunk().await? {
                    Some(bytes) => piece.extend_from_slice(&bytes),
                    None => break,
                },
                Body::Encoded(response, decoder) => match response.chunk().await? {
                    Some(bytes) => {
                        let decoded = decoder.feed(&bytes);
                        piece.extend(decoded.ok_or(FetchError::Nonsense("no base64"))?);
                    }
                    None if decoder.is_whole() => break,
                    None => return Err(FetchError::Nonsense("no content, or half of it")),
                },
            }
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

async fn write(mut incoming: Incoming, piece: Vec<u8>) -> Result<Incoming, FetchError> {
    blocking(move || {
        incoming.write(&piece)?;
        Ok(incoming)
    })
    .await
}
