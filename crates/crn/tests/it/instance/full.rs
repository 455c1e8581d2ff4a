//! A disk of the node that is full while a guest writes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::fixture::{BOOT, Reaper, Ship, is_alive, qemu_pid};

/// A program that begins where computers begin, and writes one sector of each
/// 64 KiB of its disk, on and on.
const WRITER: [u8; 41] = [
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    0xbe, 0x19, 0x7c, // again: mov si, packet
    0xb2, 0x80, // mov dl, the first disk
    0xb8, 0x00, 0x43, // mov ax, extended write
    0xcd, 0x13, // int the firmware
    0x66, 0x81, 0x06, 0x21, 0x7c, 0x80, 0x00, 0x00, 0x00, // add dword [sector], 128
    0xeb, 0xeb, // jmp again
    0x10, 0x00, 0x01, 0x00, 0x00, 0x7c, 0x00, 0x00, // packet: one sector from 0:7c00
    0, 0, 0, 0, 0, 0, 0, 0, // sector
];

/// A file system of 48 MiB; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn over(folder: &Path) -> Small {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
            .arg(folder)
            .status();
        assert!(mounted.unwrap().success(), "a small disk needs root");
        Small(folder.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn written(disk: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(disk).unwrap().blocks() * 512
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + BOOT;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_waits_while_the_disk_is_full_and_goes_on() {
    // The node promises more than there is.
    let mut ship = Ship::quick().await;
    ship.disk_mib = Some(1000);
    let _small = Small::over(ship.folder.path());
    let _reaper = Reaper(ship.folder.path().to_owned());
    let mut image = WRITER.to_vec();
    image.resize(510, 0);
    image.extend([0x55, 0xaa]);
    image.resize(4096, 0);
    let image = ship.core.store(image.into());
    let hash = ship.instance(
        &image,
        json!({
            "resources": {"vcpus": 1, "memory": 128},
            "rootfs": {"parent": {"ref": image, "use_latest": false}, "persistence": "host", "size_mib": 40},
        }),
    );
    let filler = ship.folder.path().join("filler");
    std::fs::write(&filler, vec![1; 32 << 20]).unwrap();
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    let free = || {
        let told = rustix::fs::statvfs(ship.folder.path()).unwrap();
        told.f_bavail * told.f_frsize
    };
    until("the disk fills", || free() < 64 << 10).await;
    let own = ship.folder.path().join("instances").join(hash.as_str());
    let disk = own.join("rootfs.qcow2");
    let full = written(&disk);
    assert!(node.state(&hash).unwrap().is_running());
    std::fs::remove_file(&filler).unwrap();
    until("the guest goes on", || written(&disk) > full + (4 << 20)).await;
    assert!(is_alive(qemu_pid(ship.folder.path(), &hash)));
    node.erase(&hash).await.unwrap();
    node.close().await;
}
