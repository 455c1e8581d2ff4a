//! Nodes that are killed, alone or with everything on their host.

use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use beth_crn::instance::Phase;
use beth_protocol::ItemHash;
use serde_json::{Value, json};

use super::fixture::{Reaper, Ship, is_alive, kill, qemu_pid, reaches};

/// The core node, the folder and the instance of the node that will be killed.
const VICTIM: &str = "BETH_TEST_VICTIM";

/// Not a test: the victim of the others. It runs an instance, says so and waits.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the next tests"]
#[allow(clippy::print_stdout)]
async fn a_node_that_will_be_killed() {
    let told = std::env::var(VICTIM).unwrap();
    let words: Vec<&str> = told.split(' ').collect();
    let [core, folder, item_hash] = words[..] else {
        panic!("{told}")
    };
    let node = Ship::quick().await.node_on(core, Path::new(folder));
    node.allocate(&ItemHash::parse(item_hash).unwrap())
        .await
        .unwrap();
    println!("it runs");
    std::future::pending::<()>().await;
}

/// A node in a process of its own, whose instance runs.
fn victim(ship: &Ship, item_hash: &ItemHash) -> Child {
    let folder = ship.folder.path().display();
    let mut node = Command::new(std::env::current_exe().unwrap())
        .args([
            "instance::killed::a_node_that_will_be_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(VICTIM, format!("{} {folder} {item_hash}", ship.core.url))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(node.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("it runs")));
    node
}

fn instance(ship: &Ship) -> ItemHash {
    let image = ship.core.store(vec![0xeb; 4096].into());
    ship.instance(&image, json!({"resources": {"vcpus": 1, "memory": 128}}))
}

/// QEMUs whose disk is in the folder.
fn qemus(ship: &Ship) -> usize {
    let folder = ship.folder.path().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains("qemu-system") && line.contains(&folder))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_a_killed_node_are_found_by_the_next() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let hash = instance(&ship);
    let mut killed = victim(&ship, &hash);
    let pid = qemu_pid(ship.folder.path(), &hash);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_alive(pid), "the guest outlives its node");

    let node = ship.node();
    node.settled().await;
    assert!(node.state(&hash).unwrap().is_running());
    assert_eq!(qemu_pid(ship.folder.path(), &hash), pid);
    assert_eq!(qemus(&ship), 1);
    node.erase(&hash).await.unwrap();
    assert!(!is_alive(pid));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_everything_runs_once_on_its_own_disk() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let hash = instance(&ship);
    let mut killed = victim(&ship, &hash);
    let pid = qemu_pid(ship.folder.path(), &hash);
    let disk = ship.folder.path().join("instances").join(hash.as_str());
    let disk = disk.join("rootfs.qcow2");
    let before = std::fs::metadata(&disk).unwrap();
    killed.kill().unwrap();
    kill(pid);
    killed.wait().unwrap();

    let node = ship.node();
    reaches(&node, &hash, Phase::Running).await;
    let now = qemu_pid(ship.folder.path(), &hash);
    assert!(now != pid && is_alive(now));
    assert_eq!(qemus(&ship), 1);
    assert_eq!(std::fs::metadata(&disk).unwrap().ino(), before.ino());
    node.erase(&hash).await.unwrap();
    assert_eq!(qemus(&ship), 0);
    node.close().await;
}

/// The folder of a stopped instance that ran once.
async fn stopped(ship: &Ship, hash: &ItemHash) -> PathBuf {
    let node = ship.node();
    node.allocate(hash).await.unwrap();
    node.stop(hash).await.unwrap();
    node.close().await;
    ship.folder.path().join("instances").join(hash.as_str())
}

fn restored_copy(folder: &Path) {
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(folder.join("rootfs.restored"))
        .arg("4000M")
        .status();
    assert!(made.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_that_was_cut_off_is_finished_or_never_was() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let hash = instance(&ship);
    let own = stopped(&ship, &hash).await;
    let root = own.join("rootfs.qcow2");
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();

    // Before the exchange: the old disk is the disk.
    restored_copy(&own);
    let old = inode(&root);
    let node = ship.node();
    node.run(&hash).await.unwrap();
    assert_eq!(inode(&root), old);
    assert!(!own.join("rootfs.restored").exists());
    node.stop(&hash).await.unwrap();
    node.close().await;

    // In its middle: the old disk is aside, the new one not yet in its place.
    restored_copy(&own);
    let new = inode(&own.join("rootfs.restored"));
    std::fs::rename(&root, own.join("rootfs.before-restore.qcow2")).unwrap();
    let node = ship.node();
    node.run(&hash).await.unwrap();
    assert_eq!(inode(&root), new);
    assert_eq!(inode(&own.join("rootfs.before-restore.qcow2")), old);
    assert!(node.state(&hash).unwrap().is_running());
    node.erase(&hash).await.unwrap();
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reinstallation_that_was_cut_off_is_finished() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let hash = instance(&ship);
    let own = stopped(&ship, &hash).await;
    let old = std::fs::metadata(own.join("rootfs.qcow2")).unwrap().ino();
    // What is remembered when the old disk is about to be removed.
    let path = own.join("instance.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["prepared"] = false.into();
    record["parent"] = Value::Null;
    record["wanted"] = true.into();
    std::fs::write(&path, record.to_string()).unwrap();
    let node = ship.node();
    reaches(&node, &hash, Phase::Running).await;
    let now = std::fs::metadata(own.join("rootfs.qcow2")).unwrap().ino();
    assert_ne!(now, old, "the disk is a new one");
    node.erase(&hash).await.unwrap();
    node.close().await;
}
