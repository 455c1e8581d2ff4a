//! Cold migration: the disks of a stopped instance leave, or arrive
//! (compute.md §9).
//!
//! ```text
//! export: stop ─▶ rootfs.qcow2 (what differs from the parent), <volume>.ext4.qcow2 ─▶ hashes
//! import: hashes ─▶ root disk on our own copy of the parent, volumes back to raw ─▶ start
//! ```
//!
//! What the guest zeroed stays zero: an export that stands on a parent says so
//! and keeps its zeros; one that is complete (as other nodes make it) is taken as
//! complete and not put onto a parent again. The name of a backing file in an
//! image that arrives is never used.

use std::io::Read;
use std::path::{Path, PathBuf};

use beth_protocol::ItemHash;
use sha2::{Digest, Sha256};

use super::Instances;
use super::disks::{self, blocking};
use super::fault::InstanceFault;
use super::keeper::{Command, Keeper, Outcome};
use super::qcow2::{Format, Image, inspect_delta};
use super::record::{DiskKind, move_into_place};
use super::tool::{self, Copy};

/// The disks of an instance, ready to be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// The root disk first.
    pub disks: Vec<ExportedDisk>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedDisk {
    /// `rootfs.qcow2`, or `<volume>.ext4.qcow2`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Size of the file.
    pub size_bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Disks that were fetched from another node.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// In any order; one is `rootfs.qcow2`.
    pub disks: Vec<ImportedDisk>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct ImportedDisk {
    /// As the other node named it.
    pub name: String,
    /// Where it was put; it is moved or removed.
    pub path: PathBuf,
    /// What it must hash to.
    pub sha256: String,
}

impl Instances {
    /// Stops an instance and makes copies of its disks for another node. If it
    /// fails the instance runs again. The copies stay until
    /// [`discard_export`](Self::discard_export).
    pub async fn export(&self, item_hash: &ItemHash) -> Result<Export, InstanceFault> {
        match self.order(item_hash, Command::Export).await? {
            Outcome::Exported(export) => Ok(export),
            _ => Ok(Export::default()),
        }
    }

    /// Removes the copies of an export.
    pub async fn discard_export(&self, item_hash: &ItemHash) {
        let folder = self.0.shop.own(item_hash).join("export");
        drop(tokio::fs::remove_dir_all(folder).await);
    }

    /// Takes over an instance with the disks that another node exported, and
    /// starts it. Refused when it has disks here already.
    pub async fn import(&self, item_hash: &ItemHash, import: Import) -> Result<(), InstanceFault> {
        if self.state(item_hash).is_none() {
            let content = self.0.shop.source.content(item_hash).await?;
            self.define(item_hash, content).await?;
        }
        self.order(item_hash, Command::Import(import))
            .await
            .map(drop)
    }
}

impl Keeper {
    pub(super) async fn export(&mut self) -> Result<Export, InstanceFault> {
        if self.guest.is_none() {
            return Err(InstanceFault::WrongState("VM is not running"));
        }
        // It stays wanted until the copies are whole: whatever interrupts the node
        // meanwhile, the next one starts it again.
        self.halt().await;
        let exported = self.copy_for_export().await;
        match &exported {
            Ok(_) => self.cease().await?,
            Err(_) => {
                drop(self.remove("export").await);
                self.begin().await?;
            }
        }
        exported
    }

    async fn copy_for_export(&self) -> Result<Export, InstanceFault> {
        let folder = self.folders.own.join("export");
        self.remove("export").await?;
        super::make_private(&folder).map_err(InstanceFault::disk("make a folder for exports"))?;
        let _permit = self.shop.copies.acquire().await;
        let parent = self.record.parent.as_ref();
        let parent = parent.map(|parent| (self.folders.parent(parent), parent.format));
        let mut disks = Vec::new();
        let root = self.folders.root();
        let without = parent
            .as_ref()
            .map(|(path, format)| (path.as_path(), *format));
        disks.push(export_disk(&folder, "rootfs.qcow2", (&root, Format::Qcow2), without).await?);
        for disk in &self.record.disks {
            if disk.kind == DiskKind::Persistent {
                let name = format!("{}.qcow2", disk.path.to_string_lossy());
                let path = self.folders.disk(disk);
                disks.push(export_disk(&folder, &name, (&path, Format::Raw), None).await?);
            }
        }
        Ok(Export { disks })
    }

    pub(super) async fn import(&mut self, import: Import) -> Result<(), InstanceFault> {
        if self.guest.is_some() || self.record.prepared {
            return Err(InstanceFault::AlreadyHere);
        }
        let mut images = Vec::new();
        for disk in &import.disks {
            images.push(verified(disk).await?);
        }
        // Makes the overlay, which gives us the parent, and empty volumes, which
        // tell which names are ours.
        disks::prepare(&mut self.record, &self.shop.source, &self.folders).await?;
        self.record.prepared = false;
        let mut has_root = false;
        for (disk, image) in import.disks.iter().zip(images) {
            if disk.name == "rootfs.qcow2" {
                self.take_root(disk, image).await?;
                has_root = true;
            } else {
                self.take_volume(disk).await?;
            }
        }
        if !has_root {
            return Err(InstanceFault::Image(
                "no disk is called rootfs.qcow2".into(),
            ));
        }
        self.record.prepared = true;
        self.save().await?;
        self.begin().await
    }

    async fn take_root(&mut self, disk: &ImportedDisk, image: Image) -> Result<(), InstanceFault> {
        let declared = self.record.content.rootfs.size_mib << 20;
        if image.format != Format::Qcow2 || image.size_bytes > declared {
            return Err(InstanceFault::Image(
                "the root disk is no qcow2 image, or larger than the message says".into(),
            ));
        }
        match (&self.record.parent, image.has_backing) {
            (Some(parent), true) => {
                let path = self.folders.parent(parent);
                tool::rebase(&disk.path, (&path, parent.format)).await?;
            }
            (_, true) => {
                return Err(InstanceFault::Image(
                    "it stands on an unknown parent".into(),
                ));
            }
            (_, false) => self.record.parent = None,
        }
        tool::check(&disk.path).await?;
        let (from, to) = (disk.path.clone(), self.folders.root());
        blocking(move || {
            std::fs::File::open(&from)?.sync_all()?;
            move_into_place(&from, &to)
        })
        .await
        .map_err(InstanceFault::disk("put the root disk in its place"))
    }

    async fn take_volume(&self, disk: &ImportedDisk) -> Result<(), InstanceFault> {
        let mut volumes = self.record.disks.iter();
        let ours = volumes.find(|ours| {
            ours.kind == DiskKind::Persistent
                && disk.name == format!("{}.qcow2", ours.path.to_string_lossy())
        });
        let ours = ours.ok_or_else(|| {
            InstanceFault::Image(format!("the message has no volume for {:?}", disk.name))
        })?;
        let path = disk.path.clone();
        let image = blocking(move || Ok(super::qcow2::inspect(&path)))
            .await
            .map_err(InstanceFault::disk("read a disk"))??;
        if image.size_bytes > ours.size_bytes || image.format != Format::Qcow2 {
            return Err(InstanceFault::Image(format!(
                "{:?} is no qcow2 image, or larger than the message says",
                disk.name
            )));
        }
        disks::place(&self.folders.disk(ours), async |part: &Path| {
            let copy = Copy {
                from: &disk.path,
                format: Format::Qcow2,
                into: Format::Raw,
                without: None,
                compressed: false,
            };
            tool::convert(copy, part).await
        })
        .await
    }
}

async fn export_disk(
    folder: &Path,
    name: &str,
    (from, format): (&Path, Format),
    without: Option<(&Path, Format)>,
) -> Result<ExportedDisk, InstanceFault> {
    let path = folder.join(name);
    let copy = Copy {
        from,
        format,
        into: Format::Qcow2,
        without,
        compressed: true,
    };
    tool::convert(copy, &path).await?;
    let (size_bytes, sha256) = hash(&path).await?;
    Ok(ExportedDisk {
        name: name.to_owned(),
        path,
        size_bytes,
        sha256,
    })
}

async fn verified(disk: &ImportedDisk) -> Result<Image, InstanceFault> {
    let (_, found) = hash(&disk.path).await?;
    if !found.eq_ignore_ascii_case(&disk.sha256) {
        return Err(InstanceFault::Image(format!(
            "{:?} has the hash {found}, not {}; fetch it again",
            disk.name, disk.sha256
        )));
    }
    let path = disk.path.clone();
    blocking(move || Ok(inspect_delta(&path)))
        .await
        .map_err(InstanceFault::disk("read a disk"))?
}

async fn hash(path: &Path) -> Result<(u64, String), InstanceFault> {
    let path = path.to_owned();
    let hash = move || {
        let mut file = std::fs::File::open(path)?;
        let mut hash = Sha256::new();
        let (mut buffer, mut size_bytes) = (vec![0; 1 << 20], 0);
        loop {
            let count = file.read(&mut buffer)?;
            let Some(bytes @ [_, ..]) = buffer.get(..count) else {
                break;
            };
            hash.update(bytes);
            size_bytes += count as u64;
        }
        Ok((size_bytes, const_hex::encode(hash.finalize())))
    };
    blocking(hash)
        .await
        .map_err(InstanceFault::disk("hash a disk"))
}
