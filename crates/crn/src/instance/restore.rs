//! Puts an image that its owner brought in the place of a root disk
//! (compute.md §21).
//!
//! ```text
//! image ─ header, size, check ─▶ copy of our own making ─▶ stop ─▶ exchange ─▶ start
//! ```
//!
//! The copy is whole before the old disk is touched. When the node dies in the
//! middle of the exchange, the next start of the instance goes through with it.

use std::path::{Path, PathBuf};

use super::disks::{self, blocking};
use super::fault::InstanceFault;
use super::keeper::Keeper;
use super::qcow2::{Format, inspect};
use super::record::move_into_place;
use super::tool::{self, Copy};

impl Keeper {
    pub(super) async fn restore(&mut self, image: &Path) -> Result<(), InstanceFault> {
        let (path, declared) = (image.to_owned(), self.record.content.rootfs.size_mib << 20);
        let found = blocking(move || Ok(inspect(&path)))
            .await
            .map_err(InstanceFault::disk("read the disk image"))??;
        if found.format != Format::Qcow2 {
            return Err(InstanceFault::Image(
                "Uploaded file is not a valid QCOW2 disk image".into(),
            ));
        }
        if found.size_bytes > declared {
            return Err(InstanceFault::Image(format!(
                "New rootfs virtual size ({} bytes) exceeds declared rootfs size ({declared} bytes). Restore cannot increase disk size.",
                found.size_bytes
            )));
        }
        tool::check(image).await?;
        let fresh = self.fresh_root();
        disks::place(&fresh, async |part: &Path| {
            let copy = Copy {
                from: image,
                format: Format::Qcow2,
                into: Format::Qcow2,
                without: None,
                compressed: false,
            };
            tool::convert(copy, part).await?;
            tool::resize(part, Format::Qcow2, declared).await
        })
        .await?;
        self.halt().await;
        self.put_root(&fresh).await?;
        self.begin().await
    }

    fn fresh_root(&self) -> PathBuf {
        self.folders.own.join("rootfs.restored")
    }

    /// After a node that died during a restoration: an exchange that began is
    /// finished, a copy for one that did not begin is removed.
    pub(super) async fn finish_restoration(&mut self) -> Result<(), InstanceFault> {
        let fresh = self.fresh_root();
        let is_there = async |path: &Path| tokio::fs::try_exists(path).await.unwrap_or(false);
        if !is_there(&fresh).await {
            return Ok(());
        }
        if is_there(&self.folders.root()).await {
            return self.remove("rootfs.restored").await;
        }
        tracing::info!(
            "instance {}: its restoration is finished",
            self.record.item_hash
        );
        self.put_root(&fresh).await
    }

    /// Exchanges the root disk for a complete one. The record forgets the parent
    /// first: between the two steps a start would fail rather than show the old
    /// disk without its parent.
    async fn put_root(&mut self, fresh: &Path) -> Result<(), InstanceFault> {
        let root = self.folders.root();
        let kept = self.folders.own.join("rootfs.before-restore.qcow2");
        if self.record.parent.is_some() && tokio::fs::try_exists(&root).await.unwrap_or(false) {
            let (from, to) = (root.clone(), kept.clone());
            blocking(move || move_into_place(&from, &to))
                .await
                .map_err(InstanceFault::disk("put the old root disk aside"))?;
        }
        self.record.parent = None;
        self.record.prepared = true;
        self.save().await?;
        let fresh = fresh.to_owned();
        blocking(move || move_into_place(&fresh, &root))
            .await
            .map_err(InstanceFault::disk("put the new root disk in its place"))
    }
}
