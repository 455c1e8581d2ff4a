//! Finished backups on the disk.
//!
//! ```text
//! <folder>/<item hash>-<time>.tar  .tar.sha256  .tar.meta.json      …work: half done
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::now;
use crate::limits;

/// A finished backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// `<item hash>-<YYYYmmddTHHMMSSZ>`.
    pub backup_id: String,
    /// The tar file.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// Its members and the sizes of the images that they were made from.
    pub source_sizes: BTreeMap<String, u64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it may be removed.
    pub expires_at: Timestamp,
}

/// How the latest backup or restoration stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackupStatus {
    /// Nothing since the node began.
    #[default]
    Idle,
    /// One is under way.
    InProgress,
    /// The latest backup is this one.
    Done(Archive),
    /// The latest one failed.
    Failed(String),
}

/// Backups of one instance.
#[derive(Clone, Debug)]
pub(super) struct Backups {
    pub(super) folder: PathBuf,
    item_hash: ItemHash,
    status: Arc<Mutex<BackupStatus>>,
}

/// What is written beside an archive.
#[derive(Serialize, Deserialize)]
pub(super) struct Particulars {
    pub(super) vm_hash: ItemHash,
    pub(super) created_at: String,
    pub(super) source_sizes: BTreeMap<String, u64>,
}

impl Backups {
    pub(super) fn new(folder: &Path, item_hash: &ItemHash) -> Backups {
        Backups {
            folder: folder.to_owned(),
            item_hash: item_hash.clone(),
            status: Arc::default(),
        }
    }

    pub(super) fn status(&self) -> BackupStatus {
        self.lock().clone()
    }

    pub(super) fn tell(&self, status: BackupStatus) {
        *self.lock() = status;
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, BackupStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks one as under way unless one is.
    pub(super) fn claim(&self) -> bool {
        let mut status = self.lock();
        let free = *status != BackupStatus::InProgress;
        if free {
            *status = BackupStatus::InProgress;
        }
        free
    }

    /// Finished, not expired, newest first; blocks.
    pub(super) fn list(&self) -> Vec<Archive> {
        let mut archives = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let id = name.strip_suffix(".tar");
            if let Some(archive) = id.and_then(|id| self.archive(id)) {
                archives.push(archive);
            }
        }
        archives.sort_by(|one, other| other.backup_id.cmp(&one.backup_id));
        archives
    }

    pub(super) fn archive(&self, backup_id: &str) -> Option<Archive> {
        let path = self.path(backup_id)?;
        let bytes = fs::read(path.with_extension("tar.meta.json")).ok()?;
        let particulars: Particulars = serde_json::from_slice(&bytes).ok()?;
        let sum = fs::read_to_string(path.with_extension("tar.sha256")).ok()?;
        let created_at = Timestamp::from_iso(&particulars.created_at)?;
        let life = i64::try_from(limits::BACKUP_LIFE.as_micros()).unwrap_or(i64::MAX);
        let expires_at = Timestamp::from_micros(created_at.micros().saturating_add(life));
        (expires_at > now()).then_some(())?;
        Some(Archive {
            backup_id: backup_id.to_owned(),
            size_bytes: fs::metadata(&path).ok()?.len(),
            path,
            sha256: sum.split_whitespace().next()?.to_owned(),
            source_sizes: particulars.source_sizes,
            created_at,
            expires_at,
        })
    }

    /// The tar file of an id of this instance; `None` for anything else.
    fn path(&self, backup_id: &str) -> Option<PathBuf> {
        let time = backup_id
            .strip_prefix(self.item_hash.as_str())?
            .strip_prefix('-')?;
        let known = |letter: char| letter.is_ascii_digit() || letter == 'T' || letter == 'Z';
        (!time.is_empty() && time.chars().all(known))
            .then(|| self.folder.join(format!("{backup_id}.tar")))
    }

    pub(super) fn delete(&self, backup_id: &str) -> std::io::Result<bool> {
        let Some(path) = self.path(backup_id) else {
            return Ok(false);
        };
        for name in ["tar.meta.json", "tar.sha256"] {
            // An interrupted backup has not all of them.
            drop(fs::remove_file(path.with_extension(name)));
        }
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes what has expired and what was left half done; blocks.
    pub(super) fn sweep(&self) {
        let kept: Vec<String> = self.list().into_iter().map(|one| one.backup_id).collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let id = name.split('.').next().unwrap_or_default();
            if self.path(id).is_none() || kept.iter().any(|kept| kept == id) {
                continue;
            }
            // Whatever stays is tried again at the next backup.
            match entry.path().is_dir() {
                true => drop(fs::remove_dir_all(entry.path())),
                false => drop(fs::remove_file(entry.path())),
            }
        }
    }
}
