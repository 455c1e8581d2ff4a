//! Backup, restoration and migration of a real QEMU whose guest is nothing but a
//! boot sector: disks are what matters here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use beth_crn::instance::{
    BackupOrder, BackupStatus, Import, ImportedDisk, InstanceFault, Instances, Phase,
};
use beth_protocol::ItemHash;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::fixture::{Reaper, Ship, reaches};

const MIB: usize = 1 << 20;

/// Halts at once: `hlt` in a loop. The rest is sevens.
pub fn boot_disk() -> Vec<u8> {
    let mut disk = vec![7; 4 * MIB];
    disk[..3].copy_from_slice(&[0xf4, 0xeb, 0xfd]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

fn image_tool(arguments: &[&str]) {
    let status = Command::new("qemu-img").args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// The bytes of a disk, with everything behind it.
pub fn contents(image: &Path, folder: &Path) -> Vec<u8> {
    let raw = folder.join("raw");
    image_tool(&[
        "convert",
        "-U",
        "-f",
        "qcow2",
        "-O",
        "raw",
        image.to_str().unwrap(),
        raw.to_str().unwrap(),
    ]);
    std::fs::read(raw).unwrap()
}

pub fn own(ship: &Ship, hash: &ItemHash) -> PathBuf {
    ship.folder.path().join("instances").join(hash.as_str())
}

pub async fn finished(node: &Instances, hash: &ItemHash) -> BackupStatus {
    let ended = async {
        loop {
            match node.backup_status(hash).unwrap() {
                BackupStatus::InProgress => tokio::time::sleep(Duration::from_millis(20)).await,
                other => return other,
            }
        }
    };
    tokio::time::timeout(super::fixture::BOOT, ended)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_machine_is_restored() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let parent = ship.core.store(boot_disk().into());
    let hash = ship.instance(
        &parent,
        json!({
            "rootfs": {"parent": {"ref": parent, "use_latest": false}, "persistence": "host", "size_mib": 8},
            "volumes": [{"name": "data", "mount": "/d", "persistence": "host", "size_mib": 16}],
        }),
    );
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    let order = BackupOrder {
        include_volumes: true,
        freeze: false,
    };
    node.back_up(&hash, order).await.unwrap();
    let BackupStatus::Done(archive) = finished(&node, &hash).await else {
        panic!("{:?}", node.backup_status(&hash));
    };
    let bytes = std::fs::read(&archive.path).unwrap();
    assert_eq!(archive.sha256, const_hex::encode(Sha256::digest(&bytes)));
    assert!(node.state(&hash).unwrap().is_running());
    let scratch = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("xf")
        .arg(&archive.path)
        .current_dir(scratch.path())
        .status();
    assert!(unpacked.unwrap().success());
    assert!(scratch.path().join("data.qcow2").exists());
    let root = scratch.path().join("rootfs.qcow2");
    let disk = contents(&root, scratch.path());
    assert_eq!(disk.len(), 8 * MIB);
    assert!(
        disk[..4 * MIB] == boot_disk()[..],
        "the disk is another one"
    );

    // Names of others' backups and paths are no backups.
    assert_eq!(
        node.backup(&hash, &archive.backup_id).await,
        Some(archive.clone())
    );
    let other = ItemHash::of_bytes(b"other");
    assert_eq!(node.backup(&other, &archive.backup_id).await, None);
    assert_eq!(node.backup(&hash, &format!("{hash}-../x")).await, None);

    // An image that leads elsewhere, one that is too large, and the right one.
    let spy = scratch.path().join("spy.qcow2");
    image_tool(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        "/etc/shadow",
        spy.to_str().unwrap(),
    ]);
    let fault = node.restore(&hash, &spy).await.unwrap_err();
    assert!(fault.to_string().contains("backing file"), "{fault}");
    let large = scratch.path().join("large.qcow2");
    image_tool(&["create", "-q", "-f", "qcow2", large.to_str().unwrap(), "9M"]);
    let fault = node.restore(&hash, &large).await.unwrap_err();
    assert!(
        fault.to_string().contains("exceeds declared rootfs size"),
        "{fault}"
    );
    assert!(node.state(&hash).unwrap().is_running());
    node.restore(&hash, &root).await.unwrap();
    assert!(node.state(&hash).unwrap().is_running());
    node.stop(&hash).await.unwrap();
    assert!(contents(&own(&ship, &hash).join("rootfs.qcow2"), scratch.path()) == disk);
    assert!(node.delete_backup(&hash, &archive.backup_id).await.unwrap());
    assert!(node.list_backups(&hash).await.is_empty());
    node.erase(&hash).await.unwrap();
    node.close().await;
}

/// Register 15: what the guest zeroed stays zero, and volumes travel too.
#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_disk_is_the_same_disk() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let parent = ship.core.store(boot_disk().into());
    let hash = ship.instance(
        &parent,
        json!({
            "rootfs": {"parent": {"ref": parent, "use_latest": false}, "persistence": "host", "size_mib": 8},
            "volumes": [{"name": "data", "mount": "/d", "persistence": "host", "size_mib": 16}],
        }),
    );
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    node.stop(&hash).await.unwrap();
    let root = own(&ship, &hash).join("rootfs.qcow2");
    let written = Command::new("qemu-io")
        .args([
            "-f",
            "qcow2",
            "-c",
            "write -z -u 1M 1M",
            "-c",
            "write -P 9 6M 64k",
        ])
        .arg(&root)
        .output();
    assert!(written.unwrap().status.success());
    let volume = own(&ship, &hash).join("volumes/data.ext4");
    let scratch = tempfile::tempdir().unwrap();
    let before = (
        contents(&root, scratch.path()),
        std::fs::read(&volume).unwrap(),
    );
    assert!(before.0[MIB..2 * MIB].iter().all(|byte| *byte == 0));

    assert!(matches!(
        node.export(&hash).await,
        Err(InstanceFault::WrongState(_))
    ));
    node.run(&hash).await.unwrap();
    let export = node.export(&hash).await.unwrap();
    assert_eq!(node.state(&hash).unwrap().phase, Phase::Stopped);
    let names: Vec<&str> = export.disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["rootfs.qcow2", "data.ext4.qcow2"]);

    let there = tempfile::Builder::new().prefix("j").tempdir().unwrap();
    let _other_reaper = Reaper(there.path().to_owned());
    let fetch = |wrong: bool| Import {
        disks: export
            .disks
            .iter()
            .map(|disk| {
                let path = scratch.path().join(&disk.name);
                std::fs::copy(&disk.path, &path).unwrap();
                let sha256 = if wrong {
                    "00".repeat(32)
                } else {
                    disk.sha256.clone()
                };
                ImportedDisk {
                    name: disk.name.clone(),
                    path,
                    sha256,
                }
            })
            .collect(),
    };
    let other = ship.node_in(there.path());
    let fault = other.import(&hash, fetch(true)).await.unwrap_err();
    assert!(fault.to_string().contains("fetch it again"), "{fault}");
    other.import(&hash, fetch(false)).await.unwrap();
    reaches(&other, &hash, Phase::Running).await;
    other.stop(&hash).await.unwrap();
    let theirs = there.path().join("instances").join(hash.as_str());
    assert!(contents(&theirs.join("rootfs.qcow2"), scratch.path()) == before.0);
    assert!(std::fs::read(theirs.join("volumes/data.ext4")).unwrap() == before.1);
    let again = other.import(&hash, fetch(false)).await;
    assert!(
        matches!(again, Err(InstanceFault::AlreadyHere)),
        "{again:?}"
    );
    node.close().await;
    other.close().await;
}
