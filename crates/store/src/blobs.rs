//! Content: one file per hash in `ab/cd/<hash>`. The hash is the SHA-256 of the
//! bytes, or the CID that they were asked for under. What came as a graph of
//! blocks is in `ab/cd/<root>.dag` ([`archive`]). Any block of either is found by
//! its digest (`blocks.rs`). What peers need to check a content in chunks is beside
//! it (`states.rs`), what of it came so far in `partial/` (`partial.rs`).
//!
//! A file appears under its name only when it is complete and its hash is
//! right: it is written beside, synced, and renamed. So a crash leaves at most
//! a temporary file, which the next start removes.

pub mod archive;
mod aside;
mod blocks;
mod content;
mod graph;
mod partial;
mod proof;
mod shelves;
mod states;

pub use archive::{Extent, Shape};
pub use content::{Content, Pieces};
pub use graph::{Listed, Listing, Resolved};
pub use partial::{AddError, Partial};
pub use proof::{Pace, Proof};
pub use shelves::Shelf;
pub use states::Chunks;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use beth_protocol::hash::{Naming, Parts};
use sha2::{Digest, Sha256};

use crate::error::Error;
use archive::Archive;
use blocks::BlockIndex;

/// A folder of contents.
#[derive(Debug)]
pub struct Blobs {
    root: PathBuf,
    incoming: PathBuf,
    counter: AtomicU64,
    /// Held while a name is checked and then used or deleted.
    names: Mutex<()>,
    blocks: BlockIndex,
    watch: Watch,
}

/// Who is told that contents came.
#[derive(Default)]
struct Watch(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Watch")
    }
}

/// A content being written. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: Option<File>,
    naming: Naming,
    size_bytes: u64,
}

/// A complete content, hashed but not yet in place.
#[derive(Debug)]
pub struct Hashed {
    path: PathBuf,
    /// Hex SHA-256 of the bytes, or their CID.
    pub hash: String,
    /// How many bytes.
    pub size_bytes: u64,
    /// What lets others check it part by part.
    parts: Parts,
}

impl Blobs {
    /// Opens the folder, making it when absent, and clears what a crash left.
    pub fn open(root: &Path) -> Result<Blobs, Error> {
        let incoming = root.join("incoming");
        fs::create_dir_all(&incoming).map_err(|source| Error::file(&incoming, source))?;
        for entry in fs::read_dir(&incoming)
            .map_err(|source| Error::file(&incoming, source))?
            .flatten()
        {
            // A leftover that cannot be removed only costs room.
            let _ = fs::remove_file(entry.path());
        }
        Ok(Blobs {
            root: root.to_owned(),
            incoming,
            counter: AtomicU64::new(0),
            blocks: BlockIndex::open(root)?,
            names: Mutex::new(()),
            watch: Watch::default(),
        })
    }

    /// Calls `told` whenever a content has come, from the thread that brought
    /// it. Only the first call of this counts.
    pub fn watch(&self, told: impl Fn() + Send + Sync + 'static) {
        let _ = self.watch.0.set(Box::new(told));
    }

    /// Where a content is, or would be. `None` when the text cannot be a name.
    pub fn path(&self, hash: &str) -> Option<PathBuf> {
        let is_name =
            hash.len() >= 44 && hash.len() <= 64 && hash.bytes().all(|b| b.is_ascii_alphanumeric());
        is_name.then(|| {
            let tail = &hash[hash.len() - 4..];
            self.root.join(&tail[..2]).join(&tail[2..]).join(hash)
        })
    }

    /// Where a graph of blocks is, or would be.
    fn archive_path(&self, root: &str) -> Option<PathBuf> {
        self.path(root).map(|path| path.with_extension("dag"))
    }

    /// Where a content is: as bytes, or as a graph of blocks.
    fn present(&self, hash: &str) -> Option<PathBuf> {
        let places = [self.path(hash), self.archive_path(hash)];
        places.into_iter().flatten().find(|path| path.is_file())
    }

    /// True when the content is here.
    pub fn contains(&self, hash: &str) -> bool {
        self.present(hash).is_some()
    }

    /// Opens a content for reading; the second part is its size in bytes.
    pub fn file(&self, hash: &str) -> Result<Option<(File, u64)>, Error> {
        let Some(path) = self.path(hash) else {
            return Ok(None);
        };
        match File::open(&path) {
            Ok(file) => {
                let size = file
                    .metadata()
                    .map_err(|source| Error::file(&path, source))?
                    .len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::file(path, source)),
        }
    }

    /// Reads a whole file. Only for contents known to be small.
    pub fn read(&self, hash: &str) -> Result<Option<Vec<u8>>, Error> {
        let content = self.content(hash)?;
        let Some(content) = content.filter(|content| !content.extent().is_directory()) else {
            return Ok(None);
        };
        let size = content.extent().size_bytes;
        let mut bytes = Vec::with_capacity(size as usize);
        for piece in content.pieces(0, size) {
            bytes.extend(piece?);
        }
        Ok(Some(bytes))
    }

    /// Begins a content that will be named by its SHA-256.
    pub fn begin(&self) -> Result<Incoming, Error> {
        self.begin_named(Naming::sha256())
    }

    /// Begins a content that is named in the way of an expected hash.
    pub fn begin_named(&self, naming: Naming) -> Result<Incoming, Error> {
        let path = self.temporary();
        let file = File::create_new(&path).map_err(|source| Error::file(&path, source))?;
        Ok(Incoming {
            path,
            file: Some(file),
            naming,
            size_bytes: 0,
        })
    }

    fn temporary(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.incoming
            .join(format!("{}-{number}", std::process::id()))
    }

    /// Stores bytes under their SHA-256.
    pub fn put(&self, bytes: &[u8]) -> Result<Hashed, Error> {
        let mut incoming = self.begin()?;
        incoming.write(bytes)?;
        let hashed = incoming.finish()?;
        self.keep(hashed)
    }

    /// Puts a finished content in its place. Idempotent.
    pub fn keep(&self, mut hashed: Hashed) -> Result<Hashed, Error> {
        let target = self
            .path(&hashed.hash)
            .ok_or_else(|| Error::Damaged("a hash is no name".into()))?;
        let held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = touch(&target).is_err();
        if is_new {
            let folder = target.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
            fs::rename(&hashed.path, &target).map_err(|source| Error::file(&target, source))?;
            // The name must survive a power cut as well as the bytes.
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| Error::file(folder, source))?;
            hashed.path = PathBuf::new();
        }
        drop(held);
        if is_new {
            self.note_file(&hashed);
            self.keep_states(&hashed);
        }
        Ok(hashed)
    }

    /// Hex SHA-256 of a file anywhere.
    pub fn hash_of(source: &Path) -> io::Result<String> {
        let mut hasher = Sha256::new();
        let mut reader = File::open(source)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                return Ok(const_hex::encode(hasher.finalize()));
            }
            hasher.update(&buffer[..count]);
        }
    }

    /// Makes an existing file available under its hash, by link or by copy.
    pub fn adopt(&self, source: &Path) -> Result<Hashed, Error> {
        let mut incoming = self.begin()?;
        let mut reader = File::open(source).map_err(|error| Error::file(source, error))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|error| Error::file(source, error))?;
            if count == 0 {
                break;
            }
            incoming.write(&buffer[..count])?;
        }
        self.keep(incoming.finish()?)
    }

    /// Says that a content is needed now, so that [`remove`](Self::remove)
    /// spares it; answers how much it is, or `None` without it.
    pub fn claim(&self, hash: &str) -> Result<Option<Extent>, Error> {
        let _held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = self.present(hash) else {
            return Ok(None);
        };
        match touch(&path) {
            Ok(size_bytes) if self.path(hash).as_ref() == Some(&path) => {
                Ok(Some(Extent::of_file(size_bytes)))
            }
            Ok(_) => Archive::open(&path, hash).map(|archive| Some(archive.extent())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::file(path, source)),
        }
    }

    /// True when the content was stored or claimed after this time.
    pub fn is_claimed_since(&self, hash: &str, time: SystemTime) -> bool {
        let places = [self.path(hash), self.archive_path(hash)];
        let modified = |path: PathBuf| path.metadata().ok()?.modified().ok();
        let mut known = places.into_iter().flatten().filter_map(modified);
        known.any(|modified| modified > time)
    }

    /// Deletes a content unless it was stored or claimed after `unused_since`.
    pub fn remove(&self, hash: &str, unused_since: SystemTime) -> Result<(), Error> {
        let held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_claimed_since(hash, unused_since) {
            return Ok(());
        }
        let archived = self.digests_of_archive(hash);
        let places = [self.path(hash), self.archive_path(hash)];
        let places = places.into_iter().chain([self.states_path(hash)]);
        for path in places.flatten() {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file(path, error));
                }
                _ => {}
            }
        }
        drop(held);
        self.blocks.forget(hash, &archived)
    }
}

impl Incoming {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)
                .map_err(|source| Error::file(&self.path, source))?;
        }
        self.naming.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Syncs the bytes to the disk and names them.
    pub fn finish(mut self) -> Result<Hashed, Error> {
        if let Some(file) = self.file.take() {
            file.sync_all()
                .map_err(|source| Error::file(&self.path, source))?;
        }
        let naming = std::mem::replace(&mut self.naming, Naming::sha256());
        let (hash, parts) = naming.finish_with_parts();
        Ok(Hashed {
            path: std::mem::take(&mut self.path),
            hash: hash.to_string(),
            size_bytes: self.size_bytes,
            parts,
        })
    }

    /// Like [`finish`](Self::finish), but fails when the bytes are others.
    pub fn finish_as(self, expected: &str) -> Result<Hashed, Error> {
        let hashed = self.finish()?;
        if hashed.hash == expected {
            return Ok(hashed);
        }
        Err(Error::WrongHash {
            expected: expected.to_owned(),
            computed: hashed.hash.clone(),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        remove_quietly(&self.path);
    }
}

impl Drop for Hashed {
    fn drop(&mut self) {
        remove_quietly(&self.path);
    }
}

/// Marks a file as used now; answers with its size in bytes.
fn touch(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    file.set_modified(SystemTime::now())?;
    Ok(file.metadata()?.len())
}

fn remove_quietly(path: &Path) {
    if !path.as_os_str().is_empty() {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keeps_reads_and_removes() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (count, counted) = std::sync::mpsc::channel();
        let asked = blobs.path(&const_hex::encode(Sha256::digest(b"hello world")));
        // Whoever is told finds the content.
        blobs.watch(move || count.send(asked.as_ref().unwrap().is_file()).unwrap());
        let hash = blobs.put(b"hello world").unwrap().hash.clone();
        assert_eq!(
            hash,
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
        );
        assert_eq!(blobs.put(b"hello world").unwrap().hash, hash);
        assert_eq!(
            counted.try_iter().collect::<Vec<_>>(),
            [true],
            "only what is new is told"
        );
        assert_eq!(blobs.read(&hash).unwrap().unwrap(), b"hello world");
        let now = SystemTime::now();
        blobs.remove(&hash, now - Duration::from_secs(60)).unwrap();
        assert!(blobs.contains(&hash), "it was just stored");
        let later = now + Duration::from_secs(60);
        blobs.remove(&hash, later).unwrap();
        assert_eq!(blobs.claim(&hash).unwrap(), None);
        assert!(blobs.path("../../etc/passwd").is_none());
    }

    #[test]
    fn a_content_is_kept_under_its_cid_alone() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let name = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";
        for (bytes, is_right) in [("hello world!", false), ("hello world", true)] {
            let naming = Naming::of(&name.parse().unwrap()).unwrap();
            let mut incoming = blobs.begin_named(naming).unwrap();
            incoming.write(bytes.as_bytes()).unwrap();
            match incoming.finish_as(name) {
                Ok(hashed) => assert_eq!(blobs.keep(hashed).unwrap().hash, name),
                Err(Error::WrongHash { .. }) => assert!(!is_right),
                Err(error) => panic!("{error}"),
            }
            assert_eq!(blobs.contains(name), is_right);
        }
        assert_eq!(blobs.read(name).unwrap().unwrap(), b"hello world");
    }

    #[test]
    fn a_wrong_hash_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut incoming = blobs.begin().unwrap();
        incoming.write(b"other").unwrap();
        assert!(matches!(
            incoming.finish_as(&"0".repeat(64)),
            Err(Error::WrongHash { .. })
        ));
        assert_eq!(
            fs::read_dir(folder.path().join("incoming"))
                .unwrap()
                .count(),
            0
        );
    }
}
