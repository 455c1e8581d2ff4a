//! Walking over every content on the disk, one folder at a time.

use std::fs;
use std::path::{Path, PathBuf};

use super::Blobs;
use crate::error::Error;

/// A part of the contents: about one in 256 of those named by SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf(PathBuf);

impl Blobs {
    /// Every shelf, in no particular order.
    pub fn shelves(&self) -> Result<Vec<Shelf>, Error> {
        let folders = entries(&self.root)?.into_iter();
        Ok(folders
            .filter(|path| path.is_dir() && *path != self.incoming && *path != self.partials())
            .map(Shelf)
            .collect())
    }

    /// Names of the contents on a shelf, also of those of which only the states
    /// are left.
    pub fn names_on(&self, shelf: &Shelf) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for folder in entries(&shelf.0)?.into_iter().filter(|path| path.is_dir()) {
            let files = entries(&folder)?.into_iter();
            names.extend(files.filter_map(|path| {
                let name = path.file_stem()?.to_str()?.to_owned();
                let places = [
                    self.path(&name),
                    self.archive_path(&name),
                    self.states_path(&name),
                ];
                places.contains(&Some(path)).then_some(name)
            }));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// What a folder contains; nothing when it is gone.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(found) => Ok(found.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::file(folder, source)),
    }
}
