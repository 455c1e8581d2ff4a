//! What the QEMU of an instance can see, and what it cannot.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use beth_crn::instance::{BackupOrder, BackupStatus, Instances};
use beth_crn::jail::{Jails, Mode};
use beth_protocol::ItemHash;
use serde_json::json;

use super::copies::{boot_disk, finished};
use super::fixture::{Reaper, Ship, is_alive, qemu_pid};

fn status(pid: i32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    let value = line.split_once(':').unwrap().1;
    value.split_whitespace().next().unwrap().to_owned()
}

fn has(folder: &Path, layer: &str) -> bool {
    let jails = Jails::open(Mode::Auto, 215_000, &folder.join("jails")).unwrap();
    let layers = jails.layers();
    let layer = layers.iter().find(|known| known.name == layer).unwrap();
    layer.state.is_ok()
}

fn small(ship: &Ship, parent: &ItemHash, number: u64) -> ItemHash {
    ship.instance(
        parent,
        json!({
            "time": number,
            "resources": {"vcpus": 1, "memory": 128},
            "rootfs": {"parent": {"ref": parent, "use_latest": false}, "persistence": "host", "size_mib": 8},
            "volumes": [{"name": "data", "mount": "/d", "persistence": "host", "size_mib": 16}],
        }),
    )
}

/// Files that a process sees below its own root.
fn sees(pid: i32, path: &Path) -> bool {
    let below = path.strip_prefix("/").unwrap();
    PathBuf::from(format!("/proc/{pid}/root"))
        .join(below)
        .exists()
}

async fn backed_up(node: &Instances, hash: &ItemHash) {
    let order = BackupOrder {
        include_volumes: true,
        freeze: false,
    };
    node.back_up(hash, order).await.unwrap();
    let BackupStatus::Done(_) = finished(node, hash).await else {
        panic!("{:?}", node.backup_status(hash));
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_sees_its_own_disks_and_nothing_else() {
    let ship = Ship::quick().await;
    let folder = ship.folder.path();
    let _reaper = Reaper(folder.to_owned());
    let parent = ship.core.store(boot_disk().into());
    let (one, other) = (small(&ship, &parent, 1), small(&ship, &parent, 2));
    let node = ship.node();
    for hash in [&one, &other] {
        node.allocate(hash).await.unwrap();
    }
    let (pid, neighbour) = (qemu_pid(folder, &one), qemu_pid(folder, &other));
    let own = |hash: &ItemHash| folder.join("instances").join(hash.as_str());
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "CapEff"), "0000000000000000");
    assert_ne!(status(pid, "Seccomp"), "0");
    if has(folder, "own user") {
        assert_ne!(status(pid, "Uid"), "0");
        assert_ne!(status(pid, "Uid"), status(neighbour, "Uid"));
        let owner = std::fs::metadata(own(&one).join("rootfs.qcow2")).unwrap();
        assert_eq!(owner.uid().to_string(), status(pid, "Uid"));
    }
    if has(folder, "own files") {
        assert!(sees(pid, &own(&one).join("rootfs.qcow2")));
        assert!(sees(pid, &own(&one).join("volumes/data.ext4")));
        for hidden in [
            own(&other).join("rootfs.qcow2"),
            own(&one).join("instance.json"),
            folder.join("backups"),
            "/etc/shadow".into(),
            "/bin/sh".into(),
            "/proc/self".into(),
        ] {
            assert!(!sees(pid, &hidden), "{}", hidden.display());
        }
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let longest = limits
        .lines()
        .find(|line| line.starts_with("Max file size"));
    let longest = longest.unwrap().split_whitespace().nth(3).unwrap();
    assert!(longest.parse::<u64>().unwrap() < 128 << 20, "{limits}");

    // It outlives the node, is copied by the next one, and leaves nothing behind.
    backed_up(&node, &one).await;
    node.close().await;
    assert!(is_alive(pid) && is_alive(neighbour));
    let node = ship.node();
    super::fixture::reaches(&node, &one, beth_crn::instance::Phase::Running).await;
    assert_eq!(qemu_pid(folder, &one), pid);
    backed_up(&node, &one).await;
    let before = status(pid, "Uid");
    node.reboot(&one).await.unwrap();
    assert!(!is_alive(pid));
    let again = qemu_pid(folder, &one);
    assert_eq!(status(again, "Uid"), before);
    assert!(is_alive(neighbour));
    for hash in [&one, &other] {
        node.erase(hash).await.unwrap();
    }
    assert!(!is_alive(again));
    let kept = std::fs::read_dir(folder.join("jails/users"));
    assert_eq!(kept.map_or(0, Iterator::count), 0, "a user id is kept");
    node.close().await;
}

/// Debugging without a jail starts the same machine.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_jail_it_runs_too() {
    let mut ship = Ship::quick().await;
    ship.jail = Mode::Off;
    let folder = ship.folder.path();
    let _reaper = Reaper(folder.to_owned());
    let parent = ship.core.store(boot_disk().into());
    let hash = small(&ship, &parent, 1);
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    let pid = qemu_pid(folder, &hash);
    backed_up(&node, &hash).await;
    node.close().await;
    assert!(is_alive(pid));
    let node = ship.node();
    node.erase(&hash).await.unwrap();
    assert!(!is_alive(pid));
    node.close().await;
}
