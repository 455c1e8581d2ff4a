//! Contents by CID, as graphs of blocks.

use beth_protocol::cid::Cid;
use beth_store::blobs::Extent;
use futures::future::BoxFuture;

use super::dag::{Graphs, Reach};
use super::source::{FetchError, Source, Wanted};

/// Peers that exchange blocks, or nodes that send archives of them.
pub(super) struct Blocks {
    pub graphs: Graphs,
    pub reach: Reach,
    /// Largest directory, or file of several blocks.
    pub bytes_max: u64,
}

impl Source for Blocks {
    fn name(&self) -> &'static str {
        match self.reach {
            Reach::Peers => "blocks",
            Reach::Archives => "archives",
        }
    }

    fn fetch<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Option<Extent>, FetchError>> {
        Box::pin(async move {
            match Cid::parse(&wanted.hash) {
                Ok(cid) => Ok(self
                    .graphs
                    .obtain((cid, self.bytes_max), self.reach)
                    .await?),
                Err(_) => Ok(None),
            }
        })
    }
}
