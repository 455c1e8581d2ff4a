//! Contents that turned out rotten, out of the way of readers: in `aside/`, until
//! a right one is here. A rotten copy may be the only one in the world, and most
//! of it may be right; so it is not deleted.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use super::Blobs;
use crate::error::Error;

/// Name of the folder.
const FOLDER: &str = "aside";

impl Blobs {
    /// Takes a content from its place; false when it is not there. What was put
    /// aside under this name before is replaced.
    pub fn set_aside(&self, hash: &str) -> Result<bool, Error> {
        let archived = self.digests_of_archive(hash);
        let held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = self.present(hash) else {
            return Ok(false);
        };
        let folder = self.aside_folder();
        fs::create_dir_all(&folder).map_err(|source| Error::file(&folder, source))?;
        let target = folder.join(path.file_name().unwrap_or_default());
        fs::rename(&path, target).map_err(|source| Error::file(&path, source))?;
        drop(held);
        self.blocks.forget(hash, &archived)?;
        Ok(true)
    }

    /// Names of what was put aside.
    pub fn aside(&self) -> Result<Vec<String>, Error> {
        let folder = self.aside_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::file(folder, source)),
        };
        let names = entries.flatten().filter_map(|entry| {
            let path = entry.path();
            Some(path.file_stem()?.to_str()?.to_owned())
        });
        Ok(names.collect())
    }

    /// Deletes what was put aside under a name: a right one is here, or nobody
    /// keeps it.
    pub fn clear_aside(&self, hash: &str) -> Result<(), Error> {
        for path in [self.path(hash), self.archive_path(hash)] {
            let Some(name) = path.as_ref().and_then(|path| path.file_name()) else {
                continue;
            };
            let path = self.aside_folder().join(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file(path, source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn aside_folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::proof::Proof;
    use super::*;
    use crate::blobs::Extent;

    #[test]
    fn what_is_rotten_is_told_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let hash = blobs.put(b"hello world").unwrap().hash.clone();
        let prove = || blobs.prove(&hash, &mut |_| true).unwrap();
        assert_eq!(prove(), Proof::Whole(Extent::of_file(11)));
        let stopped = blobs.prove(&hash, &mut |_| false).unwrap();
        assert_eq!(stopped, Proof::Stopped);

        fs::write(blobs.path(&hash).unwrap(), b"hello wOrld").unwrap();
        assert!(matches!(prove(), Proof::Rotten(_)));
        assert!(blobs.set_aside(&hash).unwrap());
        assert!(!blobs.set_aside(&hash).unwrap());
        assert_eq!((prove(), blobs.contains(&hash)), (Proof::Missing, false));
        assert!(blobs.aside().unwrap().contains(&hash));
        for shelf in blobs.shelves().unwrap() {
            assert!(blobs.names_on(&shelf).unwrap().is_empty());
        }
        blobs.clear_aside(&hash).unwrap();
        assert!(blobs.aside().unwrap().is_empty());
    }
}
