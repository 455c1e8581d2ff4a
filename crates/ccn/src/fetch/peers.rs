//! Contents from neighbours of the gossip, checked chunk by chunk.

use std::sync::Arc;

use beth_network::Network;
use beth_network::content::{AddError, Chunk, ContentsError, DownloadError, Growing, Report};
use beth_store::Blobs;
use beth_store::blobs::{self, Extent, Partial};
use futures::future::BoxFuture;

use super::source::{FetchError, Source, Wanted, blocking};
use crate::metrics::Metrics;

/// The neighbours that exchange contents by their SHA-256.
pub(super) struct Peers {
    pub network: Arc<Network>,
    pub blobs: Arc<Blobs>,
    pub bytes_max: u64,
    pub metrics: Arc<Metrics>,
}

const NAME: &str = "neighbours";

impl Source for Peers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fetch<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Option<Extent>, FetchError>> {
        Box::pin(async move {
            match wanted.digest {
                Some(digest) => self.download(digest).await,
                None => Ok(None),
            }
        })
    }
}

impl Peers {
    async fn download(&self, digest: [u8; 32]) -> Result<Option<Extent>, FetchError> {
        let blobs = self.blobs.clone();
        let partial = blocking(move || blobs.partial(digest)).await?;
        let work = self
            .network
            .download(digest, self.bytes_max, Arriving(partial));
        let (arrived, done) = work.await;
        match &done {
            Ok(report) => self.count(report),
            Err(error) => error
                .report()
                .into_iter()
                .for_each(|report| self.count(report)),
        }
        match done {
            Err(DownloadError::Nowhere) => Ok(None),
            Err(DownloadError::Stopping) => Err(FetchError::Interrupted),
            Err(error) => Err(error.into()),
            Ok(_) => {
                let Arriving(partial) = arrived.ok_or(FetchError::Interrupted)?;
                let blobs = self.blobs.clone();
                let kept = blocking(move || blobs.keep(partial.finish()?)).await?;
                Ok(Some(Extent::of_file(kept.size_bytes)))
            }
        }
    }

    fn count(&self, report: &Report) {
        let contents = &self.metrics.contents;
        let received = report.received_bytes.values().sum();
        let counted = contents.received_bytes.with_label_values(&[NAME]);
        counted.inc_by(received);
        let wasted = contents.wasted_bytes.with_label_values(&[NAME]);
        wasted.inc_by(report.wasted_bytes);
        let lies = contents.lies.with_label_values(&[NAME]);
        lies.inc_by(report.liars.len() as u64);
    }
}

/// A content on its way to the disk.
struct Arriving(Partial);

impl Growing for Arriving {
    fn size_bytes(&self) -> Option<u64> {
        self.0.size_bytes()
    }

    fn begin(&mut self, size_bytes: u64) {
        self.0.begin(size_bytes);
    }

    fn next(&self) -> Option<u64> {
        self.0.next()
    }

    fn add(&mut self, chunk: &Chunk) -> Result<(), AddError> {
        self.0.add(chunk).map_err(|error| match error {
            blobs::AddError::Lie(lie) => AddError::Lie(lie),
            blobs::AddError::Store(error) => ContentsError(error.to_string()).into(),
        })
    }

    fn pause(&mut self) -> Result<(), ContentsError> {
        let paused = self.0.pause();
        paused.map_err(|error| ContentsError(error.to_string()))
    }
}
