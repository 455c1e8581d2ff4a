//! A kind of source of contents.

use beth_network::content::DownloadError;
use beth_protocol::hash::{ItemHash, Naming};
use beth_store::blobs::Extent;
use futures::future::BoxFuture;

/// A content that is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Its name.
    pub hash: String,
    /// The way in which its bytes are named.
    pub naming: Naming,
    /// The 32 bytes of its SHA-256; `None` when it is named by a CID.
    pub digest: Option<[u8; 32]>,
}

impl Wanted {
    /// `None` for a name by which no byte can be checked.
    pub fn parse(hash: &str) -> Option<Wanted> {
        let known = ItemHash::parse(hash).ok()?;
        Some(Wanted {
            hash: hash.to_owned(),
            naming: Naming::of(&known)?,
            digest: known.digest(),
        })
    }
}

/// Where contents come from: neighbours, HTTP, a file system of blocks.
pub(crate) trait Source: Send + Sync {
    /// Its name in metrics and in the log.
    fn name(&self) -> &'static str;

    /// Puts a content in its place, checked, without a row; `None` when nobody
    /// there has it, or when it is not named in a way that they understand.
    fn fetch<'a>(&'a self, wanted: &'a Wanted)
    -> BoxFuture<'a, Result<Option<Extent>, FetchError>>;
}

/// Why a source did not give a content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The node did not answer, or stopped answering.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The bytes could not be kept, or are others than asked for.
    #[error(transparent)]
    Store(#[from] beth_store::Error),
    /// Neighbours could not give it.
    #[error(transparent)]
    Neighbours(#[from] DownloadError),
    /// What is announced is too large.
    #[error("the content is larger than this node takes: raise `storage.max_file_size` to have it")]
    TooLarge,
    /// The answer is not what upstream's nodes answer.
    #[error("the node answered what is no content: {0}")]
    Nonsense(&'static str),
    /// This node is stopping.
    #[error("the node is stopping")]
    Interrupted,
}

impl FetchError {
    /// True when every other source would fail in the same way.
    pub fn is_ours(&self) -> bool {
        match self {
            FetchError::Store(error) => !self.is_lie() && !matches!(error, beth_store::Error::Busy),
            FetchError::Neighbours(DownloadError::Storage(_)) => true,
            _ => false,
        }
    }

    /// True when the bytes were others than asked for.
    pub fn is_lie(&self) -> bool {
        matches!(self, FetchError::Store(beth_store::Error::WrongHash { .. }))
    }
}

/// Works where waiting for a disk is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, beth_store::Error> + Send + 'static,
) -> Result<T, FetchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(FetchError::Interrupted),
    }
}
