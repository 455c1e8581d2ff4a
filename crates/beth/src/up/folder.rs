//! The folder of a local network: made, marked, locked, wiped.
//!
//! A folder is wiped only when the mark is in it: `--fresh` must never delete
//! what is not ours. The lock is the kernel's, so that a crash leaves none.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const MARK: &str = ".beth-network";
const LOCK: &str = ".lock";

/// An open folder; it is locked as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder, or opens it when it is one of ours; `fresh` wipes it.
    pub fn open(path: &Path, fresh: bool) -> anyhow::Result<Folder> {
        let shown = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| {
                format!("cannot make the folder {shown}; choose another with --dir")
            })?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot find the folder {shown}"))?;
        let marked = path.join(MARK).is_file();
        if !marked && !is_empty(&path)? {
            bail!(
                "{shown} is not empty and holds no local network; choose another folder with --dir"
            );
        }
        let lock = lock(&path)?;
        if fresh && marked {
            wipe(&path)?;
        }
        write_whole(
            &path.join(MARK),
            b"A local network of `beth up`. `beth up --fresh` wipes this folder.\n",
        )?;
        let logs = path.join("logs");
        std::fs::create_dir_all(&logs)
            .with_context(|| format!("cannot make {}", logs.display()))?;
        Ok(Folder { path, _lock: lock })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file that only its owner can read, all of it or nothing.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let parent = path.parent().context("a file needs a folder")?;
    let written = tempfile::NamedTempFile::new_in(parent).and_then(|mut file| {
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).with_context(|| {
        format!(
            "cannot write {}; check that the disk has room",
            path.display()
        )
    })
}

fn is_empty(path: &Path) -> anyhow::Result<bool> {
    let mut entries =
        std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A lock of a run that got no further is no content.
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK)))
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .with_context(|| {
            format!(
                "cannot write into {}; check its permissions",
                path.display()
            )
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another `beth up` runs in {}; stop it, or choose another folder with --dir (and ports with --port-base)",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The mark goes last, so that a wipe that fails half way can be repeated.
fn wipe(path: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == LOCK || entry.file_name() == MARK {
            continue;
        }
        let gone = match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path()),
            false => std::fs::remove_file(entry.path()),
        };
        gone.with_context(|| format!("cannot wipe {}", entry.path().display()))?;
    }
    let mark = path.join(MARK);
    std::fs::remove_file(&mark).with_context(|| format!("cannot wipe {}", mark.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_wiped_only_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let folder = Folder::open(&path, true).unwrap();
        let state = folder.path().join("core-1");
        std::fs::create_dir(&state).unwrap();
        assert!(
            Folder::open(&path, false)
                .unwrap_err()
                .to_string()
                .contains("another `beth up`")
        );
        drop(folder);
        drop(Folder::open(&path, false).unwrap());
        assert!(state.exists());
        drop(Folder::open(&path, true).unwrap());
        assert!(!state.exists());
    }

    #[test]
    fn never_wipes_what_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("thesis.txt");
        std::fs::write(&precious, "x").unwrap();
        for fresh in [true, false] {
            assert!(
                Folder::open(dir.path(), fresh)
                    .unwrap_err()
                    .to_string()
                    .contains("holds no local network")
            );
        }
        assert!(precious.exists());
    }
}
