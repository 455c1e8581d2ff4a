//! Contents by their SHA-256, from several neighbours at once, checked chunk by
//! chunk while they arrive (network.md §26, target 5).
//!
//! ```text
//!   neighbours ──have it? ──▶ sources ──chunks, as they come──▶ Desk ──in order──▶ Growing
//!        ▲                      ▲ │                              │
//!        └── gone, new          │ └── window, grows with trust   │ right, or a lie
//!                               └───────── Download ◀────────────┘
//! ```
//!
//! A content is fetched from its last chunk to its first, since that is the
//! order in which chunks can be checked one by one
//! ([`beth_protocol::hash::chain`]): each source gives chunks of its own, which
//! wait, a bounded number of them, until the chunk behind them is checked. Who
//! lies is left at once and asked no more for a while; what it owed is asked
//! elsewhere. A source has one chunk on the way until one of its chunks was
//! right, and then one more for each that is: a liar costs one chunk, and one
//! that first tells the truth about as much as it gave.
//!
//! The protocol has an id of its own. What a node has is its [`Contents`], where
//! a download goes is [`Growing`]; both are of the node above. Deliberately
//! absent: names other than SHA-256, which have blocks of their own.

mod desk;
mod download;
mod frame;
mod known;
mod outcome;
mod plan;
mod search;
mod serve;
mod shelf;
mod source;

use std::sync::Arc;

use libp2p::StreamProtocol;

pub use beth_protocol::hash::chain::Chunk;
pub(crate) use known::Known;
pub use outcome::{DownloadError, Report};
pub use shelf::{AddError, Contents, ContentsError, Growing, OpenContent, Opening};

use crate::network::Network;

/// The protocol id.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/beth/content/1.0.0");

/// SHA-256 of a content.
pub type Digest = [u8; 32];

impl Network {
    /// Gives contents to neighbours that ask from now on, until the network
    /// stops. Does nothing the second time.
    pub fn share(&self, contents: Arc<dyn Contents>) {
        let Ok(incoming) = self.neighbours.control.clone().accept(PROTOCOL) else {
            return;
        };
        let bounds = (self.tasks.clone(), self.cancel.clone());
        self.tasks
            .spawn(serve::serve(incoming, (contents, self.clone()), bounds));
    }

    /// Fetches a content of at most so many bytes from the neighbours that have
    /// it, and adds its chunks to what is here. Gives that back, whole when the
    /// outcome is a report. Dropping the future ends the download; what is
    /// checked by then is kept.
    pub async fn download<G: Growing>(
        &self,
        digest: Digest,
        bytes_max: u64,
        growing: G,
    ) -> (Option<G>, Result<Report, DownloadError>) {
        let wanted = (digest, bytes_max);
        tokio::select! {
            () = self.cancel.cancelled() => (None, Err(DownloadError::Stopping)),
            done = download::fetch(self, wanted, growing) => done,
        }
    }
}
