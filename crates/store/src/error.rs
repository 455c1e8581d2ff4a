//! Failures of the store.

use std::path::PathBuf;

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error(
        "{path}: {source}; check that the disk has room and that the folder belongs to this user"
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database was written by a newer version.
    #[error(
        "the database has schema {found}, this version knows up to {known}: run a newer version, or start with an empty folder"
    )]
    TooNew {
        /// Version in the file.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The database was written by an early development version.
    #[error(
        "the database has schema {found} of an early development version, which is not brought up to date: start with an empty folder (`beth up --fresh` for a local network) and `beth ccn import` the messages from a node that has them"
    )]
    TooOld {
        /// Version in the file.
        found: i64,
    },
    /// The bytes are not those of the hash.
    #[error("the content does not have the hash {expected} but {computed}")]
    WrongHash {
        /// What it should be.
        expected: String,
        /// What it is.
        computed: String,
    },
    /// A content goes on in a block that is not here.
    #[error("the block {0} is not here: ask for the content by its own name, or fetch it first")]
    Missing(String),
    /// Every reading connection was busy for too long.
    #[error("too many queries at once: try again in a moment, or ask another node")]
    Busy,
    /// A row does not mean anything.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

impl Error {
    /// True when the disk has no room left.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::File { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            Error::Database(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            _ => false,
        }
    }

    /// True when a read was cut short because it took too long.
    pub fn is_too_long(&self) -> bool {
        matches!(self, Error::Database(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted))
    }

    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Error {
        Error::File {
            path: path.into(),
            source,
        }
    }
}

impl From<Error> for beth_protocol::view::ViewError {
    fn from(error: Error) -> Self {
        beth_protocol::view::ViewError(Box::new(error))
    }
}
