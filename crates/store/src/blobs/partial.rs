//! Contents that arrive from several peers, from the last chunk to the first,
//! and survive a restart on the way.
//!
//! ```text
//!   partial/<hash>          ........│ checked │ checked, durable │
//!   partial/<hash>.point                      ▲ size, states from here on
//! ```
//!
//! A chunk is written only after it is checked ([`Chain`]), the point only after
//! the bytes behind it are durable. So what the point says is true whenever the
//! node ends, and whoever opens the partial content again goes on there. The
//! whole becomes a content when no chunk is left.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use beth_protocol::hash::chain::{CHUNK_BYTES, Chain, Chunk, Lie, Point, State, chunk_count};
use beth_protocol::hash::{ItemHash, Parts};

use super::states::{sealed, unsealed};
use super::{Blobs, Hashed, remove_quietly};
use crate::error::Error;
use crate::limits::{POINT_BYTES_MIN, POINTS_MAX};

/// A content of which some chunks may be here.
#[derive(Debug)]
pub struct Partial {
    hash: String,
    digest: [u8; 32],
    path: PathBuf,
    file: Arc<File>,
    /// `None` as long as nobody has said a size.
    chain: Option<Chain>,
    /// Before each checked chunk, that of the last chunk first.
    states: Vec<State>,
    /// Bytes checked since the last point.
    unsaved_bytes: u64,
    saving: Option<JoinHandle<Result<(), Error>>>,
}

/// Why a chunk was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is not the true one.
    #[error(transparent)]
    Lie(#[from] Lie),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Blobs {
    /// Goes on with a content, or begins it. At most one at a time for a hash.
    pub fn partial(&self, digest: [u8; 32]) -> Result<Partial, Error> {
        let hash = ItemHash::of_digest(digest).to_string();
        let folder = self.partials();
        fs::create_dir_all(&folder).map_err(|source| Error::file(&folder, source))?;
        let path = folder.join(&hash);
        let known = remembered(&path);
        if known.is_none() {
            remove_quietly(&point_path(&path));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| Error::file(&path, source))?;
        let (size_bytes, states) = known.unzip();
        let states: Vec<State> = states.unwrap_or_default();
        let point = states.last().zip(size_bytes).map(|(state, size_bytes)| {
            let left = chunk_count(size_bytes) - states.len() as u64;
            let point = Point {
                left,
                state: *state,
            };
            Chain::resume(size_bytes, point)
        });
        Ok(Partial {
            hash,
            digest,
            path,
            file: Arc::new(file),
            chain: point,
            states,
            unsaved_bytes: 0,
            saving: None,
        })
    }

    /// Deletes what nobody has gone on with since; answers how many.
    pub fn forget_partials(&self, unused_since: SystemTime) -> Result<usize, Error> {
        let mut count = 0;
        for path in super::shelves::entries(&self.partials())? {
            let modified = path.metadata().and_then(|found| found.modified());
            if modified.is_ok_and(|modified| modified < unused_since) {
                // The point goes first: it must not speak of other bytes.
                remove_quietly(&point_path(&path));
                remove_quietly(&path);
                count += 1;
            }
        }
        Ok(count)
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }
}

impl Partial {
    /// The size in bytes, as far as it is known: when a chunk of it is here.
    pub fn size_bytes(&self) -> Option<u64> {
        let is_true = !self.states.is_empty();
        self.chain
            .filter(|_| is_true)
            .map(|chain| chain.size_bytes())
    }

    /// Somebody says that it has so many bytes; does nothing when the size is
    /// known.
    pub fn begin(&mut self, size_bytes: u64) {
        if self.states.is_empty() {
            self.chain = Some(Chain::new(self.digest, size_bytes));
        }
    }

    /// The chunk that can be added now; `None` when all are here, or nobody has
    /// said a size.
    pub fn next(&self) -> Option<u64> {
        self.chain?.next()
    }

    /// Checks a chunk and writes it. A lie changes nothing.
    pub fn add(&mut self, chunk: &Chunk) -> Result<(), AddError> {
        let mut chain = self.chain.ok_or(Lie::Superfluous)?;
        chain.check(chunk)?;
        let point = chain.point();
        self.file
            .write_all_at(&chunk.bytes, point.left * CHUNK_BYTES as u64)
            .map_err(|source| Error::file(&self.path, source))?;
        self.chain = Some(chain);
        self.states.push(point.state);
        self.unsaved_bytes += chunk.bytes.len() as u64;
        let enough = POINT_BYTES_MIN.max(chain.size_bytes() / POINTS_MAX);
        if self.unsaved_bytes >= enough {
            self.save_beside()?;
        }
        Ok(())
    }

    /// Remembers how far it is, for whoever goes on.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.saved()?;
        match self.size_bytes() {
            Some(size_bytes) => save(&self.file, &self.path, size_bytes, &self.states),
            None => Ok(()),
        }
    }

    /// The content, when no chunk is left.
    pub fn finish(mut self) -> Result<Hashed, Error> {
        self.saved()?;
        let Some(size_bytes) = self.size_bytes().filter(|_| self.next().is_none()) else {
            return Err(Error::Damaged(format!("{} is not whole", self.hash)));
        };
        self.file
            .sync_all()
            .map_err(|source| Error::file(&self.path, source))?;
        remove_quietly(&point_path(&self.path));
        let mut states = std::mem::take(&mut self.states);
        states.reverse();
        Ok(Hashed {
            path: std::mem::take(&mut self.path),
            hash: std::mem::take(&mut self.hash),
            size_bytes,
            // The first chunk begins with a state that everybody knows.
            parts: Parts::States(states.split_off(1)),
        })
    }

    /// Makes a point while further chunks come.
    fn save_beside(&mut self) -> Result<(), Error> {
        self.saved()?;
        let Some(size_bytes) = self.size_bytes() else {
            return Ok(());
        };
        self.unsaved_bytes = 0;
        let (file, path, states) = (self.file.clone(), self.path.clone(), self.states.clone());
        let work = move || save(&file, &path, size_bytes, &states);
        let thread = std::thread::Builder::new().name("partial".into());
        let spawned = thread.spawn(work);
        self.saving = Some(spawned.map_err(|source| Error::file(&self.path, source))?);
        Ok(())
    }

    /// Until the last point is made.
    fn saved(&mut self) -> Result<(), Error> {
        match self.saving.take().map(JoinHandle::join) {
            Some(Ok(saved)) => saved,
            Some(Err(_)) => Err(Error::Damaged("a point could not be made".into())),
            None => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.states.is_empty() && !self.path.as_os_str().is_empty() {
            // Nothing of it came.
            remove_quietly(&self.path);
        }
    }
}

fn point_path(path: &Path) -> PathBuf {
    path.with_extension("point")
}

/// Bytes first: a point never speaks of what is not durable.
fn save(file: &File, path: &Path, size_bytes: u64, states: &[State]) -> Result<(), Error> {
    let failed = |source: io::Error| Error::file(path, source);
    file.sync_data().map_err(failed)?;
    let mut size = [0; 32];
    size[24..].copy_from_slice(&size_bytes.to_be_bytes());
    let point = [&[State(size)], states].concat();
    let (target, beside) = (point_path(path), path.with_extension("new"));
    fs::write(&beside, sealed(&point))
        .and_then(|()| fs::rename(&beside, &target))
        .map_err(failed)
}

/// Size and states as a point says them, when they fit the bytes.
fn remembered(path: &Path) -> Option<(u64, Vec<State>)> {
    let point = unsealed(&fs::read(point_path(path)).ok()?)?;
    let (size, states) = point.split_first()?;
    let size_bytes = u64::from_be_bytes(*size.0.last_chunk()?);
    let fits = !states.is_empty() && states.len() as u64 <= chunk_count(size_bytes);
    let is_there = path.metadata().ok()?.len() == size_bytes;
    (fits && is_there).then(|| (size_bytes, states.to_vec()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A content elsewhere, to take chunks from.
    fn elsewhere(folder: &Path, size: usize) -> (Blobs, [u8; 32], Vec<u8>) {
        let blobs = Blobs::open(folder).unwrap();
        let bytes: Vec<u8> = (0..size).map(|at| (at / 3 % 255) as u8).collect();
        let hash = blobs.put(&bytes).unwrap().hash.clone();
        let digest = ItemHash::parse(&hash).unwrap().digest().unwrap();
        (blobs, digest, bytes)
    }

    #[test]
    fn a_content_grows_from_its_end_and_survives_a_restart() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let size = 5 * CHUNK_BYTES + 77;
        let (source, digest, bytes) = elsewhere(there.path(), size);
        let chunks = source.chunks(digest).unwrap().unwrap();
        let mut added = Vec::new();
        for round in 0..3 {
            let blobs = Blobs::open(here.path()).unwrap();
            let mut partial = blobs.partial(digest).unwrap();
            assert_eq!(partial.size_bytes().is_some(), round > 0);
            partial.begin(size as u64);
            for index in (0..6).rev().skip(2 * round).take(2) {
                assert_eq!(partial.next(), Some(index));
                let mut lie = chunks.chunk(index).unwrap().unwrap();
                lie.bytes[9] ^= 1;
                assert!(matches!(partial.add(&lie), Err(AddError::Lie(Lie::Bytes))));
                let chunk = chunks.chunk(index).unwrap().unwrap();
                partial.add(&chunk).unwrap();
                added.push(index);
            }
            if round < 2 {
                partial.pause().unwrap();
                continue;
            }
            let kept = blobs.keep(partial.finish().unwrap()).unwrap();
            assert!(blobs.read(&kept.hash).unwrap().unwrap() == bytes);
            assert_eq!(fs::read_dir(blobs.partials()).unwrap().count(), 0);
            assert!(blobs.chunks(digest).unwrap().unwrap().is_ready());
        }
        assert_eq!(added, [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn what_no_point_speaks_of_is_not_trusted() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let size = 2 * CHUNK_BYTES as u64;
        let (source, digest, _) = elsewhere(there.path(), size as usize);
        let last = source.chunks(digest).unwrap().unwrap();
        let last = last.chunk(1).unwrap().unwrap();
        let blobs = Blobs::open(here.path()).unwrap();
        let grow = || {
            let mut partial = blobs.partial(digest).unwrap();
            partial.begin(size);
            partial.add(&last).unwrap();
            partial
        };
        // A node that was killed: bytes without a point.
        drop(grow());
        assert_eq!(blobs.partial(digest).unwrap().size_bytes(), None);
        // A point that is damaged.
        grow().pause().unwrap();
        assert_eq!(blobs.partial(digest).unwrap().size_bytes(), Some(size));
        let path = blobs.partials().join(ItemHash::of_digest(digest).as_str());
        let mut point = fs::read(point_path(&path)).unwrap();
        point[40] ^= 1;
        fs::write(point_path(&path), point).unwrap();
        assert_eq!(blobs.partial(digest).unwrap().size_bytes(), None);
        // Bytes that are gone.
        grow().pause().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(blobs.partial(digest).unwrap().size_bytes(), None);
        assert!(blobs.partial(digest).unwrap().finish().is_err());
        // What nobody goes on with is deleted.
        grow().pause().unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(blobs.forget_partials(later).unwrap() > 0);
        assert_eq!(fs::read_dir(blobs.partials()).unwrap().count(), 0);
    }
}
