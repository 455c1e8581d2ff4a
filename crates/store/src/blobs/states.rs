//! What lets a peer check a content chunk by chunk: the states of SHA-256
//! between its chunks ([`beth_protocol::hash::chain`]).
//!
//! They are found while the bytes arrive and kept beside the content, in
//! `<hash>.states`: 32 bytes for each chunk but the first, then their SHA-256.
//! A file that is lost or damaged costs reading the content once more.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use beth_protocol::hash::chain::{
    CHUNK_BYTES, ChainHasher, Chunk, State, chunk_bytes, chunk_count,
};
use beth_protocol::hash::{ItemHash, Parts};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{Blobs, Hashed};
use crate::error::Error;

/// A content that is open to be given away in chunks.
#[derive(Debug)]
pub struct Chunks {
    hash: String,
    file: File,
    size_bytes: u64,
    /// Before each chunk but the first; `None` while they are not known.
    states: Option<Vec<State>>,
}

impl Blobs {
    /// Opens a content by its SHA-256; `None` without it.
    pub fn chunks(&self, digest: [u8; 32]) -> Result<Option<Chunks>, Error> {
        let hash = ItemHash::of_digest(digest).to_string();
        let Some((file, size_bytes)) = self.file(&hash)? else {
            return Ok(None);
        };
        Ok(Some(Chunks {
            states: self.states(&hash, chunk_count(size_bytes) as usize - 1),
            hash,
            file,
            size_bytes,
        }))
    }

    pub(super) fn states_path(&self, hash: &str) -> Option<PathBuf> {
        self.path(hash).map(|path| path.with_extension("states"))
    }

    /// The states as they are kept, when there are so many and they are whole.
    fn states(&self, hash: &str, count: usize) -> Option<Vec<State>> {
        if count == 0 {
            return Some(Vec::new());
        }
        let bytes = fs::read(self.states_path(hash)?).ok()?;
        unsealed(&bytes).filter(|states| states.len() == count)
    }

    /// Keeps states. Without them they are found again when a peer asks, so a
    /// failure is only told.
    pub(super) fn keep_states(&self, hashed: &Hashed) {
        if let Parts::States(states) = &hashed.parts {
            self.write_states(&hashed.hash, states);
        }
    }

    fn write_states(&self, hash: &str, states: &[State]) {
        let Some(path) = self.states_path(hash).filter(|_| !states.is_empty()) else {
            return;
        };
        let beside = self.temporary();
        let kept = fs::write(&beside, sealed(states)).and_then(|()| fs::rename(&beside, &path));
        if let Err(failure) = kept {
            let _ = fs::remove_file(&beside);
            warn!(%failure, path = %path.display(), "the states of a content could not be kept");
        }
    }
}

impl Chunks {
    /// How many bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether a chunk can be given away without reading the whole first.
    pub fn is_ready(&self) -> bool {
        self.states.is_some()
    }

    /// Reads the whole, so that its chunks can be given away. Fails when it is
    /// not what its name says.
    pub fn prepare(&mut self, blobs: &Blobs) -> Result<(), Error> {
        let mut hasher = ChainHasher::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = self.file.read(&mut buffer);
            let count = read.map_err(|source| Error::file(&self.hash, source))?;
            if count == 0 {
                break;
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        let (digest, states) = hasher.finish();
        let computed = ItemHash::of_digest(digest).to_string();
        if computed != self.hash {
            return Err(Error::WrongHash {
                expected: self.hash.clone(),
                computed,
            });
        }
        blobs.write_states(&self.hash, &states);
        self.states = Some(states);
        Ok(())
    }

    /// A chunk; `None` for one that the content does not have, or before
    /// [`prepare`](Self::prepare).
    pub fn chunk(&self, index: u64) -> Result<Option<Chunk>, Error> {
        let place = index.checked_sub(1).and_then(|place| place.try_into().ok());
        let before = match (place, &self.states) {
            (_, None) => None,
            (None, Some(_)) => Some(State::INITIAL),
            (Some(place), Some(states)) => states.get::<usize>(place).copied(),
        };
        let Some(before) = before else {
            return Ok(None);
        };
        let mut bytes = vec![0; chunk_bytes(self.size_bytes, index)];
        self.file
            .read_exact_at(&mut bytes, index * CHUNK_BYTES as u64)
            .map_err(|source| Error::file(&self.hash, source))?;
        Ok(Some(Chunk { before, bytes }))
    }
}

/// States as they are written.
pub(super) fn sealed(states: &[State]) -> Vec<u8> {
    let mut bytes: Vec<u8> = states.iter().flat_map(|state| state.0).collect();
    let seal: [u8; 32] = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&seal);
    bytes
}

/// The same backwards; `None` when a byte of it is wrong.
pub(super) fn unsealed(bytes: &[u8]) -> Option<Vec<State>> {
    let (bytes, seal) = bytes.split_last_chunk::<32>()?;
    let (states, odd) = bytes.as_chunks::<32>();
    let is_whole = odd.is_empty() && <[u8; 32]>::from(Sha256::digest(bytes)) == *seal;
    is_whole.then(|| states.iter().copied().map(State).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, SystemTime};

    use beth_protocol::hash::chain::Chain;

    use super::*;

    fn checked(blobs: &Blobs, digest: [u8; 32]) -> u64 {
        let chunks = blobs.chunks(digest).unwrap().unwrap();
        let mut chain = Chain::new(digest, chunks.size_bytes());
        while let Some(index) = chain.next() {
            let chunk = chunks.chunk(index).unwrap().unwrap();
            chain.check(&chunk).unwrap();
        }
        chunks.size_bytes()
    }

    #[test]
    fn what_arrived_can_be_given_away_in_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        for size in [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
            let hash = blobs.put(&bytes).unwrap().hash.clone();
            let digest = ItemHash::parse(&hash).unwrap().digest().unwrap();
            assert_eq!(checked(&blobs, digest), size as u64);
            assert!(blobs.chunks(digest).unwrap().unwrap().is_ready());
            let beyond = chunk_count(size as u64);
            let opened = blobs.chunks(digest).unwrap().unwrap();
            assert!(opened.chunk(beyond).unwrap().is_none());
        }
    }

    #[test]
    fn states_that_are_lost_or_damaged_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let bytes = vec![7; 2 * CHUNK_BYTES];
        let hash = blobs.put(&bytes).unwrap().hash.clone();
        let digest = ItemHash::parse(&hash).unwrap().digest().unwrap();
        let path = blobs.states_path(&hash).unwrap();
        for damage in [&[0; 64][..], &[0; 63], b""] {
            fs::write(&path, damage).unwrap();
            let mut opened = blobs.chunks(digest).unwrap().unwrap();
            assert!(!opened.is_ready());
            assert!(opened.chunk(0).unwrap().is_none());
            opened.prepare(&blobs).unwrap();
            checked(&blobs, digest);
        }
        // What has rotted is not given away.
        fs::write(blobs.path(&hash).unwrap(), vec![8; 2 * CHUNK_BYTES]).unwrap();
        fs::remove_file(&path).unwrap();
        let mut opened = blobs.chunks(digest).unwrap().unwrap();
        let failed = opened.prepare(&blobs);
        assert!(matches!(failed, Err(Error::WrongHash { .. })), "{failed:?}");
        // It goes with the content.
        fs::write(&path, b"x").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        blobs.remove(&hash, later).unwrap();
        assert!(!path.exists());
        assert!(blobs.chunks(digest).unwrap().is_none());
    }
}
