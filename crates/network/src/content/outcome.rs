//! How a download ended.

use std::collections::BTreeMap;

use super::ContentsError;

/// What a download was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes of chunks that were right, by the peer that gave them.
    pub received_bytes: BTreeMap<String, u64>,
    /// Bytes of chunks that were wrong or came twice.
    pub wasted_bytes: u64,
    /// Peers that lied, with what they did.
    pub liars: BTreeMap<String, String>,
    /// Peers that were left, or left, before the end.
    pub lost_sources: u64,
}

/// Why a content did not come. What came of it is kept for the next time.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No neighbour has it.
    #[error("no neighbour has this content: other ways are tried, and neighbours again later")]
    Nowhere,
    /// All who had it are gone or lied.
    #[error("every neighbour that had the content is gone or lied: it goes on with the next one")]
    Lost(Report),
    /// Chunks come too slowly.
    #[error("no chunk of the content came in time: it goes on later")]
    Stalled(Report),
    /// Neighbours say that it is larger than what is wanted.
    #[error(
        "the content has {size_bytes} bytes, more than the {bytes_max} that this node takes: raise `storage.max_file_size` to have it"
    )]
    TooLarge {
        /// What they say.
        size_bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// It could not be written.
    #[error("the content could not be written: {0}")]
    Storage(#[from] ContentsError),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl DownloadError {
    /// What the download was like, as far as there is something to tell.
    pub fn report(&self) -> Option<&Report> {
        match self {
            DownloadError::Lost(report) | DownloadError::Stalled(report) => Some(report),
            _ => None,
        }
    }
}
