//! Reading what is kept: bytes, a graph of blocks, or a part of one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Blobs;
use super::archive::{Archive, Extent, Found};
use crate::error::Error;
use crate::limits::PIECE_BYTES;

/// Pieces of bytes, read when they are asked for.
pub type Pieces = Box<dyn Iterator<Item = Result<Vec<u8>, Error>> + Send>;

/// A content that is open.
#[derive(Clone, Debug)]
pub struct Content {
    pub(super) source: Source,
    pub(super) extent: Extent,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    File(Arc<File>),
    Archive(Arc<Archive>, Found),
}

impl Blobs {
    /// Opens a content.
    pub fn content(&self, hash: &str) -> Result<Option<Content>, Error> {
        if let Some((file, size_bytes)) = self.file(hash)? {
            return Ok(Some(Content {
                source: Source::File(Arc::new(file)),
                extent: Extent::of_file(size_bytes),
            }));
        }
        let path = self.archive_path(hash).filter(|path| path.is_file());
        let Some(path) = path else {
            return Ok(None);
        };
        let archive = Archive::open(&path, hash)?;
        let root = archive.root();
        Ok(Some(Content {
            extent: root.extent,
            source: Source::Archive(Arc::new(archive), root),
        }))
    }
}

impl Content {
    /// How much it is.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// What a path below it leads to; `None` when it leads nowhere.
    pub fn at(&self, path: &[&str]) -> Result<Option<Content>, Error> {
        let Source::Archive(archive, _) = &self.source else {
            return Ok(path.is_empty().then(|| self.clone()));
        };
        let found = archive.at(path)?;
        Ok(found.map(|found| Content {
            extent: found.extent,
            source: Source::Archive(archive.clone(), found),
        }))
    }

    /// Bytes of a file from `first` on, `count` of them or what there is.
    pub fn pieces(&self, first: u64, count: u64) -> Pieces {
        match &self.source {
            Source::Archive(archive, found) => Box::new(archive.pieces(found, first, count)),
            Source::File(file) => {
                let end = first.saturating_add(count).min(self.extent.size_bytes);
                Box::new(read(file.clone(), first, end))
            }
        }
    }

    /// A directory as a tape archive, with this name on top; `None` for a file.
    pub fn tar(&self, name: &str) -> Option<Pieces> {
        match &self.source {
            Source::Archive(archive, found) if self.extent.is_directory() => {
                Some(Box::new(archive.tar(found, name)))
            }
            _ => None,
        }
    }
}

fn read(file: Arc<File>, first: u64, end: u64) -> impl Iterator<Item = Result<Vec<u8>, Error>> {
    let mut at = first;
    std::iter::from_fn(move || {
        let count = end.saturating_sub(at).min(PIECE_BYTES as u64);
        if count == 0 {
            return None;
        }
        let mut piece = vec![0; count as usize];
        let read = file.read_exact_at(&mut piece, at);
        at = if read.is_ok() { at + count } else { end };
        Some(
            read.map(|()| piece)
                .map_err(|source| Error::file("a content", source)),
        )
    })
}
