//! A real machine that moves between two nodes through their routes, and what
//! interrupts it on the way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beth_crn::instance::{Instances, Phase};
use beth_protocol::ItemHash;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::copies::{boot_disk, contents, own};
use super::fixture::{BOOT, Reaper, Ship, is_alive, qemu_pid, reaches};
use crate::fake::instances::room;
use crate::fake::{TestNode, read, within};

const TOKEN_HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A node's routes in front of real instances.
async fn node(ship: &Ship, instances: &Instances) -> TestNode {
    let given = Arc::new(instances.clone());
    TestNode::start_given(
        &ship.core,
        None,
        |config| {
            config.allocation_token_hash = TOKEN_HASH.into();
            config.allow_private_sources = true;
        },
        |parts| {
            parts.instances = Some(given);
            parts.room = Some(room());
        },
    )
    .await
}

/// As the scheduler asks.
async fn ask(node: &TestNode, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = node.client.request(method, format!("{}{path}", node.url));
    let request = request.header("X-Auth-Signature", "test");
    let request = match body {
        Value::Null => request,
        body => request.body(body.to_string()),
    };
    let (code, text) = read(within(request.send()).await.unwrap()).await;
    (code, serde_json::from_str(&text).unwrap())
}

/// Waits until a job has ended.
async fn ended(node: &TestNode, path: &str) -> Value {
    let patiently = async {
        loop {
            let (_, value) = ask(node, "GET", path, &Value::Null).await;
            if !value["finished_at"].is_null() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOOT, patiently).await.unwrap()
}

/// A source that dies in the middle of a disk.
async fn half_a_source() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok() {
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\nQFI";
                drop(stream.write_all(half).await);
            }
        }
    });
    port
}

fn disks_in(folder: &Path, hash: &ItemHash) -> bool {
    let own = folder.join("instances").join(hash.as_str());
    own.join("rootfs.qcow2").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_machine_moves_and_loses_nothing() {
    let ship = Ship::quick().await;
    let (here, there) = (ship.folder.path(), tempfile::tempdir().unwrap());
    let _reapers = (Reaper(here.to_owned()), Reaper(there.path().to_owned()));
    let parent = ship.core.store(boot_disk().into());
    let hash = ship.instance(
        &parent,
        json!({
            "resources": {"vcpus": 1, "memory": 128},
            "rootfs": {"parent": {"ref": parent, "use_latest": false}, "persistence": "host", "size_mib": 8},
            "volumes": [{"name": "data", "mount": "/d", "persistence": "host", "size_mib": 16}],
        }),
    );
    let (first, second) = (ship.node(), ship.node_in(there.path()));
    first.allocate(&hash).await.unwrap();
    let (source, destination) = (node(&ship, &first).await, node(&ship, &second).await);
    let export = format!("/control/machine/{hash}/migration/export");
    let clean_up = format!("/control/machine/{hash}/migration/cleanup");
    let import = format!("/control/migrate/{hash}/status");

    // Nothing is removed before it was exported, and nothing arrives twice.
    assert_eq!(ask(&source, "POST", &clean_up, &Value::Null).await.0, 409);
    assert!(first.state(&hash).unwrap().is_running());

    let begun = ask(&source, "POST", &export, &Value::Null).await;
    assert_eq!((begun.0, &begun.1["state"]), (202, &json!("exporting")));
    let exported = ended(&source, &format!("{export}/status")).await;
    assert_eq!(exported["state"], "exported", "{exported}");
    let scratch = tempfile::tempdir().unwrap();
    let volume = |folder: &Path| {
        let own = folder.join("instances").join(hash.as_str());
        std::fs::read(own.join("volumes/data.ext4")).unwrap()
    };
    let root = own(&ship, &hash).join("rootfs.qcow2");
    let before = (contents(&root, scratch.path()), volume(here));

    // The source dies in the middle of a disk; its own node knows nothing of it.
    let port: u16 = source.url.rsplit(':').next().unwrap().parse().unwrap();
    let order = |port: u16| {
        json!({
            "vm_hash": hash, "source_host": "127.0.0.1", "source_port": port,
            "export_token": exported["export_token"], "disk_files": exported["disk_files"],
        })
    };
    let broken = order(half_a_source().await);
    assert_eq!(
        ask(&destination, "POST", "/control/migrate", &broken)
            .await
            .0,
        202
    );
    let failed = ended(&destination, &import).await;
    assert_eq!(failed["state"], "import_failed", "{failed}");
    assert!(!disks_in(there.path(), &hash));
    assert!(disks_in(here, &hash));

    // The destination ends in between; its successor takes the same order.
    destination.stop().await;
    second.close().await;
    let second = ship.node_in(there.path());
    let destination = node(&ship, &second).await;
    let order = order(port);
    let begun = ask(&destination, "POST", "/control/migrate", &order).await;
    assert_eq!(begun.0, 202, "{}", begun.1);
    let imported = ended(&destination, &import).await;
    assert_eq!(imported["state"], "imported", "{imported}");
    reaches(&second, &hash, Phase::Running).await;
    let twice = ask(&destination, "POST", "/control/migrate", &order).await;
    assert_eq!(
        twice,
        (409, json!({"error": "VM already running on this host"}))
    );

    // Only now the source lets go, and its disks stay where they were.
    assert!(disks_in(here, &hash));
    let cleaned = ask(&source, "POST", &clean_up, &Value::Null).await;
    assert_eq!(cleaned.0, 200, "{}", cleaned.1);
    assert!(!own(&ship, &hash).join("export").exists());
    assert!(disks_in(here, &hash));
    second.stop(&hash).await.unwrap();
    let theirs = there.path().join("instances").join(hash.as_str());
    let after = contents(&theirs.join("rootfs.qcow2"), scratch.path());
    assert!(after == before.0 && volume(there.path()) == before.1);
    let resting = ask(&destination, "POST", &export, &Value::Null).await;
    assert_eq!(resting, (400, json!({"error": "VM is not running"})));
    source.stop().await;
    destination.stop().await;
    first.close().await;
    second.close().await;
}

/// The node that exports is interrupted: its successor runs the machine again.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_leaves_a_running_machine() {
    let ship = Ship::quick().await;
    let _reaper = Reaper(ship.folder.path().to_owned());
    let parent = ship.core.store(boot_disk().into());
    let hash = ship.instance(
        &parent,
        json!({
            "resources": {"vcpus": 1, "memory": 128},
            "rootfs": {"parent": {"ref": parent, "use_latest": false}, "persistence": "host", "size_mib": 4000},
        }),
    );
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    let pid = qemu_pid(ship.folder.path(), &hash);
    let exporting = {
        let (node, hash) = (node.clone(), hash.clone());
        tokio::spawn(async move { node.export(&hash).await })
    };
    let mut states = node.watch(&hash).unwrap();
    let stopped = states.wait_for(|state| state.phase == Phase::Stopped);
    drop(tokio::time::timeout(BOOT, stopped).await.unwrap().unwrap());
    assert!(!is_alive(pid));
    node.close().await;
    let exported = exporting.await.unwrap();
    let node = ship.node();
    if exported.is_err() {
        reaches(&node, &hash, Phase::Running).await;
    }
    assert!(own(&ship, &hash).join("rootfs.qcow2").exists());
    node.erase(&hash).await.unwrap();
    node.close().await;
}
