//! Images and messages that must not run.

use beth_crn::instance::InstanceFault;
use serde_json::json;

use super::fixture::Ship;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_leads_to_another_file_is_refused() {
    let ship = Ship::new().await;
    let path = ship.folder.path().join("spy.qcow2");
    let made = std::process::Command::new("qemu-img")
        .args([
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            "/etc/shadow",
        ])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    let spy = ship.core.store(std::fs::read(&path).unwrap().into());
    let hash = ship.instance(&spy, json!({}));
    let node = ship.node();
    let fault = node.allocate(&hash).await.unwrap_err();
    assert!(matches!(fault, InstanceFault::Image(_)), "{fault}");
    assert!(fault.to_string().contains("backing file"), "{fault}");
    let state = node.state(&hash).unwrap();
    assert!(!state.wanted && !state.is_running());
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_ask_for_too_much_are_refused() {
    let ship = Ship::new().await;
    let image = ship.core.store(vec![0xeb; 4096].into());
    let node = ship.node();
    for (changes, expected) in [
        (
            json!({"volumes": [{"name": "../../x", "persistence": "host", "size_mib": 8, "mount": "/m"}]}),
            "path as its name",
        ),
        (
            json!({"volumes": [{"name": "/etc/cron.d/x", "persistence": "host", "size_mib": 8, "mount": "/m"}]}),
            "path as its name",
        ),
        (
            json!({"resources": {"vcpus": 1, "memory": 100_000}}),
            "no room",
        ),
        (
            json!({"environment": {"internet": true, "hypervisor": "firecracker"}}),
            "QEMU",
        ),
    ] {
        let hash = ship.instance(&image, changes.clone());
        let fault = node.allocate(&hash).await.unwrap_err().to_string();
        assert!(fault.contains(expected), "{changes}: {fault}");
    }
    let program = ship.core.store(vec![1].into());
    let fault = node.allocate(&program).await.unwrap_err();
    assert!(matches!(fault, InstanceFault::NotAnInstance), "{fault}");
    node.close().await;
}
