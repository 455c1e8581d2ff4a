//! Backups and restoration (compute.md §21).
//!
//! ```text
//! freeze the guest's file systems ─▶ one transaction: a copy job per disk ─▶ thaw
//!   ─▶ jobs end ─▶ compress, check ─▶ tar, hash ─▶ <id>.tar  .tar.sha256  .tar.meta.json
//! ```
//!
//! QEMU itself copies: what the guest overwrites meanwhile is copied first, so an
//! archive shows all disks at one moment, and the live images are never opened by
//! a second program. Each backup works in a folder of its own. An archive has its
//! name only when it and its particulars are whole.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::archive::{Archive, BackupStatus, Backups, Particulars};
use super::disks::blocking;
use super::fault::InstanceFault;
use super::keeper::{Command, Keeper};
use super::qcow2::{self, Format};
use super::qmp::{Qmp, ask_agent};
use super::record::{DiskKind, Record, move_into_place, now, write_whole};
use super::tool::{self, Copy};
use super::{Instances, qemu, shop, tar};

/// What a backup shall hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupOrder {
    /// Further disks that the guest writes too, not only its root.
    pub include_volumes: bool,
    /// Whether the guest is asked to bring its file systems to rest.
    pub freeze: bool,
}

impl Instances {
    /// Begins a backup and returns; [`backup_status`](Self::backup_status) tells
    /// how it stands. Refused when there is no room for copies of the disks.
    pub async fn back_up(
        &self,
        item_hash: &ItemHash,
        order: BackupOrder,
    ) -> Result<(), InstanceFault> {
        let backups = self.backups(item_hash)?;
        if !backups.claim() {
            return Err(InstanceFault::Busy);
        }
        let submitted = self.submit(item_hash, Command::Backup(order));
        if let Err(fault) = submitted {
            backups.tell(BackupStatus::Idle);
            return Err(fault);
        }
        Ok(())
    }

    /// How the latest backup stands; `None` when the instance is unknown.
    pub fn backup_status(&self, item_hash: &ItemHash) -> Option<BackupStatus> {
        Some(self.backups(item_hash).ok()?.status())
    }

    /// A failure was told; it is told once.
    pub(super) fn forget_failure(&self, item_hash: &ItemHash) {
        if let Ok(backups) = self.backups(item_hash) {
            let mut status = backups.lock();
            if matches!(*status, BackupStatus::Failed(_)) {
                *status = BackupStatus::Idle;
            }
        }
    }

    /// Finished backups, newest first, also of instances that are gone.
    pub async fn list_backups(&self, item_hash: &ItemHash) -> Vec<Archive> {
        let backups = Backups::new(&self.0.shop.backups, item_hash);
        blocking(move || Ok(backups.list()))
            .await
            .unwrap_or_default()
    }

    /// One finished backup. `None`: there is none of this name, or it is of
    /// another instance.
    pub async fn backup(&self, item_hash: &ItemHash, backup_id: &str) -> Option<Archive> {
        let backups = Backups::new(&self.0.shop.backups, item_hash);
        let backup_id = backup_id.to_owned();
        blocking(move || Ok(backups.archive(&backup_id)))
            .await
            .ok()?
    }

    /// Removes a backup; whether there was one.
    pub async fn delete_backup(
        &self,
        item_hash: &ItemHash,
        backup_id: &str,
    ) -> Result<bool, InstanceFault> {
        let backups = Backups::new(&self.0.shop.backups, item_hash);
        let backup_id = backup_id.to_owned();
        blocking(move || backups.delete(&backup_id))
            .await
            .map_err(InstanceFault::disk("remove a backup"))
    }

    /// Bytes needed for a backup that are not free; `None` when there is room.
    /// Disks are sparse: what counts is what was written and the image behind
    /// it, as copies and in the archive. Blocks for looks at files.
    fn backup_shortage(&self, item_hash: &ItemHash) -> Option<(u64, u64)> {
        let record = Record::load(&self.0.shop.own(item_hash)).ok()?;
        let folders = self.0.shop.folders(item_hash, record.vm_id);
        let parent = record.parent.as_ref();
        let parent = parent.and_then(|parent| qcow2::inspect(&folders.parent(parent)).ok());
        let written = shop::taken_bytes(&folders.own, 2);
        let data = written.saturating_add(parent.map_or(0, |image| image.size_bytes));
        let needed = data.saturating_mul(2).min(record.declared_bytes());
        let free = shop::free_bytes(&self.0.shop.backups).unwrap_or_default();
        (needed > free).then_some((free, needed))
    }

    /// The same, elsewhere.
    pub(super) async fn lacks_room_for_backup(&self, item_hash: &ItemHash) -> Option<(u64, u64)> {
        let (instances, item_hash) = (self.clone(), item_hash.clone());
        let look = move || Ok(instances.backup_shortage(&item_hash));
        blocking(look).await.ok().flatten()
    }

    /// Replaces the root disk by an image that the owner brought, and starts the
    /// instance. The image is only read. The disk before is kept as
    /// `rootfs.before-restore.qcow2` until the next restoration.
    pub async fn restore(&self, item_hash: &ItemHash, image: &Path) -> Result<(), InstanceFault> {
        let backups = self.backups(item_hash)?;
        if !backups.claim() {
            return Err(InstanceFault::Busy);
        }
        let restored = self
            .order(item_hash, Command::Restore(image.to_owned()))
            .await
            .map(drop);
        backups.tell(BackupStatus::Idle);
        restored
    }

    fn backups(&self, item_hash: &ItemHash) -> Result<Backups, InstanceFault> {
        let entry = self.entry(item_hash);
        let entry = entry.ok_or_else(|| InstanceFault::Unknown(item_hash.clone()))?;
        Ok(entry.backups)
    }
}

/// A disk to copy: its node in QEMU, the image, the member of the archive.
#[derive(Clone, Debug)]
struct Source {
    node: String,
    path: PathBuf,
    format: Format,
    size_bytes: u64,
    member: String,
}

impl Keeper {
    pub(super) async fn back_up(&mut self, order: BackupOrder) -> Result<(), InstanceFault> {
        let made = self.make_backup(order).await;
        self.backups.tell(match &made {
            Ok(archive) => BackupStatus::Done(archive.clone()),
            Err(fault) => BackupStatus::Failed(fault.to_string()),
        });
        made.map(drop)
    }

    async fn make_backup(&mut self, order: BackupOrder) -> Result<Archive, InstanceFault> {
        if !self.record.prepared {
            return Err(InstanceFault::WrongState("VM has no disk image"));
        }
        let backups = self.backups.clone();
        blocking(move || {
            backups.sweep();
            Ok(())
        })
        .await
        .map_err(InstanceFault::disk("look for old backups"))?;
        let created_at = Timestamp::from_seconds(now().micros().div_euclid(1_000_000));
        let time = created_at.to_iso("Z").replace(['-', ':'], "");
        let backup_id = format!("{}-{time}", self.record.item_hash);
        let work = self.backups.folder.join(format!("{backup_id}.work"));
        super::make_private(&work).map_err(InstanceFault::disk("make a folder for the backup"))?;
        let sources = self.sources(order.include_volumes);
        let shop = self.shop.clone();
        let _permit = shop.copies.acquire().await;
        let copied = self.copy_disks(&sources, &work, order.freeze).await;
        let archive = match copied {
            Ok(()) => self.pack(&sources, &work, &backup_id, created_at).await,
            Err(fault) => Err(fault),
        };
        drop(tokio::fs::remove_dir_all(&work).await);
        archive
    }

    /// The disks that the guest writes.
    fn sources(&self, include_volumes: bool) -> Vec<Source> {
        let mut sources = vec![Source {
            node: "root".into(),
            path: self.folders.root(),
            format: Format::Qcow2,
            size_bytes: self.record.content.rootfs.size_mib << 20,
            member: "rootfs.qcow2".into(),
        }];
        let volumes = self.record.disks.iter().enumerate();
        let volumes = volumes.filter(|(_, disk)| disk.kind == DiskKind::Persistent);
        if include_volumes {
            sources.extend(volumes.map(|(index, disk)| Source {
                node: format!("volume{index}"),
                path: self.folders.disk(disk),
                format: Format::Raw,
                size_bytes: disk.size_bytes,
                member: format!(
                    "{}.qcow2",
                    disk.path.file_stem().unwrap_or_default().to_string_lossy()
                ),
            }));
        }
        sources
    }

    /// Copies disks as they are at one moment into `<work>/<node>`.
    async fn copy_disks(
        &mut self,
        sources: &[Source],
        work: &Path,
        freeze: bool,
    ) -> Result<(), InstanceFault> {
        let agent = qemu::agent(&self.folders.sockets);
        let Some(guest) = &mut self.guest else {
            for source in sources {
                let copy = Copy {
                    from: &source.path,
                    format: source.format,
                    into: Format::Qcow2,
                    without: None,
                    compressed: false,
                };
                tool::convert(copy, &work.join(&source.node)).await?;
            }
            return Ok(());
        };
        let monitor = |reason: String| InstanceFault::Tool {
            tool: "QEMU",
            reason,
        };
        let (mut jobs, mut lent_sets) = (Vec::new(), Vec::new());
        for source in sources {
            let target = work.join(&source.node);
            let size = inspect_size(source).await?;
            tool::create(&target, Format::Qcow2, size).await?;
            let node = format!("backup-{}", source.node);
            let opened = std::fs::File::options().read(true).write(true).open(target);
            let opened = opened.map_err(InstanceFault::disk("open the copy of a disk"))?;
            let lent = guest.qmp.lend(opened.as_fd()).await.map_err(monitor)?;
            lent_sets.push(lent);
            let name = format!("/dev/fdset/{lent}");
            let file = json!({"driver": "file", "filename": name});
            let added = json!({"driver": "qcow2", "node-name": node, "file": file});
            guest
                .qmp
                .execute("blockdev-add", added)
                .await
                .map_err(monitor)?;
            jobs.push(json!({"type": "blockdev-backup", "data": {
                "job-id": node, "device": source.node, "target": node,
                "sync": "full", "auto-dismiss": false,
            }}));
        }
        let mut frozen = false;
        if freeze {
            match ask_agent(&agent, "guest-fsfreeze-freeze").await {
                Ok(_) => frozen = true,
                Err(reason) => tracing::info!("a backup without rest in the guest: {reason}"),
            }
        }
        let begun = guest
            .qmp
            .execute("transaction", json!({"actions": jobs}))
            .await;
        if frozen && let Err(reason) = ask_agent(&agent, "guest-fsfreeze-thaw").await {
            tracing::warn!("the guest of a backup does not thaw: {reason}");
        }
        let ended = match begun {
            Ok(_) => end_of_jobs(&mut guest.qmp).await,
            Err(reason) => Err(reason),
        };
        for source in sources {
            let node = json!({"node-name": format!("backup-{}", source.node)});
            drop(guest.qmp.execute("blockdev-del", node).await);
        }
        for set in lent_sets {
            drop(
                guest
                    .qmp
                    .execute("remove-fd", json!({"fdset-id": set}))
                    .await,
            );
        }
        ended.map_err(monitor)
    }

    async fn pack(
        &self,
        sources: &[Source],
        work: &Path,
        backup_id: &str,
        created_at: Timestamp,
    ) -> Result<Archive, InstanceFault> {
        let mut members = Vec::new();
        let mut source_sizes = BTreeMap::new();
        for source in sources {
            let (from, to) = (work.join(&source.node), work.join(&source.member));
            let copy = Copy {
                from: &from,
                format: Format::Qcow2,
                into: Format::Qcow2,
                without: None,
                compressed: true,
            };
            tool::convert(copy, &to).await?;
            tool::check(&to).await?;
            drop(tokio::fs::remove_file(&from).await);
            source_sizes.insert(source.member.clone(), source.size_bytes);
            members.push((source.member.clone(), to));
        }
        let particulars = Particulars {
            vm_hash: self.record.item_hash.clone(),
            created_at: created_at.to_iso("+00:00"),
            source_sizes,
        };
        let (work, backups) = (work.to_owned(), self.backups.clone());
        let id = backup_id.to_owned();
        let write = move || {
            let whole = work.join("archive.tar");
            let sha256 = tar::write(&whole, &members)?;
            let path = backups.folder.join(format!("{id}.tar"));
            let particulars = serde_json::to_vec(&particulars).map_err(std::io::Error::other)?;
            write_whole(&path.with_extension("tar.meta.json"), &particulars)?;
            let sum = format!("{sha256}  {id}.tar\n");
            write_whole(&path.with_extension("tar.sha256"), sum.as_bytes())?;
            move_into_place(&whole, &path)?;
            let missing = || std::io::Error::other("the archive cannot be read back");
            backups.archive(&id).ok_or_else(missing)
        };
        blocking(write)
            .await
            .map_err(InstanceFault::disk("write the backup"))
    }
}

/// Size of the disk that a guest sees now; its owner may have grown it.
async fn inspect_size(source: &Source) -> Result<u64, InstanceFault> {
    let path = source.path.clone();
    let image = blocking(move || Ok(qcow2::inspect_delta(&path)))
        .await
        .map_err(InstanceFault::disk("read a disk"))??;
    Ok(match source.format {
        Format::Raw => source.size_bytes,
        Format::Qcow2 => image.size_bytes,
    })
}

/// Waits for all copy jobs and says what went wrong.
async fn end_of_jobs(qmp: &mut Qmp) -> Result<(), String> {
    let mut wrong = None;
    loop {
        let jobs = qmp.execute("query-jobs", Value::Null).await?;
        let jobs = jobs.as_array().cloned().unwrap_or_default();
        if jobs.is_empty() {
            return wrong.map_or(Ok(()), Err);
        }
        for job in jobs {
            if job["status"] == "concluded" {
                if let Some(error) = job["error"].as_str() {
                    wrong = Some(format!("copying a disk: {error}"));
                }
                qmp.execute("job-dismiss", json!({"id": job["id"]})).await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ends what an earlier node began and could not end.
pub(super) async fn cancel_stale_jobs(qmp: &mut Qmp) {
    let jobs = qmp
        .execute("query-jobs", Value::Null)
        .await
        .unwrap_or_default();
    for job in jobs.as_array().into_iter().flatten() {
        // One that has just ended refuses; it is dismissed below.
        drop(qmp.execute("job-cancel", json!({"id": job["id"]})).await);
    }
    drop(end_of_jobs(qmp).await);
    let nodes = qmp
        .execute("query-named-block-nodes", json!({"flat": true}))
        .await
        .unwrap_or_default();
    for node in nodes.as_array().into_iter().flatten() {
        let name = node["node-name"].as_str().unwrap_or_default();
        if name.starts_with("backup-") {
            drop(
                qmp.execute("blockdev-del", json!({"node-name": name}))
                    .await,
            );
        }
    }
}
