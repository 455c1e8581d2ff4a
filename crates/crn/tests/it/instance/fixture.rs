//! A node's instances on a fake core node, and a person with an SSH key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use beth_crn::config::Acceleration;
use beth_crn::core_node::CoreNode;
use beth_crn::download::Files;
use beth_crn::instance::{Ground, Hardware, Instances, InstancesConfig, Phase, Source, UserLinks};
use beth_crn::jail::{Jails, Mode};
use beth_protocol::{ItemHash, MessageType};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::fake::FakeCore;

/// A boot under emulation on a busy computer.
pub const BOOT: Duration = Duration::from_secs(300);

pub struct Ship {
    pub core: FakeCore,
    pub folder: TempDir,
    well_known: BTreeMap<ItemHash, PathBuf>,
    shutdown_seconds: u64,
    pub jail: Mode,
    pub hardware: Hardware,
    pub disk_mib: Option<u64>,
}

impl Ship {
    pub async fn new() -> Ship {
        Ship {
            core: FakeCore::start().await,
            folder: tempfile::Builder::new().prefix("i").tempdir().unwrap(),
            well_known: BTreeMap::new(),
            shutdown_seconds: 120,
            jail: Mode::Auto,
            hardware: Hardware::default(),
            disk_mib: None,
        }
    }

    /// For guests that never listen to a power button.
    pub async fn quick() -> Ship {
        Ship {
            shutdown_seconds: 0,
            ..Ship::new().await
        }
    }

    /// The Debian image, under the name of a STORE message.
    pub fn debian(&mut self) -> ItemHash {
        let image = beth_crn::microvm::default_guest_folder().join("debian-12.qcow2");
        assert!(image.is_file(), "run scripts/image.sh first");
        let name = ItemHash::of_bytes(b"debian-12");
        self.well_known.insert(name.clone(), image);
        name
    }

    /// A node begins.
    pub fn node(&self) -> Instances {
        self.node_in(self.folder.path())
    }

    pub fn node_in(&self, folder: &Path) -> Instances {
        self.node_on(&self.core.url, folder)
    }

    /// The same on another core node.
    pub fn node_on(&self, core: &str, folder: &Path) -> Instances {
        let core = CoreNode::new(core).unwrap();
        let config = InstancesConfig {
            memory_mib: Some(8192),
            shutdown_seconds: self.shutdown_seconds,
            ..InstancesConfig::default()
        };
        let ground = Ground {
            folder: folder.to_owned(),
            source: Source {
                files: Files::open(core.clone(), folder).unwrap(),
                core,
                well_known: self.well_known.clone(),
            },
            links: Arc::new(UserLinks::new([127, 0, 0, 1].into())),
            acceleration: Acceleration::Tcg,
            jails: Jails::open(self.jail, 215_000, &folder.join("jails")).unwrap(),
            disk_mib: self.disk_mib,
            hardware: self.hardware.clone(),
        };
        Instances::start(&config, ground).unwrap()
    }

    /// Publishes an instance with these changes.
    pub fn instance(&self, parent: &ItemHash, changes: Value) -> ItemHash {
        let mut content = json!({
            "address": self.core.address(), "time": 1.5, "allow_amend": false,
            "environment": {"internet": true, "hypervisor": "qemu"},
            "resources": {"vcpus": 2, "memory": 512},
            "rootfs": {"parent": {"ref": parent, "use_latest": false}, "persistence": "host", "size_mib": 4000},
            "volumes": [],
        });
        for (name, value) in changes.as_object().unwrap() {
            content[name] = value.clone();
        }
        self.core.publish(MessageType::Instance, &content)
    }
}

/// Waits until the instance is in a phase.
pub async fn reaches(instances: &Instances, item_hash: &ItemHash, phase: Phase) {
    let mut states = instances.watch(item_hash).unwrap();
    let reached = timeout(BOOT, states.wait_for(|state| state.phase == phase)).await;
    drop(
        reached
            .unwrap_or_else(|_| panic!("not {phase:?}: {:?}", instances.state(item_hash)))
            .unwrap(),
    );
}

/// Where SSH of a guest is.
pub fn ssh_address(instances: &Instances, item_hash: &ItemHash) -> SocketAddr {
    let link = instances.state(item_hash).unwrap().link.unwrap();
    link.forwards()[0].host
}

/// Process number of its QEMU, from what the node remembers.
pub fn qemu_pid(folder: &Path, item_hash: &ItemHash) -> i32 {
    let path = folder
        .join("instances")
        .join(item_hash.as_str())
        .join("instance.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    record["process"]["pid"].as_i64().unwrap() as i32
}

/// Whether a process runs.
pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Ends guests whose test failed.
pub struct Reaper(pub PathBuf);

impl Drop for Reaper {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.0.join("instances"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(bytes) = std::fs::read(entry.path().join("instance.json")) else {
                continue;
            };
            let record: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if let Some(pid) = record["process"]["pid"].as_i64() {
                kill(pid as i32);
            }
        }
    }
}

/// Without mercy.
pub fn kill(pid: i32) {
    // Usually it is gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

/// Somebody with a key.
pub struct Person {
    folder: TempDir,
}

impl Person {
    pub fn new() -> Person {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("ssh-keygen")
            .args([
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "someone@example",
                "-f",
            ])
            .arg(folder.path().join("key"))
            .status();
        assert!(made.unwrap().success());
        Person { folder }
    }

    pub fn public_key(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("key.pub")).unwrap();
        text.trim().to_owned()
    }

    /// Runs a command in a guest as soon as it lets somebody in.
    pub async fn run(&self, at: SocketAddr, command: &str) -> String {
        let patiently = async {
            loop {
                let output = tokio::process::Command::new("ssh")
                    .arg("-i")
                    .arg(self.folder.path().join("key"))
                    .args(["-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"])
                    .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
                    .args(["-o", "ConnectTimeout=60", "-p", &at.port().to_string()])
                    .args([&format!("root@{}", at.ip()), command])
                    .kill_on_drop(true)
                    .output()
                    .await
                    .unwrap();
                if output.status.code() != Some(255) {
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(
                        output.status.success(),
                        "{command}: {said}{}",
                        String::from_utf8_lossy(&output.stderr)
                    );
                    return said;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        timeout(BOOT, patiently).await.expect("no SSH in time")
    }
}
