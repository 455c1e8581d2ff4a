//! The disks of an instance (compute.md §16.1, §20).
//!
//! ```text
//! <folder>/rootfs.qcow2 ─▶ parents/<file hash>     overlay: only what the guest wrote
//!          seed.iso                                 made anew at each start
//!          volumes/<name>.ext4                      persistent
//!          ephemeral/<number>.ext4                  empty at each start
//! ```
//!
//! A disk appears under its name only when it is whole; a root disk that exists
//! is never made again unless somebody asks for it. Parents are links of their
//! own, so that nothing that is still needed can be evicted.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use beth_protocol::ItemHash;
use beth_protocol::content::InstanceContent;
use beth_protocol::content::machine::{Hypervisor, ParentVolume, Persistence, Volume};

use super::fault::InstanceFault;
use super::hardware::Hardware;
use super::qcow2::{self, Format, Image};
use super::qemu::Drive;
use super::record::{Disk, DiskKind, Parent, Record, move_into_place};
use super::source::Source;
use super::tool;
use crate::executor::LocalFile;
use crate::limits;
use crate::volume_name::file_stem;

/// Tells apart who makes the same file.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// Where the disks of one instance are.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The instance's own folder.
    pub own: PathBuf,
    /// Images that several instances stand on.
    pub parents: PathBuf,
    /// Its sockets: the system wants their paths short.
    pub sockets: PathBuf,
}

impl Folders {
    /// The root disk.
    pub fn root(&self) -> PathBuf {
        self.own.join("rootfs.qcow2")
    }

    /// The seed.
    pub fn seed(&self) -> PathBuf {
        self.own.join("seed.iso")
    }

    /// Where a further disk is.
    pub fn disk(&self, disk: &Disk) -> PathBuf {
        match disk.kind {
            DiskKind::Immutable => self.parents.join(&disk.path),
            DiskKind::Persistent => self.own.join("volumes").join(&disk.path),
            DiskKind::Ephemeral => self.own.join("ephemeral").join(&disk.path),
        }
    }

    /// Where a parent is.
    pub fn parent(&self, parent: &Parent) -> PathBuf {
        self.parents.join(parent.file_hash.as_str())
    }
}

/// Refuses what no node, or not this one, can run.
pub fn examine(content: &InstanceContent, hardware: &Hardware) -> Result<(), InstanceFault> {
    let refuse = |reason: &str| Err(InstanceFault::Unusable(reason.to_owned()));
    let environment = &content.environment;
    if environment.hypervisor == Some(Hypervisor::Firecracker) {
        return refuse("instances run in QEMU here; set `environment.hypervisor` to qemu");
    }
    let requirements = content.requirements.as_ref();
    hardware.examine(content)?;
    let architecture = requirements
        .and_then(|wishes| wishes.cpu.as_ref())
        .and_then(|cpu| cpu.architecture.as_deref());
    if architecture.is_some_and(|name| name != "x86_64") {
        return refuse("this node runs x86_64 machines only");
    }
    if content.volumes.len() > limits::DRIVES_MAX - 2 {
        return refuse("it has too many volumes");
    }
    if content.resources.vcpus > limits::VCPUS_MAX {
        return refuse("it wants more processors than a machine of this node can have");
    }
    if content.resources.memory < limits::MEMORY_MIB_MIN {
        return refuse("it wants too little memory to start; 64 MiB is the least");
    }
    if content.rootfs.persistence != Persistence::Host {
        return refuse("only 'host' persistence is supported");
    }
    names(content).map(drop)
}

/// Names of the files of all volumes, in order; of immutable ones nothing.
fn names(content: &InstanceContent) -> Result<Vec<Option<String>>, InstanceFault> {
    let mut names: Vec<Option<String>> = Vec::new();
    for (index, volume) in content.volumes.iter().enumerate() {
        let name = match volume {
            Volume::Immutable(_) => None,
            Volume::Ephemeral(_) => Some(format!("{index}.ext4")),
            Volume::Persistent(volume) => {
                if volume.persistence == Some(Persistence::Store) {
                    return Err(InstanceFault::Unusable(
                        "only 'host' persistence is supported".into(),
                    ));
                }
                let stem = file_stem(volume, index).map_err(InstanceFault::Unusable)?;
                if stem == "rootfs" {
                    let text = "a volume is called like the root disk; choose another name";
                    return Err(InstanceFault::Unusable(text.into()));
                }
                Some(format!("{stem}.ext4"))
            }
        };
        if name.is_some() && names.contains(&name) {
            return Err(InstanceFault::Unusable("two volumes have one name".into()));
        }
        names.push(name);
    }
    Ok(names)
}

/// Makes what is missing: everything at first, later only what was erased. The
/// record tells afterwards what there is.
pub async fn prepare(
    record: &mut Record,
    source: &Source,
    folders: &Folders,
) -> Result<(), InstanceFault> {
    for folder in [&folders.parents, &folders.own.join("volumes")] {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(InstanceFault::disk("make a folder for disks"))?;
    }
    let content = record.content.clone();
    let names = names(&content)?;
    let mut disks = Vec::new();
    for (volume, name) in content.volumes.iter().zip(names) {
        disks.push(prepare_volume(volume, name, source, folders).await?);
    }
    record.disks = disks;
    if !record.prepared {
        let size_bytes = content.rootfs.size_mib.saturating_mul(1 << 20);
        let parent = parent_image(&content.rootfs.parent, source, folders, size_bytes).await?;
        let path = folders.parent(&parent);
        place(&folders.root(), async |part: &Path| {
            tool::create_overlay(part, (&path, parent.format), size_bytes).await
        })
        .await?;
        record.parent = Some(parent);
        record.prepared = true;
    }
    Ok(())
}

/// The parent of a root disk, inspected and kept.
async fn parent_image(
    parent: &ParentVolume,
    source: &Source,
    folders: &Folders,
    size_bytes: u64,
) -> Result<Parent, InstanceFault> {
    let file = source.file("root disk", &parent.reference, parent.use_latest);
    let (hash, image) = keep_image(file.await?, folders).await?;
    if image.size_bytes > size_bytes {
        return Err(InstanceFault::Unusable(format!(
            "its root disk has {} MiB and the image needs {}; ask for more in `rootfs.size_mib`",
            size_bytes >> 20,
            image.size_bytes.div_ceil(1 << 20)
        )));
    }
    Ok(Parent {
        file_hash: hash,
        format: image.format,
    })
}

async fn prepare_volume(
    volume: &Volume,
    name: Option<String>,
    source: &Source,
    folders: &Folders,
) -> Result<Disk, InstanceFault> {
    match volume {
        Volume::Immutable(volume) => {
            let file = source.file("volume", &volume.reference, volume.use_latest);
            let file = keep(file.await?, folders).await?;
            Ok(Disk {
                path: file.hash.as_str().into(),
                kind: DiskKind::Immutable,
                size_bytes: file.size_bytes,
            })
        }
        Volume::Ephemeral(volume) => Ok(Disk {
            path: name.unwrap_or_default().into(),
            kind: DiskKind::Ephemeral,
            size_bytes: volume.size_mib.saturating_mul(1 << 20),
        }),
        Volume::Persistent(volume) => {
            let disk = Disk {
                path: name.unwrap_or_default().into(),
                kind: DiskKind::Persistent,
                size_bytes: volume.size_mib.saturating_mul(1 << 20),
            };
            let path = folders.disk(&disk);
            if tokio::fs::try_exists(&path).await.unwrap_or(false) {
                return Ok(disk);
            }
            let image = match &volume.parent {
                None => None,
                Some(parent) => Some(parent_image(parent, source, folders, disk.size_bytes).await?),
            };
            place(&path, async |part: &Path| {
                make_volume(
                    part,
                    image.map(|image| (folders.parent(&image), image.format)),
                    &disk,
                )
                .await
            })
            .await?;
            Ok(disk)
        }
    }
}

async fn make_volume(
    path: &Path,
    parent: Option<(PathBuf, Format)>,
    disk: &Disk,
) -> Result<(), InstanceFault> {
    let Some((parent, format)) = parent else {
        tool::create(path, Format::Raw, disk.size_bytes).await?;
        return tool::make_ext4(path).await;
    };
    let copy = tool::Copy {
        from: &parent,
        format,
        into: Format::Raw,
        without: None,
        compressed: false,
    };
    tool::convert(copy, path).await?;
    tool::resize(path, Format::Raw, disk.size_bytes).await
}

/// The firmware that a message names, kept as long as its instance may need it.
pub async fn firmware(
    reference: &ItemHash,
    source: &Source,
    folders: &Folders,
) -> Result<PathBuf, InstanceFault> {
    let file = source.file("firmware", reference, false).await?;
    Ok(keep(file, folders).await?.path)
}

/// Makes the disks that are new at each start.
pub async fn renew_ephemeral(record: &Record, folders: &Folders) -> Result<(), InstanceFault> {
    remove_ephemeral(folders).await;
    for disk in &record.disks {
        if disk.kind == DiskKind::Ephemeral {
            let path = folders.disk(disk);
            tokio::fs::create_dir_all(folders.own.join("ephemeral"))
                .await
                .map_err(InstanceFault::disk("make a folder for disks"))?;
            make_volume(&path, None, disk).await?;
        }
    }
    Ok(())
}

/// Removes them.
pub async fn remove_ephemeral(folders: &Folders) {
    drop(tokio::fs::remove_dir_all(folders.own.join("ephemeral")).await);
}

/// The drives of a guest in its order: root, seed, volumes.
pub fn drives(record: &Record, folders: &Folders) -> Vec<Drive> {
    let mut drives = vec![
        Drive {
            name: "root".into(),
            path: folders.root(),
            format: Format::Qcow2,
            backing: record
                .parent
                .as_ref()
                .map(|parent| (folders.parent(parent), parent.format)),
            read_only: false,
        },
        Drive {
            name: "seed".into(),
            path: folders.seed(),
            format: Format::Raw,
            backing: None,
            read_only: true,
        },
    ];
    let volumes = record.disks.iter().enumerate();
    drives.extend(volumes.map(|(index, disk)| Drive {
        name: format!("volume{index}"),
        path: folders.disk(disk),
        format: Format::Raw,
        backing: None,
        read_only: disk.kind == DiskKind::Immutable,
    }));
    drives
}

/// Makes a file under a passing name and gives it its own when it is whole and
/// on disk.
pub async fn place(
    path: &Path,
    make: impl AsyncFnOnce(&Path) -> Result<(), InstanceFault>,
) -> Result<(), InstanceFault> {
    let number = PARTS.fetch_add(1, Ordering::Relaxed);
    let part = path.with_extension(format!("{}-{number}.part", std::process::id()));
    let part =
        tempfile::TempPath::try_from_path(part).map_err(InstanceFault::disk("name a new disk"))?;
    make(&part).await?;
    let path = path.to_owned();
    blocking(move || {
        std::fs::File::open(&part)?.sync_all()?;
        move_into_place(&part, &path)?;
        // It has its own name now; there is nothing left to remove.
        drop(part.keep());
        Ok(())
    })
    .await
    .map_err(InstanceFault::disk("keep a new disk"))
}

async fn keep_image(
    file: LocalFile,
    folders: &Folders,
) -> Result<(ItemHash, Image), InstanceFault> {
    let kept = keep(file, folders).await?;
    let path = folders.parents.join(kept.hash.as_str());
    let image = blocking(move || Ok(qcow2::inspect(&path)))
        .await
        .map_err(InstanceFault::disk("read the disk image"))??;
    Ok((kept.hash, image))
}

/// A second name for a verified file, or a copy on another file system.
async fn keep(file: LocalFile, folders: &Folders) -> Result<LocalFile, InstanceFault> {
    let path = folders.parents.join(file.hash.as_str());
    if tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Ok(LocalFile { path, ..file });
    }
    let from = file.path.clone();
    place(&path, async |part: &Path| {
        let part = part.to_owned();
        let link = move || match std::fs::hard_link(&from, &part) {
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                std::fs::copy(&from, &part).map(drop)
            }
            other => other,
        };
        blocking(link)
            .await
            .map_err(InstanceFault::disk("keep an image"))
    })
    .await?;
    Ok(LocalFile { path, ..file })
}

/// Runs what blocks elsewhere.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)?
}
