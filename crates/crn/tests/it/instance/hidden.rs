//! A machine with hidden memory, up to where a processor has to hide it.

use beth_crn::instance::{Geometry, Phase};
use beth_crn::workloads::{Session, Workloads};
use serde_json::json;

use super::fixture::{Ship, reaches};

fn session() -> Session {
    Session {
        session: b"c2Vzc2lvbg==".to_vec(),
        godh: b"Z29kaA==".to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_waits_for_its_owner_through_a_restart_of_the_node() {
    let mut ship = Ship::quick().await;
    ship.hardware.sev = Some(Geometry {
        encryption_bit: 51,
        reduced_bits: 1,
    });
    let image = ship.core.store(vec![0xeb; 4096].into());
    let firmware = ship.core.store(vec![0; 4096].into());
    let hash = ship.instance(
        &image,
        json!({"environment": {
            "internet": true, "hypervisor": "qemu",
            "trusted_execution": {"firmware": firmware, "policy": 1},
        }}),
    );
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    reaches(&node, &hash, Phase::AwaitsOwner).await;
    let known = node.find(&hash).await.unwrap();
    assert!(known.awaits_secret && known.is_confidential && !known.is_running);
    assert!(node.measurement(&hash).await.is_err());
    node.close().await;

    let node = ship.node();
    reaches(&node, &hash, Phase::AwaitsOwner).await;
    // This processor hides nothing: QEMU says so, and the machine waits again.
    let fault = node.initialize(&hash, session()).await.unwrap_err();
    assert!(fault.to_string().starts_with("QEMU failed: "), "{fault}");
    reaches(&node, &hash, Phase::AwaitsOwner).await;
    let own = ship.folder.path().join("instances").join(hash.as_str());
    assert!(own.join("rootfs.qcow2").is_file());
    assert!(!own.join("vm_session.b64").exists(), "a session is secret");
    node.erase(&hash).await.unwrap();
    assert!(!own.exists());
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_for_machines_with_hidden_memory() {
    let ship = Ship::quick().await;
    let image = ship.core.store(vec![0xeb; 4096].into());
    let hidden = json!({"environment": {
        "internet": true, "hypervisor": "qemu",
        "trusted_execution": {"firmware": image, "policy": 1},
    }});
    let hidden = ship.instance(&image, hidden);
    let plain = ship.instance(&image, json!({"resources": {"vcpus": 1, "memory": 128}}));
    let node = ship.node();
    let fault = node.allocate(&hidden).await.unwrap_err();
    assert!(
        fault.to_string().contains("no confidential computing"),
        "{fault}"
    );
    node.allocate(&plain).await.unwrap();
    for fault in [
        node.initialize(&plain, session()).await.unwrap_err(),
        node.measurement(&plain).await.unwrap_err(),
        node.inject_secret(&plain, String::new(), String::new())
            .await
            .unwrap_err(),
    ] {
        assert!(
            fault.to_string().contains("not a confidential instance"),
            "{fault}"
        );
    }
    assert!(node.state(&plain).unwrap().is_running());
    node.erase(&plain).await.unwrap();
    node.close().await;
}
