//! Persistent volumes of programs (compute.md §20): files with ext4 inside, which
//! outlive the machines that write them.
//!
//! ```text
//! <folder>/<item hash>/lock          held by the QEMU that may write
//!                      <name>.ext4   made at the first start, as long as the message says
//! ```
//!
//! The lock is a descriptor that QEMU inherits, so it is free when that QEMU has
//! ended, however it ended, and not before. Only guests mount what is inside: the
//! node never reads it. A volume appears under its name when it is whole.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use beth_protocol::ItemHash;
use beth_protocol::content::machine::{Persistence, PersistentVolume, Volume};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock, statvfs};
use rustix::io::Errno;
use tempfile::TempPath;

use crate::executor::Fault;
use crate::instance::make_ext4;
use crate::limits;
use crate::volume_name::file_stem;

/// Tells apart who makes the same volume.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// The volumes of all programs.
#[derive(Debug)]
pub(super) struct Shelves {
    folder: PathBuf,
}

/// A volume that a program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of its file, without the extension.
    pub(super) stem: String,
    /// Where it appears in the guest.
    pub(super) mount: String,
    pub(super) size_bytes: u64,
}

/// The persistent volumes among those of a message, or why there can be none.
pub(super) fn wanted(volumes: &[Volume]) -> Result<Vec<Wanted>, Fault> {
    let mut all: Vec<Wanted> = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        if let Volume::Persistent(volume) = volume {
            let one = wanted_of(volume, index).map_err(Fault::BadProgram)?;
            if all.iter().any(|other| other.stem == one.stem) {
                let text = format!("two volumes of the program are called {}", one.stem);
                return Err(Fault::BadProgram(text));
            }
            all.push(one);
        }
    }
    Ok(all)
}

fn wanted_of(volume: &PersistentVolume, index: usize) -> Result<Wanted, String> {
    if volume.persistence == Some(Persistence::Store) {
        return Err("Only 'host' persistence is supported".to_owned());
    }
    if volume.parent.is_some() {
        return Err(
            "a persistent volume of a program has no parent here; add an immutable volume and copy what you need"
                .to_owned(),
        );
    }
    let stem = file_stem(volume, index)?;
    let mount = volume.mount.clone().filter(|mount| !mount.is_empty());
    Ok(Wanted {
        mount: mount.unwrap_or_else(|| format!("/mnt/{stem}")),
        size_bytes: volume.size_mib.saturating_mul(1 << 20),
        stem,
    })
}

impl Shelves {
    /// Created when the first volume is.
    pub(super) fn new(folder: PathBuf) -> Shelves {
        Shelves { folder }
    }

    /// Where a volume is, or will be.
    pub(super) fn path(&self, program: &ItemHash, stem: &str) -> PathBuf {
        self.shelf(program).join(format!("{stem}.ext4"))
    }

    fn shelf(&self, program: &ItemHash) -> PathBuf {
        self.folder.join(program.as_str())
    }

    /// The right to write, once nobody else has it, to volumes that all exist
    /// then.
    pub(super) async fn lease(
        &self,
        program: &ItemHash,
        wanted: &[Wanted],
    ) -> Result<OwnedFd, Fault> {
        let lock = self.lock(program).await?;
        for volume in wanted {
            let path = self.path(program, &volume.stem);
            if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
                make(&path, volume.size_bytes).await?;
            }
        }
        Ok(lock)
    }

    /// Room that a program's volumes take.
    pub(super) async fn size_bytes(&self, program: &ItemHash) -> u64 {
        let Ok(mut entries) = tokio::fs::read_dir(self.shelf(program)).await else {
            return 0;
        };
        let mut size_bytes = 0u64;
        while let Ok(Some(entry)) = entries.next_entry().await {
            let blocks = entry.metadata().await.map_or(0, |data| data.blocks());
            size_bytes = size_bytes.saturating_add(blocks.saturating_mul(512));
        }
        size_bytes
    }

    /// Removes a program's volumes with everything in them.
    pub(super) async fn erase(&self, program: &ItemHash) -> Result<(), Fault> {
        let shelf = self.shelf(program);
        if !tokio::fs::try_exists(&shelf).await.unwrap_or(false) {
            return Ok(());
        }
        let _lock = self.lock(program).await?;
        let removed = tokio::fs::remove_dir_all(&shelf).await;
        removed.map_err(|error| internal("removing", &shelf, &error))
    }

    /// Waits for who writes now; it may have been told to end.
    async fn lock(&self, program: &ItemHash) -> Result<OwnedFd, Fault> {
        let shelf = self.shelf(program);
        let waiting = async {
            loop {
                match try_lock(&shelf) {
                    Ok(Some(lock)) => return Ok(lock),
                    // Whoever erases takes the folder away.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Ok(None) => tokio::time::sleep(limits::VOLUME_LOCK_PERIOD).await,
                    Err(error) => return Err(internal("using", &shelf, &error)),
                }
            }
        };
        let locked = tokio::time::timeout(limits::VOLUME_LOCK_DEADLINE, waiting).await;
        let late = |_| {
            let text = "another machine of the program writes its volumes; stop it, or try again when it has ended";
            Err(Fault::NotHere(text.to_owned()))
        };
        locked.unwrap_or_else(late)
    }
}

/// `None` while somebody else has it; blocks, shortly.
fn try_lock(shelf: &Path) -> io::Result<Option<OwnedFd>> {
    let mut folders = fs::DirBuilder::new();
    folders.recursive(true).mode(0o700).create(shelf)?;
    let path = shelf.join("lock");
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        other => other?,
    }
    // Whoever erased the volumes has removed the file that this was.
    let still = fs::metadata(&path).is_ok_and(|now| {
        let was = file.metadata();
        was.is_ok_and(|was| (was.dev(), was.ino()) == (now.dev(), now.ino()))
    });
    Ok(still.then(|| file.into()))
}

async fn make(path: &Path, size_bytes: u64) -> Result<(), Fault> {
    let number = PARTS.fetch_add(1, Ordering::Relaxed);
    let part = path.with_extension(format!("{}-{number}.part", std::process::id()));
    let failed = |error: io::Error| internal("making", path, &error);
    let part = TempPath::try_from_path(part).map_err(failed)?;
    let draft = part.to_path_buf();
    let reserving = tokio::task::spawn_blocking(move || reserve(&draft, size_bytes));
    let reserved = reserving.await.map_err(io::Error::other);
    reserved.and_then(|reserved| reserved).map_err(|error| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let size_mib = size_bytes >> 20;
        Fault::NotHere(format!(
            "this node has no room for the volume {name} of {size_mib} MiB: {error}"
        ))
    })?;
    let made = make_ext4(&part).await;
    made.map_err(|fault| Fault::NotHere(format!("the volume cannot be made: {fault}")))?;
    let path = path.to_owned();
    let keeping = tokio::task::spawn_blocking(move || {
        File::open(&part)?.sync_all()?;
        part.persist_noclobber(&path).map_err(|error| error.error)
    });
    let kept = keeping.await.map_err(io::Error::other);
    kept.and_then(|kept| kept)
        .map_err(|error| Fault::Internal(format!("keeping a volume: {error}")))
}

/// A file of this length whose room nobody else can take; blocks.
fn reserve(path: &Path, size_bytes: u64) -> io::Result<()> {
    let mut options = File::options();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let room = statvfs(path)?;
    let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    if free_bytes < size_bytes.saturating_add(limits::TEMPLATE_FREE_BYTES_MIN) {
        let text = format!("{} MiB are free", free_bytes >> 20);
        return Err(io::Error::other(text));
    }
    match fallocate(&file, FallocateFlags::empty(), 0, size_bytes) {
        // Not on every file system.
        Err(Errno::OPNOTSUPP) => file.set_len(size_bytes),
        other => Ok(other?),
    }
}

fn internal(what: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::Internal(format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(volumes: serde_json::Value) -> Result<Vec<Wanted>, Fault> {
        let volumes: Vec<Volume> = serde_json::from_value(volumes).unwrap();
        wanted(&volumes)
    }

    #[test]
    fn volumes_have_names_places_and_sizes() {
        let found = of(json!([
            {"persistence": "host", "name": "data", "mount": "/var/data", "size_mib": 2},
            {"persistence": "host", "size_mib": 1},
        ]));
        let expected = [
            ("data", "/var/data", 2),
            ("unamed_volume_1", "/mnt/unamed_volume_1", 1),
        ];
        let expected = expected.map(|(stem, mount, size_mib)| Wanted {
            stem: stem.to_owned(),
            mount: mount.to_owned(),
            size_bytes: size_mib << 20,
        });
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let named = |name: &str| json!({"persistence": "host", "name": name, "size_mib": 1});
        for wrong in [
            json!([named("../x")]),
            json!([named("/etc/cron.d/x")]),
            json!([named("a b"), named("a_b")]),
            json!([{"persistence": "store", "name": "a", "size_mib": 1}]),
        ] {
            let fault = of(wrong.clone());
            assert!(
                matches!(fault, Err(Fault::BadProgram(_))),
                "{wrong}: {fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_volume_is_made_once_in_its_size_and_no_larger_than_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let shelves = Shelves::new(folder.path().join("volumes"));
        let program = ItemHash::of_bytes(b"program");
        let wanted = |size_bytes| {
            [Wanted {
                stem: "data".to_owned(),
                mount: "/data".to_owned(),
                size_bytes,
            }]
        };
        let endless = shelves.lease(&program, &wanted(1 << 60)).await;
        assert!(matches!(endless, Err(Fault::NotHere(_))), "{endless:?}");
        let lock = shelves.lease(&program, &wanted(8 << 20)).await.unwrap();
        let path = shelves.path(&program, "data");
        let made = fs::metadata(&path).unwrap();
        assert_eq!(made.len(), 8 << 20);
        assert!(made.blocks() * 512 >= 8 << 20, "its room is reserved");
        assert!(shelves.size_bytes(&program).await >= 8 << 20);
        let shelf = path.parent().unwrap();
        assert!(try_lock(shelf).unwrap().is_none(), "somebody has it");
        drop(lock);
        drop(shelves.lease(&program, &wanted(8 << 20)).await.unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), made.ino());
        shelves.erase(&program).await.unwrap();
        assert!(!shelf.exists());
        assert_eq!(shelves.size_bytes(&program).await, 0);
        shelves.erase(&program).await.unwrap();
    }
}
